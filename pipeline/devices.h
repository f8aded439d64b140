/* SPDX-License-Identifier: MIT
 *
 * From the name of a device, as include/limn.h takes it, to a backend.
 *
 *     device_open(&backend, options->device, &(struct device_request){.threads = 0, .watch = watch}, &err)
 *
 * "auto" is the best real GPU, or else the CPU; a note says why, where the reason is worth one.
 */
#ifndef PIPELINE_DEVICES_H
#define PIPELINE_DEVICES_H

#include "core/tensor/backend.h"
#include "include/limn.h"

struct device_request {
    int threads;                    /* of the CPU; 0: all processors */
    const char *compute;            /* limn_compute_name; NULL: f32 */
    bool no_fallback;               /* a device that fails when it is opened is not replaced by the CPU */
    const struct limn_watch *watch; /* may be NULL */
};

/* The caller closes it. STATUS_ARGUMENT for what is no name of a device, STATUS_UNSUPPORTED for a named one that this
 * machine or this build does not have. */
MUST_CHECK enum status device_open(struct backend **out, const char *name, const struct device_request *request,
                                   struct error *err);

/* limn_compute_name of what it was opened to compute in, NULL for f32. */
const char *device_compute(const struct backend *backend);

/* True if the CPU may do what failed on this backend with this status. */
bool device_may_fall_back(const struct backend *backend, enum status status);

#endif
