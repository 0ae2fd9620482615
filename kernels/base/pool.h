/* pool.h - the kernel threads: a fixed team that runs one function together, again and again.
 *
 * pool_run() is called by the one thread that owns the pool; it takes part as index 0.  Between
 * runs the others spin briefly and then sleep on a futex, so that an idle or crowded machine pays little.
 * Work inside a run is claimed dynamically by the function itself (see pool_claim), so that a thread
 * that loses its core holds up one chunk, not a fixed share. */
#ifndef AIRSTRIP_POOL_H
#define AIRSTRIP_POOL_H

#include <stdatomic.h>
#include <stddef.h>

#include "kernels/base/err.h"

struct pool;

/* Starts n_threads - 1 threads (n_threads >= 1; 0 means one per processor this process may use).
 * Free with pool_free(). */
int pool_create(struct pool **out, size_t n_threads, struct err *e) MUST_CHECK;
void pool_free(struct pool *p); /* NULL is fine */

size_t pool_threads(const struct pool *p);

/* Calls fn(arg, index) on every thread of the team, index 0 .. n-1, and returns when all are back. */
void pool_run(struct pool *p, void (*fn)(void *arg, size_t index), void *arg);

/* Processors this process may run on (sched_getaffinity), at least 1. */
size_t pool_processors(void);

#endif
