/* SPDX-License-Identifier: MIT
 *
 * Products for GPUs with cooperative matrices (spirv/matrix.comp), of values that lie as halves; the weight is rounded
 * to halves too. What lies in lines that are no multiples of four long is left to tiles.
 */
#include "core/vulkan/product.h"

/* Iterations: one step along k has at most four fragments. */
static const struct product_tile small = {.rows = 64, .columns = 64, .depth = 32, .local = 128, .loops = 5};
static const struct product_tile large = {.rows = 128, .columns = 128, .depth = 32, .local = 256, .loops = 5};

/* How a tile is cut into parts, one a subgroup. */
struct cut {
    uint32_t down, across;
};

static struct cut cut_of(const struct vk_caps *caps, const struct product_tile *tile)
{
    struct cut cut = {1, 1};
    while (cut.down * cut.across * caps->subgroup < tile->local) {
        if (cut.down > cut.across) {
            cut.across *= 2;
        } else {
            cut.down *= 2;
        }
    }
    return cut;
}

static bool tile_fits(const struct vk_caps *caps, const struct product_tile *t)
{
    const struct vk_fragment f = caps->fragment;
    const struct cut cut = cut_of(caps, t);
    const uint32_t operands = t->depth * (t->rows / 4 + 2 + t->columns / 4 + 2) * 8;
    const uint32_t sums = cut.down * cut.across * f.m * f.n * (uint32_t)sizeof(float);
    return cut.down * cut.across * caps->subgroup == t->local && t->rows % (cut.down * f.m) == 0 &&
           t->columns % (cut.across * f.n) == 0 && operands + sums <= caps->shared_bytes &&
           t->local <= caps->invocations;
}

static bool fits(const struct vk_caps *caps, const struct node *node)
{
    return product_fits(node) && product_of(node).fours && caps->fragment.m > 0 && caps->subgroup_control &&
           tile_fits(caps, &small);
}

static void build(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const struct product p = product_of(node);
    const bool many = product_groups(&p, &large) >= 2 * (int64_t)caps->cores && tile_fits(caps, &large);
    const struct product_tile *tile = many ? &large : &small;
    const struct cut cut = cut_of(caps, tile);
    struct vk_dispatch *d = product_build(caps, node, job, tile, "matrix");
    const uint32_t specs[] = {caps->fragment.m, caps->fragment.n, caps->fragment.k, cut.down, cut.across};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) vk_spec(d, specs[i]);
    d->subgroup = caps->subgroup;
}

static const struct vk_kernel kernels[] = {
    {"conv2d", OP_CONV2D, fits, build},
    {"linear", OP_LINEAR, fits, build},
    {"matmul", OP_MATMUL, fits, build},
    {"conv2d_transpose", OP_CONV2D_TRANSPOSE, fits, build},
};

const struct vk_family vk_family_matrix = {.name = "matrix",
                                           .kernels = kernels,
                                           .count = sizeof kernels / sizeof *kernels,
                                           .halves = VK_HALF_SHADERS_ONLY,
                                           .gpu = true};
