/* A model's ranks have a communicator of their own, so that two models' messages never meet. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/mpi/world.h"

enum {
    TAG_PART = 3,
    TAG_MESSAGE = 4,
};

/* A little more each time: batches grow one by one. */
int lane_room(struct lane *l, size_t bytes, struct err *e)
{
    char *room;

    if (bytes <= l->room_bytes)
        return 0;
    bytes += bytes / 4;
    bytes = (bytes + 63) / 64 * 64;
    room = aligned_alloc(64, bytes);
    if (!room)
        return err_set(e, ERR_NOMEM, "no memory for %zu bytes of sums", bytes);
    free(l->room);
    l->room = room;
    l->room_bytes = bytes;
    return 0;
}

static int gather_parts(struct lane *l, float *all, const float *own, const size_t *counts,
                        struct err *e)
{
    size_t n_requests = 0;
    int rc = 0;

    for (size_t i = 0; i < l->ranks.n && rc == 0; all += counts[i++]) {
        if (i == 0)
            memcpy(all, own, counts[0] * sizeof *own);
        else if (counts[i])
            rc = mpi_check(l->world,
                           MPI_Irecv(all, (int)counts[i], MPI_FLOAT, (int)i, TAG_PART, l->comm,
                                     &l->requests[n_requests++]),
                           "gathering", e);
    }
    return rc ? rc : wait_all(l, l->requests, n_requests, WAIT_SUM, e);
}

static int lane_gather(struct ranks *r, float *all, const float *own, const size_t *counts,
                       struct err *e)
{
    struct lane *l = lane_of(r);
    int rc;

    if (r->rank == 0)
        return gather_parts(l, all, own, counts, e);
    if (!counts[r->rank])
        return world_failed(l->world, e);
    rc = mpi_check(l->world,
                   MPI_Isend(own, (int)counts[r->rank], MPI_FLOAT, 0, TAG_PART, l->comm,
                             l->requests),
                   "sending a part", e);
    return rc ? rc : wait_all(l, l->requests, 1, WAIT_SUM, e);
}

static int lane_tell(struct ranks *r, const void *bytes, size_t n, struct err *e)
{
    struct lane *l = lane_of(r);
    int rc =
        l->is_telling ? wait_all(l, l->telling, r->n - 1, WAIT_SUM, e) : world_failed(l->world, e);

    l->is_telling = false;
    if (rc)
        return rc;
    buf_reset(&l->told);
    buf_put(&l->told, bytes, n);
    if (l->told.failed || n > INT32_MAX)
        return err_set(e, ERR_NOMEM, "no memory for a message of %zu bytes", n);
    for (size_t i = 1; i < r->n && rc == 0; i++)
        rc = mpi_check(l->world,
                       MPI_Isend(l->told.data, (int)n, MPI_BYTE, (int)i, TAG_MESSAGE, l->comm,
                                 &l->telling[i - 1]),
                       "telling", e);
    l->is_telling = rc == 0;
    return rc;
}

/* The message that is there, of whatever size. */
static int take_message(struct lane *l, MPI_Message *message, const MPI_Status *status,
                        struct buf *out, struct err *e)
{
    int n = 0, rc;
    char *to;

    MPI_Get_count(status, MPI_BYTE, &n);
    rc = lane_room(l, (size_t)n, e);
    if (rc)
        return rc;
    to = l->room;
    rc = mpi_check(l->world, MPI_Imrecv(to, n, MPI_BYTE, message, l->requests), "hearing", e);
    if (rc == 0)
        rc = wait_all(l, l->requests, 1, WAIT_SUM, e);
    if (rc == 0)
        buf_put(out, to, (size_t)n);
    return rc == 0 && out->failed ? err_set(e, ERR_NOMEM, "no memory for a message of %d bytes", n)
                                  : rc;
}

static int lane_hear(struct ranks *r, struct buf *out, struct err *e)
{
    struct lane *l = lane_of(r);
    struct pause p;

    buf_reset(out);
    pause_begin(&p, WAIT_MESSAGE);
    for (;;) {
        MPI_Message message;
        MPI_Status status;
        int is_there = 0;
        int rc =
            mpi_check(l->world, MPI_Improbe(0, TAG_MESSAGE, l->comm, &is_there, &message, &status),
                      "listening", e);

        if (rc)
            return rc;
        if (is_there)
            return take_message(l, &message, &status, out, e);
        pause_take(&p);
    }
}

static void lane_quit(struct ranks *r, const struct err *why)
{
    struct lane *l = lane_of(r);
    char sentence[sizeof why->text];

    snprintf(sentence, sizeof sentence, "rank %zu of %zu has failed: %.400s", r->rank, r->n,
             why->text);
    world_fail(l->world, sentence);
}

static int lane_failed(struct ranks *r, struct err *e)
{
    return world_failed(lane_of(r)->world, e);
}

/* What is still on its way keeps its memory where a rank failed: MPI may yet touch it. */
static void lane_close(struct ranks *r)
{
    struct lane *l;
    bool works;

    if (!r)
        return;
    l = lane_of(r);
    works = world_failed(l->world, NULL) == 0;
    if (works && l->is_telling)
        works = wait_all(l, l->telling, r->n - 1, WAIT_SUM, NULL) == 0;
    atomic_fetch_sub(&l->world->n_lanes, 1);
    if (!works)
        return;
    buf_done(&l->told);
    free(l->room);
    free(l->requests);
    free(l->telling);
    free(l);
}

static const struct ranks_ops lane_ops = {
    .name = "mpi",
    .sum = lane_sum,
    .gather = lane_gather,
    .tell = lane_tell,
    .hear = lane_hear,
    .quit = lane_quit,
    .failed = lane_failed,
    .close = lane_close,
};

int lane_create(struct lane **out, struct ranks_world *w, struct err *e)
{
    struct lane *l = calloc(1, sizeof *l);
    int rc;

    if (!l)
        return err_set(e, ERR_NOMEM, "no memory for a rank");
    *l = (struct lane){ .ranks = { &lane_ops, w->rank, w->n }, .world = w };
    l->requests = calloc(2 * w->n, sizeof *l->requests);
    l->telling = calloc(w->n, sizeof *l->telling);
    rc = l->requests && l->telling ? 0 : err_set(e, ERR_NOMEM, "no memory for %zu ranks", w->n);
    if (rc == 0)
        rc = mpi_check(w, MPI_Comm_dup(MPI_COMM_WORLD, &l->comm), "a communicator", e);
    if (rc == 0)
        rc = mpi_check(w, MPI_Comm_set_errhandler(l->comm, MPI_ERRORS_RETURN), "a communicator", e);
    if (rc) {
        free(l->requests);
        free(l->telling);
        free(l);
        return rc;
    }
    atomic_fetch_add(&w->n_lanes, 1);
    *out = l;
    return 0;
}
