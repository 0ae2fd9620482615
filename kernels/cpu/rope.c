/* rope.c - queries and keys get their position, keys and values go to the cache.
 *
 * Rotary embedding (Su et al. 2021, eq. 34).  Cosines and sines depend on position and frequency
 * only, so a step makes them once per row for all layers that share inv_freq.  The angle is the
 * float32 product position * inv_freq, as transformers computes it, also where it is large. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/device.h"

enum { TABLE_ROWS = 32 }; /* of a chunk: 32 rows of 32 angles are about 20 us of libm */

/* Row layout: cs[0 .. n_rot-1] factors of the value itself, then those of its partner, signs
 * included. */
static void angles(float *cs, const struct seq_span *span, size_t row, const struct rope_kv *op)
{
    size_t half = op->n_rot / 2, pos = span->pos + row - span->row;
    const float *inv_freq = span->far ? op->far_inv_freq : op->inv_freq;

    for (size_t p = 0; p < half; p++) {
        size_t i = op->kind == ROPE_NORM ? 2 * p : p, j = op->kind == ROPE_NORM ? i + 1 : p + half;
        float angle = (float)pos * inv_freq[p];
        float c = cosf(angle) * op->mscale, s = sinf(angle) * op->mscale;

        cs[i] = cs[j] = c;
        cs[op->n_rot + i] = -s;
        cs[op->n_rot + j] = s;
    }
}

/* The span that holds a row of the batch. */
static const struct seq_span *span_of(const struct rope_kv *op, size_t row)
{
    const struct seq_span *s = op->spans;

    while (row < s->row || row >= s->row + s->n)
        s++;
    return s;
}

void rope_table_chunk(struct device *d, const struct op *op, size_t chunk)
{
    const struct rope_kv *r = &op->rope.op;
    float *table = d->rope[op->rope.slot].base;
    size_t to = min_size((chunk + 1) * op->per, r->n);

    for (size_t row = chunk * op->per; row < to; row++)
        angles(table + row * 2 * r->n_rot, span_of(r, row), row, r);
}

/* Pointers tell steps apart: spans stay where they are until the queue has run, and slots are
 * forgotten then. */
static bool same_table(const struct rope_key *k, const struct rope_kv *op)
{
    return k->inv_freq == op->inv_freq && k->spans == op->spans && k->n == op->n &&
           k->n_rot == op->n_rot && k->mscale == op->mscale && k->kind == op->kind;
}

/* The slot with the angles of this op, enqueued if need be; ROPE_SLOTS where there is no memory for
 * it. */
static size_t table_slot(struct device *d, const struct rope_kv *op)
{
    size_t slot;
    struct op *make;

    for (slot = 0; slot < ROPE_SLOTS; slot++)
        if (d->rope_keys[slot].inv_freq && same_table(&d->rope_keys[slot], op))
            return slot;
    slot = d->next_rope++ % ROPE_SLOTS;
    if (!scratch_grow(&d->rope[slot], op->n * op->n_rot * 2 * sizeof(float)))
        return ROPE_SLOTS;
    make = queue_put(d, OP_ROPE_TABLE, ceil_div(op->n, TABLE_ROWS), TABLE_ROWS);
    make->rope.op = *op;
    make->rope.slot = slot;
    d->rope_keys[slot] =
        (struct rope_key){ op->inv_freq, op->spans, op->n, op->n_rot, op->mscale, op->kind };
    return slot;
}

/* Few rows are cut finer, so that a batch that decodes keeps all threads busy. */
void rope_enqueue(struct device *d, const struct rope_kv *op)
{
    size_t slot = ROPE_SLOTS, per = op->n <= 64 ? 4 : 16;
    struct op *put;

    if (op->n == 0)
        return;
    if (op->kind != ROPE_NONE)
        slot = table_slot(d, op);
    put = queue_put(d, OP_ROPE_KV, ceil_div(op->n, per), per);
    put->rope.op = *op;
    put->rope.slot = slot;
}

/* x: one head, in place. */
static void turn_head(const struct device *d, const struct rope_kv *op, float *x,
                      const float *weight, const float *cs)
{
    if (weight) {
        struct norm norm = {
            .kind = NORM_RMS, .y = x, .x = x, .w = weight, .n = 1, .eps = op->eps
        };

        norm.cols = op->kv->shape.head_dim;
        d->ops->norm(&norm, 0);
    }
    if (cs)
        d->ops->rope(x, cs, op->n_rot, op->kind);
}

/* q in place; k through a copy, since the caller's is not ours to change. */
static void rope_kv_row(struct device *d, const struct rope_kv *op, size_t row, size_t slot)
{
    const struct kv_shape *shape = &op->kv->shape;
    const struct seq_span *span = span_of(op, row);
    size_t pos = span->pos + row - span->row, dim = shape->head_dim;
    size_t page = (size_t)span->pages[pos / shape->page_tokens], at = pos % shape->page_tokens;
    const float *cs = NULL;
    float own[2 * KV_MAX_HEAD_DIM], key[KV_MAX_HEAD_DIM];

    if (op->kind != ROPE_NONE && slot < ROPE_SLOTS) {
        cs = (const float *)d->rope[slot].base + row * 2 * op->n_rot;
    } else if (op->kind != ROPE_NONE) {
        angles(own, span, row, op);
        cs = own;
    }
    for (size_t h = 0; h < op->n_head; h++)
        turn_head(d, op, op->q + (row * op->n_head + h) * dim, op->q_norm, cs);
    for (size_t h = 0; h < shape->n_kv; h++) {
        memcpy(key, op->k + (row * shape->n_kv + h) * dim, dim * sizeof(float));
        turn_head(d, op, key, op->k_norm, cs);
        kv_write(d->ops, op->kv, kv_keys(op->kv, op->layer, page, h), at, key,
                 op->v + (row * shape->n_kv + h) * dim);
    }
}

void rope_kv_chunk(struct device *d, const struct op *op, size_t chunk)
{
    size_t to = min_size((chunk + 1) * op->per, op->rope.op.n);

    for (size_t row = chunk * op->per; row < to; row++)
        rope_kv_row(d, &op->rope.op, row, op->rope.slot);
}
