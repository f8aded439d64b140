/* SPDX-License-Identifier: MIT
 *
 * MPI (https://www.mpi-forum.org/docs/, version 3.1): Open MPI, MPICH and their kin. Only bytes are handed to it, never
 * numbers, so it adds nothing up.
 */
#include "core/base/memory.h"
#include "core/nn/exchange_link.h"

#include <assert.h>
#include <limits.h>
#include <mpi.h>
#include <stdbool.h>
#include <string.h>

struct exchange_link {
    MPI_Comm all;      /* limn's own, apart from what a host program sends */
    bool started_here; /* and so is to be ended here */
};

static enum status check(int code, const char *doing, struct error *err)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    if (code == MPI_SUCCESS) return STATUS_OK;
    MPI_Error_string(code, text, &length);
    return fail(err, STATUS_IO, "the exchange between processes failed while %s: %s", doing, text);
}

/* A host program may have started MPI; then it also ends it. */
static enum status start(struct exchange_link *link, struct error *err)
{
    int started = 0, ended = 0, level = 0;
    MPI_Initialized(&started);
    MPI_Finalized(&ended);
    if (ended)
        return fail(err, STATUS_UNSUPPORTED,
                    "MPI was ended in this process, and cannot be started again; "
                    "let each process train once");
    if (started) return STATUS_OK;
    const enum status status = check(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level), "MPI was started", err);
    link->started_here = status == STATUS_OK;
    return status;
}

enum status link_open(struct exchange_link **out, int *rank, int *size, struct error *err)
{
    *out = NULL;
    struct exchange_link *link = memory_alloc(sizeof *link);
    if (!link) return fail_no_memory(err, "an exchange", sizeof *link);
    link->all = MPI_COMM_NULL;
    enum status status = start(link, err);
    if (status == STATUS_OK) status = check(MPI_Comm_dup(MPI_COMM_WORLD, &link->all), "the processes met", err);
    if (status == STATUS_OK) {
        MPI_Comm_set_errhandler(link->all, MPI_ERRORS_RETURN); /* or MPI ends the process itself */
        MPI_Comm_rank(link->all, rank);
        MPI_Comm_size(link->all, size);
        *out = link;
    } else {
        link_close(link);
    }
    return status;
}

void link_close(struct exchange_link *link)
{
    if (!link) return;
    if (link->all != MPI_COMM_NULL) MPI_Comm_free(&link->all);
    if (link->started_here) MPI_Finalize();
    memory_free(link);
}

enum status link_broadcast(struct exchange_link *link, int root, void *bytes, size_t size, struct error *err)
{
    unsigned char *at = bytes;
    enum status status = STATUS_OK;
    while (size > 0 && status == STATUS_OK) {
        const int piece = size < INT_MAX ? (int)size : INT_MAX;
        status = check(MPI_Bcast(at, piece, MPI_BYTE, root, link->all), "bytes were sent to all", err);
        at += piece;
        size -= (size_t)piece;
    }
    return status;
}

enum status link_gather(struct exchange_link *link, const void *bytes, size_t size, void *out, struct error *err)
{
    assert(size <= INT_MAX);
    const int piece = (int)size;
    return check(MPI_Allgather(bytes, piece, MPI_BYTE, out, piece, MPI_BYTE, link->all), "bytes were gathered", err);
}

enum status link_scatter(struct exchange_link *link, const void *bytes, size_t size, void *out, struct error *err)
{
    assert(size <= INT_MAX);
    const int piece = (int)size;
    return check(MPI_Alltoall(bytes, piece, MPI_BYTE, out, piece, MPI_BYTE, link->all), "bytes were exchanged", err);
}
