// SPDX-License-Identifier: MIT
// Values as they lie in memory: floats, or halves in the shader's second form, which the build makes with HALF defined.
// Buffers of values are declared with VALUE and VALUE4; what is read is made a float at once, float(x[i]) or
// vec4(x[i]), and stored as VALUE(sum); a WORD is a value's bits. Parameters and scratch are floats in either form.
#ifdef HALF
#extension GL_EXT_shader_16bit_storage : require
#define VALUE float16_t
#define VALUE4 f16vec4
#define WORD uint16_t
#else
#define VALUE float
#define VALUE4 vec4
#define WORD uint
#endif
