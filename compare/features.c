/* SPDX-License-Identifier: MIT */
#include "compare/features.h"

#include <math.h>

const char *features_name(const struct features *f)
{
    return f->name ? f->name : "the pictures";
}

enum status features_check(const struct features *f, int64_t least, struct error *err)
{
    const char *name = features_name(f);
    if (f->count < least || f->count > FEATURES_MAX_COUNT)
        return fail(err, STATUS_ARGUMENT, "%s: %lld of them; %lld to %d are needed", name, (long long)f->count,
                    (long long)least, FEATURES_MAX_COUNT);
    if (f->width < 1 || f->width > FEATURES_MAX_WIDTH || (f->count > 0 && !f->values))
        return fail(err, STATUS_ARGUMENT, "%s: features %lld wide; 1 to %d are allowed", name,
                    f->values ? (long long)f->width : 0, FEATURES_MAX_WIDTH);
    for (int64_t i = 0; i < f->count * f->width; i++)
        if (!isfinite(f->values[i]))
            return fail(err, STATUS_ARGUMENT, "%s: feature %lld of number %lld is %f; all must be finite", name,
                        (long long)(i % f->width + 1), (long long)(i / f->width + 1), (double)f->values[i]);
    return STATUS_OK;
}

enum status features_check_pair(const struct features *a, const struct features *b, int64_t least, struct error *err)
{
    enum status status = features_check(a, least, err);
    if (status == STATUS_OK) status = features_check(b, least, err);
    if (status == STATUS_OK && a->width != b->width)
        status = fail(err, STATUS_ARGUMENT, "%s has features %lld wide and %s %lld; they must come from one network",
                      features_name(a), (long long)a->width, features_name(b), (long long)b->width);
    return status;
}

enum status measures_step(const struct measures_watch *watch, const char *what, int64_t done, int64_t total,
                          struct error *err)
{
    if (!watch) return STATUS_OK;
    if (watch->progress) watch->progress(watch->context, what, done, total);
    if (watch->cancelled && watch->cancelled(watch->context)) return fail(err, STATUS_CANCELLED, "stopped");
    return STATUS_OK;
}
