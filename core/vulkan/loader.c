/* SPDX-License-Identifier: MIT */
#include "core/vulkan/loader.h"

#include <dlfcn.h>
#include <string.h>

static const char *const library_names[] = {"libvulkan.so.1", "libvulkan.so", "libvulkan.1.dylib", "libMoltenVK.dylib"};

/* POSIX lets a data pointer from dlsym be a function; C does not let it be cast, so the bytes are copied. */
static PFN_vkGetInstanceProcAddr find_entry(void *library)
{
    void *symbol = dlsym(library, "vkGetInstanceProcAddr");
    PFN_vkGetInstanceProcAddr entry = NULL;
    memcpy(&entry, &symbol, sizeof entry);
    return entry;
}

static void tell_hook(struct vk_loader *loader)
{
    if (loader->hook) loader->hook->loaded(loader->hook->context, &loader->f);
}

static enum status missing(struct error *err, const char *name)
{
    return fail(err, STATUS_UNSUPPORTED, "the Vulkan driver has no function vk%s; limn needs Vulkan 1.2", name);
}

enum status vk_loader_open(struct vk_loader *loader, struct error *err)
{
    for (size_t i = 0; i < sizeof library_names / sizeof *library_names && !loader->library; i++)
        loader->library = dlopen(library_names[i], RTLD_NOW | RTLD_LOCAL);
    if (!loader->library)
        return fail(err, STATUS_UNSUPPORTED,
                    "this machine has no Vulkan loader (%s); install a graphics driver with Vulkan, or use the CPU",
                    library_names[0]);
    struct vk_functions *f = &loader->f;
    f->GetInstanceProcAddr = find_entry(loader->library);
    if (!f->GetInstanceProcAddr) return missing(err, "GetInstanceProcAddr");
#define X(name)                                                                                                        \
    f->name = (PFN_vk##name)f->GetInstanceProcAddr(NULL, "vk" #name);                                                  \
    if (!f->name) return missing(err, #name);
    VK_GLOBAL_MAP(X)
#undef X
    tell_hook(loader);
    return STATUS_OK;
}

enum status vk_loader_instance(struct vk_loader *loader, VkInstance instance, struct error *err)
{
    struct vk_functions *f = &loader->f;
#define X(name)                                                                                                        \
    f->name = (PFN_vk##name)f->GetInstanceProcAddr(instance, "vk" #name);                                              \
    if (!f->name) return missing(err, #name);
    VK_INSTANCE_MAP(X)
    VK_INSTANCE_VOID_MAP(X)
#undef X
    tell_hook(loader);
    return STATUS_OK;
}

enum status vk_loader_device(struct vk_loader *loader, VkDevice device, struct error *err)
{
    struct vk_functions *f = &loader->f;
#define X(name)                                                                                                        \
    f->name = (PFN_vk##name)f->GetDeviceProcAddr(device, "vk" #name);                                                  \
    if (!f->name) return missing(err, #name);
    VK_DEVICE_MAP(X)
    VK_DEVICE_VOID_MAP(X)
#undef X
    tell_hook(loader);
    return STATUS_OK;
}

void vk_loader_close(struct vk_loader *loader)
{
    if (loader->library) dlclose(loader->library);
    *loader = (struct vk_loader){0};
}
