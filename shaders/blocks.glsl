// SPDX-License-Identifier: MIT
// Quantised weights, in blocks of 32 (core/base/dtype.h shows them). A block is no multiple of four bytes long, so its
// scale, and four values that follow each other, begin in a word's lower or upper half. Included by weights.glsl and
// weights4.glsl; every place is one in the buffer, too, where DTYPE is none of these types.

const uint DTYPE_F32 = 0, DTYPE_F16 = 1, DTYPE_BF16 = 2, DTYPE_Q8_0 = 3, DTYPE_Q4_0 = 4;
const bool IN_BLOCKS = DTYPE >= DTYPE_Q8_0;
const uint BLOCK_BYTES = DTYPE == DTYPE_Q8_0 ? 34 : 18;

// Of element i's block, which begins with the scale.
uint block_byte(uint i)
{
    return IN_BLOCKS ? (i >> 5) * BLOCK_BYTES : 0;
}

uint value_byte(uint i)
{
    return IN_BLOCKS ? block_byte(i) + 2 + (i & (DTYPE == DTYPE_Q8_0 ? 31 : 15)) : 0;
}

// In the word at block_byte(i).
float scale_of(uint word, uint i)
{
    return unpackHalf2x16(word)[(block_byte(i) >> 1) & 1u];
}

// Nibbles: the upper ones are the block's second half.
uint nibble_shift(uint i)
{
    return (i & 16u) >> 2;
}

// Of the four values from i on: `first` holds them all, or two and `next` the others.
vec4 four_steps(uint first, uint next, uint i)
{
    const uint four = (value_byte(i) & 2u) != 0u ? first >> 16 | next << 16 : first;
    if (DTYPE == DTYPE_Q8_0) return vec4(ivec4(four << 24, four << 16, four << 8, four) >> 24);
    return vec4(ivec4((uvec4(four, four >> 8, four >> 16, four >> 24) >> nibble_shift(i)) & 15u) - 8);
}
