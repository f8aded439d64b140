/* SPDX-License-Identifier: MIT
 *
 * Element types. f32 is the type of every computation; f16, bf16, q8_0 and q4_0 are storage types for weights; i32
 * holds token ids. The wider integers and f64 occur only in checkpoint files.
 *
 * Q8_0 and Q4_0 are ggml's: 32 values that follow each other are a block with one scale, an f16.
 *
 *     Q8_0   | scale | q0 | q1 | ... | q31 |             x = scale * q, bytes with a sign
 *     Q4_0   | scale | q0 q16 | q1 q17 | ... q15 q31 |   x = scale * (q - 8), nibbles, the lower one first
 */
#ifndef BASE_DTYPE_H
#define BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(name, bytes of a block, elements of a block, name in files) */
#define DTYPE_MAP(X)                                                                                                   \
    X(F32, 4, 1, "F32")                                                                                                \
    X(F16, 2, 1, "F16")                                                                                                \
    X(BF16, 2, 1, "BF16")                                                                                              \
    X(Q8_0, 34, 32, "Q8_0")                                                                                            \
    X(Q4_0, 18, 32, "Q4_0")                                                                                            \
    X(I32, 4, 1, "I32")                                                                                                \
    X(F64, 8, 1, "F64")                                                                                                \
    X(I64, 8, 1, "I64")                                                                                                \
    X(I16, 2, 1, "I16")                                                                                                \
    X(I8, 1, 1, "I8")                                                                                                  \
    X(U8, 1, 1, "U8")                                                                                                  \
    X(BOOL, 1, 1, "BOOL")

enum dtype {
#define X(name, bytes, block, text) DTYPE_##name,
    DTYPE_MAP(X)
#undef X
        DTYPE_COUNT
};

/* DTYPE_Q8_0_BYTES and the like: bytes of a block, for kernels, where they must be constants. */
enum {
#define X(name, bytes, block, text) DTYPE_##name##_BYTES = (bytes),
    DTYPE_MAP(X)
#undef X
        DTYPE_MAX_BLOCK = 32
};

size_t dtype_bytes(enum dtype dtype, size_t n);       /* of n elements, which are whole blocks */
size_t dtype_block(enum dtype dtype);                 /* elements of a block; 1 where each stands alone */
bool dtype_stores_weights(enum dtype dtype);          /* F32, F16, BF16, Q8_0, Q4_0: what kernels read */
const char *dtype_name(enum dtype dtype);             /* "F32", as in files */
bool dtype_find(const char *name, enum dtype *dtype); /* by that name */

/* IEEE binary16 and bfloat16, round to nearest even; NaN stays NaN, overflow becomes infinity. */
float f16_to_f32(uint16_t half);
uint16_t f32_to_f16(float value);
float bf16_to_f32(uint16_t value);
uint16_t f32_to_bf16(float value);

/* Elements first .. first + n of an array of any dtype as f32; src need not be aligned, nor `first` begin a block. */
void dtype_to_f32(float *out, const void *src, enum dtype dtype, size_t first, size_t n);
/* f32 to one that stores weights, n elements in whole blocks, rounded as ggml's reference does. Quantised values must
 * be finite; a block whose values are too large for its scale reads as infinite or no numbers. */
void dtype_from_f32(void *out, enum dtype dtype, const float *src, size_t n);

#endif
