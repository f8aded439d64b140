/* SPDX-License-Identifier: MIT
 *
 * Products for GPUs, in f32 from end to end: tiles in shared memory (tile.comp, product.glsl), and attention by blocks
 * of keys (attention_tile.comp). Software devices run them only when tests ask for them.
 */
#include "core/vulkan/product.h"

/* A workgroup's shared memory stays within the 16 KiB that every device has. */
static const struct product_tile small = {.rows = 64, .columns = 64, .depth = 16, .local = 64, .loops = 33};
static const struct product_tile large = {.rows = 128, .columns = 64, .depth = 16, .local = 128, .loops = 33};

/* Blocks, too, are unpacked on the way to shared memory. */
static bool fits(const struct vk_caps *caps, const struct node *node)
{
    (void)caps;
    return product_fits(node) || dtype_block(node->input[1]->dtype) > 1;
}

/* The larger tile reads less of memory for each multiplication, where one picture has enough of them for the device. */
static void build(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const struct product p = product_of(node);
    const bool many = product_groups(&p, &large) >= 2 * (int64_t)caps->cores;
    product_build(caps, node, job, many ? &large : &small, "tile");
}

/* ---- attention ---- */

enum { DOWN = 8, QUERIES = 32, CHUNK4 = 8, LINE4 = CHUNK4 + 1 }; /* as in the shader */

struct attention_tile {
    int64_t head4, local, keys_each, keys, values;
    int64_t rows4; /* of shared memory: rows of q and k, or of v */
};

/* So many invocations that each sums up five fours of an output at most. */
static struct attention_tile attention_tile_of(const struct node *node)
{
    struct attention_tile t = {.head4 = shape_dim(node->shape, -1) / node->as.attention.heads / 4, .local = 64};
    while (5 * t.local / DOWN < t.head4) t.local *= 2;
    t.keys_each = t.local > 128 ? 2 : 4;
    t.values = t.keys = t.keys_each * t.local / DOWN;
    t.rows4 = (QUERIES + t.keys) * LINE4;
    while (t.values > 1 && t.values * t.head4 > t.rows4) t.values /= 2;
    if (t.values * t.head4 > t.rows4) t.rows4 = t.head4;
    return t;
}

static bool fits_attention(const struct vk_caps *caps, const struct node *node)
{
    const struct attention_tile t = attention_tile_of(node);
    const int64_t bytes = (t.rows4 + t.keys * DOWN + t.local) * 16;
    return shape_dim(node->shape, -1) / node->as.attention.heads % 4 == 0 && t.local <= caps->invocations &&
           bytes <= caps->shared_bytes;
}

static void attention(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const struct attention_tile t = attention_tile_of(node);
    const int64_t heads = node->as.attention.heads, T = node->shape.dim[1], S = node->input[1]->shape.dim[1];
    const int64_t query_groups = (T + QUERIES - 1) / QUERIES, tasks = node->shape.dim[0] * heads * query_groups;
    struct vk_dispatch *d = vk_dispatch_add(job, "attention_tile");
    const int64_t specs[] = {t.local, t.head4, t.keys_each, t.values, node->as.attention.causal};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) vk_spec(d, (uint32_t)specs[i]);
    vk_write(d, VK_OUT);
    for (int i = 0; i < 3; i++) vk_read(d, VK_IN + i);
    const int64_t pushes[] = {tasks, T, S, heads, query_groups};
    for (size_t i = 0; i < sizeof pushes / sizeof *pushes; i++) vk_push(d, pushes[i]);
    vk_push_float(d, node->as.attention.scale);
    vk_groups(caps, d, tasks);
    const int64_t chunks = (t.head4 + CHUNK4 - 1) / CHUNK4, across = t.local / DOWN;
    const int64_t scoring = chunks * ((QUERIES + t.keys) * CHUNK4 / t.local + 1 + CHUNK4 + 1);
    const int64_t adding = t.keys / t.values * (t.values * t.head4 / t.local + 1 + t.values + 1);
    d->loops = (uint64_t)(((S + t.keys - 1) / t.keys + 1) * (scoring + across + adding + 1));
}

static const struct vk_kernel kernels[] = {
    {"conv2d", OP_CONV2D, fits, build},
    {"linear", OP_LINEAR, fits, build},
    {"matmul", OP_MATMUL, fits, build},
    {"conv2d_transpose", OP_CONV2D_TRANSPOSE, fits, build},
    {"conv2d_weight", OP_CONV2D_WEIGHT, fits, build},
    {"attention", OP_ATTENTION, fits_attention, attention},
};

const struct vk_family vk_family_tile = {.name = "tile",
                                         .kernels = kernels,
                                         .count = sizeof kernels / sizeof *kernels,
                                         .halves = VK_HALF_SHADERS,
                                         .gpu = true};
