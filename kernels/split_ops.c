/* split_ops.c - each op goes to the side that split.h says. */
#include "kernels/split_device.h"

#include <stdlib.h>

/* The active side's own function with its own device. */
#define CALL(d, function, ...) (d)->b[(d)->active]->function((d)->d[(d)->active], __VA_ARGS__)

void split_write(struct device *d, void *dst, const void *src, size_t bytes)
{
    split_enter(d, split_written_at(d, dst));
    CALL(d, write, dst, src, bytes);
}

void split_embed(struct device *d, float *y, const struct weight *table, const int32_t *ids,
                 size_t n, float scale)
{
    split_enter(d, HOST);
    CALL(d, embed, y, split_of_side(d, table), ids, n, scale);
    split_writes(d, y);
}

void split_gather(struct device *d, float *y, const float *x, const int32_t *rows, size_t n,
                  size_t cols)
{
    split_enter(d, split_written_at(d, x));
    CALL(d, gather, y, x, rows, n, cols);
    split_writes(d, y);
}

void split_norm(struct device *d, const struct norm *op)
{
    split_enter(d, split_written_at(d, op->x));
    CALL(d, norm, op);
    split_writes(d, op->x);
    split_writes(d, op->y);
}

void split_matmul(struct device *d, const struct matmul *op)
{
    struct matmul of = *op;

    if (op->n_out == 0)
        return;
    split_enter(d, op->w[0]->side);
    for (size_t i = 0; i < op->n_out; i++) {
        of.w[i] = split_of_side(d, op->w[i]);
        split_writes(d, op->y[i]);
    }
    CALL(d, matmul, &of);
}

void split_feed_forward(struct device *d, const struct feed_forward *op)
{
    struct feed_forward of = *op;

    split_enter(d, op->up->side);
    of.gate = split_of_side(d, op->gate);
    of.up = split_of_side(d, op->up);
    of.down = split_of_side(d, op->down);
    CALL(d, feed_forward, &of);
    split_writes(d, op->y);
}

/* Of a layer of the cache, as the side that has it counts them. */
static void enter_layer(struct device *d, struct kv **kv, size_t *layer)
{
    struct kv *both = *kv;

    split_enter(d, *layer < both->n_host ? HOST : DEVICE);
    *kv = both->of[d->active];
    *layer -= d->active == HOST ? 0 : both->n_host;
}

void split_rope_kv(struct device *d, const struct rope_kv *op)
{
    struct rope_kv of = *op;

    enter_layer(d, &of.kv, &of.layer);
    CALL(d, rope_kv, &of);
    split_writes(d, op->q);
}

void split_attend(struct device *d, const struct attend *op)
{
    struct attend of = *op;

    enter_layer(d, &of.kv, &of.layer);
    CALL(d, attend, &of);
    split_writes(d, op->y);
}

void split_kv_copy(struct device *d, struct kv *kv, int32_t from, int32_t to, size_t n)
{
    for (int s = 0; s < N_SIDES; s++)
        if (kv->of[s]) {
            split_enter(d, (enum side)s);
            CALL(d, kv_copy, kv->of[s], from, to, n);
        }
}

void split_gated_act(struct device *d, float *y, const float *gate, const float *up, size_t count,
                     enum act_kind kind)
{
    split_enter(d, split_written_at(d, gate));
    CALL(d, gated_act, y, gate, up, count, kind);
    split_writes(d, y);
}

/* The same list each time: a side may know it by its place. */
static const struct weight *const *list_of_side(struct device *d, const struct weight *const *key,
                                                size_t n)
{
    struct experts_list *l = d->experts;

    while (l && l->key != key)
        l = l->next;
    if (!l) {
        l = calloc(1, sizeof *l);
        if (l)
            l->of_side = calloc(n, sizeof(struct weight *));
        if (!l || !l->of_side) {
            d->no_memory = true;
            free(l);
            return NULL;
        }
        l->key = key;
        l->next = d->experts;
        d->experts = l;
        for (size_t i = 0; i < n; i++)
            l->of_side[i] = split_of_side(d, key[i]);
    }
    return (const struct weight *const *)l->of_side;
}

void split_experts(struct device *d, const struct experts *op)
{
    struct experts of = *op;

    split_enter(d, op->up[0]->side);
    of.gate = list_of_side(d, op->gate, op->n_expert);
    of.up = list_of_side(d, op->up, op->n_expert);
    of.down = list_of_side(d, op->down, op->n_expert);
    if (of.gate && of.up && of.down)
        CALL(d, experts, &of);
    split_writes(d, op->y);
}

void split_softcap(struct device *d, float *x, size_t count, float cap)
{
    split_enter(d, split_written_at(d, x));
    CALL(d, softcap, x, count, cap);
    split_writes(d, x);
}

void split_argmax(struct device *d, int32_t *ids, const float *x, size_t rows, size_t cols)
{
    split_enter(d, split_written_at(d, x));
    CALL(d, argmax, ids, x, rows, cols);
    split_writes(d, ids);
}

/* The head is on the device, and so are logits. */
void split_top(struct device *d, const struct top *op)
{
    split_enter(d, DEVICE);
    CALL(d, top, op);
    split_writes(d, op->ids);
    split_writes(d, op->values);
}
