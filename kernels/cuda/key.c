/* key.c - what the launches of a step depend on, as bytes: see graph.c. */
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/queue.h"

static void add(struct key *k, const void *p, size_t bytes)
{
    if (k->failed)
        return;
    if (k->used + bytes > k->size) {
        size_t more = 2 * k->size + 4096;
        unsigned char *fresh = realloc(k->bytes, more);

        if (!fresh) {
            k->failed = true;
            return;
        }
        k->bytes = fresh;
        k->size = more;
    }
    memcpy(k->bytes + k->used, p, bytes);
    k->used += bytes;
}

/* Member by member: what stands between members is not initialised. */
#define ADD(k, member) add(k, &(member), sizeof(member))

static void add_norm(struct key *k, const struct norm *op)
{
    ADD(k, op->kind);
    ADD(k, op->y);
    ADD(k, op->x);
    ADD(k, op->add);
    ADD(k, op->w);
    ADD(k, op->b);
    ADD(k, op->n);
    ADD(k, op->cols);
    ADD(k, op->n_w);
    ADD(k, op->eps);
}

static void add_matmul(struct key *k, const struct matmul *op)
{
    k->failed |= op->prompt;
    for (size_t i = 0; i < op->n_out; i++) {
        ADD(k, op->w[i]);
        ADD(k, op->y[i]);
        ADD(k, op->bias[i]);
    }
    ADD(k, op->x);
    ADD(k, op->n);
}

static void add_feed_forward(struct key *k, const struct feed_forward *op)
{
    k->failed |= op->prompt;
    ADD(k, op->gate);
    ADD(k, op->up);
    ADD(k, op->down);
    ADD(k, op->gate_bias);
    ADD(k, op->up_bias);
    ADD(k, op->down_bias);
    ADD(k, op->act);
    ADD(k, op->y);
    ADD(k, op->x);
    ADD(k, op->hidden);
    ADD(k, op->n);
}

/* Spans are staged where an op first speaks of them, so which are the same is of the key. */
static void add_spans(struct key *k, const struct seq_span *spans, size_t n_spans,
                      size_t page_tokens)
{
    const struct batch_shape shape = stage_shape(spans, n_spans, page_tokens);
    size_t known = 0;

    while (known < k->n_spans && k->spans[known] != spans)
        known++;
    if (known == k->n_spans && known < KEY_SPANS)
        k->spans[k->n_spans++] = spans;
    k->failed |= known == KEY_SPANS;
    ADD(k, known);
    ADD(k, n_spans);
    ADD(k, shape.n_pages);
    ADD(k, shape.longest);
}

static void add_rope_kv(struct key *k, const struct rope_kv *op)
{
    ADD(k, op->q);
    ADD(k, op->k);
    ADD(k, op->v);
    ADD(k, op->n);
    ADD(k, op->n_head);
    ADD(k, op->q_norm);
    ADD(k, op->k_norm);
    ADD(k, op->eps);
    ADD(k, op->kind);
    ADD(k, op->n_rot);
    ADD(k, op->inv_freq);
    ADD(k, op->far_inv_freq);
    ADD(k, op->mscale);
    ADD(k, op->kv);
    ADD(k, op->layer);
    add_spans(k, op->spans, op->n_spans, op->kv->shape.page_tokens);
}

static void add_attend(struct key *k, const struct attend *op)
{
    k->failed |= op->prompt;
    ADD(k, op->y);
    ADD(k, op->q);
    ADD(k, op->n);
    ADD(k, op->n_head);
    ADD(k, op->scale);
    ADD(k, op->window);
    ADD(k, op->softcap);
    ADD(k, op->sinks);
    ADD(k, op->slopes);
    ADD(k, op->kv);
    ADD(k, op->layer);
    add_spans(k, op->spans, op->n_spans, op->kv->shape.page_tokens);
}

static void add_experts(struct key *k, const struct experts *op)
{
    k->failed |= op->prompt;
    ADD(k, op->y);
    ADD(k, op->x);
    ADD(k, op->n);
    ADD(k, op->cols);
    ADD(k, op->n_ff);
    ADD(k, op->n_expert);
    ADD(k, op->n_used);
    ADD(k, op->router);
    ADD(k, op->router_bias);
    ADD(k, op->gate);
    ADD(k, op->up);
    ADD(k, op->down);
    ADD(k, op->bgate);
    ADD(k, op->bup);
    ADD(k, op->bdown);
    ADD(k, op->renormalise);
    ADD(k, op->scale);
    ADD(k, op->act);
    ADD(k, op->shared);
    ADD(k, op->shared_gate);
    ADD(k, op->rows);
    ADD(k, op->gate_rows);
    ADD(k, op->up_rows);
    ADD(k, op->scores);
    ADD(k, op->shares);
    ADD(k, op->places);
}

static void add_op(struct key *k, const struct op *op)
{
    ADD(k, op->kind);
    switch (op->kind) {
    case OP_WRITE: /* seldom, and of any memory of the host */
    case OP_KV_COPY:
    case OP_REDUCE: /* a graph has all ranks of NCCL or none, and each would have to know of all */
    case OP_COLLECT:
        k->failed = true;
        break;
    case OP_EMBED:
        ADD(k, op->embed.y);
        ADD(k, op->embed.table);
        ADD(k, op->embed.n);
        break;
    case OP_GATHER:
        ADD(k, op->gather.y);
        ADD(k, op->gather.x);
        ADD(k, op->gather.n);
        ADD(k, op->gather.cols);
        break;
    case OP_NORM:
        add_norm(k, &op->norm);
        break;
    case OP_MATMUL:
        add_matmul(k, &op->matmul);
        break;
    case OP_FEED_FORWARD:
        add_feed_forward(k, &op->feed_forward);
        break;
    case OP_ROPE_KV:
        add_rope_kv(k, &op->rope_kv);
        break;
    case OP_ATTEND:
        add_attend(k, &op->attend);
        break;
    case OP_GATED_ACT:
        ADD(k, op->gated_act.y);
        ADD(k, op->gated_act.gate);
        ADD(k, op->gated_act.up);
        ADD(k, op->gated_act.count);
        ADD(k, op->gated_act.kind);
        break;
    case OP_EXPERTS:
        add_experts(k, &op->experts);
        break;
    case OP_SOFTCAP:
        ADD(k, op->softcap.x);
        ADD(k, op->softcap.count);
        ADD(k, op->softcap.cap);
        break;
    case OP_ARGMAX:
        ADD(k, op->argmax.ids);
        ADD(k, op->argmax.x);
        ADD(k, op->argmax.rows);
        ADD(k, op->argmax.cols);
        break;
    case OP_TOP:
        ADD(k, op->top.ids);
        ADD(k, op->top.values);
        ADD(k, op->top.x);
        ADD(k, op->top.rows);
        ADD(k, op->top.cols);
        ADD(k, op->top.k);
        break;
    }
}

bool key_make(struct key *k, const struct op *ops, size_t n)
{
    k->used = k->n_spans = 0;
    k->failed = false;
    for (size_t i = 0; i < n && !k->failed; i++)
        add_op(k, &ops[i]);
    return !k->failed;
}
