/* SPDX-License-Identifier: MIT */
#include "tests/support/golden.h"

#include "core/base/memory.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { TEXT_BYTES = 256 };

struct checkpoint *golden_open(const char *file)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", GOLDEN, file);
    struct error err = {0};
    struct checkpoint *g = NULL;
    if (checkpoint_open(&g, path, &err) != STATUS_OK) fail_msg("%s", err.text);
    return g;
}

static const struct tensor *find(const struct checkpoint *g, const char *name)
{
    const struct tensor *t = checkpoint_find(g, name);
    if (t == NULL) fail_msg("no golden tensor '%s'", name);
    return t;
}

static float *copy(const struct tensor *t)
{
    float *values = memory_alloc((size_t)t->count * sizeof *values);
    assert_non_null(values);
    dtype_to_f32(values, t->data, t->dtype, 0, (size_t)t->count);
    return values;
}

const struct tensor *golden_tensor(const struct checkpoint *g, const char *format, ...)
{
    char name[TEXT_BYTES];
    va_list list;
    va_start(list, format);
    vsnprintf(name, sizeof name, format, list);
    va_end(list);
    return find(g, name);
}

float *golden_values(const struct checkpoint *g, const char *format, ...)
{
    char name[TEXT_BYTES];
    va_list list;
    va_start(list, format);
    vsnprintf(name, sizeof name, format, list);
    va_end(list);
    return copy(find(g, name));
}

float *golden_nhwc(const struct checkpoint *g, const char *format, ...)
{
    char name[TEXT_BYTES];
    va_list list;
    va_start(list, format);
    vsnprintf(name, sizeof name, format, list);
    va_end(list);
    const struct tensor *t = find(g, name);
    assert_int_equal(t->rank, 4);
    float *planes = copy(t), *out = memory_alloc((size_t)t->count * sizeof *out);
    assert_non_null(out);
    const int64_t channels = t->dim[1], pixels = t->dim[2] * t->dim[3];
    for (int64_t b = 0; b < t->dim[0]; b++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t i = 0; i < pixels; i++)
                out[(b * pixels + i) * channels + c] = planes[(b * channels + c) * pixels + i];
    memory_free(planes);
    return out;
}

double golden_error(const float *got, const float *want, size_t n)
{
    double difference = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)got[i] - (double)want[i]);
        if (!isfinite(d)) return INFINITY;
        difference = fmax(difference, d);
        largest = fmax(largest, fabs((double)want[i]));
    }
    return largest > 0 ? difference / largest : difference;
}

void golden_near(const float *got, const float *want, size_t n, double limit, const char *format, ...)
{
    const double error = golden_error(got, want, n);
    if (error <= limit) return;
    char what[TEXT_BYTES];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    fail_msg("%s: relative error %.2e, allowed %.1e", what, error, limit);
}
