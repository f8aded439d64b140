/* SPDX-License-Identifier: MIT
 *
 * Products as tiles: what a node is to the shaders that share shaders/product.glsl, for families that differ in how a
 * workgroup multiplies.
 *
 *     const struct product_tile tile = {.rows = 64, .columns = 64, .depth = 16, .local = 64, .loops = 33};
 *     product_build(caps, node, job, &tile, "tile");
 */
#ifndef VULKAN_PRODUCT_H
#define VULKAN_PRODUCT_H

#include "core/vulkan/kernels.h"

/* As in the shader. */
enum product_kind { PRODUCT_WINDOW, PRODUCT_MATRICES, PRODUCT_PHASES, PRODUCT_GRADIENT };

struct product {
    enum product_kind kind;
    int64_t matrices, M, N, K;
    int64_t single_M, single_matrices; /* of one picture alone: decisions are made by them */
    int64_t a_matrix, a_long, b_matrix, b_long;
    int64_t H, W, channels, tall, wide, kernel_height, kernel_width, result_tall, result_wide;
    struct conv conv;
    bool a_along, b_along, fours; /* A_ALONG, B_ALONG and FOURS of the shader */
};

/* What a workgroup makes at a time, and by how many invocations. */
struct product_tile {
    uint32_t rows, columns, depth, local;
    uint32_t loops; /* iterations of an invocation for `depth` terms of each sum */
};

/* True for linear, matmul, and convolutions of all kinds whose weight has one of the types that the shader unpacks. */
bool product_fits(const struct node *node);
struct product product_of(const struct node *node);

/* Workgroups of one picture. */
int64_t product_groups(const struct product *p, const struct product_tile *tile);

/* Adds the product in one dispatch, or in two where k is cut into parts, so that the device has enough to do. Returns
 * the first, to which the caller may add constants behind the shader's nine. */
struct vk_dispatch *product_build(const struct vk_caps *caps, const struct node *node, struct vk_job *job,
                                  const struct product_tile *tile, const char *shader);

#endif
