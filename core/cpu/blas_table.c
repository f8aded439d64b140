/* SPDX-License-Identifier: MIT
 *
 * Slots that OpenBLAS computes: matrix products, and the blocks of linear layers and convolutions on processors for
 * which there is no core of our own.
 */
#include "core/cpu/blas.h"
#include "core/cpu/product.h"
#include "core/cpu/reference.h"

/* A matrix product is cut into tasks of at most so many rows, and of fewer where that would leave one task a lot. */
enum { MATMUL_ROWS = 256, MATMUL_FEWEST_ROWS = 32, MATMUL_WORK = 4 << 20 /* multiplications of a task */ };

static void pack(float *to, const struct cpu_weight *w, int64_t n, int64_t k)
{
    for (int64_t i = 0; i < n; i++)
        dtype_to_f32(to + i * k, w->stored, w->dtype, (size_t)(w->first + i * w->pitch), (size_t)k);
}

static void multiply(float *c, int64_t c_pitch, const float *const *rows, const float *w, int64_t m, int64_t n,
                     int64_t k, bool add)
{
    blas_multiply(&(struct blas_product){.m = m,
                                         .n = n,
                                         .k = k,
                                         .a = rows[0],
                                         .a_pitch = m > 1 ? rows[1] - rows[0] : k,
                                         .b = w,
                                         .b_pitch = k,
                                         .transpose_b = true,
                                         .c = c,
                                         .c_pitch = c_pitch,
                                         .add = add});
}

static void finish(const struct product_block *block)
{
    for (int64_t r = 0; r < block->rows; r++) {
        const float *c = block->c + r * block->c_pitch;
        const float *residual = block->residual ? block->residual + r * block->residual_pitch : NULL;
        float *y = block->y + r * block->y_pitch;
        for (int64_t j = 0; j < block->columns; j++) {
            const float value = reference_unary(block->act, c[j] + (block->bias ? block->bias[j] : 0), 0);
            y[j] = value + (residual ? residual[j] : 0);
        }
    }
}

static void outer(const struct product_outer *o)
{
    for (int64_t line = 0; line < o->lines; line++)
        blas_multiply(&(struct blas_product){.m = o->m,
                                             .n = o->n,
                                             .k = o->k,
                                             .a = o->a + line * o->k * o->a_pitch,
                                             .a_pitch = o->a_pitch,
                                             .transpose_a = true,
                                             .b = o->b + line * o->line_pitch,
                                             .b_pitch = o->b_pitch,
                                             .c = o->c,
                                             .c_pitch = o->c_pitch,
                                             .add = o->add || line > 0});
}

/* OpenBLAS picks its kernels by the number of rows, so a row's bytes depend on its neighbours. */
static const struct product_core core = {
    .tile_rows = 1,
    .tile_columns = 16,
    .depth_step = 1,
    .rows_independent = false,
    .rows_anywhere = false,
    .pack = pack,
    .multiply = multiply,
    .finish = finish,
    .outer = outer,
};

static void product(const struct cpu_call *call)
{
    product_run(call, &core);
}

static size_t product_scratch(const struct node *node, int threads)
{
    return product_work(node, threads, &core);
}

static void product_transpose(const struct cpu_call *call)
{
    product_transpose_run(call, &core, NULL);
}

static size_t product_transpose_scratch(const struct node *node, int threads)
{
    return product_transpose_work(node, threads, &core, NULL);
}

static void product_weight(const struct cpu_call *call)
{
    product_weight_run(call, &core);
}

static size_t product_weight_scratch(const struct node *node, int threads)
{
    return product_weight_work(node, threads, &core);
}

/* Blocks of one matrix are about equally tall, so that threads end together. */
static int64_t rows_of_task(int64_t M, int64_t N, int64_t K)
{
    const int64_t rows = (MATMUL_WORK / (N * K) + MATMUL_FEWEST_ROWS) / MATMUL_FEWEST_ROWS * MATMUL_FEWEST_ROWS;
    const int64_t most = rows < MATMUL_ROWS ? rows : MATMUL_ROWS, blocks = (M + most - 1) / most;
    const int64_t even = (M + blocks - 1) / blocks, step = MATMUL_FEWEST_ROWS / 2;
    return (even + step - 1) / step * step;
}

/* Some rows of one matrix of the result. */
static void matmul_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct cpu_call *call = context;
    const struct node *node = call->node;
    const bool ta = node->as.matmul.transpose_a, tb = node->as.matmul.transpose_b;
    const int64_t M = shape_dim(node->shape, -2), N = shape_dim(node->shape, -1);
    const int64_t K = shape_dim(node->input[0]->shape, ta ? -2 : -1);
    const int64_t rows = rows_of_task(M, N, K), blocks = (M + rows - 1) / rows, matrix = task / blocks;
    const int64_t row = task % blocks * rows;
    blas_multiply(&(struct blas_product){
        .m = M - row < rows ? M - row : rows,
        .n = N,
        .k = K,
        .a = (const float *)call->in[0] + matrix * M * K + (ta ? row : row * K),
        .a_pitch = ta ? M : K,
        .transpose_a = ta,
        .b = (const float *)call->in[1] + matrix * K * N,
        .b_pitch = tb ? K : N,
        .transpose_b = tb,
        .c = (float *)call->out + (matrix * M + row) * N,
        .c_pitch = N,
    });
}

static void matmul(const struct cpu_call *call)
{
    const struct node *node = call->node;
    const int64_t M = shape_dim(node->shape, -2), N = shape_dim(node->shape, -1);
    const int64_t K = shape_dim(node->input[0]->shape, node->as.matmul.transpose_a ? -2 : -1);
    const int64_t rows = rows_of_task(M, N, K), blocks = (M + rows - 1) / rows;
    pool_run(call->pool, matmul_task, (void *)call, shape_rows(node->shape) / M * blocks);
}

void cpu_kernels_blas(struct cpu_kernels *table)
{
    blas_use_one_thread();
    table->slot[OP_LINEAR] = (struct cpu_slot){product, product_scratch};
    table->slot[OP_CONV2D] = (struct cpu_slot){product, product_scratch};
    table->slot[OP_CONV2D_TRANSPOSE] = (struct cpu_slot){product_transpose, product_transpose_scratch};
    table->slot[OP_MATMUL] = (struct cpu_slot){matmul, NULL};
    table->slot[OP_CONV2D_WEIGHT] = (struct cpu_slot){product_weight, product_weight_scratch};
}
