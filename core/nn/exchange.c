/* SPDX-License-Identifier: MIT
 *
 * How a sum is taken, with 3 ranks: the array is cut into slices, rank r adds up slice r of everybody's and gives it
 * back. Only bytes travel; all additions are made here, in the order of ranks.
 *
 *     rank 0   [ a0 | b0 | c0 ]             a0+a1+a2             [ A | B | C ]
 *     rank 1   [ a1 | b1 | c1 ]  scatter -> b0+b1+b2  gather ->  [ A | B | C ]
 *     rank 2   [ a2 | b2 | c2 ]             c0+c1+c2             [ A | B | C ]
 *
 * Each number leaves a rank twice, however many ranks there are, as in the best known algorithms for long arrays
 * (Thakur, Rabenseifner and Gropp 2005, "Optimization of Collective Communication Operations in MPICH", section 4.4).
 */
#include "core/nn/exchange.h"

#include "core/base/memory.h"
#include "core/nn/exchange_link.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_RANKS = 1024,
    SLICE = 1 << 18, /* floats of a slice that travel at once */
};

struct exchange {
    int rank, size;
    struct exchange_link *link;  /* owned; NULL: there is one process */
    float *mine, *theirs;        /* owned; a slice for everybody, and one from everybody */
    int32_t came_to[MOST_RANKS]; /* the status of each; here, so that nobody fails while the others wait for him */
};

static bool says_several(const char *variable)
{
    const char *text = getenv(variable);
    return text && strtol(text, NULL, 10) > 1;
}

/* What mpirun and its kin leave behind for the processes that they start; Slurm's count alone does not mean that they
 * can meet. A process that nobody started so does not look for others: MPI would take it a second, and other programs,
 * to find out that it is alone. */
static bool is_one_of_several(void)
{
    return says_several("OMPI_COMM_WORLD_SIZE") || says_several("PMI_SIZE") || says_several("MV2_COMM_WORLD_SIZE") ||
           (getenv("PMIX_RANK") && says_several("SLURM_STEP_NUM_TASKS"));
}

static enum status open_link(struct exchange *x, struct error *err)
{
    enum status status = link_open(&x->link, &x->rank, &x->size, err);
    if (status != STATUS_OK) return status;
    if (x->size > MOST_RANKS) /* of which all come to know here */
        return fail(err, STATUS_LIMIT, "%d processes are too many; at most %d may train together", x->size, MOST_RANKS);
    const size_t bytes = (size_t)x->size * SLICE * sizeof(float);
    x->mine = memory_alloc(bytes);
    x->theirs = memory_alloc(bytes);
    if (!x->mine || !x->theirs) status = fail_no_memory(err, "the exchange of gradients", bytes);
    return exchange_settle(x, status, err);
}

enum status exchange_open(struct exchange **out, struct error *err)
{
    *out = NULL;
    struct exchange *x = memory_alloc(sizeof *x);
    if (!x) return fail_no_memory(err, "an exchange", sizeof *x);
    x->size = 1;
    const enum status status = is_one_of_several() ? open_link(x, err) : STATUS_OK;
    if (status == STATUS_OK)
        *out = x;
    else
        exchange_close(x);
    return status;
}

void exchange_close(struct exchange *x)
{
    if (!x) return;
    link_close(x->link);
    memory_free(x->mine);
    memory_free(x->theirs);
    memory_free(x);
}

int exchange_rank(const struct exchange *x)
{
    return x ? x->rank : 0;
}

int exchange_size(const struct exchange *x)
{
    return x ? x->size : 1;
}

enum status exchange_settle(struct exchange *x, enum status status, struct error *err)
{
    if (!x || !x->link) return status;
    const int32_t mine = (int32_t)status;
    int failed = 0;
    if (link_gather(x->link, &mine, sizeof mine, x->came_to, err) != STATUS_OK) return err->status;
    while (failed < x->size && x->came_to[failed] == STATUS_OK) failed++;
    if (failed == x->size) return STATUS_OK;
    char text[ERROR_TEXT_BYTES];
    memcpy(text, err->text, sizeof text);
    if (link_broadcast(x->link, failed, text, sizeof text, err) != STATUS_OK) return err->status;
    if (status != STATUS_OK) return status;
    return fail(err, (enum status)x->came_to[failed], "process %d of %d: %s", failed + 1, x->size, text);
}

/* At most SLICE * size values. The rest of the last slice is left as it is and its sum thrown away. */
static enum status sum_piece(struct exchange *x, float *values, size_t count, struct error *err)
{
    const size_t ranks = (size_t)x->size, slice = (count + ranks - 1) / ranks, bytes = slice * sizeof(float);
    memcpy(x->mine, values, count * sizeof(float));
    enum status status = link_scatter(x->link, x->mine, bytes, x->theirs, err);
    if (status != STATUS_OK) return status;
    for (size_t i = 0; i < slice; i++) {
        double sum = 0;
        for (size_t r = 0; r < ranks; r++) sum += (double)x->theirs[r * slice + i];
        x->theirs[i] = (float)sum;
    }
    status = link_gather(x->link, x->theirs, bytes, x->mine, err);
    if (status == STATUS_OK) memcpy(values, x->mine, count * sizeof(float));
    return status;
}

enum status exchange_sum(struct exchange *x, enum status status, float *values, int64_t count, struct error *err)
{
    status = exchange_settle(x, status, err);
    if (!x || !x->link) return status;
    const int64_t most = (int64_t)SLICE * x->size;
    for (int64_t at = 0; at < count && status == STATUS_OK; at += most)
        status = sum_piece(x, values + at, (size_t)(count - at < most ? count - at : most), err);
    return status;
}

enum status exchange_broadcast(struct exchange *x, void *bytes, size_t size, struct error *err)
{
    return x && x->link ? link_broadcast(x->link, 0, bytes, size, err) : STATUS_OK;
}

enum status exchange_agree(struct exchange *x, const char *what, const void *bytes, size_t size, struct error *err)
{
    if (!x || !x->link) return STATUS_OK;
    uint64_t first_size = size;
    enum status status = link_broadcast(x->link, 0, &first_size, sizeof first_size, err);
    unsigned char *first = status == STATUS_OK ? memory_alloc((size_t)first_size + 1) : NULL;
    if (status == STATUS_OK && !first) status = fail_no_memory(err, what, first_size);
    status = exchange_settle(x, status, err);
    if (status == STATUS_OK) {
        if (x->rank == 0) memcpy(first, bytes, size);
        status = link_broadcast(x->link, 0, first, (size_t)first_size, err);
        if (status == STATUS_OK && (first_size != size || memcmp(first, bytes, size) != 0))
            status = fail(err, STATUS_ARGUMENT, "%s is not the same as in process 1", what);
        status = exchange_settle(x, status, err);
    }
    memory_free(first);
    return status;
}
