/* Waiting is asking again.  Right after a rank has done its own part the others are nearly done
 * with theirs, so the first questions come without a pause but for the scheduler's; then the thread
 * sleeps, first for microseconds, and after seconds without anything for milliseconds, so that a
 * follower with nothing to do takes no processor that somebody else could use. */
#include <config.h>

#include "kernels/mpi/world.h"

#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>

enum {
    SPIN_US = 200,     /* twice what a sleep and its end cost on a virtual machine */
    NAP_US = 20,       /* while others compute the same */
    LONG_NAP_US = 200, /* ... for more than a moment */
    MOMENT_US = 20000,
    IDLE_NAP_US = 500, /* of a follower: what a first token may come later for it */
    IDLE_US = 200000,  /* from here on nobody is generating */
    QUIET_NAP_US = 4000,
    QUIET_US = 5000000,
};

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

double now_ms(void)
{
    return now_us() / 1000;
}

void pause_begin(struct pause *p, enum patience patience)
{
    *p = (struct pause){ patience, now_us() };
}

/* The kernel may make a sleep 50 us longer than it was asked for, unless a thread wants it exact.
 */
static void sleep_exactly(long us)
{
    static _Thread_local bool is_exact;

    if (!is_exact)
        prctl(PR_SET_TIMERSLACK, 1000UL);
    is_exact = true;
    nanosleep(&(struct timespec){ 0, us * 1000 }, NULL);
}

void pause_take(struct pause *p)
{
    double waited = now_us() - p->since_us;
    long us = NAP_US;

    if (waited < SPIN_US) {
        sched_yield();
        return;
    }
    if (p->patience == WAIT_MESSAGE && waited > QUIET_US)
        us = QUIET_NAP_US;
    else if (p->patience == WAIT_MESSAGE && waited > IDLE_US)
        us = IDLE_NAP_US;
    else if (waited > MOMENT_US)
        us = LONG_NAP_US;
    sleep_exactly(us);
}

int mpi_check(struct ranks_world *w, int code, const char *what, struct err *e)
{
    char text[MPI_MAX_ERROR_STRING] = "", sentence[sizeof(struct err)];
    int len;

    if (code == MPI_SUCCESS)
        return world_failed(w, e);
    MPI_Error_string(code, text, &len);
    snprintf(sentence, sizeof sentence, "rank %zu of %zu has failed: %s: %.200s", w->rank, w->n,
             what, text);
    world_fail(w, sentence);
    return world_failed(w, e);
}

int wait_all(struct lane *l, MPI_Request *requests, size_t n, enum patience patience, struct err *e)
{
    struct pause p;

    pause_begin(&p, patience);
    for (;;) {
        int done = 0;
        int rc = mpi_check(l->world, MPI_Testall((int)n, requests, &done, MPI_STATUSES_IGNORE),
                           "waiting for the others", e);

        if (rc || done)
            return rc;
        pause_take(&p);
    }
}
