/* SPDX-License-Identifier: MIT
 *
 * Products for devices whose loads are dear and whose lanes are cheap, that is, for Mesa's software device: one
 * subgroup a workgroup, values passed round by shuffles (conv2d_subgroup.comp, outer_subgroup.comp); large convolutions
 * of 3x3 by a quarter of the multiplications (winograd.glsl).
 */
#include "core/vulkan/kernels.h"

enum { CHANNELS = 4 };

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Rows of pixels that a workgroup makes, of so many in all. */
static int64_t pixels_at_once(int64_t pixels)
{
    return pixels <= 16 ? 16 : 32;
}

/* Subgroups of 4, 8 and 16 lanes are what that device has, by the width of the processor's vectors. */
static bool is_software(const struct vk_caps *caps)
{
    return caps->class == VK_CLASS_CPU && caps->shuffle && caps->int64 && caps->texels && caps->subgroup_control &&
           caps->subgroup <= 16;
}

static void read_texels(struct vk_dispatch *d, const struct node *node, int input)
{
    vk_read(d, VK_IN + input);
    vk_as_texels(d, node->input[input]->dtype);
}

static bool fits(const struct vk_caps *caps, const struct node *node)
{
    return is_software(caps) && shape_dim(node->input[1]->shape, -1) % 4 == 0;
}

/* What the shader is told of a convolution; a linear layer is one over a single row of pixels. */
struct window {
    int64_t tall, wide, H, W, kernel_height, kernel_width, stride, top, left;
};

/* y[matrix, row, o] = the sum over a window of x and its channels: `matrices` times rows of pixels by filters. */
struct product {
    struct window window;
    int64_t matrices, rows, O, I; /* rows and O of one matrix */
    enum dtype weights;
    enum unary act;
};

/* The dispatch but for its five bindings (y, x, w, bias, residual) and the last pushes (bias? residual? rows each). */
static struct vk_dispatch *add_product(const struct vk_caps *caps, struct vk_job *job, const struct product *p)
{
    const struct window *v = &p->window;
    const int64_t at_once = pixels_at_once(p->rows), pixel_groups = divide_up(p->rows, at_once);
    struct vk_dispatch *d = vk_dispatch_add(job, "conv2d_subgroup");
    vk_spec(d, caps->subgroup);
    vk_spec(d, (uint32_t)at_once);
    vk_spec(d, p->weights);
    vk_spec(d, p->act);
    vk_spec(d, p->O % 4 == 0);
    const int64_t pushes[] = {p->rows,      v->tall,          v->wide,         p->O,      v->H,   v->W,
                              p->I / 4,     v->kernel_height, v->kernel_width, v->stride, v->top, v->left,
                              pixel_groups, p->matrices,      p->O * p->I / 4};
    for (size_t i = 0; i < sizeof pushes / sizeof *pushes; i++) vk_push(d, pushes[i]);
    vk_groups(caps, d, p->matrices * pixel_groups * divide_up(p->O, caps->subgroup * CHANNELS));
    d->subgroup = caps->subgroup;
    d->loops = (uint64_t)(v->kernel_height * (1 + v->kernel_width * (1 + p->I / 4)) + at_once);
    return d;
}

static int64_t rows_each(const struct node *node)
{
    return node->input[3] ? shape_rows(node->shape) / shape_rows(node->input[3]->shape) : 1;
}

static void build(const struct vk_caps *caps, const struct node *node, struct vk_job *job, struct window window,
                  int64_t matrices)
{
    const bool epilogue = node->op != OP_MATMUL;
    const struct product p = {
        .window = window,
        .matrices = matrices,
        .rows = shape_rows(node->shape) / matrices,
        .O = shape_dim(node->shape, -1),
        .I = shape_dim(node->input[1]->shape, -1),
        .weights = node->input[1]->dtype,
        .act = epilogue ? node->as.gemm.act : UNARY_NONE,
    };
    struct vk_dispatch *d = add_product(caps, job, &p);
    vk_write(d, VK_OUT);
    read_texels(d, node, 0);
    read_texels(d, node, 1);
    vk_read_or(d, node, epilogue ? 2 : 0, VK_IN);
    vk_read_or(d, node, epilogue ? 3 : 0, VK_IN);
    vk_push(d, epilogue && node->input[2]);
    vk_push(d, epilogue && node->input[3]);
    vk_push(d, epilogue ? rows_each(node) : 1);
}

static void conv2d(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const int64_t *y = node->shape.dim, *x = node->input[0]->shape.dim, *w = node->input[1]->shape.dim;
    const struct conv conv = node->as.gemm.conv;
    const struct window window = {y[1], y[2], x[1], x[2], w[1], w[2], conv.stride, conv.pad.top, conv.pad.left};
    build(caps, node, job, window, 1);
}

static void linear(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const int64_t rows = shape_rows(node->shape);
    build(caps, node, job, (struct window){1, rows, 1, rows, 1, 1, 1, 0, 0}, 1);
}

/* a b^T: both lie with the inner dimension side by side. */
static bool fits_inner(const struct vk_caps *caps, const struct node *node)
{
    return fits(caps, node) && !node->as.matmul.transpose_a && node->as.matmul.transpose_b;
}

static void matmul_inner(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const int64_t M = shape_dim(node->shape, -2);
    build(caps, node, job, (struct window){1, M, 1, M, 1, 1, 1, 0, 0}, shape_rows(node->shape) / M);
}

/* ---- 3x3 convolutions of stride 1 (winograd.glsl) ---- */

enum {
    PLANES = 36,
    SIDE = 4,               /* a square has SIDE x SIDE results */
    FEWEST_PIXELS = 1024,   /* of a picture; below, transforming the filters costs more than is saved */
    FEWEST_CHANNELS = 32,   /* in and out, and */
    FEWEST_TOGETHER = 96,   /* both; below, it is the pixels and results */
    SQUARE_BYTES = 1 << 22, /* about what squares take at a time, which is as fast with any size that was tried */
    MOST_CHUNKS = 16,       /* which leaves some of VK_MAX_DISPATCHES to whoever copies operands */
};

/* U, V and M of winograd.glsl lie in the scratch one after the other; the latter two for some squares at a time, of the
 * squares of all pictures. */
struct winograd {
    int64_t wide, of_picture, all; /* squares */
    int64_t chunk;                 /* squares at a time */
    size_t u_bytes, v, m;          /* where V and M begin; U begins at 0 */
};

static size_t plane_bytes(int64_t rows, int64_t channels)
{
    return (size_t)(PLANES * rows * channels) * sizeof(float);
}

static size_t align(size_t offset)
{
    return (offset + 63) / 64 * 64;
}

/* It has not been tried on a GPU, where U, V and M would be 36 / 16 of a convolution's traffic or more. */
static bool fits_winograd(const struct vk_caps *caps, const struct node *node)
{
    const int64_t *y = node->shape.dim, *w = node->input[1]->shape.dim;
    return fits(caps, node) && node->as.gemm.conv.stride == 1 && w[1] == 3 && w[2] == 3 && w[0] % 4 == 0 &&
           w[0] >= FEWEST_CHANNELS && w[3] >= FEWEST_CHANNELS && w[0] + w[3] >= FEWEST_TOGETHER && y[1] >= SIDE &&
           y[2] >= SIDE && y[1] * y[2] >= FEWEST_PIXELS && plane_bytes(w[0], w[3]) <= caps->storage_range;
}

static void winograd_weights(const struct vk_caps *caps, const struct node *node, struct vk_job *job,
                             const struct winograd *g)
{
    const int64_t *w = node->input[1]->shape.dim;
    struct vk_dispatch *d = vk_dispatch_add(job, "winograd_weights");
    vk_spec(d, node->input[1]->dtype);
    vk_work(d, 0, g->u_bytes, true);
    read_texels(d, node, 1);
    vk_push(d, w[0]);
    vk_push(d, w[3] / 4);
    vk_linear(caps, d, w[0] * w[3] / 4);
}

static void winograd_input(const struct vk_caps *caps, const struct node *node, struct vk_job *job,
                           const struct winograd *g, int64_t first, int64_t squares)
{
    const int64_t *x = node->input[0]->shape.dim;
    const struct padding pad = node->as.gemm.conv.pad;
    struct vk_dispatch *d = vk_dispatch_add(job, "winograd_input");
    vk_work(d, g->v, plane_bytes(squares, x[3]), true);
    read_texels(d, node, 0);
    const int64_t pushes[] = {first, squares, x[3] / 4, x[1], x[2], g->wide, g->of_picture, pad.top, pad.left};
    for (size_t i = 0; i < sizeof pushes / sizeof *pushes; i++) vk_push(d, pushes[i]);
    vk_linear(caps, d, squares * x[3] / 4);
}

static void winograd_product(const struct vk_caps *caps, const struct node *node, struct vk_job *job,
                             const struct winograd *g, int64_t squares)
{
    const struct product p = {
        .window = {1, squares, 1, squares, 1, 1, 1, 0, 0},
        .matrices = PLANES,
        .rows = squares,
        .O = node->shape.dim[3],
        .I = node->input[0]->shape.dim[3],
        .weights = DTYPE_F32,
        .act = UNARY_NONE,
    };
    struct vk_dispatch *d = add_product(caps, job, &p);
    vk_work(d, g->m, plane_bytes(squares, p.O), true);
    vk_work(d, g->v, plane_bytes(squares, p.I), false);
    vk_as_texels(d, DTYPE_F32);
    vk_work(d, 0, g->u_bytes, false);
    vk_as_texels(d, DTYPE_F32);
    for (int i = 0; i < 2; i++) vk_read(d, VK_IN);
    for (int i = 0; i < 2; i++) vk_push(d, 0);
    vk_push(d, 1);
}

static void winograd_output(const struct vk_caps *caps, const struct node *node, struct vk_job *job,
                            const struct winograd *g, int64_t first, int64_t squares)
{
    const int64_t *y = node->shape.dim;
    struct vk_dispatch *d = vk_dispatch_add(job, "winograd_output");
    vk_spec(d, (uint32_t)node->as.gemm.act);
    vk_write(d, VK_OUT);
    vk_work(d, g->m, plane_bytes(squares, y[3]), false);
    vk_as_texels(d, DTYPE_F32);
    for (int i = 2; i < 4; i++) vk_read_or(d, node, i, VK_IN);
    const int64_t pushes[] = {first, squares, y[3] / 4, y[1], y[2], g->wide, g->of_picture};
    for (size_t i = 0; i < sizeof pushes / sizeof *pushes; i++) vk_push(d, pushes[i]);
    for (int i = 2; i < 4; i++) vk_push(d, node->input[i] != NULL);
    vk_push(d, rows_each(node));
    vk_linear(caps, d, squares * y[3] / 4);
}

/* The filters are transformed in every run, as they may change between two. */
static void winograd(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const int64_t *y = node->shape.dim, I = node->input[0]->shape.dim[3];
    struct winograd g = {.wide = divide_up(y[2], SIDE), .u_bytes = plane_bytes(y[3], I)};
    g.of_picture = divide_up(y[1], SIDE) * g.wide;
    g.all = y[0] * g.of_picture;
    int64_t chunks = (int64_t)(plane_bytes(g.all, I + y[3]) / SQUARE_BYTES) + 1;
    if (chunks > MOST_CHUNKS) chunks = MOST_CHUNKS;
    const int64_t step = pixels_at_once(g.all), chunk = divide_up(divide_up(g.all, chunks), step) * step;
    g.chunk = chunk < g.all ? chunk : g.all;
    g.v = align(g.u_bytes);
    g.m = align(g.v + plane_bytes(g.chunk, I));
    job->work = g.m + plane_bytes(g.chunk, y[3]);
    winograd_weights(caps, node, job, &g);
    for (int64_t first = 0; first < g.all; first += g.chunk) {
        const int64_t squares = first + g.chunk < g.all ? g.chunk : g.all - first;
        winograd_input(caps, node, job, &g, first, squares);
        winograd_product(caps, node, job, &g, squares);
        winograd_output(caps, node, job, &g, first, squares);
    }
}

/* ---- the transpose of a convolution ---- */

static bool fits_transpose(const struct vk_caps *caps, const struct node *node)
{
    return is_software(caps) && shape_dim(node->shape, -1) % 4 == 0 && shape_dim(node->input[0]->shape, -1) % 4 == 0;
}

static void conv2d_transpose(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const int64_t *y = node->shape.dim, *x = node->input[0]->shape.dim, *w = node->input[1]->shape.dim;
    const struct conv conv = node->as.gemm.conv;
    const int64_t stride = conv.stride, tall = (y[1] + stride - 1) / stride, wide = (y[2] + stride - 1) / stride;
    const int64_t pixels = y[0] * tall * wide, at_once = pixels_at_once(pixels), lanes = caps->subgroup;
    const int64_t pixel_groups = divide_up(pixels, at_once), channel_groups = divide_up(y[3] / 4, lanes);
    struct vk_dispatch *d = vk_dispatch_add(job, "conv2d_transpose_subgroup");
    vk_spec(d, caps->subgroup);
    vk_spec(d, (uint32_t)at_once);
    vk_spec(d, node->input[1]->dtype);
    vk_write(d, VK_OUT);
    read_texels(d, node, 0);
    read_texels(d, node, 1);
    vk_read_or(d, node, 2, VK_IN);
    const int64_t pushes[] = {y[0], y[1],   y[2],         y[3] / 4,      x[1], x[2], x[3] / 4,     w[1],
                              w[2], stride, conv.pad.top, conv.pad.left, tall, wide, pixel_groups, channel_groups};
    for (size_t i = 0; i < sizeof pushes / sizeof *pushes; i++) vk_push(d, pushes[i]);
    vk_push(d, node->input[2] != NULL);
    vk_groups(caps, d, pixel_groups * channel_groups * stride * stride);
    d->subgroup = caps->subgroup;
    d->loops = (uint64_t)(w[1] * (1 + w[2] * (1 + x[3] / 4)) + at_once);
}

/* ---- outer products ---- */

enum { MOST_TERMS = 32768, WEIGHT_TERMS = 4096 };

/* A_FOURS of outer_subgroup.comp. */
enum { NO_FOURS, TERM_FOURS, LINE_FOURS };

struct outer {
    int64_t matrices, M, N, K, most;
    int64_t a_matrix, a_m, a_k, b_matrix, y_matrix, y_m; /* from one to the next */
};

/* The first dispatch, but for its window. */
static struct vk_dispatch *build_outer(const struct vk_caps *caps, const struct node *node, struct vk_job *job,
                                       const struct outer *o)
{
    const int64_t at_once = pixels_at_once(o->M), parts = divide_up(o->K, o->most);
    const int64_t row_groups = divide_up(o->M, at_once), column_groups = divide_up(o->N / 4, caps->subgroup);
    const bool gradient = node->op == OP_CONV2D_WEIGHT;
    struct vk_dispatch *d = vk_dispatch_add(job, "outer_subgroup");
    vk_spec(d, caps->subgroup);
    vk_spec(d, (uint32_t)at_once);
    vk_spec(d, gradient);
    vk_spec(d, o->a_k == 1 && o->K % 4 == 0 ? TERM_FOURS : o->a_m == 1 && o->M % 4 == 0 ? LINE_FOURS : NO_FOURS);
    vk_groups(caps, d, o->matrices * row_groups * column_groups);
    vk_parts_bind(job, d, node, parts);
    read_texels(d, node, gradient ? 1 : 0);
    read_texels(d, node, gradient ? 0 : 1);
    vk_read(d, gradient ? VK_IN + 1 : VK_IN);
    const int64_t pushes[] = {
        shape_count(node->shape), o->M,        o->N / 4, o->K,       o->most,       o->a_matrix, o->a_m, o->a_k,
        o->b_matrix / 4,          o->y_matrix, o->y_m,   row_groups, column_groups, o->matrices};
    for (size_t i = 0; i < sizeof pushes / sizeof *pushes; i++) vk_push(d, pushes[i]);
    d->subgroup = caps->subgroup;
    d->loops = (uint64_t)((o->K < o->most ? o->K : o->most) + at_once);
    return d;
}

static bool fits_outer(const struct vk_caps *caps, const struct node *node)
{
    return is_software(caps) && shape_dim(node->shape, -1) % 4 == 0 && !node->as.matmul.transpose_b;
}

static void matmul_outer(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const bool ta = node->as.matmul.transpose_a;
    const int64_t M = shape_dim(node->shape, -2), N = shape_dim(node->shape, -1);
    const int64_t K = shape_dim(node->input[0]->shape, ta ? -2 : -1);
    const struct outer o = {.matrices = shape_rows(node->shape) / M,
                            .M = M,
                            .N = N,
                            .K = K,
                            .most = MOST_TERMS,
                            .a_matrix = M * K,
                            .a_m = ta ? 1 : K,
                            .a_k = ta ? M : 1,
                            .b_matrix = K * N,
                            .y_matrix = M * N,
                            .y_m = N};
    struct vk_dispatch *d = build_outer(caps, node, job, &o);
    for (int i = 0; i < 8; i++) vk_push(d, 1); /* there is no window */
    vk_parts_add(caps, node, job, divide_up(K, MOST_TERMS));
}

static bool fits_weight(const struct vk_caps *caps, const struct node *node)
{
    return is_software(caps) && shape_dim(node->shape, -1) % 4 == 0;
}

static void conv2d_weight(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const int64_t *w = node->shape.dim, *x = node->input[0]->shape.dim, *dy = node->input[1]->shape.dim;
    const struct conv conv = node->as.gemm.conv;
    const int64_t pixels = dy[0] * dy[1] * dy[2], taps = w[1] * w[2];
    const struct outer o = {.matrices = taps,
                            .M = w[0],
                            .N = w[3],
                            .K = pixels,
                            .most = WEIGHT_TERMS,
                            .a_m = 1,
                            .a_k = w[0],
                            .y_matrix = w[3],
                            .y_m = taps * w[3]};
    struct vk_dispatch *d = build_outer(caps, node, job, &o);
    const int64_t pushes[] = {x[1], x[2], dy[1], dy[2], w[2], conv.stride, conv.pad.top, conv.pad.left};
    for (size_t i = 0; i < sizeof pushes / sizeof *pushes; i++) vk_push(d, pushes[i]);
    vk_parts_add(caps, node, job, divide_up(pixels, WEIGHT_TERMS));
}

/* ---- attention ---- */

static bool fits_attention(const struct vk_caps *caps, const struct node *node)
{
    return is_software(caps) && caps->arithmetic && shape_dim(node->shape, -1) / node->as.attention.heads % 4 == 0;
}

static void attention(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const int64_t heads = node->as.attention.heads, T = node->shape.dim[1], S = node->input[1]->shape.dim[1];
    const int64_t head4 = node->shape.dim[2] / heads / 4, lanes = caps->subgroup, each = divide_up(head4, lanes);
    const int64_t most = each <= 2 ? 32 : each <= 5 ? 16 : 8; /* so many that their outputs stay near */
    const int64_t queries = T <= most / 2 ? most / 2 : most;
    const int64_t query_groups = divide_up(T, queries), tasks = node->shape.dim[0] * heads * query_groups;
    struct vk_dispatch *d = vk_dispatch_add(job, "attention_subgroup");
    vk_spec(d, caps->subgroup);
    vk_spec(d, (uint32_t)queries);
    vk_spec(d, (uint32_t)head4);
    vk_spec(d, node->as.attention.causal);
    vk_write(d, VK_OUT);
    for (int i = 0; i < 3; i++) read_texels(d, node, i);
    const int64_t pushes[] = {tasks, T, S, heads, query_groups};
    for (size_t i = 0; i < sizeof pushes / sizeof *pushes; i++) vk_push(d, pushes[i]);
    vk_push_float(d, node->as.attention.scale);
    vk_groups(caps, d, tasks);
    d->subgroup = caps->subgroup;
    d->loops = (uint64_t)(divide_up(S, 4 * lanes) * (1 + head4 + lanes));
}

static const struct vk_kernel kernels[] = {
    {"conv2d_winograd", OP_CONV2D, fits_winograd, winograd},
    {"conv2d", OP_CONV2D, fits, conv2d},
    {"linear", OP_LINEAR, fits, linear},
    {"matmul_inner", OP_MATMUL, fits_inner, matmul_inner},
    {"matmul_outer", OP_MATMUL, fits_outer, matmul_outer},
    {"conv2d_transpose", OP_CONV2D_TRANSPOSE, fits_transpose, conv2d_transpose},
    {"conv2d_weight", OP_CONV2D_WEIGHT, fits_weight, conv2d_weight},
    {"attention", OP_ATTENTION, fits_attention, attention},
};

const struct vk_family vk_family_subgroup = {
    .name = "subgroup", .kernels = kernels, .count = sizeof kernels / sizeof *kernels};
