/* SPDX-License-Identifier: MIT
 *
 * Built without MPI: several processes cannot find each other, and each would train, and write, the same thing.
 */
#include "core/nn/exchange_link.h"

#include <assert.h>
#include <stddef.h>

enum status link_open(struct exchange_link **out, int *rank, int *size, struct error *err)
{
    *out = NULL;
    *rank = 0;
    *size = 1;
    return fail(err, STATUS_UNSUPPORTED,
                "this limn was started as one of several processes, but it was built without MPI");
}

void link_close(struct exchange_link *link)
{
    assert(!link);
    (void)link;
}

enum status link_broadcast(struct exchange_link *link, int root, void *bytes, size_t size, struct error *err)
{
    (void)link, (void)root, (void)bytes, (void)size, (void)err;
    assert(!"there is no link");
    return STATUS_OK;
}

enum status link_gather(struct exchange_link *link, const void *bytes, size_t size, void *out, struct error *err)
{
    (void)link, (void)bytes, (void)size, (void)out, (void)err;
    assert(!"there is no link");
    return STATUS_OK;
}

enum status link_scatter(struct exchange_link *link, const void *bytes, size_t size, void *out, struct error *err)
{
    return link_gather(link, bytes, size, out, err);
}
