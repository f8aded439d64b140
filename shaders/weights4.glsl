// SPDX-License-Identifier: MIT
// As weights.glsl, four at a time: WEIGHTS4(name, binding), and WEIGHT4(name, i) is the elements 4i .. 4i + 3. Rows must
// be multiples of four elements long.

const uint DTYPE_F32 = 0, DTYPE_F16 = 1, DTYPE_BF16 = 2;

#define WEIGHTS4(name, place)                                                                                          \
    layout(std430, binding = place) readonly buffer name##_words_buffer { uvec4 name##_words[]; };                     \
    layout(std430, binding = place) readonly buffer name##_halves_buffer { uvec2 name##_halves[]; }
#define WEIGHT4(name, i)                                                                                               \
    (DTYPE == DTYPE_F32 ? uintBitsToFloat(name##_words[DTYPE == DTYPE_F32 ? (i) : 0])                                  \
                        : four_halves(name##_halves[DTYPE == DTYPE_F32 ? 0 : (i)]))

vec4 four_halves(uvec2 pair)
{
    if (DTYPE == DTYPE_F16) return vec4(unpackHalf2x16(pair.x), unpackHalf2x16(pair.y));
    return vec4(uintBitsToFloat(pair.x << 16), uintBitsToFloat(pair.x & 0xffff0000u), uintBitsToFloat(pair.y << 16),
                uintBitsToFloat(pair.y & 0xffff0000u));
}
