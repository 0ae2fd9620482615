/* queue.c - ops on their way into the queue, and out of it at sync(). */
#include "kernels/cuda/queue.h"

#include <stdlib.h>

#include "kernels/ranks.h"

enum { MAX_OPS = 8192 };

int queue_open(struct device *d, struct err *e)
{
    d->ops = calloc(MAX_OPS, sizeof *d->ops);
    return d->ops ? 0 : err_set(e, ERR_NOMEM, "no memory for a queue of %d operations", MAX_OPS);
}

void queue_close(struct device *d)
{
    graph_forget(d);
    free(d->key.bytes);
    free(d->ops);
}

/* Where it is full, what is there goes to the stream at once: such a step is none that a graph
 * could stand for. */
static struct op *put(struct device *d, enum op_kind kind)
{
    if (d->n_ops == MAX_OPS) {
        device_enter(d);
        for (size_t i = 0; i < d->n_ops; i++)
            op_issue(d, &d->ops[i]);
        d->n_ops = 0;
        d->flushed = true;
    }
    d->ops[d->n_ops].kind = kind;
    return &d->ops[d->n_ops++];
}

void queue_run(struct device *d)
{
    if (d->n_ops && d->flushed)
        for (size_t i = 0; i < d->n_ops; i++)
            op_issue(d, &d->ops[i]);
    else if (d->n_ops)
        graph_run(d, d->ops, d->n_ops);
    d->n_ops = 0;
    d->flushed = false;
}

void op_issue(struct device *d, const struct op *op)
{
    switch (op->kind) {
    case OP_WRITE:
        cuda_write(d, op->write.dst, op->write.src, op->write.bytes);
        break;
    case OP_EMBED:
        cuda_embed(d, op->embed.y, op->embed.table, op->embed.ids, op->embed.n, op->embed.scale);
        break;
    case OP_GATHER:
        cuda_gather(d, op->gather.y, op->gather.x, op->gather.rows, op->gather.n, op->gather.cols);
        break;
    case OP_NORM:
        cuda_norm(d, &op->norm);
        break;
    case OP_MATMUL:
        cuda_matmul(d, &op->matmul);
        break;
    case OP_FEED_FORWARD:
        cuda_feed_forward(d, &op->feed_forward);
        break;
    case OP_ROPE_KV:
        cuda_rope_kv(d, &op->rope_kv);
        break;
    case OP_ATTEND:
        cuda_attend(d, &op->attend);
        break;
    case OP_KV_COPY:
        cuda_kv_copy(d, op->kv_copy.kv, op->kv_copy.from, op->kv_copy.to, op->kv_copy.n);
        break;
    case OP_GATED_ACT:
        cuda_gated_act(d, op->gated_act.y, op->gated_act.gate, op->gated_act.up,
                       op->gated_act.count, op->gated_act.kind);
        break;
    case OP_EXPERTS:
        cuda_experts(d, &op->experts);
        break;
    case OP_SOFTCAP:
        cuda_softcap(d, op->softcap.x, op->softcap.count, op->softcap.cap);
        break;
    case OP_ARGMAX:
        cuda_argmax(d, op->argmax.ids, op->argmax.x, op->argmax.rows, op->argmax.cols);
        break;
    case OP_TOP:
        cuda_top(d, &op->top);
        break;
    case OP_REDUCE:
        cuda_reduce(d, op->reduce.x, op->reduce.rows, op->reduce.cols);
        break;
    case OP_COLLECT:
        cuda_collect(d, &op->collect);
        break;
    }
}

/* --- members of the table --- */

void queue_write(struct device *d, void *dst, const void *src, size_t bytes)
{
    struct op *op = put(d, OP_WRITE);

    op->write.dst = dst;
    op->write.src = src;
    op->write.bytes = bytes;
}

void queue_embed(struct device *d, float *y, const struct weight *table, const int32_t *ids,
                 size_t n, float scale)
{
    struct op *op = put(d, OP_EMBED);

    op->embed.y = y;
    op->embed.table = table;
    op->embed.ids = ids;
    op->embed.n = n;
    op->embed.scale = scale;
}

void queue_gather(struct device *d, float *y, const float *x, const int32_t *rows, size_t n,
                  size_t cols)
{
    struct op *op = put(d, OP_GATHER);

    op->gather.y = y;
    op->gather.x = x;
    op->gather.rows = rows;
    op->gather.n = n;
    op->gather.cols = cols;
}

void queue_norm(struct device *d, const struct norm *op)
{
    put(d, OP_NORM)->norm = *op;
}

void queue_matmul(struct device *d, const struct matmul *op)
{
    put(d, OP_MATMUL)->matmul = *op;
}

void queue_feed_forward(struct device *d, const struct feed_forward *op)
{
    put(d, OP_FEED_FORWARD)->feed_forward = *op;
}

void queue_rope_kv(struct device *d, const struct rope_kv *op)
{
    put(d, OP_ROPE_KV)->rope_kv = *op;
}

void queue_attend(struct device *d, const struct attend *op)
{
    put(d, OP_ATTEND)->attend = *op;
}

void queue_kv_copy(struct device *d, struct kv *kv, int32_t from, int32_t to, size_t n)
{
    struct op *op = put(d, OP_KV_COPY);

    op->kv_copy.kv = kv;
    op->kv_copy.from = from;
    op->kv_copy.to = to;
    op->kv_copy.n = n;
}

void queue_gated_act(struct device *d, float *y, const float *gate, const float *up, size_t count,
                     enum act_kind kind)
{
    struct op *op = put(d, OP_GATED_ACT);

    op->gated_act.y = y;
    op->gated_act.gate = gate;
    op->gated_act.up = up;
    op->gated_act.count = count;
    op->gated_act.kind = kind;
}

void queue_experts(struct device *d, const struct experts *op)
{
    put(d, OP_EXPERTS)->experts = *op;
}

void queue_softcap(struct device *d, float *x, size_t count, float cap)
{
    struct op *op = put(d, OP_SOFTCAP);

    op->softcap.x = x;
    op->softcap.count = count;
    op->softcap.cap = cap;
}

void queue_argmax(struct device *d, int32_t *ids, const float *x, size_t rows, size_t cols)
{
    struct op *op = put(d, OP_ARGMAX);

    op->argmax.ids = ids;
    op->argmax.x = x;
    op->argmax.rows = rows;
    op->argmax.cols = cols;
}

void queue_top(struct device *d, const struct top *op)
{
    put(d, OP_TOP)->top = *op;
}

void queue_reduce(struct device *d, float *x, size_t rows, size_t cols)
{
    struct op *op;

    if (!d->ranks || d->ranks->n == 1 || rows == 0 || cols == 0)
        return;
    op = put(d, OP_REDUCE);
    op->reduce.x = x;
    op->reduce.rows = rows;
    op->reduce.cols = cols;
}

void queue_collect(struct device *d, const struct collect *op)
{
    if (d->ranks && op->n > 0)
        put(d, OP_COLLECT)->collect = *op;
}
