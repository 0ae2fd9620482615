/* queue.c - ops are copied into an array; queue_run() has every thread walk it in order.
 *
 * Each op is cut into chunks that threads claim from the op's gate; a thread goes on to the next op
 * when all chunks of this one are finished.  Neighbouring ops of a single chunk make one step on
 * one thread: decoding a token is mostly such steps between matrix products, and a gate costs more
 * than they do. */
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/device.h"

enum {
    MAX_LANES = 16,          /* with more threads than that, several start in the same one */
    AHEAD_OPS = 6,           /* how far to look for a matrix product */
    AHEAD_BYTES = 128 << 10, /* what a thread fetches of it at most: a part of its own cache */
    AHEAD_STEP = 1024,       /* between two looks at the gate */
};

int queue_open(struct device *d, struct err *e)
{
    d->queue = calloc(QUEUE_MAX, sizeof *d->queue);
    d->gates = aligned_alloc(POOL_LINE, QUEUE_MAX * sizeof *d->gates);
    d->n_lanes = min_size(d->n_threads, MAX_LANES);
    d->lanes = aligned_alloc(POOL_LINE, QUEUE_MAX * d->n_lanes * sizeof *d->lanes);
    d->fetch = aligned_alloc(FETCH_LINE, d->n_threads * sizeof *d->fetch);
    if (!d->queue || !d->gates || !d->lanes || !d->fetch)
        return err_set(e, ERR_NOMEM, "no memory for the CPU's queue of ops");
    memset(d->fetch, 0, d->n_threads * sizeof *d->fetch);
    d->mm.fetch = d->fetch;
    return 0;
}

void queue_close(struct device *d)
{
    free(d->queue);
    free(d->gates);
    free(d->lanes);
    free(d->fetch);
}

struct op *queue_put(struct device *d, enum op_kind kind, size_t n_chunks, size_t per)
{
    struct op *op;

    if (d->n_ops == QUEUE_MAX)
        queue_run(d);
    memset(&d->gates[d->n_ops], 0, sizeof d->gates[d->n_ops]);
    memset(d->lanes + d->n_ops * d->n_lanes, 0, d->n_lanes * sizeof *d->lanes);
    op = &d->queue[d->n_ops++];
    op->kind = kind;
    op->n_chunks = n_chunks;
    op->per = per;
    return op;
}

/* [bytes], in pieces of op->per bytes. */
static void write_chunk(const struct op *op, size_t chunk)
{
    size_t from = chunk * op->per, n = min_size(op->per, op->write.bytes - from);

    memcpy((char *)op->write.dst + from, (const char *)op->write.src + from, n);
}

/* y: [n, cols]; op->per rows a chunk.  The table may stand in the model file: decoded row by row.
 */
static void embed_chunk(const struct device *d, const struct op *op, size_t chunk)
{
    size_t cols = weight_cols(op->embed.table), from = chunk * op->per;
    size_t to = min_size(from + op->per, op->embed.n);

    for (size_t i = from; i < to; i++) {
        float *y = op->embed.y + i * cols;

        weight_row(op->embed.table, (size_t)op->embed.ids[i], y);
        if (op->embed.scale != 1.0f)
            d->ops->scale(y, y, op->embed.scale, cols);
    }
}

/* y: [n, cols]; op->per rows a chunk. */
static void gather_chunk(const struct op *op, size_t chunk)
{
    size_t cols = op->gather.cols, from = chunk * op->per;
    size_t to = min_size(from + op->per, op->gather.n);

    for (size_t i = from; i < to; i++)
        memcpy(op->gather.y + i * cols, op->gather.x + (size_t)op->gather.rows[i] * cols,
               cols * sizeof(float));
}

static void norm_chunk(const struct device *d, const struct op *op, size_t chunk)
{
    size_t from = chunk * op->per, to = min_size(from + op->per, op->norm.n);

    for (size_t i = from; i < to; i++)
        d->ops->norm(&op->norm, i);
}

/* Elementwise: op->per values a chunk, whatever the rows. */
static void act_chunk(const struct device *d, const struct op *op, size_t chunk)
{
    size_t from = chunk * op->per, n = min_size(op->per, op->act.count - from);

    d->ops->gated_act(op->act.y + from, op->act.gate + from, op->act.up ? op->act.up + from : NULL,
                      n, op->act.kind);
}

static void join_chunk(struct device *d, const struct op *op, size_t chunk, size_t thread)
{
    const struct mm_join join = { d->ops->gated_act, op->join.act };

    mm_join_chunk(d->ops->mm, &op->join.in, &join, &d->mm, op->n_chunks, chunk, thread);
}

static void hidden_chunk(struct device *d, const struct op *op, size_t chunk, size_t thread)
{
    struct mm_scratch hidden = mm_hidden(&d->mm);

    mm_chunk(d->ops->mm, &op->matmul, &hidden, op->n_chunks, chunk, thread);
}

static void softcap_chunk(const struct device *d, const struct op *op, size_t chunk)
{
    size_t from = chunk * op->per, n = min_size(op->per, op->softcap.count - from);

    d->ops->softcap(op->softcap.x + from, n, op->softcap.cap);
}

/* *begun is false when this thread has not run a chunk of this op before. */
static void run_chunk(struct device *d, const struct op *op, size_t chunk, size_t thread,
                      bool *begun)
{
    switch (op->kind) {
    case OP_WRITE:
        write_chunk(op, chunk);
        break;
    case OP_EMBED:
        embed_chunk(d, op, chunk);
        break;
    case OP_GATHER:
        gather_chunk(op, chunk);
        break;
    case OP_NORM:
        norm_chunk(d, op, chunk);
        break;
    case OP_MM_PREPARE:
        mm_prepare(d->ops->mm, &op->matmul, &d->mm, chunk);
        break;
    case OP_MATMUL:
        if (!*begun)
            mm_begin(d->ops->mm, &op->matmul, &d->mm, thread);
        mm_chunk(d->ops->mm, &op->matmul, &d->mm, op->n_chunks, chunk, thread);
        break;
    case OP_MM_JOIN:
        join_chunk(d, op, chunk, thread);
        break;
    case OP_MM_HIDDEN:
        hidden_chunk(d, op, chunk, thread);
        break;
    case OP_ROPE_TABLE:
        rope_table_chunk(d, op, chunk);
        break;
    case OP_ROPE_KV:
        rope_kv_chunk(d, op, chunk);
        break;
    case OP_ATTEND:
        attend_chunk(d, op, chunk, thread);
        break;
    case OP_ATTEND_MERGE:
        attend_merge_chunk(d, op, chunk, thread);
        break;
    case OP_KV_COPY:
        kv_copy_layer(op->kv_copy.kv, chunk, op->kv_copy.from, op->kv_copy.to);
        break;
    case OP_GATED_ACT:
        act_chunk(d, op, chunk);
        break;
    case OP_ROUTE_SCORES:
    case OP_ROUTE:
    case OP_ROUTE_SORT:
    case OP_EXPERT_ROWS:
    case OP_EXPERT_PREPARE:
    case OP_EXPERT_MATMUL:
    case OP_EXPERT_SUM:
        experts_chunk(d, op, chunk, thread, *begun);
        break;
    case OP_SOFTCAP:
        softcap_chunk(d, op, chunk);
        break;
    case OP_ARGMAX:
        argmax_chunk(d, op, chunk);
        break;
    case OP_ARGMAX_MERGE:
        argmax_merge_chunk(d, op);
        break;
    case OP_REDUCE:
    case OP_REDUCE_LATER:
        reduce_chunk(d, op);
        break;
    case OP_COLLECT:
        collect_chunk(d, op);
        break;
    case OP_AWAIT:
        break;
    }
    *begun = true;
}

/* One that a thread does together with its neighbours. */
static bool is_small(const struct op *op)
{
    return op->n_chunks == 1 && op->kind != OP_REDUCE_LATER;
}

/* The op behind the step that starts at op i. */
static size_t step_end(const struct device *d, size_t i)
{
    size_t end = i + 1;

    if (is_small(&d->queue[i]))
        while (end < d->n_ops && is_small(&d->queue[end]))
            end++;
    return end;
}

/* What one thread has fetched of the weights that come next. */
struct ahead {
    size_t op;    /* whose */
    size_t bytes; /* of them */
};

/* The chunk that this thread begins with. */
static size_t own_first(const struct device *d, const struct op *op, size_t thread)
{
    size_t n = min_size(d->n_lanes, op->n_chunks);

    return pool_lane_first(op->n_chunks, n, thread % n);
}

/* A thread that has to wait at a gate fetches weights of the next matrix product of generated rows
 * into its cache, until the gate is finished: the first ones of its own lane, since they are what
 * such a pass spends its time on. */
static void fetch_ahead(struct device *d, struct ahead *ahead, struct pool_gate *gate,
                        size_t n_chunks, size_t next, size_t thread)
{
    const struct op *op;
    const char *at;
    size_t bytes;

    for (size_t i = 0; i < AHEAD_OPS && next < d->n_ops && d->queue[next].kind != OP_MATMUL; i++)
        next++;
    if (next >= d->n_ops || d->queue[next].kind != OP_MATMUL || d->queue[next].matmul.prompt)
        return;
    op = &d->queue[next];
    at = mm_ahead(d->ops->mm, &op->matmul, &d->mm, op->n_chunks, own_first(d, op, thread), &bytes);
    if (!at)
        return;
    bytes = min_size(bytes, AHEAD_BYTES);
    if (ahead->op != next)
        *ahead = (struct ahead){ .op = next };
    for (; ahead->bytes < bytes && !pool_finished(gate, n_chunks); ahead->bytes += AHEAD_STEP)
        for (size_t i = 0; i < AHEAD_STEP; i += 64)
            __builtin_prefetch(at + ahead->bytes + i, 0, 2);
}

/* Every thread of the pool, each at its own pace.  One that comes late finds the first gates
 * finished and runs after the others; the wait at a gate's end is what keeps an op from reading
 * unfinished input. */
static void walk(void *arg, size_t thread)
{
    struct device *d = arg;
    struct ahead ahead = { 0 };

    d->fetch[thread].op = 0; /* the queue is another one */
    for (size_t i = 0, end; i < d->n_ops; i = end) {
        const struct op *op = &d->queue[i];
        bool awaits = op->kind == OP_AWAIT, begun = false;
        struct pool_gate *gate = &d->gates[awaits ? op->await : i];
        struct pool_lane *lanes = d->lanes + i * d->n_lanes;
        size_t n_chunks = op->n_chunks, chunk, count = 0;

        end = step_end(d, i);
        fetch_pace(d, i, thread);
        for (; pool_claim_near(lanes, d->n_lanes, thread, n_chunks, &chunk); count++)
            for (size_t j = i; j < end; j++) {
                if (n_chunks == 1)
                    begun = false; /* each op of a step is a new one to this thread */
                run_chunk(d, &d->queue[j], chunk, thread, &begun);
            }
        if (count > 0)
            pool_finish_some(gate, count, n_chunks);
        if (op->kind == OP_REDUCE_LATER)
            continue; /* the others go on while one of them is in there */
        n_chunks = awaits ? 1 : n_chunks;
        if (!pool_finished(gate, n_chunks))
            fetch_ahead(d, &ahead, gate, n_chunks, end, thread);
        pool_wait(gate, n_chunks);
    }
}

void queue_run(struct device *d)
{
    bool alone = true;

    /* Nothing to share out (a few writes, say): let the others sleep. */
    for (size_t i = 0; i < d->n_ops && alone; i++)
        alone = d->queue[i].n_chunks <= 1;
    if (alone)
        walk(d, 0);
    else
        pool_run(d->pool, walk, d);
    d->n_ops = d->later = 0;
    /* The spans that the tables were made from are the caller's again. */
    for (size_t i = 0; i < ROPE_SLOTS; i++)
        d->rope_keys[i].inv_freq = NULL;
}
