// SPDX-License-Identifier: MIT
// Values four at a time. Rows must be multiples of four elements long.
//
//     TEXELS4(name, binding)    weights of any stored type, or floats, read only; the host says vk_as_texels
//     WEIGHT4(name, i)          its elements 4i .. 4i + 3, whose type is the constant DTYPE
//     FLOAT4(name, i)           the same of floats
//     FLOATS4(name, binding)    floats in a storage buffer, for what may be the result's own bytes: floats_at(name[i])
//     four_words(v)             what is stored in an array of u64vec2
//
// Mesa's software device reads a storage buffer word by word and lane by lane, with a branch for each lane that may be
// idle or outside. Texels it gathers without; and where it has to be a storage buffer, words of 64 bits are half as many.
// The shader needs GL_ARB_gpu_shader_int64, and the device caps->int64 and caps->texels.
#include "blocks.glsl"

#define TEXELS4(name, place) layout(binding = place) uniform usamplerBuffer name
#define FLOAT4(name, i) uintBitsToFloat(texelFetch(name, int(i)))
#define FLOATS4(name, place) layout(std430, binding = place) readonly buffer name##_buffer { u64vec2 name[]; }

// A texel is four elements, or a word of blocks, which are no whole words long.
#define BLOCK_WORD(name, byte) texelFetch(name, int((byte) >> 2)).x
#define WEIGHT4(name, i)                                                                                               \
    (IN_BLOCKS ? scale_of(BLOCK_WORD(name, block_byte(4 * (i))), 4 * (i)) *                                            \
                     four_steps(BLOCK_WORD(name, value_byte(4 * (i))), BLOCK_WORD(name, value_byte(4 * (i)) + 2),      \
                                4 * (i))                                                                               \
               : weights_of(texelFetch(name, int(i))))

vec4 weights_of(uvec4 words)
{
    if (DTYPE == DTYPE_F32) return uintBitsToFloat(words);
    if (DTYPE == DTYPE_F16) return vec4(unpackHalf2x16(words.x), unpackHalf2x16(words.y));
    return vec4(uintBitsToFloat(words.x << 16), uintBitsToFloat(words.x & 0xffff0000u),
                uintBitsToFloat(words.y << 16), uintBitsToFloat(words.y & 0xffff0000u));
}

vec4 floats_at(u64vec2 both)
{
    return vec4(uintBitsToFloat(unpackUint2x32(both.x)), uintBitsToFloat(unpackUint2x32(both.y)));
}

u64vec2 four_words(vec4 v)
{
    return u64vec2(packUint2x32(floatBitsToUint(v.xy)), packUint2x32(floatBitsToUint(v.zw)));
}
