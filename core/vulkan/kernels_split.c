/* SPDX-License-Identifier: MIT
 *
 * Group norm in three steps, so that many workgroups share one group: means and squares of parts, the group's out of
 * those, and then each element by itself. It has no largest size, and fills a GPU where there are few groups.
 */
#include "core/vulkan/kernels.h"

enum {
    LOCAL = 64,
    PART = 8192,       /* elements of a part, about */
    LEAST = 4096,      /* elements of a group; below, one workgroup is as good */
    MOST_PARTS = 2048, /* of one group, which one invocation puts together */
};

struct parts {
    int64_t pictures, groups, rows, width, C, part_rows, count;
};

static struct parts parts_of(const struct node *node)
{
    const int64_t C = shape_dim(node->shape, -1), pictures = node->shape.dim[0];
    struct parts p = {
        pictures, node->as.norm.groups, shape_rows(node->shape) / pictures, C / node->as.norm.groups, C, 0, 0};
    p.part_rows = p.width < PART ? PART / p.width : 1;
    if (p.rows > p.part_rows * MOST_PARTS) p.part_rows = (p.rows + MOST_PARTS - 1) / MOST_PARTS;
    p.count = (p.rows + p.part_rows - 1) / p.part_rows;
    return p;
}

static bool fits(const struct vk_caps *caps, const struct node *node)
{
    (void)caps;
    const struct parts p = parts_of(node);
    return p.C % 4 == 0 && p.rows * p.width >= LEAST;
}

static void push_all(struct vk_dispatch *d, const int64_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++) vk_push(d, values[i]);
}

static void sum_parts(const struct vk_caps *caps, const struct parts *p, struct vk_job *job, size_t bytes)
{
    struct vk_dispatch *d = vk_dispatch_add(job, "norm_parts");
    const int64_t across = p->width < LOCAL ? p->width : LOCAL, down = LOCAL / across;
    const int64_t tasks = p->pictures * p->groups * p->count;
    vk_spec(d, LOCAL);
    vk_work(d, 0, bytes, true);
    vk_read(d, VK_IN);
    push_all(d, (int64_t[]){tasks, p->groups, p->rows, p->width, p->C, p->count, p->part_rows}, 7);
    vk_groups(caps, d, tasks);
    d->loops = (uint64_t)(2 * ((p->part_rows + down - 1) / down) * (1 + (p->width + across - 1) / across) + 3 * 7);
}

static void group_norm(const struct vk_caps *caps, const struct node *node, struct vk_job *job)
{
    const struct parts p = parts_of(node);
    const int64_t wholes = p.pictures * p.groups, count4 = shape_count(node->shape) / 4;
    const size_t part_bytes = (size_t)(wholes * p.count) * 2 * sizeof(float), mean = (part_bytes + 63) / 64 * 64;
    const size_t bytes = (size_t)(p.pictures * p.C) * sizeof(float), scale = mean + (bytes + 63) / 64 * 64;
    job->work = scale + bytes;
    sum_parts(caps, &p, job, part_bytes);

    struct vk_dispatch *d = vk_dispatch_add(job, "norm_join");
    vk_work(d, 0, part_bytes, false);
    vk_work(d, mean, bytes, true);
    vk_work(d, scale, bytes, true);
    vk_read_or(d, node, 1, VK_IN);
    push_all(d, (int64_t[]){wholes, p.groups, p.rows, p.width, p.count, p.part_rows}, 6);
    vk_push_float(d, node->as.norm.eps);
    vk_push(d, node->input[1] != NULL);
    vk_linear(caps, d, wholes);
    d->loops = (uint64_t)(p.count + p.width);

    d = vk_dispatch_add(job, "norm_apply");
    vk_spec(d, (uint32_t)node->as.norm.act);
    vk_write(d, VK_OUT);
    vk_read(d, VK_IN);
    vk_work(d, mean, bytes, false);
    vk_work(d, scale, bytes, false);
    vk_read_or(d, node, 2, VK_IN);
    push_all(d, (int64_t[]){count4, p.C / 4, p.rows, node->input[2] != NULL}, 4);
    vk_linear(caps, d, count4);
    d->loops = 4;
}

static const struct vk_kernel kernels[] = {{"group_norm", OP_GROUP_NORM, fits, group_norm}};

const struct vk_family vk_family_split = {
    .name = "split", .kernels = kernels, .count = sizeof kernels / sizeof *kernels, .halves = VK_HALF_SHADERS};
