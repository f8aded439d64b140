// SPDX-License-Identifier: MIT
// Activations and their slopes; `kind` is enum unary of core/tensor/graph.h. The functions that GLSL leaves loose or
// does not have are spelled out, with the polynomials of core/cpu/vec_math.inc.h.

const uint UNARY_NONE = 0, UNARY_SILU = 1, UNARY_GELU = 2, UNARY_GELU_TANH = 3, UNARY_QUICK_GELU = 4, UNARY_RELU = 5,
           UNARY_LEAKY_RELU = 6, UNARY_TANH = 7, UNARY_SIGMOID = 8, UNARY_EXP = 9, UNARY_LOG = 10, UNARY_SQRT = 11,
           UNARY_SOFTPLUS = 12, UNARY_STEP = 13;

float sigmoid(float x)
{
    return 1.0 / (1.0 + exp(-x));
}

// The quotient of exponentials cancels near 0; there it is x - x^3/3 + ...
float tanh_of(float x)
{
    const float square = x * x, size = abs(x);
    float p = 0.020601999 - 0.00566078071 * square;
    p = p * square - 0.0537292287;
    p = p * square + 0.133313283;
    p = p * square - 0.333332777;
    const float small = p * square * x + x;
    const float big = 1.0 - 2.0 / (exp(2.0 * size) + 1.0);
    return size > 0.625 ? (x < 0.0 ? -big : big) : small;
}

// The normal distribution function, erfc(-x / sqrt 2) / 2; the polynomial is -log(erfc t) / t for t in 0..5.3.
float normal_of(float x)
{
    const float t = abs(x) * 0.707106781;
    float p = 6.31410879e-9;
    p = p * t - 2.2197014e-7;
    p = p * t + 3.48887488e-6;
    p = p * t - 3.2282449e-5;
    p = p * t + 0.000193642438;
    p = p * t - 0.000765959907;
    p = p * t + 0.00178075815;
    p = p * t - 0.00017828033;
    p = p * t - 0.0191973727;
    p = p * t + 0.102810889;
    p = p * t + 0.636610985;
    p = p * t + 1.12837982;
    const float tail = t > 5.3 ? 0.0 : 0.5 * exp(-p * t);
    return x < 0.0 ? tail : 1.0 - tail;
}

float activate(uint kind, float x, float alpha)
{
    switch (kind) {
    case UNARY_SILU: return x * sigmoid(x);
    case UNARY_GELU: return x * normal_of(x);
    case UNARY_GELU_TANH: return x * sigmoid(1.59576912 * (x + 0.044715 * x * x * x));
    case UNARY_QUICK_GELU: return x * sigmoid(1.702 * x);
    case UNARY_RELU: return x < 0.0 ? 0.0 : x;
    case UNARY_LEAKY_RELU: return x > 0.0 ? x : alpha * x;
    case UNARY_TANH: return tanh_of(x);
    case UNARY_SIGMOID: return sigmoid(x);
    case UNARY_EXP: return exp(x);
    case UNARY_LOG: return log(x);
    case UNARY_SQRT: return sqrt(x);
    case UNARY_SOFTPLUS: return max(x, 0.0) + log(1.0 + exp(-abs(x)));
    case UNARY_STEP: return x > 0.0 ? 1.0 : 0.0;
    }
    return x;
}

vec4 activate4(uint kind, vec4 v) // of those without an alpha
{
    return vec4(activate(kind, v.x, 0.0), activate(kind, v.y, 0.0), activate(kind, v.z, 0.0), activate(kind, v.w, 0.0));
}

float slope(uint kind, float x, float alpha)
{
    const float s = sigmoid(x);
    switch (kind) {
    case UNARY_NONE: return 1.0;
    case UNARY_SILU: return s * (1.0 + x * (1.0 - s));
    case UNARY_GELU: return normal_of(x) + x * 0.39894228 * exp(-0.5 * x * x);
    case UNARY_GELU_TANH: {
        const float q = sigmoid(1.59576912 * (x + 0.044715 * x * x * x));
        return q + x * q * (1.0 - q) * 1.59576912 * (1.0 + 0.134145 * x * x);
    }
    case UNARY_QUICK_GELU: {
        const float q = sigmoid(1.702 * x);
        return q * (1.0 + 1.702 * x * (1.0 - q));
    }
    case UNARY_RELU: return x > 0.0 ? 1.0 : 0.0;
    case UNARY_LEAKY_RELU: return x > 0.0 ? 1.0 : alpha;
    case UNARY_TANH: {
        const float t = tanh_of(x);
        return 1.0 - t * t;
    }
    case UNARY_SIGMOID: return s * (1.0 - s);
    case UNARY_EXP: return exp(x);
    case UNARY_LOG: return 1.0 / x;
    case UNARY_SQRT: return 0.5 / sqrt(x);
    case UNARY_SOFTPLUS: return s;
    }
    return 0.0;
}
