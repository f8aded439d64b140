/* SPDX-License-Identifier: MIT */
#include "core/base/dtype.h"

#include <assert.h>
#include <string.h>

static const struct {
    size_t bytes;
    const char *name;
} types[DTYPE_COUNT] = {
#define X(name, bytes, text) [DTYPE_##name] = {bytes, text},
    DTYPE_MAP(X)
#undef X
};

size_t dtype_bytes(enum dtype dtype)
{
    return types[dtype].bytes;
}

const char *dtype_name(enum dtype dtype)
{
    return types[dtype].name;
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

/* One loop for each stored type: `read` is an expression in `e`, the element. */
#define CONVERT(type, read)                                                                                  \
    for (size_t i = 0; i < n; i++) {                                                                         \
        type e;                                                                                              \
        memcpy(&e, bytes + i * sizeof e, sizeof e);                                                          \
        out[i] = (read);                                                                                     \
    }                                                                                                        \
    return

void dtype_to_f32(float *out, const void *src, enum dtype dtype, size_t n)
{
    const unsigned char *bytes = src;
    switch (dtype) {
    case DTYPE_F32: memcpy(out, src, n * sizeof *out); return;
    case DTYPE_F16: CONVERT(uint16_t, f16_to_f32(e));
    case DTYPE_BF16: CONVERT(uint16_t, bf16_to_f32(e));
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
    switch (dtype) {
    case DTYPE_F32: memcpy(out, src, n * sizeof *src); return;
    case DTYPE_F16:
        for (size_t i = 0; i < n; i++) halves[i] = f32_to_f16(src[i]);
        return;
    case DTYPE_BF16:
        for (size_t i = 0; i < n; i++) halves[i] = f32_to_bf16(src[i]);
        return;
    default: assert(0 && "dtype_from_f32: only F32, F16 and BF16 can be written");
    }
}
