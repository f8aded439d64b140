/* SPDX-License-Identifier: MIT
 *
 * The yardstick of `limn bench`: how fast OpenBLAS multiplies matrices on this machine with all threads.
 */
#include "core/cpu/blas.h"
#include "core/cpu/kernels.h"

#include "core/base/clock.h"
#include "core/base/memory.h"

enum { SIDE = 1536, FEWEST = 2, ROUNDS = 6 };
static const double patience = 1.5; /* seconds; a machine that is busy with other things is not kept for longer */

struct yard {
    const float *a, *b;
    float *c;
    int64_t rows; /* of a and c, for each task */
};

static struct blas_product rows_of(const struct yard *yard, int64_t first, int64_t rows)
{
    return (struct blas_product){
        .m = rows,
        .n = SIDE,
        .k = SIDE,
        .a = yard->a + first * SIDE,
        .a_pitch = SIDE,
        .b = yard->b,
        .b_pitch = SIDE,
        .transpose_b = true,
        .c = yard->c + first * SIDE,
        .c_pitch = SIDE,
    };
}

static void rows_task(void *context, int64_t task, int worker)
{
    (void)worker;
    const struct yard *yard = context;
    const int64_t first = task * yard->rows, left = SIDE - first;
    if (left <= 0) return;
    const struct blas_product product = rows_of(yard, first, left < yard->rows ? left : yard->rows);
    blas_multiply(&product);
}

/* Both ways of sharing the cores take turns, so that a busy moment of the machine does not fall on one alone. */
double cpu_sgemm_gflops(struct pool *pool)
{
    const size_t count = (size_t)SIDE * SIDE;
    float *memory = memory_alloc_raw(3 * count * sizeof *memory);
    if (!memory) return 0;
    for (size_t i = 0; i < 3 * count; i++) memory[i] = (float)(i % 29) / 29 - 0.5f;
    const int threads = pool_threads(pool);
    struct yard yard = {memory, memory + count, memory + 2 * count, (SIDE + threads - 1) / threads};
    const struct blas_product whole = rows_of(&yard, 0, SIDE);
    double best = 1e300;
    const double began = clock_seconds();
    for (int round = 0; round < 2 * ROUNDS; round++) {
        if (round >= 2 * FEWEST && clock_seconds() - began > patience) break;
        const double start = clock_seconds();
        if (round % 2 == 0)
            pool_run(pool, rows_task, &yard, threads);
        else
            blas_multiply_threaded(&whole, threads);
        const double took = clock_seconds() - start;
        if (took < best) best = took;
    }
    memory_free(memory);
    return 2.0 * SIDE * SIDE * SIDE / best * 1e-9;
}
