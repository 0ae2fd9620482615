/* experts.c - a feed-forward part whose rows go to a few of many experts (struct experts).
 *
 *   scores -> route: each row's experts and shares -> sort: rows of one expert side by side
 *     -> copy the rows there -> gate, up -> activation -> down -> each row's sum of shares
 *
 * Which experts have how many rows is known only while the queue runs, so ops have a fixed number
 * of chunks, and `sort` writes down which pieces of the experts' multiplications there are; a chunk
 * does its share of them.  An expert's rows are an op of mm.h, with a part of the scratch of its
 * own. A row's result is that of its experts by themselves, added in the order of their scores. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/device.h"

enum {
    SCORE_EXPERTS = 32, /* of a chunk, */
    SCORE_ROWS = 16,    /* and rows */
    CHUNK_VALUES = 8192,
    MAX_CHUNKS = 4096,
    NO_EXPERT = -1,
};

/* For which expert a thread has quantised rows of its own; a line each. */
struct expert_turn {
    int64_t expert;
    char gap[POOL_LINE - sizeof(int64_t)];
};

int experts_open(struct device *d, struct err *e)
{
    d->turns = calloc(d->n_threads, sizeof *d->turns);
    return d->turns ? 0 : err_set(e, ERR_NOMEM, "no memory for %zu threads", d->n_threads);
}

/* What struct experts.places holds. */
struct places {
    int32_t *expert;   /* [n, n_used] of a row, best first */
    int32_t *place;    /* [n, n_used] of `rows` */
    int32_t *row;      /* [n * n_used] that stands in a place */
    int32_t *start;    /* [n_expert + 1] first place of an expert */
    int32_t *scratch;  /* [n_expert] rows before its own in the scratch */
    int32_t *piece[2]; /* [n_expert + 1] of gate and up, of down: an expert's first */
};

static struct places places_of(const struct experts *x)
{
    size_t n = x->n * x->n_used;
    int32_t *at = x->places;
    struct places p = { at, at + n, at + 2 * n, at + 3 * n, NULL, { NULL, NULL } };

    p.scratch = p.start + x->n_expert + 1;
    p.piece[0] = p.scratch + x->n_expert;
    p.piece[1] = p.piece[0] + x->n_expert + 1;
    return p;
}

/* One of the multiplications of n rows from place `at` on, which expert e has. */
static struct matmul multiplication(const struct experts *x, bool down, size_t e, size_t at,
                                    size_t n)
{
    size_t ff = at * x->n_ff, cols = at * x->cols;

    if (down)
        return (struct matmul){ .n_out = 1,
                                .w = { x->down[e] },
                                .y = { x->rows + cols },
                                .bias = { x->bdown ? x->bdown + e * x->cols : NULL },
                                .x = x->gate_rows + ff,
                                .n = n,
                                .prompt = x->prompt };
    return (struct matmul){ .n_out = 2,
                            .w = { x->gate[e], x->up[e] },
                            .y = { x->gate_rows + ff, x->up_rows + ff },
                            .bias = { x->bgate ? x->bgate + e * x->n_ff : NULL,
                                      x->bup ? x->bup + e * x->n_ff : NULL },
                            .x = x->rows + cols,
                            .n = n,
                            .prompt = x->prompt };
}

static struct matmul of_expert(const struct experts *x, const struct places *p, bool down, size_t e)
{
    return multiplication(x, down, e, (size_t)p->start[e], (size_t)(p->start[e + 1] - p->start[e]));
}

/* --- who goes where --- */

static size_t score_blocks(const struct experts *x)
{
    return ceil_div(x->n_expert, SCORE_EXPERTS);
}

/* scores: [n, n_expert], without biases. */
static void score_chunk(const struct device *d, const struct experts *x, size_t chunk)
{
    size_t e = chunk % score_blocks(x) * SCORE_EXPERTS, row = chunk / score_blocks(x) * SCORE_ROWS;
    size_t end = min_size(e + SCORE_EXPERTS, x->n_expert), n = min_size(SCORE_ROWS, x->n - row);

    for (; e < end; e++)
        mm_dots(d->ops->mm, x->scores + row * x->n_expert + e, x->n_expert, x->router + e * x->cols,
                x->x + row * x->cols, x->cols, n);
}

/* The best n_used of s in order, into expert and share (their scores). */
static void choose(const struct experts *x, const float *s, int32_t *expert, float *share)
{
    for (size_t e = 0, n = 0; e < x->n_expert; e++) {
        size_t k = n;

        if (n < x->n_used)
            n++;
        else if (s[e] > share[n - 1])
            k = n - 1;
        else
            continue;
        for (; k > 0 && s[e] > share[k - 1]; k--) {
            share[k] = share[k - 1];
            expert[k] = expert[k - 1];
        }
        share[k] = s[e];
        expert[k] = (int32_t)e;
    }
}

static void route_row(const struct device *d, const struct experts *x, size_t row)
{
    struct places p = places_of(x);
    float *s = x->scores + row * x->n_expert, *share = x->shares + row * (x->n_used + 1);
    float sum = 0, best;

    for (size_t e = 0; x->router_bias && e < x->n_expert; e++)
        s[e] += x->router_bias[e];
    choose(x, s, p.expert + row * x->n_used, share);
    best = share[0];
    for (size_t k = 0; k < x->n_used; k++)
        share[k] = expf(share[k] - best);
    for (size_t k = 0; x->renormalise && k < x->n_used; k++)
        sum += share[k];
    for (size_t e = 0; !x->renormalise && e < x->n_expert; e++)
        sum += expf(s[e] - best);
    for (size_t k = 0; k < x->n_used; k++)
        share[k] = share[k] / sum * x->scale;
    if (x->shared_gate) {
        mm_dots(d->ops->mm, &sum, 1, x->shared_gate, x->x + row * x->cols, x->cols, 1);
        share[x->n_used] = 1 / (1 + expf(-sum));
    }
}

/* Places by expert, within one by row; then how each expert's multiplications are cut. */
static void sort(const struct device *d, const struct experts *x)
{
    struct places p = places_of(x);
    size_t n = x->n * x->n_used;
    int32_t rows = 0;

    memset(p.start, 0, (x->n_expert + 1) * sizeof *p.start);
    for (size_t i = 0; i < n; i++)
        p.start[p.expert[i] + 1]++;
    for (size_t e = 0; e < x->n_expert; e++) {
        int32_t own = p.start[e + 1];

        p.scratch[e] = rows;
        rows += (own + MM_ROWS_APART - 1) / MM_ROWS_APART * MM_ROWS_APART;
        p.start[e + 1] += p.start[e];
    }
    for (size_t i = 0; i < n; i++) { /* start[e] runs ahead to where the next one's begins */
        p.place[i] = p.start[p.expert[i]]++;
        p.row[p.place[i]] = (int32_t)(i / x->n_used);
    }
    memmove(p.start + 1, p.start, x->n_expert * sizeof *p.start);
    p.start[0] = 0;
    p.piece[0][0] = p.piece[1][0] = 0;
    for (int down = 0; down < 2; down++)
        for (size_t e = 0; e < x->n_expert; e++) {
            struct matmul mm = of_expert(x, &p, down, e);

            p.piece[down][e + 1] = p.piece[down][e];
            if (mm.n > 0)
                p.piece[down][e + 1] += (int32_t)mm_chunks(d->ops->mm, &mm, d->n_threads);
        }
}

/* --- what they do there --- */

static void rows_chunk(const struct op *op, size_t chunk)
{
    const struct experts *x = &op->experts.op;
    struct places p = places_of(x);
    size_t i = chunk * op->per, end = min_size(i + op->per, x->n * x->n_used);

    for (; i < end; i++)
        memcpy(x->rows + i * x->cols, x->x + (size_t)p.row[i] * x->cols, x->cols * sizeof(float));
}

/* This chunk's share of all pieces of preparation. */
static void prepare_chunk(struct device *d, const struct op *op, size_t chunk)
{
    const struct experts *x = &op->experts.op;
    struct places p = places_of(x);
    size_t all = 0, from, to, at = 0;

    for (size_t e = 0; e < x->n_expert; e++) {
        struct matmul mm = of_expert(x, &p, op->experts.down, e);

        all += mm.n > 0 ? mm_prepare_chunks(d->ops->mm, &mm) : 0;
    }
    from = all * chunk / op->n_chunks;
    to = all * (chunk + 1) / op->n_chunks;
    for (size_t e = 0, n; e < x->n_expert && at < to; e++, at += n) {
        struct matmul mm = of_expert(x, &p, op->experts.down, e);
        struct mm_scratch s;

        n = mm.n > 0 ? mm_prepare_chunks(d->ops->mm, &mm) : 0;
        if (at + n <= from)
            continue;
        s = mm_scratch_behind(&d->mm, (size_t)p.scratch[e]);
        for (size_t c = max_size(from, at); c < min_size(to, at + n); c++)
            mm_prepare(d->ops->mm, &mm, &s, c - at);
    }
}

/* This chunk's share of all pieces of the multiplication. */
static void matmul_chunk(struct device *d, const struct op *op, size_t chunk, size_t thread,
                         bool begun)
{
    const struct experts *x = &op->experts.op;
    struct places p = places_of(x);
    const int32_t *piece = p.piece[op->experts.down];
    size_t all = (size_t)piece[x->n_expert];
    size_t from = all * chunk / op->n_chunks, to = all * (chunk + 1) / op->n_chunks;
    struct expert_turn *turn = &d->turns[thread];

    if (!begun)
        turn->expert = NO_EXPERT;
    for (size_t e = 0; from < to; e++) {
        size_t first = (size_t)piece[e], end = (size_t)piece[e + 1];
        struct matmul mm;
        struct mm_scratch s;

        if (from >= end)
            continue;
        mm = of_expert(x, &p, op->experts.down, e);
        s = mm_scratch_behind(&d->mm, (size_t)p.scratch[e]);
        if (turn->expert != (int64_t)e)
            mm_begin(d->ops->mm, &mm, &s, thread);
        turn->expert = (int64_t)e;
        for (; from < min_size(to, end); from++)
            mm_chunk(d->ops->mm, &mm, &s, end - first, from - first, thread);
    }
}

static void sum_chunk(const struct device *d, const struct op *op, size_t chunk)
{
    const struct experts *x = &op->experts.op;
    struct places p = places_of(x);
    size_t row = chunk * op->per, end = min_size(row + op->per, x->n);

    for (; row < end; row++) {
        const float *share = x->shares + row * (x->n_used + 1);
        const int32_t *place = p.place + row * x->n_used;
        float *y = x->y + row * x->cols, own = x->shared_gate ? share[x->n_used] : 1.0f;

        for (size_t k = 0; k < x->n_used; k++) {
            const float *from = x->rows + (size_t)place[k] * x->cols;

            if (k == 0 && !x->shared)
                d->ops->scale(y, from, share[k], x->cols);
            else
                d->ops->scale_add(y, k ? 1.0f : own, from, share[k], x->cols);
        }
    }
}

void experts_chunk(struct device *d, const struct op *op, size_t chunk, size_t thread, bool begun)
{
    const struct experts *x = &op->experts.op;
    size_t row = chunk * op->per;

    switch (op->kind) {
    case OP_ROUTE_SCORES:
        score_chunk(d, x, chunk);
        break;
    case OP_ROUTE:
        for (; row < min_size((chunk + 1) * op->per, x->n); row++)
            route_row(d, x, row);
        break;
    case OP_ROUTE_SORT:
        sort(d, x);
        break;
    case OP_EXPERT_ROWS:
        rows_chunk(op, chunk);
        break;
    case OP_EXPERT_PREPARE:
        prepare_chunk(d, op, chunk);
        break;
    case OP_EXPERT_MATMUL:
        matmul_chunk(d, op, chunk, thread, begun);
        break;
    default: /* OP_EXPERT_SUM */
        sum_chunk(d, op, chunk);
        break;
    }
}

/* --- enqueuing --- */

static void put(struct device *d, enum op_kind kind, const struct experts *x, size_t n_chunks,
                size_t per, bool down)
{
    struct op *op = queue_put(d, kind, n_chunks, per);

    op->experts.op = *x;
    op->experts.down = down;
}

/* Chunks as if rows were spread evenly; nothing to prepare where not even all rows at once need it.
 */
static void put_matmul(struct device *d, const struct experts *x, bool down)
{
    size_t busy = min_size(x->n * x->n_used, x->n_expert);
    struct matmul mm = multiplication(x, down, 0, 0, x->n);
    size_t prepare = mm_prepare_chunks(d->ops->mm, &mm) * x->n_used + busy;

    if (prepare > busy)
        put(d, OP_EXPERT_PREPARE, x, min_size(prepare, MAX_CHUNKS), 0, down);
    mm.n = ceil_div(x->n * x->n_used, busy);
    put(d, OP_EXPERT_MATMUL, x,
        min_size(busy * mm_chunks(d->ops->mm, &mm, d->n_threads), MAX_CHUNKS), 0, down);
}

void experts_enqueue(struct device *d, const struct experts *x)
{
    size_t per = max_size(1, CHUNK_VALUES / x->cols);

    if (x->n == 0)
        return;
    put(d, OP_ROUTE_SCORES, x, score_blocks(x) * ceil_div(x->n, SCORE_ROWS), 0, false);
    put(d, OP_ROUTE, x, ceil_div(x->n, SCORE_ROWS), SCORE_ROWS, false);
    put(d, OP_ROUTE_SORT, x, 1, 0, false);
    put(d, OP_EXPERT_ROWS, x, ceil_div(x->n * x->n_used, per), per, false);
    put_matmul(d, x, false);
    backend_cpu.gated_act(d, x->gate_rows, x->gate_rows, x->up_rows, x->n * x->n_used * x->n_ff,
                          x->act);
    put_matmul(d, x, true);
    per = max_size(1, per / x->n_used);
    put(d, OP_EXPERT_SUM, x, ceil_div(x->n, per), per, false);
}
