/* ranks_threads.c - ranks that share memory: a meeting place, and a slot for messages.
 *
 * A sum is two meetings.  At the first all ranks show their x; then each adds up its own share of
 * the values, always from rank 0 on, and writes the result into everybody's x; after the second one
 * all is there.  Whoever waits sleeps: more ranks than processors is usual, and a rank's own
 * threads have better uses for them. */
#include "kernels/ranks_threads.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHARE_VALUES = 16, /* shares begin at multiples: no two ranks write one line of x */
    MIN_SHARE = 4096,  /* so many are added up by one rank, since another helps no more */
};

struct group {
    pthread_mutex_t lock; /* guards everything here but what meetings order */
    pthread_cond_t moved; /* something changed */
    size_t n, open;       /* ranks; those not closed */
    size_t arrived;       /* at the meeting that is on */
    unsigned meetings;    /* that are over */
    struct err failure;   /* code 0: none */

    float *x[RANKS_MAX]; /* shown before a meeting, read between that one and the next */
    const float *own[RANKS_MAX];

    struct buf message;
    size_t n_to_hear;          /* ranks that have not heard it */
    bool has_heard[RANKS_MAX]; /* it; true as long as there is none */
};

struct member {
    struct ranks ranks;
    struct group *group;
};

static struct group *group_of(struct ranks *r)
{
    return ((struct member *)(void *)r)->group;
}

static int failure(const struct group *g, struct err *e)
{
    if (g->failure.code && e)
        *e = g->failure;
    return g->failure.code;
}

/* Waits until all ranks are here.  What each wrote before, all see afterwards.  `sure`: all are on
 * their way, so that nobody may leave before. */
static int meet(struct group *g, bool sure, struct err *e)
{
    unsigned meeting;
    int rc = 0;

    pthread_mutex_lock(&g->lock);
    meeting = g->meetings;
    if (!sure)
        rc = failure(g, e);
    if (rc == 0 && ++g->arrived == g->n) {
        g->arrived = 0;
        g->meetings++;
        pthread_cond_broadcast(&g->moved);
    }
    while (rc == 0 && g->meetings == meeting) {
        pthread_cond_wait(&g->moved, &g->lock);
        if (!sure && g->meetings == meeting)
            rc = failure(g, e);
    }
    pthread_mutex_unlock(&g->lock);
    return rc;
}

/* Values from .. to-1, in everybody's x. */
static void add_up(const struct group *g, size_t from, size_t to)
{
    for (size_t at = from; at < to; at += SHARE_VALUES) {
        size_t n = to - at < SHARE_VALUES ? to - at : SHARE_VALUES;
        float sum[SHARE_VALUES];

        memcpy(sum, g->x[0] + at, n * sizeof *sum);
        for (size_t r = 1; r < g->n; r++)
            for (size_t i = 0; i < n; i++)
                sum[i] += g->x[r][at + i];
        for (size_t r = 0; r < g->n; r++)
            memcpy(g->x[r] + at, sum, n * sizeof *sum);
    }
}

static int threads_sum(struct ranks *r, float *x, size_t rows, size_t cols, struct err *e)
{
    struct group *g = group_of(r);
    size_t count = rows * cols, per = (count + g->n - 1) / g->n;
    int rc;

    if (count == 0)
        return 0;
    per = (per > MIN_SHARE ? per : MIN_SHARE) + SHARE_VALUES - 1;
    per -= per % SHARE_VALUES;
    g->x[r->rank] = x;
    rc = meet(g, false, e);
    if (rc)
        return rc;
    if (r->rank * per < count)
        add_up(g, r->rank * per, count - r->rank * per < per ? count : (r->rank + 1) * per);
    return meet(g, true, e);
}

static int threads_gather(struct ranks *r, float *all, const float *own, const size_t *counts,
                          struct err *e)
{
    struct group *g = group_of(r);
    int rc;

    g->own[r->rank] = own;
    rc = meet(g, false, e);
    if (rc)
        return rc;
    for (size_t i = 0; r->rank == 0 && i < g->n; all += counts[i++])
        if (counts[i])
            memcpy(all, g->own[i], counts[i] * sizeof *all);
    return meet(g, true, e);
}

static int threads_tell(struct ranks *r, const void *bytes, size_t n, struct err *e)
{
    struct group *g = group_of(r);
    int rc;

    pthread_mutex_lock(&g->lock);
    while ((rc = failure(g, e)) == 0 && g->n_to_hear > 0)
        pthread_cond_wait(&g->moved, &g->lock);
    if (rc == 0) {
        buf_reset(&g->message);
        buf_put(&g->message, bytes, n);
        if (g->message.failed)
            rc = err_set(e, ERR_NOMEM, "no memory for a message of %zu bytes", n);
    }
    if (rc == 0) {
        g->n_to_hear = g->n - 1;
        for (size_t i = 1; i < g->n; i++)
            g->has_heard[i] = false;
        pthread_cond_broadcast(&g->moved);
    }
    pthread_mutex_unlock(&g->lock);
    return rc;
}

static int threads_hear(struct ranks *r, struct buf *out, struct err *e)
{
    struct group *g = group_of(r);
    int rc;

    buf_reset(out);
    pthread_mutex_lock(&g->lock);
    while ((rc = failure(g, e)) == 0 && g->has_heard[r->rank])
        pthread_cond_wait(&g->moved, &g->lock);
    if (rc == 0) {
        buf_put(out, g->message.data, g->message.len);
        g->has_heard[r->rank] = true;
        if (--g->n_to_hear == 0)
            pthread_cond_broadcast(&g->moved);
        if (out->failed)
            rc = err_set(e, ERR_NOMEM, "no memory for a message of %zu bytes", g->message.len);
    }
    pthread_mutex_unlock(&g->lock);
    return rc;
}

static void threads_quit(struct ranks *r, const struct err *why)
{
    struct group *g = group_of(r);

    pthread_mutex_lock(&g->lock);
    if (!g->failure.code)
        err_set(&g->failure, ERR_INTERNAL, "rank %zu of %zu has failed: %s", r->rank, r->n,
                why->text);
    pthread_cond_broadcast(&g->moved);
    pthread_mutex_unlock(&g->lock);
}

static int threads_failed(struct ranks *r, struct err *e)
{
    struct group *g = group_of(r);
    int rc;

    pthread_mutex_lock(&g->lock);
    rc = failure(g, e);
    pthread_mutex_unlock(&g->lock);
    return rc;
}

static void free_group(struct group *g)
{
    pthread_cond_destroy(&g->moved);
    pthread_mutex_destroy(&g->lock);
    buf_done(&g->message);
    free(g);
}

static void threads_close(struct ranks *r)
{
    struct group *g;
    size_t left;

    if (!r)
        return;
    g = group_of(r);
    pthread_mutex_lock(&g->lock);
    left = --g->open;
    if (left && !g->failure.code)
        err_set(&g->failure, ERR_INTERNAL, "rank %zu of %zu has left", r->rank, r->n);
    pthread_cond_broadcast(&g->moved);
    pthread_mutex_unlock(&g->lock);
    free(r);
    if (left == 0)
        free_group(g);
}

static const struct ranks_ops threads_ops = {
    .name = "threads",
    .sum = threads_sum,
    .gather = threads_gather,
    .tell = threads_tell,
    .hear = threads_hear,
    .quit = threads_quit,
    .failed = threads_failed,
    .close = threads_close,
};

int ranks_threads_create(struct ranks **out, size_t n, struct err *e)
{
    struct group *g;

    if (n == 0 || n > RANKS_MAX)
        return err_set(e, ERR_INVALID, "%zu ranks were asked for, 1 to %d are possible", n,
                       RANKS_MAX);
    g = calloc(1, sizeof *g);
    if (!g)
        return err_set(e, ERR_NOMEM, "no memory for %zu ranks", n);
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->moved, NULL);
    g->n = n;
    for (size_t i = 0; i < n; i++) {
        struct member *m = calloc(1, sizeof *m);

        if (!m) {
            while (i > 0)
                free(out[--i]);
            free_group(g);
            return err_set(e, ERR_NOMEM, "no memory for %zu ranks", n);
        }
        *m = (struct member){ { &threads_ops, i, n }, g };
        g->has_heard[i] = true;
        out[i] = &m->ranks;
    }
    g->open = n;
    return 0;
}
