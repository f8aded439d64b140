/* SPDX-License-Identifier: MIT
 *
 * The CPU backend's table of kernels: one slot an operation. Reference kernels fill it first, each as readable as the
 * formula it computes; faster ones then replace their slots (dav1d's way).
 *
 *     reference_products(&table), ...         every operation of the closed set (reference.h)
 *     cpu_kernels_blas(&table);                products by OpenBLAS, and what can be blocked around it
 *     cpu_kernels_avx2(&table), ..._avx512     if the processor has the instructions
 *
 * A kernel cuts its work into tasks by shape alone, never by the number of threads, and never lets a task mix two
 * pictures of a batch: so image i of a batch has the bytes of the single image, at any thread count.
 *
 * `out` overlaps no input, except that it may be exactly the bytes of an input that plan_overwrites
 * (core/tensor/plan.h) allows: for products the residual in[3], which then must be read before it is written. Only the
 * weight of a product and the table of an embedding come in other types than F32 (dtype_stores_weights); biases, norms'
 * scales and all else are F32.
 */
#ifndef CPU_KERNELS_H
#define CPU_KERNELS_H

#include "core/base/pool.h"
#include "core/tensor/graph.h"

struct cpu_call {
    const struct node *node;
    void *out;                       /* f32, or i32 for a reshaped id tensor */
    const void *in[NODE_MAX_INPUTS]; /* f32 values; weights in their node's storage dtype; NULL where missing */
    void *work;                      /* at least as large as the slot's work function said; 64-byte aligned */
    struct pool *pool;
    struct error *err; /* for what only the data can show: a token id outside the table */
};

/* A weight as it is stored, or a part of it: from element `first` on, its rows `pitch` elements apart. Where elements
 * are blocks a row is whole blocks. */
struct cpu_weight {
    const void *stored;
    enum dtype dtype;
    int64_t first, pitch;
};

typedef void cpu_kernel(const struct cpu_call *call);
typedef size_t cpu_work(const struct node *node, int threads); /* scratch bytes */

struct cpu_slot {
    cpu_kernel *run;
    cpu_work *work; /* NULL: none */
};

struct cpu_kernels {
    struct cpu_slot slot[OP_COUNT];
    const char *family[OP_COUNT]; /* who filled the slot: "avx512"; by cpu_kernels_best and cpu_kernels_bf16 */
};

void cpu_kernels_blas(struct cpu_kernels *table);
void cpu_kernels_avx2(struct cpu_kernels *table);   /* needs AVX2, FMA and F16C */
void cpu_kernels_avx512(struct cpu_kernels *table); /* needs AVX-512 F, BW, DQ and VL besides */

/* All of the above that this machine can run; or only the reference. */
void cpu_kernels_best(struct cpu_kernels *table, bool reference_only);

/* Products whose operands are rounded to bf16; sums and all else stay f32. */
void cpu_kernels_avx512bf16(struct cpu_kernels *table); /* needs AVX-512 BF16 besides */
void cpu_kernels_amx(struct cpu_kernels *table);        /* needs AMX's tiles and bf16 besides */

/* The faster of those two, over what cpu_kernels_best left there; false, and nothing is changed, where the processor
 * or the system has neither. */
bool cpu_kernels_bf16(struct cpu_kernels *table);

/* GFLOP/s of OpenBLAS's f32 matrix product with all threads of the pool: the better of its own threads and ours. Takes
 * about half a second, during which nothing else should run. 0 if there was no memory. */
double cpu_sgemm_gflops(struct pool *pool);

#endif
