/* The heart: a thread that tells the others now and then that this rank lives, and listens for
 * them.
 *
 * It does not depend on what the rank computes, so a long product is no failure; a process that is
 * stopped, swapped out for good or cut off says nothing, and is one.  A process of this host that
 * ends is seen at once, through its pidfd.  The first failure counts; it is told to all, and then
 * nobody calls MPI any more: what is under way there will never end. */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "kernels/mpi/world.h"

enum {
    MOST_TICK_MS = 250,  /* between two looks */
    MOST_BEAT_MS = 1000, /* between two signs of life */
    LAST_WORDS_MS = 300, /* a failure's way to the others */
    TAG_BEAT = 5,
};

int world_failed(struct ranks_world *w, struct err *e)
{
    if (!atomic_load(&w->failed))
        return 0;
    pthread_mutex_lock(&w->lock);
    if (e)
        *e = w->failure;
    pthread_mutex_unlock(&w->lock);
    return ERR_INTERNAL;
}

static void wake(struct ranks_world *w)
{
    uint64_t one = 1;

    if (w->wake >= 0 && write(w->wake, &one, sizeof one) < 0)
        return; /* full: it is awake already */
}

void world_fail(struct ranks_world *w, const char *sentence)
{
    pthread_mutex_lock(&w->lock);
    if (!w->failure.code)
        err_set(&w->failure, ERR_INTERNAL, "%s", sentence);
    atomic_store(&w->failed, true);
    pthread_mutex_unlock(&w->lock);
    wake(w);
}

static void fail_of(struct ranks_world *w, size_t rank, const char *what)
{
    char sentence[sizeof w->failure.text];

    snprintf(sentence, sizeof sentence, "rank %zu of %zu, on %s, %s", rank, w->n,
             w->peers[rank].host, what);
    world_fail(w, sentence);
}

/* --- speaking --- */

/* False where what was said before is still on its way: there will be another time. */
static bool say(struct ranks_world *w, size_t rank, enum beat_kind kind)
{
    struct peer *p = &w->peers[rank];
    struct err why;
    int done = 0;

    if (MPI_Test(&p->out, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS || !done)
        return false;
    p->said = (struct beat){ .kind = (int32_t)kind };
    if (kind == BEAT_FAILED && world_failed(w, &why))
        snprintf(p->said.text, sizeof p->said.text, "%.250s", why.text);
    return MPI_Isend(&p->said, sizeof p->said, MPI_BYTE, (int)rank, TAG_BEAT, w->heart_comm,
                     &p->out) == MPI_SUCCESS;
}

/* Until all that was said has gone, or nobody takes it. */
static void say_to_all(struct ranks_world *w, enum beat_kind kind, double within_ms)
{
    double end = now_ms() + within_ms;
    bool said[RANKS_MAX] = { false };
    size_t left = w->n - 1;

    said[w->rank] = true;
    while (left && now_ms() < end) {
        for (size_t i = 0; i < w->n; i++)
            if (!said[i] && say(w, i, kind)) {
                said[i] = true;
                left--;
            }
        poll(NULL, 0, left ? 5 : 0);
    }
}

/* --- listening --- */

static int listen_to(struct ranks_world *w, size_t rank)
{
    struct peer *p = &w->peers[rank];

    return MPI_Irecv(&p->heard, sizeof p->heard, MPI_BYTE, (int)rank, TAG_BEAT, w->heart_comm,
                     &p->in);
}

static void hear_from(struct ranks_world *w, size_t rank)
{
    struct peer *p = &w->peers[rank];
    int done = 0;

    while (!p->left_ms && MPI_Test(&p->in, &done, MPI_STATUS_IGNORE) == MPI_SUCCESS && done) {
        p->last_ms = now_ms();
        p->heard.text[sizeof p->heard.text - 1] = '\0';
        if (p->heard.kind == BEAT_LEAVES)
            p->left_ms = p->last_ms;
        else if (p->heard.kind == BEAT_FAILED)
            world_fail(w, p->heard.text);
        if (!p->left_ms && listen_to(w, rank) != MPI_SUCCESS)
            fail_of(w, rank, "cannot be listened to");
    }
}

/* --- judging --- */

static bool all_left(const struct ranks_world *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (i != w->rank && !w->peers[i].left_ms)
            return false;
    return true;
}

static void judge(struct ranks_world *w, size_t rank)
{
    const struct peer *p = &w->peers[rank];
    double timeout_ms = (double)w->options.timeout_ms, now = now_ms();
    char what[64];

    if (p->left_ms) { /* its last messages may still be read */
        if (atomic_load(&w->n_lanes) && now - p->left_ms > timeout_ms)
            fail_of(w, rank, "has left");
    } else if (now - p->last_ms > timeout_ms) {
        snprintf(what, sizeof what, "has given no sign of life for %.1f s",
                 (now - p->last_ms) / 1000);
        fail_of(w, rank, what);
    }
}

/* A tick: what came, who is gone. */
static void look(struct ranks_world *w, struct pollfd *fds)
{
    for (size_t i = 0; i < w->n; i++) {
        if (i == w->rank)
            continue;
        hear_from(w, i);
        if (fds[i].fd >= 0 && fds[i].revents) {
            fds[i].fd = -1;
            if (!w->peers[i].left_ms)
                fail_of(w, i, "has ended");
        }
        judge(w, i);
    }
}

/* If this process itself stood still, the others' signs of life wait to be read: nobody is judged
 * for that time. */
static void forgive(struct ranks_world *w, double still_ms)
{
    for (size_t i = 0; i < w->n; i++)
        w->peers[i].last_ms += still_ms;
}

static double at_most(double a, double b)
{
    return a < b ? a : b;
}

static void *beat(void *arg)
{
    struct ranks_world *w = arg;
    double tick_ms = at_most((double)w->options.timeout_ms / 20, MOST_TICK_MS) + 1;
    double beat_ms = at_most((double)w->options.timeout_ms / 8, MOST_BEAT_MS);
    double last_ms = now_ms(), next_ms = last_ms, now;
    struct pollfd fds[RANKS_MAX + 1];
    uint64_t n;

    pthread_setname_np(pthread_self(), "ranks");
    for (size_t i = 0; i < w->n; i++)
        fds[i] = (struct pollfd){ w->peers[i].pidfd, POLLIN, 0 };
    fds[w->n] = (struct pollfd){ w->wake, POLLIN, 0 };
    while (!atomic_load(&w->leaves) && !atomic_load(&w->failed)) {
        if (poll(fds, w->n + 1, (int)tick_ms) > 0 && fds[w->n].revents &&
            read(w->wake, &n, sizeof n) < 0)
            continue;
        now = now_ms();
        if (now - last_ms > 10 * tick_ms)
            forgive(w, now - last_ms);
        last_ms = now;
        look(w, fds);
        for (size_t i = 0; i < w->n && now >= next_ms; i++)
            if (i != w->rank)
                say(w, i, BEAT_ALIVE);
        if (now >= next_ms)
            next_ms = now + beat_ms;
    }
    if (atomic_load(&w->failed)) {
        say_to_all(w, BEAT_FAILED, LAST_WORDS_MS);
        atomic_store(&w->alone, true);
    }
    return NULL;
}

/* --- from outside --- */

int heart_start(struct ranks_world *w, struct err *e)
{
    sigset_t all, old;
    int rc = 0;

    for (size_t i = 0; i < w->n && rc == 0; i++) {
        w->peers[i].in = w->peers[i].out = MPI_REQUEST_NULL;
        w->peers[i].last_ms = now_ms();
        if (i != w->rank)
            rc = mpi_check(w, listen_to(w, i), "listening", e);
    }
    if (rc)
        return rc;
    w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->wake < 0)
        return err_set(e, ERR_IO, "eventfd: %s", strerror(errno));
    sigfillset(&all); /* signals are main's */
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGSYS);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&w->heart, NULL, beat, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc)
        return err_set(e, ERR_IO, "starting the thread that watches the ranks: %s", strerror(rc));
    w->beats = true;
    return 0;
}

/* What is still listened for is given up, so that MPI may end. */
static void stop_listening(struct ranks_world *w)
{
    for (size_t i = 0; i < w->n; i++) {
        if (w->peers[i].in != MPI_REQUEST_NULL) {
            MPI_Cancel(&w->peers[i].in);
            MPI_Wait(&w->peers[i].in, MPI_STATUS_IGNORE);
        }
        MPI_Wait(&w->peers[i].out, MPI_STATUS_IGNORE); /* a peer that left has it */
    }
}

bool heart_stop(struct ranks_world *w)
{
    double end = now_ms() + (double)w->options.timeout_ms;
    bool in_peace;

    atomic_store(&w->leaves, true);
    wake(w);
    if (w->beats)
        pthread_join(w->heart, NULL);
    w->beats = false;
    if (world_failed(w, NULL))
        return false;
    say_to_all(w, BEAT_LEAVES, (double)w->options.timeout_ms);
    do {
        for (size_t i = 0; i < w->n; i++)
            if (i != w->rank)
                hear_from(w, i);
        in_peace = all_left(w);
        if (!in_peace)
            poll(NULL, 0, 5);
    } while (!in_peace && !world_failed(w, NULL) && now_ms() < end);
    if (in_peace)
        stop_listening(w);
    return in_peace && !world_failed(w, NULL);
}
