/* pool.c - a door that opens for each run, and gates inside it.
 *
 * door = 2 * run number + (1 while the run takes newcomers).  A thread that sees an open door it
 * has not been through counts itself into `inside` and looks again: only if the door is still open
 * may it run. The owner shuts the door first and reads `inside` second, so one of the two always
 * sees the other (all these accesses are sequentially consistent).  A thread that wakes late is
 * simply not awaited.
 *
 * Sleeping follows one pattern throughout: the sleeper counts itself, then lets the kernel compare
 * the word; the waker changes the word, then looks at the count. */
#include "kernels/base/pool.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "config.h"

enum {
    SPIN_NS = 40000, /* how long a thread looks before it sleeps: about what a wake-up costs */
    SPIN_CROWDED_NS =
        2000,             /* the same with more threads than processors: spinning steals from us */
    PAUSES_PER_LOOK = 16, /* between two looks at the clock */
    MAX_THREADS = 1024,
};

struct pool {
    _Alignas(POOL_LINE) atomic_uint door;
    _Alignas(POOL_LINE) atomic_uint inside;   /* threads in a run, or about to find the door shut */
    _Alignas(POOL_LINE) atomic_uint sleepers; /* threads asleep on door */
    atomic_uint owner_waits;                  /* the owner sleeps on inside */
    _Alignas(POOL_LINE) void (*fn)(void *arg, size_t index);
    void *arg;
    bool quit;
    size_t n_threads, n_started;
    struct member {
        struct pool *pool;
        size_t index;
        pthread_t thread;
    } * members; /* [n_threads - 1] */
};

/* Of the last pool made: gates have no pool to ask. */
static atomic_int spin_ns = SPIN_NS;

static void futex_wait(atomic_uint *word, unsigned seen)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake_all(atomic_uint *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Looks at word for a while; returns its value as soon as it is not `seen`, or `seen` when time is
 * up. */
static unsigned spin_while(atomic_uint *word, unsigned seen)
{
    int64_t end = 0;

    for (;;) {
        for (int i = 0; i < PAUSES_PER_LOOK; i++) {
            unsigned v = atomic_load_explicit(word, memory_order_acquire);
            if (v != seen)
                return v;
            CPU_RELAX();
        }
        if (end == 0)
            end = now_ns() + atomic_load_explicit(&spin_ns, memory_order_relaxed);
        else if (now_ns() > end)
            return seen;
    }
}

bool pool_claim_near(struct pool_lane *lanes, size_t n_lanes, size_t own, size_t n_chunks,
                     size_t *chunk)
{
    if (n_lanes > n_chunks)
        n_lanes = n_chunks;
    for (size_t i = 0; i < n_lanes; i++) {
        size_t lane = (own + i) % n_lanes, first = pool_lane_first(n_chunks, n_lanes, lane);
        size_t count = pool_lane_first(n_chunks, n_lanes, lane + 1) - first, at;

        if (atomic_load_explicit(&lanes[lane].next, memory_order_relaxed) >= count)
            continue;
        at = atomic_fetch_add_explicit(&lanes[lane].next, 1, memory_order_relaxed);
        if (at >= count)
            continue;
        *chunk = first + at;
        return true;
    }
    return false;
}

void pool_finish_some(struct pool_gate *g, size_t count, size_t n_chunks)
{
    if (atomic_fetch_add(&g->done, (unsigned)count) + count == n_chunks &&
        atomic_load(&g->sleepers) > 0)
        futex_wake_all(&g->done);
}

void pool_finish(struct pool_gate *g, size_t n_chunks)
{
    pool_finish_some(g, 1, n_chunks);
}

void pool_wait(struct pool_gate *g, size_t n_chunks)
{
    unsigned done = atomic_load_explicit(&g->done, memory_order_acquire);

    while (done < n_chunks) {
        unsigned next = spin_while(&g->done, done);

        if (next == done) {
            /* Asleep, our processor is idle, and the kernel moves a neighbour that lost its own
             * here. */
            atomic_fetch_add(&g->sleepers, 1);
            if (atomic_load(&g->done) == done)
                futex_wait(&g->done, done);
            atomic_fetch_sub(&g->sleepers, 1);
            next = atomic_load(&g->done);
        }
        done = next;
    }
}

/* The last one out wakes the owner, if it sleeps. */
static void leave(struct pool *p)
{
    if (atomic_fetch_sub(&p->inside, 1) == 1 && atomic_load(&p->owner_waits) > 0)
        futex_wake_all(&p->inside);
}

/* `served` keeps a thread from going through the same open door twice. */
static void *member_main(void *arg)
{
    struct member *m = arg;
    struct pool *p = m->pool;
    unsigned served = 0; /* the door as it was when we last came through, or found it shut */

    for (;;) {
        unsigned door = spin_while(&p->door, served);

        if (door == served) {
            atomic_fetch_add(&p->sleepers, 1);
            futex_wait(&p->door, served);
            atomic_fetch_sub(&p->sleepers, 1);
            continue;
        }
        atomic_fetch_add(&p->inside, 1);
        served = atomic_load(&p->door);
        if (served & 1) {
            if (p->quit) {
                leave(p);
                return NULL;
            }
            p->fn(p->arg, m->index);
        }
        leave(p);
    }
}

/* From even to odd: newcomers may enter.  What they need was written before. */
static void open_door(struct pool *p)
{
    atomic_store(&p->door, atomic_load(&p->door) + 1);
    if (atomic_load(&p->sleepers) > 0)
        futex_wake_all(&p->door);
}

/* Shuts the door and waits until all who came through it have left. */
static void shut_door(struct pool *p)
{
    unsigned inside;

    atomic_store(&p->door, atomic_load(&p->door) + 1);
    while ((inside = atomic_load(&p->inside)) != 0) {
        if (spin_while(&p->inside, inside) != inside)
            continue;
        atomic_store(&p->owner_waits, 1);
        if (atomic_load(&p->inside) == inside)
            futex_wait(&p->inside, inside);
        atomic_store(&p->owner_waits, 0);
    }
}

void pool_run(struct pool *p, void (*fn)(void *arg, size_t index), void *arg)
{
    if (p->n_started == 0) {
        fn(arg, 0);
        return;
    }
    p->fn = fn;
    p->arg = arg;
    open_door(p);
    fn(arg, 0);
    shut_door(p);
}

size_t pool_processors(void)
{
    cpu_set_t set;
    int n;

    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0 && (n = CPU_COUNT(&set)) > 0)
        return (size_t)n;
    return 1; /* more than CPU_SETSIZE processors, or no such call */
}

/* Threads start with all signals blocked: they are main's business. */
static int start_members(struct pool *p, struct err *e)
{
    sigset_t all, old;
    int rc = 0;

    sigfillset(&all);
    /* Of a mapped file that was cut short, and of a system call refused: blocked they would end the
     * process. */
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGSYS);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (size_t i = 0; i + 1 < p->n_threads && rc == 0; i++) {
        p->members[i].pool = p;
        p->members[i].index = i + 1;
        rc = pthread_create(&p->members[i].thread, NULL, member_main, &p->members[i]);
        if (rc == 0)
            p->n_started++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0)
        return err_set(e, ERR_IO, "cannot start kernel thread %zu of %zu: %s", p->n_started + 2,
                       p->n_threads, strerror(rc));
    return 0;
}

int pool_create(struct pool **out, size_t n_threads, struct err *e)
{
    size_t processors = pool_processors();
    struct pool *p;
    int rc;

    if (n_threads == 0)
        n_threads = processors;
    if (n_threads > MAX_THREADS)
        return err_set(e, ERR_INVALID, "%zu kernel threads asked for, at most %d are possible",
                       n_threads, MAX_THREADS);
    p = aligned_alloc(POOL_LINE, sizeof *p);
    if (!p)
        return err_set(e, ERR_NOMEM, "no memory for a pool of %zu threads", n_threads);
    memset(p, 0, sizeof *p);
    p->n_threads = n_threads;
    p->members = calloc(n_threads, sizeof *p->members);
    if (!p->members) {
        free(p);
        return err_set(e, ERR_NOMEM, "no memory for a pool of %zu threads", n_threads);
    }
    atomic_store(&spin_ns, n_threads > processors ? SPIN_CROWDED_NS : SPIN_NS);
    rc = start_members(p, e);
    if (rc != 0) {
        pool_free(p);
        return rc;
    }
    *out = p;
    return 0;
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    p->quit = true;
    open_door(p);
    for (size_t i = 0; i < p->n_started; i++)
        pthread_join(p->members[i].thread, NULL);
    free(p->members);
    free(p);
}

size_t pool_threads(const struct pool *p)
{
    return p->n_threads;
}
