/* SPDX-License-Identifier: MIT
 *
 * Element types. f32 is the type of every computation; f16 and bf16 are storage types for weights; i32 holds token ids.
 * The wider integers and f64 occur only in checkpoint files.
 */
#ifndef BASE_DTYPE_H
#define BASE_DTYPE_H

#include <stddef.h>
#include <stdint.h>

/* X(name, bytes per element, name in safetensors files) */
#define DTYPE_MAP(X)                                                                                         \
    X(F32, 4, "F32")                                                                                         \
    X(F16, 2, "F16")                                                                                         \
    X(BF16, 2, "BF16")                                                                                       \
    X(I32, 4, "I32")                                                                                         \
    X(F64, 8, "F64")                                                                                         \
    X(I64, 8, "I64")                                                                                         \
    X(I16, 2, "I16")                                                                                         \
    X(I8, 1, "I8")                                                                                           \
    X(U8, 1, "U8")                                                                                           \
    X(BOOL, 1, "BOOL")

enum dtype {
#define X(name, bytes, text) DTYPE_##name,
    DTYPE_MAP(X)
#undef X
        DTYPE_COUNT
};

size_t dtype_bytes(enum dtype dtype);
const char *dtype_name(enum dtype dtype); /* "F32", as in safetensors */

/* IEEE binary16 and bfloat16, round to nearest even; NaN stays NaN, overflow becomes infinity. */
float f16_to_f32(uint16_t half);
uint16_t f32_to_f16(float value);
float bf16_to_f32(uint16_t value);
uint16_t f32_to_bf16(float value);

/* Converts n elements of any dtype to f32 (src need not be aligned), and f32 to F32, F16 or BF16. */
void dtype_to_f32(float *out, const void *src, enum dtype dtype, size_t n);
void dtype_from_f32(void *out, enum dtype dtype, const float *src, size_t n);

#endif
