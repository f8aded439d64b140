// SPDX-License-Identifier: MIT
// Weights as they are stored: WEIGHTS(name, binding) declares a buffer, WEIGHT(name, i) is its element i as a float.
// They are unpacked here, so a shader is compiled for one of the types by its constant DTYPE (enum dtype of
// core/base/dtype.h) and needs no 8-bit or 16-bit feature of the device.
#include "blocks.glsl"

#define WEIGHTS(name, place) layout(std430, binding = place) readonly buffer name##_buffer { uint name[]; }
#define WEIGHT(name, i)                                                                                                \
    (IN_BLOCKS ? scale_of(name[block_byte(i) >> 2], i) * steps_of(name[value_byte(i) >> 2], i)                         \
               : weight_of(name[IN_BLOCKS ? 0 : DTYPE == DTYPE_F32 ? (i) : (i) >> 1], i))

float weight_of(uint word, uint i)
{
    if (DTYPE == DTYPE_F32) return uintBitsToFloat(word);
    if (DTYPE == DTYPE_F16) return unpackHalf2x16(word)[i & 1u];
    return uintBitsToFloat((i & 1u) != 0u ? word & 0xffff0000u : word << 16);
}

float steps_of(uint word, uint i)
{
    const uint from = (value_byte(i) & 3u) * 8;
    if (DTYPE == DTYPE_Q8_0) return float(bitfieldExtract(int(word), int(from), 8));
    return float(int((word >> (from + nibble_shift(i))) & 15u) - 8);
}
