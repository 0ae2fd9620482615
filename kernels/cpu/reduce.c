/* reduce.c - what a rank's device exchanges with those of other ranks (kernels/ranks.h).
 *
 * One thread of the team speaks while the others wait at the op's gate, where they fetch the
 * weights that come next; or, of a sum that is wanted later, compute what does not need it.  Once
 * the ranks have lost each other nothing is exchanged any more: the queue runs to its end, and
 * check() says why its results are void. */
#include <string.h>

#include "kernels/cpu/device.h"
#include "kernels/ranks.h"

/* Ranks speak about one thing at a time: what is under way comes first. */
static void await(struct device *d)
{
    struct op *op;

    if (d->n_ops == QUEUE_MAX)
        queue_run(d); /* to the end of all that is in it */
    if (!d->later)
        return;
    op = queue_put(d, OP_AWAIT, 0, 0);
    op->await = d->later - 1;
    d->later = 0;
}

static void put_reduce(struct device *d, enum op_kind kind, float *x, size_t rows, size_t cols)
{
    struct op *op;

    if (!d->ranks || d->ranks->n == 1 || rows == 0 || cols == 0)
        return;
    await(d);
    op = queue_put(d, kind, 1, 0);
    op->reduce.x = x;
    op->reduce.rows = rows;
    op->reduce.cols = cols;
    if (kind == OP_REDUCE_LATER)
        d->later = (size_t)(op - d->queue) + 1;
}

void reduce_enqueue(struct device *d, float *x, size_t rows, size_t cols)
{
    put_reduce(d, OP_REDUCE, x, rows, cols);
}

/* A single thread has nothing to compute meanwhile. */
void reduce_later_enqueue(struct device *d, float *x, size_t rows, size_t cols)
{
    put_reduce(d, d->n_threads > 1 ? OP_REDUCE_LATER : OP_REDUCE, x, rows, cols);
}

void reduce_chunk(struct device *d, const struct op *op)
{
    if (!d->lost.code)
        (void)d->ranks->ops->sum(d->ranks, op->reduce.x, op->reduce.rows, op->reduce.cols,
                                 &d->lost);
}

void collect_enqueue(struct device *d, const struct collect *op)
{
    if (op->n == 0 || !d->ranks)
        return;
    await(d);
    queue_put(d, OP_COLLECT, 1, 0)->collect = *op;
}

/* y: [n, first[ranks]] of the ranks' [n, own columns], which lie behind each other. */
static void side_by_side(const struct collect *c, size_t n_ranks)
{
    const float *part = c->parts;

    for (size_t r = 0; r < n_ranks; r++) {
        size_t cols = c->first[r + 1] - c->first[r];

        for (size_t i = 0; cols > 0 && i < c->n; i++, part += cols)
            memcpy(c->y + i * c->first[n_ranks] + c->first[r], part, cols * sizeof *part);
    }
}

void collect_chunk(struct device *d, const struct op *op)
{
    const struct collect *c = &op->collect;
    struct ranks *r = d->ranks;
    size_t counts[RANKS_MAX];
    float *all = c->n == 1 ? c->y : c->parts; /* the parts of a single row are the row */

    if (d->lost.code)
        return;
    for (size_t i = 0; i < r->n; i++)
        counts[i] = c->n * (c->first[i + 1] - c->first[i]);
    if (r->ops->gather(r, r->rank == 0 ? all : NULL, c->x, counts, &d->lost) == 0 && r->rank == 0 &&
        c->n > 1)
        side_by_side(c, r->n);
}
