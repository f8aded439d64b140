/* SPDX-License-Identifier: MIT */
#include "core/base/dtype.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

enum { BLOCK = DTYPE_MAX_BLOCK, HALF_BLOCK = BLOCK / 2, SCALE_BYTES = sizeof(uint16_t) };

static const struct {
    size_t bytes, block;
    const char *name;
} types[DTYPE_COUNT] = {
#define X(name, bytes, block, text) [DTYPE_##name] = {bytes, block, text},
    DTYPE_MAP(X)
#undef X
};

size_t dtype_bytes(enum dtype dtype, size_t n)
{
    assert(n % types[dtype].block == 0);
    return n / types[dtype].block * types[dtype].bytes;
}

size_t dtype_block(enum dtype dtype)
{
    return types[dtype].block;
}

bool dtype_stores_weights(enum dtype dtype)
{
    return dtype == DTYPE_F32 || dtype == DTYPE_F16 || dtype == DTYPE_BF16 || dtype == DTYPE_Q8_0 ||
           dtype == DTYPE_Q4_0;
}

const char *dtype_name(enum dtype dtype)
{
    return types[dtype].name;
}

bool dtype_find(const char *name, enum dtype *dtype)
{
    for (int i = 0; i < DTYPE_COUNT; i++) {
        if (strcmp(name, types[i].name) != 0) continue;
        *dtype = (enum dtype)i;
        return true;
    }
    return false;
}

static float float_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_from_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* A half's exponent and mantissa are shifted to a float's place and rescaled by 2^112; subnormals come out of the same
 * multiplication, and only infinity and NaN need their exponent set by hand. */
float f16_to_f32(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t magnitude = (uint32_t)(half & 0x7fffu) << 13;
    if (magnitude >= 0x7c00u << 13) return float_from_bits(sign | 0x7f800000u | (magnitude & 0x7fffffu));
    const float scaled = float_from_bits(magnitude) * 0x1p112f;
    return float_from_bits(sign | bits_from_float(scaled));
}

uint16_t f32_to_f16(float value)
{
    const uint32_t bits = bits_from_float(value);
    const uint32_t sign = (bits >> 16) & 0x8000u;
    const uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | ((magnitude >> 13) & 0x1ffu));
    if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) {
        /* Adding 0.5 aligns the 10 bits that a subnormal half keeps with the float's last bits and rounds them. */
        const float shifted = float_from_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (bits_from_float(shifted) - 0x3f000000u));
    }
    const uint32_t odd = (magnitude >> 13) & 1u;
    return (uint16_t)(sign | ((magnitude - 0x38000000u + 0xfffu + odd) >> 13));
}

float bf16_to_f32(uint16_t value)
{
    return float_from_bits((uint32_t)value << 16);
}

uint16_t f32_to_bf16(float value)
{
    const uint32_t bits = bits_from_float(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((bits >> 16) | 0x40u);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

/* ---- blocks ---- */

static float read_scale(const unsigned char *block)
{
    uint16_t half;
    memcpy(&half, block, sizeof half);
    return f16_to_f32(half);
}

static void write_scale(unsigned char *block, float scale)
{
    const uint16_t half = f32_to_f16(scale);
    memcpy(block, &half, sizeof half);
}

/* Elements from .. upto of one block. */
static void read_q8_0(float *out, const unsigned char *block, size_t from, size_t upto)
{
    const float scale = read_scale(block);
    for (size_t i = from; i < upto; i++) *out++ = scale * (float)(int8_t)block[SCALE_BYTES + i];
}

static void read_q4_0(float *out, const unsigned char *block, size_t from, size_t upto)
{
    const float scale = read_scale(block);
    for (size_t i = from; i < upto; i++) {
        const unsigned pair = block[SCALE_BYTES + i % HALF_BLOCK], q = i < HALF_BLOCK ? pair & 15 : pair >> 4;
        *out++ = scale * (float)((int)q - 8);
    }
}

static void read_blocks(float *out, const unsigned char *bytes, enum dtype dtype, size_t first, size_t n)
{
    for (size_t at = first; at < first + n;) {
        const size_t from = at % BLOCK, left = first + n - at, upto = left < BLOCK - from ? from + left : BLOCK;
        const unsigned char *block = bytes + at / BLOCK * types[dtype].bytes;
        if (dtype == DTYPE_Q8_0)
            read_q8_0(out, block, from, upto);
        else
            read_q4_0(out, block, from, upto);
        out += upto - from;
        at += upto - from;
    }
}

/* 1 / scale, or 0 where that is no number: then the scale is 0 as an f16 too, and all is 0. */
static float inverse(float scale)
{
    return fabsf(scale) < FLT_MIN ? 0 : 1 / scale;
}

/* The largest value becomes 127 or -127; halves are rounded away from zero. In double the sum is exact. */
static void write_q8_0(unsigned char *block, const float *x)
{
    float largest = 0;
    for (int i = 0; i < BLOCK; i++) largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
    const float scale = largest / 127, per_scale = inverse(scale);
    write_scale(block, scale);
    for (int i = 0; i < BLOCK; i++) {
        const double steps = (double)(x[i] * per_scale);
        block[SCALE_BYTES + i] = (unsigned char)(int8_t)(steps + (steps < 0 ? -0.5 : 0.5));
    }
}

/* In two statements, so that no compiler makes one rounding of the two. */
static unsigned steps_q4_0(float x, float per_scale)
{
    const float ratio = x * per_scale;
    const float steps = ratio + 8.5f;
    return steps > 15 ? 15 : (unsigned)steps;
}

/* The value that is largest without its sign becomes -8, so the scale may be negative. */
static void write_q4_0(unsigned char *block, const float *x)
{
    float largest = x[0];
    for (int i = 1; i < BLOCK; i++)
        if (fabsf(x[i]) > fabsf(largest)) largest = x[i];
    const float scale = largest / -8, per_scale = inverse(scale);
    write_scale(block, scale);
    for (int i = 0; i < HALF_BLOCK; i++) {
        const unsigned low = steps_q4_0(x[i], per_scale), high = steps_q4_0(x[HALF_BLOCK + i], per_scale);
        block[SCALE_BYTES + i] = (unsigned char)(low | high << 4);
    }
}

/* ---- arrays ---- */

/* One loop for each stored type: `read` is an expression in `e`, the element. */
#define CONVERT(type, read)                                                                                            \
    for (size_t i = first; i < first + n; i++) {                                                                       \
        type e;                                                                                                        \
        memcpy(&e, bytes + i * sizeof e, sizeof e);                                                                    \
        *out++ = (read);                                                                                               \
    }                                                                                                                  \
    return

void dtype_to_f32(float *out, const void *src, enum dtype dtype, size_t first, size_t n)
{
    const unsigned char *bytes = src;
    switch (dtype) {
    case DTYPE_F32: memcpy(out, bytes + first * sizeof *out, n * sizeof *out); return;
    case DTYPE_F16: CONVERT(uint16_t, f16_to_f32(e));
    case DTYPE_BF16: CONVERT(uint16_t, bf16_to_f32(e));
    case DTYPE_Q8_0:
    case DTYPE_Q4_0: read_blocks(out, bytes, dtype, first, n); return;
    case DTYPE_I32: CONVERT(int32_t, (float)e);
    case DTYPE_F64: CONVERT(double, (float)e);
    case DTYPE_I64: CONVERT(int64_t, (float)e);
    case DTYPE_I16: CONVERT(int16_t, (float)e);
    case DTYPE_I8: CONVERT(int8_t, (float)e);
    case DTYPE_U8:
    case DTYPE_BOOL: CONVERT(uint8_t, (float)e);
    case DTYPE_COUNT: break;
    }
    assert(0 && "dtype_to_f32: no such dtype");
}

void dtype_from_f32(void *out, enum dtype dtype, const float *src, size_t n)
{
    uint16_t *halves = out;
    unsigned char *bytes = out;
    assert(n % types[dtype].block == 0);
    switch (dtype) {
    case DTYPE_F32: memcpy(out, src, n * sizeof *src); return;
    case DTYPE_F16:
        for (size_t i = 0; i < n; i++) halves[i] = f32_to_f16(src[i]);
        return;
    case DTYPE_BF16:
        for (size_t i = 0; i < n; i++) halves[i] = f32_to_bf16(src[i]);
        return;
    case DTYPE_Q8_0:
        for (size_t i = 0; i < n; i += BLOCK, bytes += types[dtype].bytes) write_q8_0(bytes, src + i);
        return;
    case DTYPE_Q4_0:
        for (size_t i = 0; i < n; i += BLOCK, bytes += types[dtype].bytes) write_q4_0(bytes, src + i);
        return;
    default: assert(0 && "dtype_from_f32: only what stores weights can be written");
    }
}
