/* SPDX-License-Identifier: MIT
 *
 * What moves elements: most of it is one shader, which walks a box of four dimensions with strides of its own in the
 * result and in the operand.
 */
#include "core/vulkan/kernels.h"

enum { MOST_IDS = 32768 }; /* that a dispatch of scatter goes through */

struct box {
    int64_t size[SHAPE_MAX_RANK];
    int64_t to_first, to[SHAPE_MAX_RANK], from_first, from[SHAPE_MAX_RANK];
    int64_t axis, start, length; /* places outside become zeros */
};

/* Shapes as four dimensions, ones in front. */
static void pad_shape(struct shape shape, int64_t size[SHAPE_MAX_RANK])
{
    for (int i = 0; i < SHAPE_MAX_RANK; i++) {
        const int at = i - (SHAPE_MAX_RANK - shape.rank);
        size[i] = at < 0 ? 1 : shape.dim[at];
    }
}

static void dense(struct shape shape, int64_t stride[SHAPE_MAX_RANK])
{
    int64_t size[SHAPE_MAX_RANK], pitch = 1;
    pad_shape(shape, size);
    for (int i = SHAPE_MAX_RANK - 1; i >= 0; i--) {
        stride[i] = pitch;
        pitch *= size[i];
    }
}

/* All of `over`, from an operand of that shape to a result of that shape. */
static struct box box_over(struct shape over, struct shape to, struct shape from)
{
    struct box box = {.length = UINT32_MAX};
    pad_shape(over, box.size);
    dense(to, box.to);
    dense(from, box.from);
    return box;
}

static int axis_in_four(struct shape shape, int axis)
{
    return axis + SHAPE_MAX_RANK - shape.rank;
}

static void copy(const struct vk_caps *caps, struct vk_job *job, int operand, const struct box *box)
{
    int64_t count = 1;
    for (int i = 0; i < SHAPE_MAX_RANK; i++) count *= box->size[i];
    struct vk_dispatch *d = vk_dispatch_add(job, "copy");
    vk_write(d, VK_OUT);
    vk_read(d, operand);
    vk_push(d, count);
    for (int i = 1; i < SHAPE_MAX_RANK; i++) vk_push(d, box->size[i]);
    vk_push(d, box->to_first);
    for (int i = 0; i < SHAPE_MAX_RANK; i++) vk_push(d, box->to[i]);
    vk_push(d, box->from_first);
    for (int i = 0; i < SHAPE_MAX_RANK; i++) vk_push(d, box->from[i]);
    vk_push(d, box->axis);
    vk_push(d, box->start);
    vk_push(d, box->length);
    vk_linear(caps, d, count);
}

static void concat(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const int axis = axis_in_four(node->shape, node->as.axis);
    int64_t start = 0;
    for (int i = 0; i < 2; i++) {
        const struct shape from = node->input[i]->shape;
        struct box box = box_over(from, node->shape, from);
        box.to_first = start * box.to[axis];
        copy(caps, job, VK_IN + i, &box);
        start += from.dim[node->as.axis];
    }
}

static void slice(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    struct box box = box_over(node->shape, node->shape, node->input[0]->shape);
    box.from_first = node->as.slice.start * box.from[axis_in_four(node->shape, node->as.slice.axis)];
    copy(caps, job, VK_IN, &box);
}

/* The operand begins `start` places along the axis; what lies before counts down from there, and is not read. */
static void pad(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    struct box box = box_over(node->shape, node->shape, node->input[0]->shape);
    box.axis = axis_in_four(node->shape, node->as.slice.axis);
    box.start = node->as.slice.start;
    box.length = node->input[0]->shape.dim[node->as.slice.axis];
    box.from_first = -box.start * box.from[box.axis];
    copy(caps, job, VK_IN, &box);
}

static void permute(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    struct box box = box_over(node->shape, node->shape, node->input[0]->shape);
    int64_t from[SHAPE_MAX_RANK];
    dense(node->input[0]->shape, from);
    for (int i = 0; i < node->shape.rank; i++)
        box.from[axis_in_four(node->shape, i)] = from[axis_in_four(node->shape, node->as.permute[i])];
    copy(caps, job, VK_IN, &box);
}

static void broadcast(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    struct box box = box_over(node->shape, node->shape, node->input[0]->shape);
    int64_t size[SHAPE_MAX_RANK];
    pad_shape(node->input[0]->shape, size);
    for (int i = 0; i < SHAPE_MAX_RANK; i++)
        if (size[i] == 1) box.from[i] = 0;
    copy(caps, job, VK_IN, &box);
}

/* Only the reshapes of parameters come here: all others share their operand's bytes. */
static bool is_word(const struct vk_caps *caps, const struct node *node)
{
    (void)caps;
    return dtype_bytes(node->dtype, dtype_block(node->dtype)) == sizeof(uint32_t);
}

static void reshape(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const struct box box = box_over(node->shape, node->shape, node->shape);
    copy(caps, job, VK_IN, &box);
}

/* ---- pictures ---- */

static void resize(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const bool pool = node->op == OP_AVERAGE_POOL;
    const int64_t *y = node->shape.dim, *x = node->input[0]->shape.dim, kernel = pool ? node->as.pool.kernel : 1;
    struct vk_dispatch *d = vk_dispatch_add(job, "resize");
    vk_spec(d, pool);
    vk_write(d, VK_OUT);
    vk_read(d, VK_IN);
    const int64_t pushes[] = {shape_count(node->shape),
                              y[1],
                              y[2],
                              y[3],
                              x[1],
                              x[2],
                              kernel,
                              pool ? node->as.pool.stride : node->as.upsample};
    for (size_t i = 0; i < sizeof pushes / sizeof *pushes; i++) vk_push(d, pushes[i]);
    vk_linear(caps, d, shape_count(node->shape));
    d->loops = (uint64_t)(kernel * (kernel + 1));
}

/* ---- tables ---- */

static void embedding(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const struct node *table = node->input[1];
    struct vk_dispatch *d = vk_dispatch_add(job, "embedding");
    vk_spec(d, table->dtype);
    vk_write(d, VK_OUT);
    vk_read(d, VK_IN);
    vk_read(d, VK_IN + 1);
    vk_write(d, VK_CHECK);
    vk_push(d, shape_count(node->shape));
    vk_push(d, table->shape.dim[1]);
    vk_push(d, table->shape.dim[0]);
    vk_linear(caps, d, shape_count(node->shape));
}

static bool few_ids(const struct vk_caps *caps, const struct node *node)
{
    (void)caps;
    return shape_count(node->input[0]->shape) <= (int64_t)MOST_IDS * VK_MAX_DISPATCHES;
}

static void scatter(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const int64_t ids = shape_count(node->input[0]->shape);
    for (int64_t first = 0; first < ids; first += MOST_IDS) {
        const int64_t end = ids - first < MOST_IDS ? ids : first + MOST_IDS;
        struct vk_dispatch *d = vk_dispatch_add(job, "scatter");
        vk_write(d, VK_OUT);
        vk_read(d, VK_IN);
        vk_read(d, VK_IN + 1);
        vk_write(d, VK_CHECK);
        vk_push(d, shape_count(node->shape));
        vk_push(d, node->shape.dim[1]);
        vk_push(d, node->shape.dim[0]);
        vk_push(d, first);
        vk_push(d, end);
        vk_linear(caps, d, shape_count(node->shape));
        d->loops = MOST_IDS;
    }
}

static const struct vk_kernel kernels[] = {
    {"concat", OP_CONCAT, NULL, concat},
    {"slice", OP_SLICE, NULL, slice},
    {"pad", OP_PAD, NULL, pad},
    {"permute", OP_PERMUTE, NULL, permute},
    {"broadcast", OP_BROADCAST, NULL, broadcast},
    {"reshape", OP_RESHAPE, is_word, reshape},
    {"upsample", OP_UPSAMPLE, NULL, resize},
    {"average_pool", OP_AVERAGE_POOL, NULL, resize},
    {"embedding", OP_EMBEDDING, NULL, embedding},
    {"scatter", OP_SCATTER, few_ids, scatter},
};

const struct vk_family vk_family_moves = {.name = "moves",
                                          .kernels = kernels,
                                          .count = sizeof kernels / sizeof *kernels,
                                          .halves = VK_HALF_SHADERS,
                                          .simple = true};
