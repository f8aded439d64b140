/* SPDX-License-Identifier: MIT
 *
 * VK_KHR_cooperative_matrix, as far as limn uses it: the headers of Debian 12 (1.3.239) are older. Names are limn's
 * own, so that newer headers do not clash.
 */
#ifndef VULKAN_COOPERATIVE_H
#define VULKAN_COOPERATIVE_H

#include "core/vulkan/functions.h"

#define COOPERATIVE_EXTENSION "VK_KHR_cooperative_matrix"
#define COOPERATIVE_QUERY     "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR"

/* VkStructureType, VkComponentTypeKHR, VkScopeKHR. */
enum {
    COOPERATIVE_FEATURES = 1000506000,
    COOPERATIVE_SIZES = 1000506001,
    COOPERATIVE_FLOAT16 = 0,
    COOPERATIVE_FLOAT32 = 1,
    COOPERATIVE_SUBGROUP = 3,
};

/* VkPhysicalDeviceCooperativeMatrixFeaturesKHR */
struct cooperative_features {
    VkStructureType type;
    void *next;
    VkBool32 matrix, robust_access;
};

/* VkCooperativeMatrixPropertiesKHR: a size of fragments that the device multiplies, result = a b + c. */
struct cooperative_size {
    VkStructureType type;
    void *next;
    uint32_t m, n, k;
    int32_t a, b, c, result; /* types */
    VkBool32 saturating;
    int32_t scope;
};

typedef VkResult(VKAPI_PTR *cooperative_query)(VkPhysicalDevice device, uint32_t *count, struct cooperative_size *list);

#endif
