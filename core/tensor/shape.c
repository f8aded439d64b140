/* SPDX-License-Identifier: MIT */
#include "core/tensor/shape.h"

#include <stdio.h>

static const int64_t most_elements = INT64_C(1) << 40;

bool shape_valid(struct shape shape)
{
    if (shape.rank < 1 || shape.rank > SHAPE_MAX_RANK) return false;
    int64_t count = 1;
    for (int i = 0; i < shape.rank; i++) {
        if (shape.dim[i] < 1 || shape.dim[i] > most_elements / count) return false;
        count *= shape.dim[i];
    }
    return true;
}

const char *shape_text(struct shape shape, char text[SHAPE_TEXT_BYTES])
{
    int at = snprintf(text, SHAPE_TEXT_BYTES, "[");
    for (int i = 0; i < shape.rank && i < SHAPE_MAX_RANK; i++)
        at += snprintf(text + at, (size_t)(SHAPE_TEXT_BYTES - at), i ? ", %lld" : "%lld", (long long)shape.dim[i]);
    snprintf(text + at, (size_t)(SHAPE_TEXT_BYTES - at), "]");
    return text;
}
