/* SPDX-License-Identifier: MIT
 *
 * Several processes, on one machine or many, that train one network: each works on its own part of a batch, and their
 * gradients are added up between two steps. MPI carries the numbers (mpirun -n 4 limn train ...). Built without MPI, or
 * started without mpirun, there is one process, and everything here does nothing.
 *
 *     exchange_open(&x, &err);                                     rank 0 .. size-1
 *     exchange_agree(x, "seed", &seed, sizeof seed, &err);         before the first step
 *     exchange_broadcast(x, weights, bytes, &err);                 rank 0's for everybody
 *     each step: status = ... work on the own part ...;
 *                status = exchange_sum(x, status, optimiser->gradient, optimiser->count, &err);
 *     exchange_close(x);
 *
 * Every call but rank and size is made by all ranks, in the same order. A rank that has failed must still come to the
 * next exchange_settle or exchange_sum with its status: then all of them fail there, with its sentence, instead of
 * waiting for it for ever.
 *
 * Sums are the same on every rank and in every run: they are taken in double precision in the order of ranks and
 * rounded once, whatever the network between the machines. (Sums of MPI_Allreduce depend on the path they take.)
 */
#ifndef NN_EXCHANGE_H
#define NN_EXCHANGE_H

#include "core/base/status.h"

#include <stddef.h>
#include <stdint.h>

struct exchange;

/* Once in the life of a process, if there are several. */
MUST_CHECK enum status exchange_open(struct exchange **out, struct error *err);
void exchange_close(struct exchange *x); /* NULL is fine */

int exchange_rank(const struct exchange *x); /* of NULL: 0 */
int exchange_size(const struct exchange *x); /* of NULL: 1 */

/* Returns what all of them have come to: OK if all are. Else a rank that has failed keeps its own status and sentence,
 * and the others get those of the lowest one that has. */
MUST_CHECK enum status exchange_settle(struct exchange *x, enum status status, struct error *err);

/* Settles, then replaces the values by their sums over all ranks. */
MUST_CHECK enum status exchange_sum(struct exchange *x, enum status status, float *values, int64_t count,
                                    struct error *err);

/* Rank 0's bytes for everybody. */
MUST_CHECK enum status exchange_broadcast(struct exchange *x, void *bytes, size_t size, struct error *err);

/* Fails on all ranks, naming `what`, unless all have the same bytes. */
MUST_CHECK enum status exchange_agree(struct exchange *x, const char *what, const void *bytes, size_t size,
                                      struct error *err);

#endif
