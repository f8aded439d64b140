/* SPDX-License-Identifier: MIT
 *
 * Functions of a vector: exponential, and the activations of UNARY_MAP that can be had from it. Polynomials are
 * least-maximum fits to 100-bit values; errors are within 2 units in the last place unless a line says otherwise.
 * Included after one of vec_avx2.h and vec_avx512.h.
 */
#include "core/cpu/reference.h"

#include <math.h>

/* e^a = 2^n e^r with n = round(a / ln 2), so |r| <= ln(2)/2; ln 2 is split in two so that r is exact enough (Cody and
 * Waite 1980). Below -104 the result is 0, above 88.73 it is infinite. */
static inline vec vec_exp(vec a)
{
    const vec low = vec_set(-105.0f), high = vec_set(89.5f);
    a = vec_min(high, vec_max(low, a)); /* a second: NaN stays NaN */
    const vec n = vec_round(vec_mul(a, vec_set(1.44269504f)));
    vec r = vec_fma(n, vec_set(-0.693145752f), a);
    r = vec_fma(n, vec_set(-1.42860677e-6f), r);
    vec p = vec_set(0.00138145965f);
    p = vec_fma(p, r, vec_set(0.00836871751f));
    p = vec_fma(p, r, vec_set(0.041668389f));
    p = vec_fma(p, r, vec_set(0.166665211f));
    p = vec_fma(p, r, vec_set(0.49999994f));
    p = vec_fma(p, vec_mul(r, r), r);
    return vec_scale2(vec_add(p, vec_set(1.0f)), n);
}

/* 2^a for a <= 0, where speed counts most: the softmax of attention. 2^0 is exactly 1; at -127 and below the result is
 * exactly 0. Rounding by adding a large number takes the adders, which are idle here, instead of the multipliers. */
static inline vec vec_exp2_below(vec a)
{
    a = vec_max(vec_set(-127.0f), a); /* a second: NaN stays NaN */
    const vec t = vec_add(a, vec_set(VEC_INTEGER));
    const vec r = vec_sub(a, vec_sub(t, vec_set(VEC_INTEGER)));
    vec p = vec_set(0.00132647087f);
    p = vec_fma(p, r, vec_set(0.00967152324f));
    p = vec_fma(p, r, vec_set(0.0555073395f));
    p = vec_fma(p, r, vec_set(0.240222424f));
    p = vec_fma(p, r, vec_set(0.693147004f));
    return vec_add_exponent(vec_fma(p, r, vec_set(1.0f)), t);
}

/* 1 / (1 + e^-a) */
static inline vec vec_sigmoid(vec a)
{
    const vec one = vec_set(1.0f);
    return vec_div(one, vec_add(one, vec_exp(vec_sub(vec_set(0.0f), a))));
}

/* a - a^3/3 + ... near 0, where the quotient of exponentials would cancel. */
static inline vec vec_tanh(vec a)
{
    const vec size = vec_abs(a), square = vec_mul(a, a), one = vec_set(1.0f);
    vec p = vec_set(0.020601999f);
    p = vec_fma(vec_set(-0.00566078071f), square, p);
    p = vec_fma(p, square, vec_set(-0.0537292287f));
    p = vec_fma(p, square, vec_set(0.133313283f));
    p = vec_fma(p, square, vec_set(-0.333332777f));
    const vec small = vec_fma(vec_mul(p, square), a, a);
    const vec e = vec_exp(vec_add(size, size));
    const vec big = vec_sub(one, vec_div(vec_set(2.0f), vec_add(e, one)));
    const vec signed_big = vec_select(vec_less(a, vec_set(0.0f)), vec_sub(vec_set(0.0f), big), big);
    return vec_select(vec_less(vec_set(0.625f), size), signed_big, small);
}

/* The normal distribution function, erfc(-a / sqrt 2) / 2. With t = |a| / sqrt 2, the polynomial is
 * -log(erfc t) / t on 0..5.3; beyond, erfc is less than 1e-13. As erfc is never taken from 1 - erf, there is no
 * cancellation for negative a, where the formula with erf loses all digits. Error 2e-7 of max(|result|, 0.1). */
static inline vec vec_normal(vec a)
{
    const vec t = vec_mul(vec_abs(a), vec_set(0.707106781f));
    vec p = vec_set(6.31410879e-9f);
    p = vec_fma(p, t, vec_set(-2.2197014e-7f));
    p = vec_fma(p, t, vec_set(3.48887488e-6f));
    p = vec_fma(p, t, vec_set(-3.2282449e-5f));
    p = vec_fma(p, t, vec_set(0.000193642438f));
    p = vec_fma(p, t, vec_set(-0.000765959907f));
    p = vec_fma(p, t, vec_set(0.00178075815f));
    p = vec_fma(p, t, vec_set(-0.00017828033f));
    p = vec_fma(p, t, vec_set(-0.0191973727f));
    p = vec_fma(p, t, vec_set(0.102810889f));
    p = vec_fma(p, t, vec_set(0.636610985f));
    p = vec_fma(p, t, vec_set(1.12837982f));
    const vec zero = vec_set(0.0f);
    vec tail = vec_mul(vec_set(0.5f), vec_exp(vec_sub(zero, vec_mul(p, t))));
    tail = vec_select(vec_less(vec_set(5.3f), t), zero, tail);
    return vec_select(vec_less(a, zero), tail, vec_sub(vec_set(1.0f), tail));
}

static inline vec vec_gelu(vec a)
{
    return vec_mul(a, vec_normal(a));
}

/* (1 + tanh u)/2 = sigmoid(2u) with u = sqrt(2/pi) (a + 0.044715 a^3). */
static inline vec vec_gelu_tanh(vec a)
{
    const vec cubic = vec_fma(vec_mul(vec_mul(a, a), a), vec_set(0.044715f), a);
    return vec_mul(a, vec_sigmoid(vec_mul(cubic, vec_set(1.59576912f))));
}

/* Functions that no network spends its time in, lane by lane. */
static inline vec vec_each(vec a, enum unary kind, float alpha)
{
    float lane[VEC_LANES];
    vec_store(lane, a);
    for (int i = 0; i < VEC_LANES; i++) lane[i] = reference_unary(kind, lane[i], alpha);
    return vec_load(lane);
}

/* `kind` should be a constant where this is called, so that the switch vanishes. */
static inline vec vec_unary(vec a, enum unary kind, float alpha)
{
    const vec zero = vec_set(0.0f);
    switch (kind) {
    case UNARY_SILU: return vec_mul(a, vec_sigmoid(a));
    case UNARY_GELU: return vec_gelu(a);
    case UNARY_GELU_TANH: return vec_gelu_tanh(a);
    case UNARY_QUICK_GELU: return vec_mul(a, vec_sigmoid(vec_mul(a, vec_set(1.702f))));
    case UNARY_RELU: return vec_max(zero, a);
    case UNARY_LEAKY_RELU: return vec_select(vec_less(a, zero), vec_mul(a, vec_set(alpha)), a);
    case UNARY_TANH: return vec_tanh(a);
    case UNARY_SIGMOID: return vec_sigmoid(a);
    case UNARY_EXP: return vec_exp(a);
    case UNARY_SQRT: return vec_sqrt(a);
    case UNARY_STEP: return vec_select(vec_less(zero, a), vec_set(1.0f), zero);
    case UNARY_NONE: return a;
    default: return vec_each(a, kind, alpha);
    }
}
