/* pool.h - the kernel threads: a fixed team that runs one function together, again and again.
 *
 * pool_run() is called by the one thread that owns the pool; it takes part as index 0.  Between
 * runs the others spin briefly and then sleep on a futex, so that an idle or crowded machine pays
 * little. Work inside a run is claimed chunk by chunk through a gate, so that a thread that loses
 * its core holds up one chunk, not a fixed share, and one that wakes late holds up nothing: it is
 * left out. */
#ifndef AIRSTRIP_POOL_H
#define AIRSTRIP_POOL_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/err.h"

struct pool;

/* Starts n_threads - 1 threads (n_threads >= 1; 0 means one per processor this process may use).
 * Free with pool_free(). */
int pool_create(struct pool **out, size_t n_threads, struct err *e) MUST_CHECK;
void pool_free(struct pool *p); /* NULL is fine */

size_t pool_threads(const struct pool *p);

/* Calls fn(arg, index) at once as index 0, and as index 1 .. n-1 on every thread of the team that
 * arrives before index 0 is back; returns when all that came are back.  So index 0 alone must get
 * the work done: claim it through gates, share nothing out by index. */
void pool_run(struct pool *p, void (*fn)(void *arg, size_t index), void *arg);

enum { POOL_LINE = 64 }; /* bytes that processors pass to each other as one */

/* One piece of work cut into chunks.  All zero = nothing claimed; zero it again to use it again,
 * while no run is under way.  At most UINT32_MAX / 2 chunks. */
struct pool_gate {
    alignas(POOL_LINE)
        atomic_uint next; /* first chunk nobody has claimed; may run past the number of chunks */
    alignas(POOL_LINE) atomic_uint done; /* chunks that are finished */
    atomic_uint sleepers;                /* threads asleep until all are */
};

/* Claims one chunk: true with its number, 0 .. n_chunks-1, or false when all are claimed. */
static inline bool pool_claim(struct pool_gate *g, size_t n_chunks, size_t *chunk)
{
    if (atomic_load_explicit(&g->next, memory_order_relaxed) >= n_chunks)
        return false;
    *chunk = atomic_fetch_add_explicit(&g->next, 1, memory_order_relaxed);
    return *chunk < n_chunks;
}

/* The same with the chunks dealt out beforehand: lane l of n_lanes holds its share of them, and
 * threads that have run through their own lane take from the others.  So a thread that keeps its
 * processor reads one run of memory, knows what it will read next, and seldom touches a line that
 * others write.  lanes: at least min(n_lanes, n_chunks) of them, zeroed like the gate. */
struct pool_lane {
    alignas(POOL_LINE) atomic_uint next; /* of the lane, as in pool_gate */
};

/* First chunk of a lane; of lane n_lanes: n_chunks. */
static inline size_t pool_lane_first(size_t n_chunks, size_t n_lanes, size_t lane)
{
    return n_chunks * lane / n_lanes;
}

/* Claims one chunk, if possible of lane `own` % n_lanes. */
bool pool_claim_near(struct pool_lane *lanes, size_t n_lanes, size_t own, size_t n_chunks,
                     size_t *chunk);

/* One claimed chunk is finished; whoever pool_wait()s for the gate sees what was written. */
void pool_finish(struct pool_gate *g, size_t n_chunks);

/* `count` of them at once. */
void pool_finish_some(struct pool_gate *g, size_t count, size_t n_chunks);

/* Are all chunks finished?  For those who can do something useful meanwhile, before pool_wait(). */
static inline bool pool_finished(struct pool_gate *g, size_t n_chunks)
{
    return atomic_load_explicit(&g->done, memory_order_relaxed) >= n_chunks;
}

/* Returns when all chunks are finished: spins briefly, then sleeps. */
void pool_wait(struct pool_gate *g, size_t n_chunks);

/* Processors this process may run on (sched_getaffinity), at least 1. */
size_t pool_processors(void);

#endif
