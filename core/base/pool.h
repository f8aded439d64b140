/* SPDX-License-Identifier: MIT
 *
 * The one thread pool of the program. Work is cut into tasks whose number depends on the problem's shape only, never
 * on the number of threads; which thread runs a task is open. So results are the same at any thread count.
 *
 *     pool_run(pool, convert_rows, &job, job.rows);      calls convert_rows(&job, task, worker) for task = 0..rows-1
 *
 * `worker` is 0..pool_threads()-1 and picks a thread's own scratch memory. The caller's thread works too (worker 0).
 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include "core/base/status.h"

#include <stdint.h>

struct pool;

enum { POOL_MAX_THREADS = 256 };

/* threads: 1..POOL_MAX_THREADS, or 0 for the number of processors this process may use. */
MUST_CHECK enum status pool_create(struct pool **out, int threads, struct error *err);
void pool_destroy(struct pool *pool);
int pool_threads(const struct pool *pool);

/* Returns when all tasks are done. Not re-entrant: a task must not call pool_run. */
void pool_run(struct pool *pool, void (*task)(void *context, int64_t task, int worker), void *context, int64_t tasks);

#endif
