/* SPDX-License-Identifier: MIT */
#include "diffusion/detect.h"

#include <stdarg.h>
#include <stdio.h>

const struct tensor *detect_find(const struct checkpoint *checkpoint, const char *format, ...)
{
    char name[CHECKPOINT_NAME_BYTES];
    va_list list;
    va_start(list, format);
    vsnprintf(name, sizeof name, format, list);
    va_end(list);
    return checkpoint_find(checkpoint, name);
}

enum status detect_dimension(const struct checkpoint *checkpoint, struct dimension wanted, struct error *err,
                             const char *format, ...)
{
    char name[CHECKPOINT_NAME_BYTES];
    va_list list;
    va_start(list, format);
    vsnprintf(name, sizeof name, format, list);
    va_end(list);
    const struct tensor *t = checkpoint_find(checkpoint, name);
    if (t == NULL) return fail(err, STATUS_FORMAT, "%s lacks the tensor '%s'", wanted.part, name);
    if (t->rank != wanted.rank)
        return fail(err, STATUS_FORMAT, "tensor '%s' has %d dimensions and must have %d", name, t->rank, wanted.rank);
    const long long size = t->dim[wanted.at];
    if (size < 1 || size > DETECT_MAX_WIDTH)
        return fail(err, STATUS_FORMAT, "dimension %d of tensor '%s' is %lld; 1 to %d are allowed", wanted.at, name,
                    size, DETECT_MAX_WIDTH);
    *wanted.out = (int)size;
    return STATUS_OK;
}
