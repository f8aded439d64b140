/* SPDX-License-Identifier: MIT
 *
 * Workers sleep on a condition variable between runs; inside a run they take task numbers from an atomic counter. A
 * worker spins for a moment before it sleeps, because a network is hundreds of short runs in a row.
 *
 * A run waits for the workers that are in it, and not for those that have not come to it yet: on a busy machine a
 * worker may get no processor for longer than all of the tasks take.
 *
 *     caller   opens the run, works, closes it, waits until nobody is inside
 *     worker   wakes up; goes inside if the run is still open; works; leaves
 */
#define _GNU_SOURCE /* sched_getaffinity, CPU_COUNT */
#include "core/base/pool.h"

#include "core/base/memory.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { SPINS_BEFORE_SLEEP = 2000 };

struct worker {
    struct pool *pool; /* borrowed */
    pthread_t thread;
    int index;
};

struct pool {
    int threads;
    int started; /* worker threads that run; the caller is not counted */
    struct worker *workers;

    pthread_mutex_t lock;
    pthread_cond_t wake; /* a new run, or stop */
    pthread_cond_t done; /* the last worker left the run */
    atomic_uint run;     /* number of the current run */
    atomic_int inside;   /* workers that work on it; nobody comes in without the lock */
    bool open;           /* the run: there may still be work */
    bool stop;

    void (*task)(void *context, int64_t task, int worker);
    void *context;
    int64_t tasks;
    _Atomic int64_t next;
};

static void work(struct pool *pool, int worker)
{
    for (;;) {
        const int64_t task = atomic_fetch_add(&pool->next, 1);
        if (task >= pool->tasks) return;
        pool->task(pool->context, task, worker);
    }
}

static void *worker_main(void *argument)
{
    const struct worker *self = argument;
    struct pool *pool = self->pool;
    unsigned seen = 0;
    for (;;) {
        for (int spin = 0; spin < SPINS_BEFORE_SLEEP && atomic_load(&pool->run) == seen; spin++) sched_yield();
        pthread_mutex_lock(&pool->lock);
        while (!pool->stop && atomic_load(&pool->run) == seen) pthread_cond_wait(&pool->wake, &pool->lock);
        seen = atomic_load(&pool->run);
        const bool stop = pool->stop, open = pool->open;
        if (open) atomic_fetch_add(&pool->inside, 1);
        pthread_mutex_unlock(&pool->lock);
        if (stop) return NULL;
        if (!open) continue;
        work(pool, self->index);
        if (atomic_fetch_sub(&pool->inside, 1) == 1) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_signal(&pool->done);
            pthread_mutex_unlock(&pool->lock);
        }
    }
}

static int processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    const int count = CPU_COUNT(&set);
    return count < 1 ? 1 : count > POOL_MAX_THREADS ? POOL_MAX_THREADS : count;
}

enum status pool_create(struct pool **out, int threads, struct error *err)
{
    *out = NULL;
    if (threads < 0 || threads > POOL_MAX_THREADS)
        return fail(err, STATUS_ARGUMENT, "threads: %d is not allowed; give 1 to %d, or 0 for all processors", threads,
                    POOL_MAX_THREADS);
    if (threads == 0) threads = processors();
    struct pool *pool = memory_alloc(sizeof *pool);
    if (!pool) return fail_no_memory(err, "the thread pool", sizeof *pool);
    pool->threads = threads;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->done, NULL);
    pool->workers = memory_alloc((size_t)threads * sizeof *pool->workers);
    if (!pool->workers) {
        pool_destroy(pool);
        return fail_no_memory(err, "the thread pool", (size_t)threads * sizeof *pool->workers);
    }
    for (int i = 1; i < threads; i++) {
        struct worker *worker = &pool->workers[i];
        *worker = (struct worker){.pool = pool, .index = i};
        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0) {
            pool_destroy(pool);
            return fail(err, STATUS_NO_MEMORY, "threads: only %d of %d could be started", i, threads);
        }
        pool->started++;
    }
    *out = pool;
    return STATUS_OK;
}

void pool_destroy(struct pool *pool)
{
    if (!pool) return;
    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    atomic_fetch_add(&pool->run, 1);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 1; i <= pool->started; i++) pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    memory_free(pool->workers);
    memory_free(pool);
}

int pool_threads(const struct pool *pool)
{
    return pool->threads;
}

void pool_run(struct pool *pool, void (*task)(void *context, int64_t task, int worker), void *context, int64_t tasks)
{
    if (pool->started == 0 || tasks <= 1) {
        for (int64_t i = 0; i < tasks; i++) task(context, i, 0);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    assert(!pool->open && atomic_load(&pool->inside) == 0 && "pool_run is not re-entrant");
    pool->task = task;
    pool->context = context;
    pool->tasks = tasks;
    atomic_store(&pool->next, 0);
    pool->open = true;
    atomic_fetch_add(&pool->run, 1);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);

    work(pool, 0);

    pthread_mutex_lock(&pool->lock);
    pool->open = false;
    pthread_mutex_unlock(&pool->lock);
    for (int spin = 0; spin < SPINS_BEFORE_SLEEP && atomic_load(&pool->inside) != 0; spin++) sched_yield();
    pthread_mutex_lock(&pool->lock);
    while (atomic_load(&pool->inside) != 0) pthread_cond_wait(&pool->done, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}
