/* SPDX-License-Identifier: MIT
 *
 * The product's core in vectors: a tile of TILE_ROWS x TILE_COLUMNS sums held in registers, one broadcast element of A
 * against a tile's breadth of W at a time.
 *
 *     W as packed: strips of TILE_COLUMNS output channels         A: rows, PRODUCT_PITCH apart
 *         k 0: o 0 1 2 ... | k 1: o 0 1 2 ... | ...                   k 0 1 2 ...
 *
 * A row's sum is the same chain of fused multiply-adds whatever tile it lies in, so rows are independent.
 * Included after one of vec_avx2.h and vec_avx512.h, and vec_math.inc.h.
 */
#include "core/cpu/vec_product_ends.inc.h"

enum { TILE_VECS = 2, TILE_COLUMNS = TILE_VECS * VEC_LANES };

/* c [TILE_ROWS, vecs * VEC_LANES] (+)= a [TILE_ROWS, k] w [k, TILE_COLUMNS], where a's rows are at `row`. `vecs`, a
 * constant, is TILE_VECS or less. */
__attribute__((always_inline)) static inline void tile(float *c, int64_t c_pitch, const float *const *row,
                                                       const float *w, int64_t k, bool add, int vecs)
{
    vec sum[TILE_ROWS][TILE_VECS];
    const float *a[TILE_ROWS];
    for (int i = 0; i < TILE_ROWS; i++) a[i] = row[i];
    for (int i = 0; i < TILE_ROWS; i++)
        for (int j = 0; j < vecs; j++) sum[i][j] = vec_set(0.0f);
    for (int64_t p = 0; p < k; p++) {
        vec part[TILE_VECS];
        for (int j = 0; j < vecs; j++) part[j] = vec_load(w + p * TILE_COLUMNS + j * VEC_LANES);
        for (int i = 0; i < TILE_ROWS; i++) {
            const vec x = vec_set(a[i][p]);
            for (int j = 0; j < vecs; j++) sum[i][j] = vec_fma(x, part[j], sum[i][j]);
        }
    }
    for (int i = 0; i < TILE_ROWS; i++)
        for (int j = 0; j < vecs; j++) {
            float *to = c + i * c_pitch + j * VEC_LANES;
            vec_store(to, add ? vec_add(vec_load(to), sum[i][j]) : sum[i][j]);
        }
}

/* The same of rows a_pitch apart. */
__attribute__((always_inline)) static inline void tile_apart(float *c, int64_t c_pitch, const float *a, int64_t a_pitch,
                                                             const float *w, int64_t k, bool add, int vecs)
{
    const float *row[TILE_ROWS];
    for (int i = 0; i < TILE_ROWS; i++) row[i] = a + i * a_pitch;
    tile(c, c_pitch, row, w, k, add, vecs);
}

/* Strip by strip; of a last one that is at most one vector wide, as a picture's three colours are, the rest is left. */
static void multiply(float *c, int64_t c_pitch, const float *const *rows, const float *w, int64_t m, int64_t n,
                     int64_t k, bool add)
{
    int64_t j = 0;
    for (; n - j > VEC_LANES; j += TILE_COLUMNS)
        for (int64_t i = 0; i < m; i += TILE_ROWS)
            tile(c + i * c_pitch + j, c_pitch, rows + i, w + j * k, k, add, TILE_VECS);
    for (int64_t i = 0; i < m && j < n; i += TILE_ROWS)
        tile(c + i * c_pitch + j, c_pitch, rows + i, w + j * k, k, add, 1);
}

/* One tile of product_outer. */
__attribute__((always_inline)) static inline void outer_tile(float *c, const float *a, const float *b,
                                                             const struct product_outer *o, int vecs)
{
    vec sum[TILE_ROWS][TILE_VECS];
    for (int i = 0; i < TILE_ROWS; i++)
        for (int j = 0; j < vecs; j++) sum[i][j] = vec_set(0.0f);
    for (int64_t line = 0; line < o->lines; line++) {
        const float *row = b + line * o->line_pitch;
        for (int64_t p = 0; p < o->k; p++, a += o->a_pitch, row += o->b_pitch) {
            vec part[TILE_VECS];
            for (int j = 0; j < vecs; j++) part[j] = vec_load(row + j * VEC_LANES);
            for (int i = 0; i < TILE_ROWS; i++) {
                const vec x = vec_set(a[i]);
                for (int j = 0; j < vecs; j++) sum[i][j] = vec_fma(x, part[j], sum[i][j]);
            }
        }
    }
    for (int i = 0; i < TILE_ROWS; i++)
        for (int j = 0; j < vecs; j++) {
            float *to = c + i * o->c_pitch + j * VEC_LANES;
            vec_store(to, o->add ? vec_add(vec_load(to), sum[i][j]) : sum[i][j]);
        }
}

static void outer(const struct product_outer *o)
{
    int64_t j = 0;
    for (; o->n - j > VEC_LANES; j += TILE_COLUMNS)
        for (int64_t i = 0; i < o->m; i += TILE_ROWS)
            outer_tile(o->c + i * o->c_pitch + j, o->a + i, o->b + j, o, TILE_VECS);
    for (int64_t i = 0; i < o->m && j < o->n; i += TILE_ROWS)
        outer_tile(o->c + i * o->c_pitch + j, o->a + i, o->b + j, o, 1);
}

/* Strips by squares: VEC_LANES output channels by VEC_LANES summands are loaded, widened, transposed, stored. */
static void pack(float *to, const struct cpu_weight *w, int64_t n, int64_t k)
{
    for (int64_t j = 0; j < n; j += VEC_LANES) {
        float *strip = to + j / TILE_COLUMNS * TILE_COLUMNS * k + j % TILE_COLUMNS;
        for (int64_t p = 0; p < k; p += VEC_LANES) {
            const int there = (int)(k - p < VEC_LANES ? k - p : VEC_LANES);
            vec square[VEC_LANES];
            for (int i = 0; i < VEC_LANES; i++)
                square[i] = j + i < n ? load_weights(w, w->first + (j + i) * w->pitch + p, there) : vec_set(0.0f);
            vec_transpose(square);
            for (int i = 0; i < there; i++) vec_store(strip + (p + i) * TILE_COLUMNS, square[i]);
        }
    }
    for (int64_t j = (n + VEC_LANES - 1) / VEC_LANES * VEC_LANES; j % TILE_COLUMNS; j += VEC_LANES) {
        float *strip = to + j / TILE_COLUMNS * TILE_COLUMNS * k + j % TILE_COLUMNS;
        for (int64_t p = 0; p < k; p++) vec_store(strip + p * TILE_COLUMNS, vec_set(0.0f));
    }
}

static void pack_columns(float *strip, int64_t depth, int64_t from, const struct cpu_weight *w, int64_t n, int64_t k)
{
    (void)depth;
    for (int64_t p = 0; p < k; p++)
        for (int64_t i = 0; i < TILE_COLUMNS; i += VEC_LANES) {
            const int there = (int)(n < i ? 0 : n - i < VEC_LANES ? n - i : VEC_LANES);
            const vec part = there ? load_weights(w, w->first + p * w->pitch + i, there) : vec_set(0.0f);
            vec_store(strip + (from + p) * TILE_COLUMNS + i, part);
        }
}

static const struct product_core product_core = {
    .tile_rows = TILE_ROWS,
    .tile_columns = TILE_COLUMNS,
    .depth_step = 1,
    .rows_independent = true,
    .rows_anywhere = true,
    .pack = pack,
    .pack_columns = pack_columns,
    .multiply = multiply,
    .finish = finish,
    .outer = outer,
};

static void product(const struct cpu_call *call)
{
    product_run(call, &product_core);
}

static size_t product_scratch(const struct node *node, int threads)
{
    return product_work(node, threads, &product_core);
}

static void product_weight(const struct cpu_call *call)
{
    product_weight_run(call, &product_core);
}

static size_t product_weight_scratch(const struct node *node, int threads)
{
    return product_weight_work(node, threads, &product_core);
}

/* a^T b is the shape of a weight's gradient. */
static bool is_outer(const struct node *node)
{
    return node->as.matmul.transpose_a && !node->as.matmul.transpose_b;
}

static void matmul(const struct cpu_call *call)
{
    if (is_outer(call->node))
        product_weight_run(call, &product_core);
    else
        product_run(call, &product_core);
}

static size_t matmul_scratch(const struct node *node, int threads)
{
    return is_outer(node) ? product_weight_work(node, threads, &product_core)
                          : product_work(node, threads, &product_core);
}
