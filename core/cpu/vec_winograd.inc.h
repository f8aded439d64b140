/* SPDX-License-Identifier: MIT
 *
 * The transforms of F(2x2, 3x3) in vectors of channels; see winograd.c. Each is a 4-point transform of the columns,
 * then of the rows:
 *
 *           1  0 -1  0           1    0    0
 *     B^T = 0  1  1  0     G =  1/2  1/2  1/2     A^T = 1  1  1  0
 *           0 -1  1  0          1/2 -1/2  1/2           0  1 -1 -1
 *           0  1  0 -1           0    0    1
 */
#include "core/cpu/winograd.h"

static void winograd_input(float *to, int64_t plane, const float *const pixel[WINOGRAD_PLANES], int64_t channels)
{
    for (int64_t c = 0; c < channels; c += VEC_LANES) {
        const int there = (int)(channels - c < VEC_LANES ? channels - c : VEC_LANES);
        vec t[4][4];
        for (int j = 0; j < 4; j++) {
            vec d[4];
            for (int i = 0; i < 4; i++) d[i] = vec_load_part(pixel[i * 4 + j] + c, there);
            t[0][j] = vec_sub(d[0], d[2]);
            t[1][j] = vec_add(d[1], d[2]);
            t[2][j] = vec_sub(d[2], d[1]);
            t[3][j] = vec_sub(d[1], d[3]);
        }
        for (int i = 0; i < 4; i++) {
            float *row = to + i * 4 * plane + c;
            vec_store(row, vec_sub(t[i][0], t[i][2]));
            vec_store(row + plane, vec_add(t[i][1], t[i][2]));
            vec_store(row + 2 * plane, vec_sub(t[i][2], t[i][1]));
            vec_store(row + 3 * plane, vec_sub(t[i][1], t[i][3]));
        }
    }
}

/* to[0], to[1], to[2], to[3] = G (a, b, c) */
static inline void winograd_filter(vec to[4], vec a, vec b, vec c)
{
    const vec half = vec_set(0.5f), ends = vec_mul(half, vec_add(a, c)), middle = vec_mul(half, b);
    to[0] = a;
    to[1] = vec_add(ends, middle);
    to[2] = vec_sub(ends, middle);
    to[3] = c;
}

/* G g G^T for VEC_LANES channels of one filter. */
static inline void winograd_filter_square(vec to[WINOGRAD_PLANES], const struct cpu_weight *w, int64_t at, int there)
{
    vec columns[3][4];
    for (int j = 0; j < 3; j++)
        winograd_filter(columns[j], load_weights(w, at + j * w->pitch, there),
                        load_weights(w, at + (3 + j) * w->pitch, there),
                        load_weights(w, at + (6 + j) * w->pitch, there));
    for (int i = 0; i < 4; i++) winograd_filter(to + i * 4, columns[0][i], columns[1][i], columns[2][i]);
}

/* By squares of VEC_LANES filters and VEC_LANES channels, each of which becomes 16 squares to transpose. */
static void winograd_weights(float *to, int64_t plane, const struct cpu_weight *w, int64_t n, int64_t k)
{
    for (int64_t j = 0; j < TILE_COLUMNS; j += VEC_LANES)
        for (int64_t p = 0; p < k; p += VEC_LANES) {
            const int there = (int)(k - p < VEC_LANES ? k - p : VEC_LANES);
            vec square[WINOGRAD_PLANES][VEC_LANES];
            for (int i = 0; i < VEC_LANES; i++) {
                vec filter[WINOGRAD_PLANES];
                for (int q = 0; q < WINOGRAD_PLANES; q++) filter[q] = vec_set(0.0f);
                if (j + i < n) winograd_filter_square(filter, w, w->first + (j + i) * 9 * w->pitch + p, there);
                for (int q = 0; q < WINOGRAD_PLANES; q++) square[q][i] = filter[q];
            }
            for (int q = 0; q < WINOGRAD_PLANES; q++) {
                vec_transpose(square[q]);
                for (int i = 0; i < there; i++) vec_store(to + q * plane + (p + i) * TILE_COLUMNS + j, square[q][i]);
            }
        }
}

static void winograd_output(const struct winograd_square *square)
{
    for (int64_t c = 0; c < square->columns; c += VEC_LANES) {
        const int there = (int)(square->columns - c < VEC_LANES ? square->columns - c : VEC_LANES);
        const vec bias = square->bias ? vec_load_part(square->bias + c, there) : vec_set(0.0f);
        vec t[2][4];
        for (int j = 0; j < 4; j++) {
            vec m[4];
            for (int i = 0; i < 4; i++) m[i] = vec_load(square->m + (i * 4 + j) * square->plane + c);
            t[0][j] = vec_add(vec_add(m[0], m[1]), m[2]);
            t[1][j] = vec_sub(vec_sub(m[1], m[2]), m[3]);
        }
        for (int i = 0; i < WINOGRAD_OUTPUTS; i++) {
            const vec *r = t[i / 2];
            if (!square->y[i]) continue;
            vec y = i % 2 == 0 ? vec_add(vec_add(r[0], r[1]), r[2]) : vec_sub(vec_sub(r[1], r[2]), r[3]);
            y = vec_unary(vec_add(y, bias), square->act, 0);
            if (square->residual[i]) y = vec_add(y, vec_load_part(square->residual[i] + c, there));
            vec_store_part(square->y[i] + c, y, there);
        }
    }
}

static const struct winograd_core winograd_core = {
    .product = &product_core,
    .input = winograd_input,
    .weights = winograd_weights,
    .output = winograd_output,
};

static void convolution(const struct cpu_call *call)
{
    if (winograd_suits(call->node))
        winograd_run(call, &winograd_core);
    else
        product_run(call, &product_core);
}

static size_t convolution_scratch(const struct node *node, int threads)
{
    return winograd_suits(node) ? winograd_work(node, threads, &winograd_core)
                                : product_work(node, threads, &product_core);
}

static const struct product_rival rival = {winograd_suits, {convolution, convolution_scratch}};

static void product_transpose(const struct cpu_call *call)
{
    product_transpose_run(call, &product_core, &rival);
}

static size_t product_transpose_scratch(const struct node *node, int threads)
{
    return product_transpose_work(node, threads, &product_core, &rival);
}
