/* The sum of all ranks' x, each value added up from rank 0 on, so that it has the same bits on
 * every rank, in every batch and by either way:
 *
 *   direct      each sends all of x to each and adds up what came            n - 1 messages of B
 * bytes in shares   each adds up a share of the values that all send it, and     n - 1 messages of
 * B / n sends the sums to all (reduce-scatter and allgather)         bytes, twice
 *
 * The first takes one message's time less, the second moves less from three ranks on.  Where values
 * are packed, a rank's own are packed and unpacked too, and so is the sum: all add the same numbers
 * and end with the same ones. */
#include <config.h>

#include <string.h>

#include "kernels/mpi/world.h"

enum {
    TAG_TERMS = 1,
    TAG_SUMS = 2,
    /* A message costs a link as much time as some ten thousand bytes: 30 us at 10 Gb/s are 37 KB.
     */
    DIRECT_EXTRA_BYTES = 65536,
    ALIGN = 64,
};

/* One sum: values first[r] .. first[r + 1] - 1 are added up by rank r. */
struct sum {
    struct lane *l;
    enum ranks_precision p;
    float *x;
    size_t count, per; /* per: a multiple of WIRE_BLOCK */
};

static size_t share_begin(const struct sum *s, size_t rank)
{
    return rank * s->per < s->count ? rank * s->per : s->count;
}

static size_t share_count(const struct sum *s, size_t rank)
{
    return share_begin(s, rank + 1) - share_begin(s, rank);
}

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static int begin_receive(struct lane *l, void *to, size_t bytes, size_t rank, int tag,
                         MPI_Request *request, struct err *e)
{
    return mpi_check(l->world,
                     MPI_Irecv(to, (int)bytes, MPI_BYTE, (int)rank, tag, l->comm, request),
                     "receiving", e);
}

static int begin_send(struct lane *l, const void *from, size_t bytes, size_t rank, int tag,
                      MPI_Request *request, struct err *e)
{
    return mpi_check(l->world,
                     MPI_Isend(from, (int)bytes, MPI_BYTE, (int)rank, tag, l->comm, request),
                     "sending", e);
}

/* y = what all ranks have of a share, in their order; terms[r] came from r, own is packed too. */
static void add_up(const struct sum *s, float *y, const char *terms, size_t stride, const void *own,
                   size_t count)
{
    for (size_t r = 0; r < s->l->ranks.n; r++) {
        const void *from = r == s->l->ranks.rank ? own : terms + r * stride;

        if (r == 0)
            wire_get(s->p, y, from, count);
        else
            wire_add(s->p, y, from, count);
    }
}

static int sum_direct(const struct sum *s, struct err *e)
{
    struct lane *l = s->l;
    size_t n = l->ranks.n, me = l->ranks.rank, n_requests = 0;
    size_t bytes = wire_bytes(s->p, s->count), stride = aligned(bytes);
    size_t sum_bytes = aligned(s->count * sizeof(float));
    int rc = lane_room(l, (n + 1) * stride + sum_bytes, e);
    char *own = l->room + n * stride;
    float *y = (float *)(void *)(own + stride);

    for (size_t r = 0; r < n && rc == 0; r++)
        if (r != me)
            rc = begin_receive(l, l->room + r * stride, bytes, r, TAG_TERMS,
                               &l->requests[n_requests++], e);
    if (rc == 0)
        wire_put(s->p, own, s->x, s->count);
    for (size_t r = 0; r < n && rc == 0; r++)
        if (r != me)
            rc = begin_send(l, own, bytes, r, TAG_TERMS, &l->requests[n_requests++], e);
    if (rc == 0)
        rc = wait_all(l, l->requests, n_requests, WAIT_SUM, e);
    if (rc)
        return rc;
    add_up(s, y, l->room, stride, own, s->count);
    if (s->p == RANKS_F32) {
        memcpy(s->x, y, s->count * sizeof *y);
    } else {
        wire_put(s->p, own, y, s->count);
        wire_get(s->p, s->x, own, s->count);
    }
    return 0;
}

/* Where the parts of room are: n terms of this rank's share, its own, all packed values, the sums
 * that others have made, and those of this rank before they are packed. */
struct parts {
    size_t stride;
    char *terms, *packed, *sums;
    float *y;
};

static int lay_out(const struct sum *s, struct parts *p, struct err *e)
{
    size_t n = s->l->ranks.n;
    int rc;

    p->stride = aligned(wire_bytes(s->p, s->per));
    rc = lane_room(s->l, 3 * n * p->stride + aligned(s->per * sizeof(float)), e);
    p->terms = s->l->room;
    p->packed = p->terms + n * p->stride;
    p->sums = p->packed + n * p->stride;
    p->y = (float *)(void *)(p->sums + n * p->stride);
    return rc;
}

/* Everybody's terms to whom they belong, packed; then the sums of this rank's share. */
static int scatter(const struct sum *s, const struct parts *p, struct err *e)
{
    struct lane *l = s->l;
    size_t n = l->ranks.n, me = l->ranks.rank, own = share_count(s, me), n_requests = 0;
    int rc = 0;

    for (size_t r = 0; r < n && rc == 0; r++)
        if (r != me && own)
            rc = begin_receive(l, p->terms + r * p->stride, wire_bytes(s->p, own), r, TAG_TERMS,
                               &l->requests[n_requests++], e);
    for (size_t r = 0; r < n && rc == 0; r++) {
        char *to = p->packed + r * p->stride;

        wire_put(s->p, to, s->x + share_begin(s, r), share_count(s, r));
        if (r != me && share_count(s, r))
            rc = begin_send(l, to, wire_bytes(s->p, share_count(s, r)), r, TAG_TERMS,
                            &l->requests[n_requests++], e);
    }
    if (rc == 0)
        rc = wait_all(l, l->requests, n_requests, WAIT_SUM, e);
    if (rc)
        return rc;
    add_up(s, p->y, p->terms, p->stride, p->packed + me * p->stride, own);
    wire_put(s->p, p->sums + me * p->stride, p->y, own);
    return 0;
}

static int spread(const struct sum *s, const struct parts *p, struct err *e)
{
    struct lane *l = s->l;
    size_t n = l->ranks.n, me = l->ranks.rank, own = share_count(s, me), n_requests = 0;
    int rc = 0;

    for (size_t r = 0; r < n && rc == 0; r++)
        if (r != me && share_count(s, r))
            rc = begin_receive(l, p->sums + r * p->stride, wire_bytes(s->p, share_count(s, r)), r,
                               TAG_SUMS, &l->requests[n_requests++], e);
    for (size_t r = 0; r < n && rc == 0; r++)
        if (r != me && own)
            rc = begin_send(l, p->sums + me * p->stride, wire_bytes(s->p, own), r, TAG_SUMS,
                            &l->requests[n_requests++], e);
    if (rc == 0)
        rc = wait_all(l, l->requests, n_requests, WAIT_SUM, e);
    for (size_t r = 0; r < n && rc == 0; r++)
        wire_get(s->p, s->x + share_begin(s, r), p->sums + r * p->stride, share_count(s, r));
    return rc;
}

static int sum_in_shares(const struct sum *s, struct err *e)
{
    struct parts p;
    int rc = lay_out(s, &p, e);

    if (rc == 0)
        rc = scatter(s, &p, e);
    return rc ? rc : spread(s, &p, e);
}

/* MPI counts bytes in an int. */
enum { MOST_VALUES = 1 << 28 };

int lane_sum(struct ranks *r, float *x, size_t rows, size_t cols, struct err *e)
{
    struct sum s = { .l = lane_of(r), .p = lane_of(r)->world->options.precision, .x = x };
    size_t n = r->n, blocks, extra;

    if (rows == 0 || cols == 0)
        return 0;
    if (cols > MOST_VALUES || rows > MOST_VALUES / cols)
        return err_set(e, ERR_INTERNAL, "a sum of %zu rows of %zu is too large for MPI", rows,
                       cols);
    if (s.p == RANKS_Q8 && cols % WIRE_BLOCK) /* its blocks would reach over rows */
        s.p = RANKS_BF16;
    s.count = rows * cols;
    blocks = (s.count + WIRE_BLOCK - 1) / WIRE_BLOCK;
    s.per = (blocks + n - 1) / n * WIRE_BLOCK;
    /* (n - 1) B against 2 (n - 1) B / n */
    extra = wire_bytes(s.p, s.count) / n * (n - 1) * (n - 2);
    return extra <= DIRECT_EXTRA_BYTES ? sum_direct(&s, e) : sum_in_shares(&s, e);
}
