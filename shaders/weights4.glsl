// SPDX-License-Identifier: MIT
// As weights.glsl, four at a time: WEIGHTS4(name, binding), and WEIGHT4(name, i) is the elements 4i .. 4i + 3. Rows must
// be multiples of four elements long. FLOATS4 and FLOAT4 are the same for values that are always f32.
//
// Memory is read in words of 64 bits: Mesa's software device loads word by word and lane by lane, and takes as long for
// 32 bits. The shader needs GL_ARB_gpu_shader_int64, and the device caps->int64.

#include "blocks.glsl"

#define FLOATS4(name, place) layout(std430, binding = place) readonly buffer name##_buffer { u64vec2 name[]; }
#define FLOAT4(name, i) four_floats(name[i])
#define WEIGHTS4(name, place)                                                                                          \
    layout(std430, binding = place) readonly buffer name##_words_buffer { u64vec2 name##_words[]; };                   \
    layout(std430, binding = place) readonly buffer name##_halves_buffer { uint64_t name##_halves[]; };                \
    layout(std430, binding = place) readonly buffer name##_blocks_buffer { uint name##_blocks[]; }
#define WEIGHT4(name, i)                                                                                               \
    (IN_BLOCKS ? scale_of(name##_blocks[block_byte(4 * (i)) >> 2], 4 * (i)) *                                          \
                     four_steps(name##_blocks[value_byte(4 * (i)) >> 2], name##_blocks[(value_byte(4 * (i)) + 2) >> 2], \
                                4 * (i))                                                                               \
     : DTYPE == DTYPE_F32 ? four_floats(name##_words[DTYPE == DTYPE_F32 ? (i) : 0])                                    \
                          : four_halves(unpackUint2x32(name##_halves[DTYPE == DTYPE_F32 || IN_BLOCKS ? 0 : (i)])))

vec4 four_floats(u64vec2 both)
{
    return vec4(uintBitsToFloat(unpackUint2x32(both.x)), uintBitsToFloat(unpackUint2x32(both.y)));
}

u64vec2 four_words(vec4 v)
{
    return u64vec2(packUint2x32(floatBitsToUint(v.xy)), packUint2x32(floatBitsToUint(v.zw)));
}

vec4 four_halves(uvec2 pair)
{
    if (DTYPE == DTYPE_F16) return vec4(unpackHalf2x16(pair.x), unpackHalf2x16(pair.y));
    return vec4(uintBitsToFloat(pair.x << 16), uintBitsToFloat(pair.x & 0xffff0000u), uintBitsToFloat(pair.y << 16),
                uintBitsToFloat(pair.y & 0xffff0000u));
}
