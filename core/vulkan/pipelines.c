/* SPDX-License-Identifier: MIT */
#include "core/vulkan/pipelines.h"

#include "core/base/memory.h"
#include "core/vulkan/pipeline_cache.h"
#include "core/vulkan/shaders.h"

#include <stdio.h>
#include <string.h>

enum { PUSH_BYTES = VK_MAX_PUSHES * sizeof(uint32_t) }; /* 128: what every device has */

struct vk_pipeline {
    const struct vk_shader *shader;
    uint32_t specs[VK_MAX_SPECS];
    uint32_t subgroup;
    VkPipeline handle;
};

enum status vk_pipelines_init(struct vk_pipelines *p, struct vk_device *device, struct error *err)
{
    p->device = device;
    struct vk_cached cached;
    pipeline_cache_load(&cached, &device->properties);
    VkPipelineCacheCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
                                      .initialDataSize = cached.size,
                                      .pInitialData = cached.bytes};
    VkResult result = device->f->CreatePipelineCache(device->handle, &info, NULL, &p->cache);
    p->cached_bytes = result == VK_SUCCESS ? cached.size : 0;
    if (result != VK_SUCCESS && cached.bytes) { /* The driver does not want its own bytes back. */
        info.initialDataSize = 0;
        info.pInitialData = NULL;
        result = device->f->CreatePipelineCache(device->handle, &info, NULL, &p->cache);
    }
    pipeline_cache_free(&cached);
    return vk_check(device, result, "its cache of kernels", err);
}

/* What has been compiled since the cache was read is kept for the next time; if that fails, it is compiled again. */
static void keep_compiled(const struct vk_pipelines *p)
{
    const struct vk_device *d = p->device;
    size_t size = 0;
    if (!p->cache || p->count == 0 || d->lost) return;
    if (d->f->GetPipelineCacheData(d->handle, p->cache, &size, NULL) != VK_SUCCESS || size == p->cached_bytes) return;
    void *bytes = memory_alloc(size);
    if (bytes && d->f->GetPipelineCacheData(d->handle, p->cache, &size, bytes) == VK_SUCCESS)
        pipeline_cache_save(&d->properties, bytes, size);
    memory_free(bytes);
}

void vk_pipelines_clear(struct vk_pipelines *p)
{
    if (!p->device) return;
    const struct vk_device *d = p->device;
    keep_compiled(p);
    for (int i = 0; i < p->count; i++) d->f->DestroyPipeline(d->handle, p->made[i].handle, NULL);
    for (int i = 0; i <= VK_MAX_BINDINGS; i++)
        for (int texels = 0; texels < VK_MAX_BINDINGS; texels++) {
            const struct vk_layout *layout = &p->layouts[i][texels];
            if (layout->pipeline) d->f->DestroyPipelineLayout(d->handle, layout->pipeline, NULL);
            if (layout->set) d->f->DestroyDescriptorSetLayout(d->handle, layout->set, NULL);
        }
    if (p->cache) d->f->DestroyPipelineCache(d->handle, p->cache, NULL);
    memory_free(p->made);
    *p = (struct vk_pipelines){0};
}

/* One that binds no values has one form only. */
static const struct vk_shader *find_shader(const char *name, bool half)
{
    const struct vk_shader *found = NULL;
    for (int i = 0; i < vk_shader_count; i++)
        if (strcmp(vk_shaders[i].name, name) == 0 && (!found || vk_shaders[i].half == half)) found = &vk_shaders[i];
    return found;
}

static enum status need_layout(struct vk_pipelines *p, int bindings, int texels, struct error *err)
{
    struct vk_device *d = p->device;
    struct vk_layout *made = &p->layouts[bindings][texels];
    VkDescriptorSetLayoutBinding list[VK_MAX_BINDINGS];
    for (uint32_t i = 0; i < VK_MAX_BINDINGS; i++)
        list[i] = (VkDescriptorSetLayoutBinding){.binding = i,
                                                 .descriptorType = i >= 1 && i <= (uint32_t)texels
                                                                       ? VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER
                                                                       : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                                 .descriptorCount = 1,
                                                 .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    const VkDescriptorSetLayoutCreateInfo set = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                                 .bindingCount = (uint32_t)bindings,
                                                 .pBindings = list};
    const VkPushConstantRange range = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = PUSH_BYTES};
    VkPipelineLayoutCreateInfo layout = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                         .setLayoutCount = 1,
                                         .pSetLayouts = &made->set,
                                         .pushConstantRangeCount = 1,
                                         .pPushConstantRanges = &range};
    enum status status = STATUS_OK;
    if (!made->set)
        status =
            vk_check(d, d->f->CreateDescriptorSetLayout(d->handle, &set, NULL, &made->set), "preparing a kernel", err);
    if (status == STATUS_OK && !made->pipeline)
        status = vk_check(d, d->f->CreatePipelineLayout(d->handle, &layout, NULL, &made->pipeline),
                          "preparing a kernel", err);
    return status;
}

static enum status compile(struct vk_pipelines *p, const struct vk_dispatch *d, const struct vk_shader *shader,
                           VkPipeline *out, struct error *err)
{
    struct vk_device *device = p->device;
    char what[96];
    snprintf(what, sizeof what, "compiling the kernel '%s'", shader->name);
    const VkShaderModuleCreateInfo module = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = shader->bytes, .pCode = shader->words};
    VkSpecializationMapEntry entries[VK_MAX_SPECS];
    for (uint32_t i = 0; i < VK_MAX_SPECS; i++)
        entries[i] = (VkSpecializationMapEntry){i, i * (uint32_t)sizeof(uint32_t), sizeof(uint32_t)};
    const VkSpecializationInfo specs = {.mapEntryCount = (uint32_t)d->spec_count,
                                        .pMapEntries = entries,
                                        .dataSize = (size_t)d->spec_count * sizeof(uint32_t),
                                        .pData = d->specs};
    const VkPipelineShaderStageRequiredSubgroupSizeCreateInfo subgroup = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = d->subgroup};
    VkComputePipelineCreateInfo info = {.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
                                        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                                                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                                                  .pName = "main",
                                                  .pSpecializationInfo = &specs},
                                        .layout = p->layouts[d->binding_count][d->texels].pipeline};
    if (d->subgroup && device->caps.subgroup_control) {
        info.stage.pNext = &subgroup;
        info.stage.flags = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
    }
    enum status status =
        vk_check(device, device->f->CreateShaderModule(device->handle, &module, NULL, &info.stage.module), what, err);
    if (status != STATUS_OK) return status;
    status =
        vk_check(device, device->f->CreateComputePipelines(device->handle, p->cache, 1, &info, NULL, out), what, err);
    device->f->DestroyShaderModule(device->handle, info.stage.module, NULL);
    return status;
}

static enum status grow(struct vk_pipelines *p, struct error *err)
{
    if (p->count < p->capacity) return STATUS_OK;
    const int capacity = p->capacity ? 2 * p->capacity : 32;
    const size_t bytes = (size_t)capacity * sizeof *p->made;
    struct vk_pipeline *made = memory_resize(p->made, bytes);
    if (!made) return fail_no_memory(err, "kernels", bytes);
    p->made = made;
    p->capacity = capacity;
    return STATUS_OK;
}

enum status vk_pipelines_get(struct vk_pipelines *p, const struct vk_dispatch *d, VkPipeline *out,
                             const struct vk_layout **layout, struct error *err)
{
    *layout = &p->layouts[d->binding_count][d->texels];
    const struct vk_shader *shader = find_shader(d->shader, d->half);
    if (!shader) return fail(err, STATUS_UNSUPPORTED, "this limn was built without the kernel '%s'", d->shader);
    for (int i = 0; i < p->count; i++) {
        const struct vk_pipeline *made = &p->made[i];
        if (made->shader != shader || made->subgroup != d->subgroup) continue;
        if (memcmp(made->specs, d->specs, sizeof d->specs) != 0) continue;
        *out = made->handle;
        return STATUS_OK;
    }
    enum status status = grow(p, err);
    if (status == STATUS_OK) status = need_layout(p, d->binding_count, d->texels, err);
    if (status == STATUS_OK) status = compile(p, d, shader, out, err);
    if (status != STATUS_OK) return status;
    struct vk_pipeline *made = &p->made[p->count++];
    *made = (struct vk_pipeline){.shader = shader, .subgroup = d->subgroup, .handle = *out};
    memcpy(made->specs, d->specs, sizeof d->specs);
    return STATUS_OK;
}
