/* SPDX-License-Identifier: MIT
 *
 * What carries an exchange's bytes between processes. There are two, of which a build has one: exchange_mpi.c, and
 * exchange_alone.c where there is no MPI. All ranks make the same calls in the same order.
 */
#ifndef NN_EXCHANGE_LINK_H
#define NN_EXCHANGE_LINK_H

#include "core/base/status.h"

#include <stddef.h>

struct exchange_link;

/* Only in a process that was started as one of several. */
MUST_CHECK enum status link_open(struct exchange_link **out, int *rank, int *size, struct error *err);
void link_close(struct exchange_link *link);

/* Rank `root`'s bytes for everybody. */
MUST_CHECK enum status link_broadcast(struct exchange_link *link, int root, void *bytes, size_t size,
                                      struct error *err);
/* out: `size` bytes from rank 0, from rank 1, ... */
MUST_CHECK enum status link_gather(struct exchange_link *link, const void *bytes, size_t size, void *out,
                                   struct error *err);
/* bytes: `size` bytes for rank 0, for rank 1, ...; out: from rank 0, from rank 1, ... */
MUST_CHECK enum status link_scatter(struct exchange_link *link, const void *bytes, size_t size, void *out,
                                    struct error *err);

#endif
