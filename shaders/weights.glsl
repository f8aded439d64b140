// SPDX-License-Identifier: MIT
// Weights as they are stored: WEIGHTS(name, binding) declares a buffer, WEIGHT(name, i) is its element i as a float.
// Halves are unpacked here, so a shader is compiled for one of the types by its constant DTYPE (enum dtype of
// core/base/dtype.h) and needs no 16-bit feature of the device.

const uint DTYPE_F32 = 0, DTYPE_F16 = 1, DTYPE_BF16 = 2;

#define WEIGHTS(name, place) layout(std430, binding = place) readonly buffer name##_buffer { uint name[]; }
#define WEIGHT(name, i) weight_of(name[DTYPE == DTYPE_F32 ? (i) : (i) >> 1], i)

float weight_of(uint word, uint i)
{
    if (DTYPE == DTYPE_F32) return uintBitsToFloat(word);
    if (DTYPE == DTYPE_F16) return unpackHalf2x16(word)[i & 1u];
    return uintBitsToFloat((i & 1u) != 0u ? word & 0xffff0000u : word << 16);
}
