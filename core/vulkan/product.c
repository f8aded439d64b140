/* SPDX-License-Identifier: MIT */
#include "core/vulkan/product.h"

enum {
    LEAST_TERMS = 512, /* of a part: below, adding the parts up costs more than it brings */
    MOST_PARTS = 32,
};

bool product_fits(const struct node *node)
{
    const enum dtype dtype = node->input[1]->dtype;
    return dtype == DTYPE_F32 || dtype == DTYPE_F16 || dtype == DTYPE_BF16;
}

/* ---- what a node is ---- */

static struct product of_linear(const struct node *node)
{
    const int64_t K = shape_dim(node->input[1]->shape, -1), rows = shape_rows(node->shape);
    return (struct product){.kind = PRODUCT_WINDOW,
                            .matrices = 1,
                            .M = rows,
                            .N = shape_dim(node->shape, -1),
                            .K = K,
                            .single_M = rows / node->shape.dim[0],
                            .single_matrices = 1,
                            .b_long = K,
                            .H = 1,
                            .W = rows,
                            .channels = K,
                            .tall = 1,
                            .wide = rows,
                            .kernel_height = 1,
                            .kernel_width = 1,
                            .conv = {.stride = 1},
                            .a_along = true,
                            .b_along = true,
                            .fours = K % 4 == 0};
}

/* A matrix of rank 2 may be a batch of rows, unless it is turned. */
static struct product of_matmul(const struct node *node)
{
    const bool ta = node->as.matmul.transpose_a, tb = node->as.matmul.transpose_b, flat = node->shape.rank == 2;
    const int64_t M = shape_dim(node->shape, -2), N = shape_dim(node->shape, -1);
    const int64_t K = shape_dim(node->input[0]->shape, ta ? -2 : -1), matrices = shape_rows(node->shape) / M;
    struct product p = {.kind = PRODUCT_MATRICES,
                        .matrices = matrices,
                        .M = M,
                        .N = N,
                        .K = K,
                        .single_M = flat && !ta ? 1 : M,
                        .single_matrices = flat ? 1 : matrices / node->shape.dim[0],
                        .a_matrix = M * K,
                        .a_long = ta ? M : K,
                        .b_matrix = K * N,
                        .b_long = tb ? K : N,
                        .a_along = !ta,
                        .b_along = tb};
    p.fours = p.a_long % 4 == 0 && p.b_long % 4 == 0;
    return p;
}

static struct product of_conv2d(const struct node *node)
{
    const int64_t *y = node->shape.dim, *x = node->input[0]->shape.dim, *w = node->input[1]->shape.dim;
    const int64_t K = w[1] * w[2] * w[3];
    return (struct product){.kind = PRODUCT_WINDOW,
                            .matrices = 1,
                            .M = y[0] * y[1] * y[2],
                            .N = y[3],
                            .K = K,
                            .single_M = y[1] * y[2],
                            .single_matrices = 1,
                            .b_long = K,
                            .H = x[1],
                            .W = x[2],
                            .channels = x[3],
                            .tall = y[1],
                            .wide = y[2],
                            .kernel_height = w[1],
                            .kernel_width = w[2],
                            .conv = node->as.gemm.conv,
                            .a_along = true,
                            .b_along = true,
                            .fours = x[3] % 4 == 0};
}

static struct product of_transpose(const struct node *node)
{
    const int64_t *y = node->shape.dim, *x = node->input[0]->shape.dim, *w = node->input[1]->shape.dim;
    const int64_t stride = node->as.gemm.conv.stride;
    const int64_t tall = (y[1] + stride - 1) / stride, wide = (y[2] + stride - 1) / stride;
    const int64_t taps = ((w[1] + stride - 1) / stride) * ((w[2] + stride - 1) / stride);
    return (struct product){.kind = PRODUCT_PHASES,
                            .matrices = stride * stride,
                            .M = y[0] * tall * wide,
                            .N = y[3],
                            .K = taps * x[3],
                            .single_M = tall * wide,
                            .single_matrices = stride * stride,
                            .H = x[1],
                            .W = x[2],
                            .channels = x[3],
                            .tall = tall,
                            .wide = wide,
                            .kernel_height = w[1],
                            .kernel_width = w[2],
                            .result_tall = y[1],
                            .result_wide = y[2],
                            .conv = node->as.gemm.conv,
                            .a_along = true,
                            .fours = x[3] % 4 == 0 && y[3] % 4 == 0};
}

static struct product of_gradient(const struct node *node)
{
    const int64_t *w = node->shape.dim, *x = node->input[0]->shape.dim, *dy = node->input[1]->shape.dim;
    return (struct product){.kind = PRODUCT_GRADIENT,
                            .matrices = w[1] * w[2],
                            .M = w[0],
                            .N = w[3],
                            .K = dy[0] * dy[1] * dy[2],
                            .single_M = w[0],
                            .single_matrices = w[1] * w[2],
                            .a_long = w[0],
                            .H = x[1],
                            .W = x[2],
                            .channels = x[3],
                            .tall = dy[1],
                            .wide = dy[2],
                            .kernel_height = w[1],
                            .kernel_width = w[2],
                            .conv = node->as.gemm.conv,
                            .fours = w[0] % 4 == 0 && w[3] % 4 == 0};
}

struct product product_of(const struct node *node)
{
    switch (node->op) {
    case OP_LINEAR: return of_linear(node);
    case OP_MATMUL: return of_matmul(node);
    case OP_CONV2D: return of_conv2d(node);
    case OP_CONV2D_TRANSPOSE: return of_transpose(node);
    default: return of_gradient(node);
    }
}

/* ---- its dispatches ---- */

static int64_t tiles(int64_t count, int64_t each)
{
    return (count + each - 1) / each;
}

int64_t product_groups(const struct product *p, const struct product_tile *tile)
{
    return p->single_matrices * tiles(p->single_M, tile->rows) * tiles(p->N, tile->columns);
}

/* The length of the parts of k. It follows from one picture alone, because the order of the sums does. */
static int64_t part_length(const struct vk_caps *caps, const struct product *p, const struct product_tile *tile)
{
    int64_t parts = 2 * (int64_t)caps->cores / product_groups(p, tile);
    if (parts > p->K / LEAST_TERMS) parts = p->K / LEAST_TERMS;
    if (parts > MOST_PARTS) parts = MOST_PARTS;
    if (parts < 1) parts = 1;
    return tiles(tiles(p->K, parts), tile->depth) * tile->depth;
}

static void push_all(struct vk_dispatch *d, const struct node *node, const struct product *p,
                     const struct product_tile *tile, int64_t part, bool whole)
{
    const bool gemm = node->op != OP_MATMUL && node->op != OP_CONV2D_WEIGHT && whole;
    const struct node *residual = gemm ? node->input[3] : NULL;
    const int64_t pushes[] = {shape_count(node->shape),
                              p->M,
                              p->N,
                              p->K,
                              part,
                              p->a_matrix,
                              p->a_long,
                              p->b_matrix,
                              p->b_long,
                              tiles(p->M, tile->rows),
                              tiles(p->N, tile->columns),
                              p->matrices,
                              p->H,
                              p->W,
                              p->channels,
                              p->tall,
                              p->wide,
                              p->kernel_height,
                              p->kernel_width,
                              p->conv.stride,
                              p->conv.pad.top,
                              p->conv.pad.left,
                              p->result_tall,
                              p->result_wide,
                              gemm ? (int64_t)node->as.gemm.act : UNARY_NONE,
                              gemm && node->input[2],
                              residual != NULL,
                              residual ? shape_rows(node->shape) / shape_rows(residual->shape) : 1};
    for (size_t i = 0; i < sizeof pushes / sizeof *pushes; i++) vk_push(d, pushes[i]);
}

struct vk_dispatch *product_build(const struct vk_caps *caps, const struct node *node, struct vk_job *job,
                                  const struct product_tile *tile, const char *shader)
{
    const struct product p = product_of(node);
    const int64_t part = part_length(caps, &p, tile), parts = tiles(p.K, part);
    const bool gradient = p.kind == PRODUCT_GRADIENT, plain = gradient || p.kind == PRODUCT_MATRICES;
    struct vk_dispatch *d = vk_dispatch_add(job, shader);
    const uint32_t specs[] = {tile->local, tile->rows,       tile->columns,
                              tile->depth, (uint32_t)p.kind, (uint32_t)node->input[gradient ? 0 : 1]->dtype,
                              p.a_along,   p.b_along,        p.fours};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) vk_spec(d, specs[i]);
    vk_groups(caps, d, p.matrices * tiles(p.M, tile->rows) * tiles(p.N, tile->columns));
    vk_parts_bind(job, d, node, parts);
    vk_read(d, gradient ? VK_IN + 1 : VK_IN);
    vk_read(d, gradient ? VK_IN : VK_IN + 1);
    vk_read_or(d, node, plain ? 0 : 2, VK_IN);
    vk_read_or(d, node, plain ? 0 : 3, VK_IN);
    push_all(d, node, &p, tile, part, parts == 1);
    const int64_t stored = (int64_t)tile->rows * tile->columns / tile->local;
    d->loops = (uint64_t)(tiles(p.K < part ? p.K : part, tile->depth) * tile->loops + stored + 8);
    vk_parts_add(caps, node, job, parts);
    return d;
}
