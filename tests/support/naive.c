/* SPDX-License-Identifier: MIT */
#include "tests/support/naive.h"

#include <math.h>
#include <string.h>

/* A shape as four dimensions, ones in front. */
struct four {
    int64_t d[4];
};

static struct four four(struct shape shape)
{
    struct four f = {{1, 1, 1, 1}};
    for (int i = 0; i < shape.rank; i++) f.d[4 - shape.rank + i] = shape.dim[i];
    return f;
}

static int64_t place(struct four f, const int64_t i[4])
{
    return ((i[0] * f.d[1] + i[1]) * f.d[2] + i[2]) * f.d[3] + i[3];
}

static void split(struct four f, int64_t at, int64_t i[4])
{
    for (int k = 3; k >= 0; k--) {
        i[k] = at % f.d[k];
        at /= f.d[k];
    }
}

static double unary(enum unary kind, double x, double alpha)
{
    const double pi = 3.14159265358979323846;
    switch (kind) {
    case UNARY_SILU: return x / (1 + exp(-x));
    case UNARY_GELU: return x * 0.5 * erfc(-x / sqrt(2));
    case UNARY_GELU_TANH: return x * 0.5 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x)));
    case UNARY_QUICK_GELU: return x / (1 + exp(-1.702 * x));
    case UNARY_RELU: return fmax(x, 0);
    case UNARY_LEAKY_RELU: return x < 0 ? alpha * x : x;
    case UNARY_TANH: return tanh(x);
    case UNARY_SIGMOID: return 1 / (1 + exp(-x));
    case UNARY_EXP: return exp(x);
    case UNARY_LOG: return log(x);
    case UNARY_SQRT: return sqrt(x);
    case UNARY_SOFTPLUS: return fmax(x, 0) + log1p(exp(-fabs(x)));
    case UNARY_STEP: return x > 0;
    default: return x;
    }
}

/* Bias, activation and residual of a product's element; `at` is its place in the result. */
static double finish(const struct node *node, const double *const in[], double sum, int64_t at)
{
    const int64_t width = shape_dim(node->shape, -1), picture = shape_count(node->shape) / node->shape.dim[0];
    if (node->inputs > 2 && in[2]) sum += in[2][at % width];
    sum = unary(node->as.gemm.act, sum, 0);
    if (node->inputs < 4 || !in[3]) return sum;
    const bool whole = shape_equal(node->input[3]->shape, node->shape);
    return sum + in[3][whole ? at : at / picture * width + at % width];
}

static void linear(const struct node *node, const double *const in[], double *out)
{
    const int64_t N = shape_dim(node->shape, -1), K = shape_dim(node->input[0]->shape, -1);
    for (int64_t at = 0; at < shape_count(node->shape); at++) {
        double sum = 0;
        for (int64_t k = 0; k < K; k++) sum += in[0][at / N * K + k] * in[1][at % N * K + k];
        out[at] = finish(node, in, sum, at);
    }
}

static void matmul(const struct node *node, const double *const in[], double *out)
{
    const struct four y = four(node->shape), fa = four(node->input[0]->shape), fb = four(node->input[1]->shape);
    const bool ta = node->as.matmul.transpose_a, tb = node->as.matmul.transpose_b;
    const int64_t K = ta ? fa.d[2] : fa.d[3];
    for (int64_t at = 0; at < shape_count(node->shape); at++) {
        int64_t i[4];
        split(y, at, i);
        out[at] = 0;
        for (int64_t k = 0; k < K; k++) {
            const int64_t a[4] = {i[0], i[1], ta ? k : i[2], ta ? i[2] : k};
            const int64_t b[4] = {i[0], i[1], tb ? i[3] : k, tb ? k : i[3]};
            out[at] += in[0][place(fa, a)] * in[1][place(fb, b)];
        }
    }
}

static void conv2d(const struct node *node, const double *const in[], double *out)
{
    const struct four y = four(node->shape), x = four(node->input[0]->shape), w = four(node->input[1]->shape);
    const struct conv c = node->as.gemm.conv;
    for (int64_t at = 0; at < shape_count(node->shape); at++) {
        int64_t i[4];
        double sum = 0;
        split(y, at, i);
        for (int64_t ky = 0; ky < w.d[1]; ky++)
            for (int64_t kx = 0; kx < w.d[2]; kx++)
                for (int64_t k = 0; k < w.d[3]; k++) {
                    const int64_t from[4] = {i[0], i[1] * c.stride + ky - c.pad.top, i[2] * c.stride + kx - c.pad.left,
                                             k};
                    const int64_t tap[4] = {i[3], ky, kx, k};
                    if (from[1] < 0 || from[2] < 0 || from[1] >= x.d[1] || from[2] >= x.d[2]) continue;
                    sum += in[0][place(x, from)] * in[1][place(w, tap)];
                }
        out[at] = finish(node, in, sum, at);
    }
}

/* Scatters every input pixel, as the definition has it, where the kernel gathers. */
static void conv2d_transpose(const struct node *node, const double *const in[], double *out)
{
    const struct four y = four(node->shape), x = four(node->input[0]->shape), w = four(node->input[1]->shape);
    const struct conv c = node->as.gemm.conv;
    for (int64_t at = 0; at < shape_count(node->shape); at++)
        out[at] = node->inputs > 2 && in[2] ? in[2][at % y.d[3]] : 0;
    for (int64_t at = 0; at < shape_count(node->input[0]->shape); at++) {
        int64_t i[4], tap[4];
        split(x, at, i);
        for (int64_t t = 0; t < w.d[1] * w.d[2] * w.d[3]; t++) {
            split(w, t, tap);
            tap[0] = i[3];
            const int64_t to[4] = {i[0], i[1] * c.stride + tap[1] - c.pad.top, i[2] * c.stride + tap[2] - c.pad.left,
                                   tap[3]};
            if (to[1] < 0 || to[2] < 0 || to[1] >= y.d[1] || to[2] >= y.d[2]) continue;
            out[place(y, to)] += in[0][at] * in[1][place(w, tap)];
        }
    }
}

/* One group at a time: `first` channel, `width` channels, all rows from `row` on. */
static void norm_group(const struct node *node, const double *const in[], double *out, int64_t row, int64_t rows,
                       int64_t first, int64_t width)
{
    const int64_t C = shape_dim(node->shape, -1);
    double mean = 0, square = 0;
    for (int64_t i = 0; i < rows * width; i++) {
        const double x = in[0][(row + i / width) * C + first + i % width];
        mean += x / (double)(rows * width);
        square += x * x / (double)(rows * width);
    }
    for (int64_t i = 0; i < rows * width; i++) {
        const int64_t c = first + i % width, at = (row + i / width) * C + c;
        double y = (in[0][at] - mean) / sqrt(square - mean * mean + (double)node->as.norm.eps);
        if (node->inputs > 1 && in[1]) y *= in[1][c];
        if (node->inputs > 2 && in[2]) y += in[2][c];
        out[at] = unary(node->as.norm.act, y, 0);
    }
}

static void norm(const struct node *node, const double *const in[], double *out)
{
    const int64_t C = shape_dim(node->shape, -1), B = node->shape.dim[0], rows = shape_rows(node->shape);
    if (node->op == OP_LAYER_NORM)
        for (int64_t r = 0; r < rows; r++) norm_group(node, in, out, r, 1, 0, C);
    const int64_t width = node->op == OP_GROUP_NORM ? C / node->as.norm.groups : C;
    if (node->op == OP_GROUP_NORM)
        for (int64_t b = 0; b < B; b++)
            for (int64_t c = 0; c < C; c += width) norm_group(node, in, out, b * (rows / B), rows / B, c, width);
    if (node->op == OP_BATCH_NORM)
        for (int64_t i = 0; i < rows * C; i++) {
            const int64_t c = i % C;
            out[i] = (in[0][i] - in[3][c]) / sqrt(in[4][c] + (double)node->as.norm.eps) * in[1][c] + in[2][c];
        }
}

static void binary(const struct node *node, const double *const in[], double *out)
{
    const struct four y = four(node->shape);
    for (int64_t at = 0; at < shape_count(node->shape); at++) {
        double v[2];
        for (int k = 0; k < 2; k++) {
            const struct four f = four(node->input[k]->shape);
            int64_t i[4];
            split(y, at, i);
            for (int d = 0; d < 4; d++) i[d] = f.d[d] == 1 ? 0 : i[d];
            v[k] = in[k][place(f, i)];
        }
        const enum binary kind = node->as.binary;
        out[at] = kind == BINARY_ADD   ? v[0] + v[1]
                  : kind == BINARY_SUB ? v[0] - v[1]
                  : kind == BINARY_MUL ? v[0] * v[1]
                                       : v[0] / v[1];
    }
}

static void attention(const struct node *node, const double *const in[], double *out)
{
    const int64_t T = node->shape.dim[1], D = node->shape.dim[2], S = node->input[1]->shape.dim[1];
    const int64_t head = D / node->as.attention.heads;
    for (int64_t at = 0; at < shape_count(node->shape); at += head) {
        const int64_t b = at / (T * D), t = at / D % T, first = at % D;
        const int64_t seen = node->as.attention.causal && t < S ? t + 1 : S;
        double total = 0;
        for (int64_t d = 0; d < head; d++) out[at + d] = 0;
        for (int64_t s = 0; s < seen; s++) {
            double score = 0;
            const int64_t row = (b * S + s) * D + first;
            for (int64_t d = 0; d < head; d++) score += in[0][at + d] * in[1][row + d];
            const double weight = exp(score * (double)node->as.attention.scale);
            total += weight;
            for (int64_t d = 0; d < head; d++) out[at + d] += weight * in[2][row + d];
        }
        for (int64_t d = 0; d < head; d++) out[at + d] /= total;
    }
}

static void softmax(const struct node *node, const double *const in[], double *out)
{
    const struct four y = four(node->shape);
    const int axis = 4 - node->shape.rank + node->as.axis;
    for (int64_t at = 0; at < shape_count(node->shape); at++) {
        int64_t i[4];
        split(y, at, i);
        double total = 0;
        for (i[axis] = 0; i[axis] < y.d[axis]; i[axis]++) total += exp(in[0][place(y, i)] - in[0][at]);
        out[at] = 1 / total;
    }
}

static void reduce(const struct node *node, const double *const in[], double *out)
{
    const struct four y = four(node->shape), x = four(node->input[0]->shape);
    const int64_t count = shape_count(node->input[0]->shape), results = shape_count(node->shape);
    const enum reduce kind = node->as.reduce.kind;
    for (int64_t at = 0; at < results; at++) out[at] = kind == REDUCE_MAX ? -INFINITY : 0;
    for (int64_t at = 0; at < count; at++) {
        int64_t i[4];
        split(x, at, i);
        for (int d = 0; d < 4; d++) i[d] = y.d[d] == 1 ? 0 : i[d];
        double *to = &out[place(y, i)];
        if (kind == REDUCE_MAX) {
            *to = fmax(*to, in[0][at]);
        } else {
            *to += kind == REDUCE_SUM ? in[0][at] : in[0][at] * (double)results / (double)count;
        }
    }
}

/* Where element `i` of the result comes from: which operand, and what place in it. */
static int64_t source(const struct node *node, int64_t i[4], int *operand)
{
    const int shift = 4 - node->shape.rank;
    struct four x = four(node->input[0]->shape);
    int64_t from[4];
    memcpy(from, i, sizeof from);
    *operand = 0;
    if (node->op == OP_UPSAMPLE) {
        from[1] /= node->as.upsample;
        from[2] /= node->as.upsample;
    } else if (node->op == OP_SLICE) {
        from[shift + node->as.slice.axis] += node->as.slice.start;
    } else if (node->op == OP_PERMUTE) {
        for (int d = 0; d < node->shape.rank; d++) from[shift + node->as.permute[d]] = i[shift + d];
    } else if (node->op == OP_CONCAT && from[shift + node->as.axis] >= x.d[shift + node->as.axis]) {
        from[shift + node->as.axis] -= x.d[shift + node->as.axis];
        x = four(node->input[1]->shape);
        *operand = 1;
    }
    return place(x, from);
}

static void move(const struct node *node, const double *const in[], double *out)
{
    for (int64_t at = 0; at < shape_count(node->shape); at++) {
        int64_t i[4];
        int operand;
        split(four(node->shape), at, i);
        const int64_t from = node->op == OP_RESHAPE ? at : source(node, i, &operand);
        out[at] = in[node->op == OP_RESHAPE ? 0 : operand][from];
    }
}

static void average_pool(const struct node *node, const double *const in[], double *out)
{
    const struct four y = four(node->shape), x = four(node->input[0]->shape);
    const int kernel = node->as.pool.kernel;
    for (int64_t at = 0; at < shape_count(node->shape); at++) {
        int64_t i[4];
        split(y, at, i);
        out[at] = 0;
        for (int k = 0; k < kernel * kernel; k++) {
            const int64_t from[4] = {i[0], i[1] * node->as.pool.stride + k / kernel,
                                     i[2] * node->as.pool.stride + k % kernel, i[3]};
            out[at] += in[0][place(x, from)] / (kernel * kernel);
        }
    }
}

static void elements(const struct node *node, const double *const in[], double *out)
{
    const int64_t D = shape_dim(node->shape, -1);
    for (int64_t at = 0; at < shape_count(node->shape); at++) {
        const int64_t pair = at / D * 2 * D + at % D, id = node->op == OP_EMBEDDING ? (int64_t)in[0][at / D] : 0;
        if (node->op == OP_UNARY) out[at] = unary(node->as.unary.kind, in[0][at], (double)node->as.unary.alpha);
        if (node->op == OP_SCALE) out[at] = in[0][at] * (double)node->as.scale.factor + (double)node->as.scale.offset;
        if (node->op == OP_GEGLU) out[at] = in[0][pair] * unary(UNARY_GELU, in[0][pair + D], 0);
        if (node->op == OP_EMBEDDING) out[at] = in[1][id * D + at % D];
    }
}

/* ---- what gradients add ---- */

static void broadcast(const struct node *node, const double *const in[], double *out)
{
    const struct four y = four(node->shape), x = four(node->input[0]->shape);
    for (int64_t at = 0; at < shape_count(node->shape); at++) {
        int64_t i[4];
        split(y, at, i);
        for (int d = 0; d < 4; d++) i[d] = x.d[d] == 1 ? 0 : i[d];
        out[at] = in[0][place(x, i)];
    }
}

static void pad(const struct node *node, const double *const in[], double *out)
{
    const struct four y = four(node->shape), x = four(node->input[0]->shape);
    for (int64_t at = 0; at < shape_count(node->shape); at++) out[at] = 0;
    for (int64_t at = 0; at < shape_count(node->input[0]->shape); at++) {
        int64_t i[4];
        split(x, at, i);
        i[4 - node->shape.rank + node->as.slice.axis] += node->as.slice.start;
        out[place(y, i)] = in[0][at];
    }
}

static void scatter(const struct node *node, const double *const in[], double *out)
{
    const int64_t D = node->shape.dim[1];
    for (int64_t at = 0; at < shape_count(node->shape); at++) out[at] = 0;
    for (int64_t at = 0; at < shape_count(node->input[1]->shape); at++)
        out[(int64_t)in[0][at / D] * D + at % D] += in[1][at];
}

static void conv2d_weight(const struct node *node, const double *const in[], double *out)
{
    const struct four w = four(node->shape), x = four(node->input[0]->shape), y = four(node->input[1]->shape);
    const struct conv c = node->as.gemm.conv;
    for (int64_t at = 0; at < shape_count(node->shape); at++) {
        int64_t i[4];
        split(w, at, i);
        out[at] = 0;
        for (int64_t pixel = 0; pixel < y.d[0] * y.d[1] * y.d[2]; pixel++) {
            const int64_t b = pixel / (y.d[1] * y.d[2]), row = pixel / y.d[2] % y.d[1], column = pixel % y.d[2];
            const int64_t from[4] = {b, row * c.stride + i[1] - c.pad.top, column * c.stride + i[2] - c.pad.left, i[3]};
            if (from[1] < 0 || from[2] < 0 || from[1] >= x.d[1] || from[2] >= x.d[2]) continue;
            out[at] += in[1][pixel * y.d[3] + i[0]] * in[0][place(x, from)];
        }
    }
}

/* dx_i = sum over j of dy_j (i = j ? 1 : 0, less 1/n, less u_i u_j / n) / s: the Jacobian, element by element. */
static void norm_gradient(const struct node *node, const double *const in[], double *out)
{
    const int64_t C = shape_dim(node->shape, -1), P = shape_rows(node->shape) / node->shape.dim[0];
    const int64_t width = C / node->as.norm.groups, n = P * width;
    for (int64_t at = 0; at < shape_count(node->shape); at++) {
        const int64_t origin = at / (P * C) * P * C + at % C / width * width;
        double mean = 0, square = 0, sum = 0;
        for (int64_t j = 0; j < n; j++) {
            const double x = in[0][origin + j / width * C + j % width];
            mean += x / (double)n;
            square += x * x / (double)n;
        }
        const double s = sqrt(square - mean * mean + (double)node->as.norm.eps);
        for (int64_t j = 0; j < n; j++) {
            const int64_t other = origin + j / width * C + j % width;
            const double both = (in[0][at] - mean) / s * ((in[0][other] - mean) / s);
            sum += in[1][other] * ((other == at) - 1 / (double)n - both / (double)n) / s;
        }
        out[at] = sum;
    }
}

/* The slope as a difference quotient, fourth order. */
static void unary_gradient(const struct node *node, const double *const in[], double *out)
{
    const double h = 1e-3, alpha = (double)node->as.unary.alpha;
    const enum unary kind = node->as.unary.kind;
    for (int64_t at = 0; at < shape_count(node->shape); at++) {
        const double x = in[0][at], near = unary(kind, x + h, alpha) - unary(kind, x - h, alpha);
        const double far = unary(kind, x + 2 * h, alpha) - unary(kind, x - 2 * h, alpha);
        out[at] = in[1][at] * (8 * near - far) / (12 * h);
    }
}

void naive_node(const struct node *node, const double *const in[], double *out)
{
    static void (*const run[OP_COUNT])(const struct node *, const double *const[], double *) = {
        [OP_LINEAR] = linear,
        [OP_MATMUL] = matmul,
        [OP_CONV2D] = conv2d,
        [OP_GROUP_NORM] = norm,
        [OP_LAYER_NORM] = norm,
        [OP_BATCH_NORM] = norm,
        [OP_UNARY] = elements,
        [OP_BINARY] = binary,
        [OP_SCALE] = elements,
        [OP_GEGLU] = elements,
        [OP_ATTENTION] = attention,
        [OP_SOFTMAX] = softmax,
        [OP_EMBEDDING] = elements,
        [OP_UPSAMPLE] = move,
        [OP_AVERAGE_POOL] = average_pool,
        [OP_CONCAT] = move,
        [OP_SLICE] = move,
        [OP_RESHAPE] = move,
        [OP_PERMUTE] = move,
        [OP_REDUCE] = reduce,
        [OP_CONV2D_TRANSPOSE] = conv2d_transpose,
        [OP_BROADCAST] = broadcast,
        [OP_PAD] = pad,
        [OP_SCATTER] = scatter,
        [OP_CONV2D_WEIGHT] = conv2d_weight,
        [OP_NORM_GRADIENT] = norm_gradient,
        [OP_UNARY_GRADIENT] = unary_gradient,
    };
    run[node->op](node, in, out);
}
