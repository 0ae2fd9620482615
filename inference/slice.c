/* slice.c - where a model is cut. */
#include "inference/slice.h"

#include <string.h>

#include "inference/model.h"
#include "inference/model_experts.h"
#include "inference/model_slots.h"
#include "kernels/quant/quant.h"

enum {
    VALUES = 32, /* floats are cut at multiples, where there is enough: whole vectors and lines */
    VOCAB_ROWS = 16 /* that lie side by side in a packed matrix */
};

static size_t gcd(size_t a, size_t b)
{
    while (b) {
        size_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

/* Where rank r of n begins in a total that is cut at multiples of unit: the first ranks have the
 * larger parts, so that rank 0 has some. */
static size_t border(size_t total, size_t unit, size_t r, size_t n)
{
    size_t units = (total + unit - 1) / unit, at = (units * r + n - 1) / n * unit;

    return at < total ? at : total;
}

static struct slice_part part(size_t total, size_t unit, size_t r, size_t n)
{
    size_t from = border(total, unit, r, n), to = border(total, unit, r + 1, n);

    if (from == to)
        return (struct slice_part){ .n = unit, .zeros = true };
    return (struct slice_part){ .from = from, .n = to - from };
}

/* Values of the largest block of the slot's matrices, of all layers.  Sizes of blocks are powers of
 * two: the largest is a multiple of the others. */
static size_t block_of(const struct model *m, const struct weights *w, enum arch_slot slot)
{
    size_t block = 1;

    for (size_t l = 0; l < m->n_layers; l++) {
        const struct tensor *t = slot_tensor(m, w, l, slot);
        struct tensor expert;

        if (slot >= SLOT_FIRST_EXPERTS)
            t = experts_in_layer(m, w, l) && experts_tensor(m, w, l, slot, 0, &expert) ? &expert
                                                                                       : NULL;
        if (t && quant_format(t->dtype)->block_values > block)
            block = quant_format(t->dtype)->block_values;
    }
    return block;
}

/* --- heads --- */

/* Of queries from .. to-1: how many at a time read one kv head, at most. */
static size_t group_of(size_t from, size_t to, size_t whole_group)
{
    size_t group = 0;

    for (size_t at = from; at < to;) {
        size_t end = (at / whole_group + 1) * whole_group;

        end = end < to ? end : to;
        group = gcd(group, end - at);
        at = end;
    }
    return group;
}

/* What the rank with most to do has: queries, and copies of kv heads. */
static size_t cost_of(const struct model *m, size_t unit, size_t n)
{
    size_t cost = 0, group = m->n_head / m->n_kv;

    for (size_t r = 0; r < n; r++) {
        size_t from = border(m->n_head, unit, r, n), to = border(m->n_head, unit, r + 1, n);
        size_t own = from < to ? to - from + (to - from) / group_of(from, to, group) : 0;

        cost = own > cost ? own : cost;
    }
    return cost;
}

/* Heads that stay together: a multiple of `least`, and a multiple or a part of those that share a
 * kv head. */
static size_t unit_of(const struct model *m, size_t least, size_t n)
{
    size_t group = m->n_head / m->n_kv, best = 0, best_cost = 0;

    for (size_t unit = m->n_head; unit > 0; unit--) {
        size_t cost;

        if (unit % least || m->n_head % unit || (unit % group && group % unit))
            continue;
        cost = cost_of(m, unit, n);
        if (!best || cost < best_cost) {
            best = unit;
            best_cost = cost;
        }
    }
    return best;
}

static void find_heads(struct rank_slice *s, const struct model *m, size_t block)
{
    size_t least = block / gcd(block, m->head_dim), whole_group = m->n_head / m->n_kv;
    size_t unit = unit_of(m, least, s->n_ranks);

    s->heads = part(m->n_head, unit, s->rank, s->n_ranks);
    for (size_t r = 0; r < s->n_ranks; r++) {
        struct slice_part p = part(m->n_head, unit, r, s->n_ranks);
        size_t n = p.zeros ? 1 : p.n / group_of(p.from, p.from + p.n, whole_group);

        if (n > s->most_kv)
            s->most_kv = n;
        if (r == s->rank)
            s->n_kv = n;
    }
    if (s->heads.zeros)
        s->heads.n = least;
    for (size_t i = 0; i < s->n_kv; i++)
        s->kv[i] = (uint16_t)((s->heads.from + i * (s->heads.n / s->n_kv)) / whole_group);
}

/* A norm over all of q or k needs all of it. */
static bool norms_rows(const struct model *m, const struct weights *w)
{
    for (size_t l = 0; l < m->n_layers; l++)
        if (slot_tensor(m, w, l, SLOT_Q_ROW_NORM) || slot_tensor(m, w, l, SLOT_K_ROW_NORM))
            return true;
    return false;
}

static void keep_attention(struct rank_slice *s, const struct model *m)
{
    s->whole_attention = true;
    s->heads = (struct slice_part){ .n = m->n_head };
    s->n_kv = s->most_kv = m->n_kv;
    for (size_t i = 0; i < s->n_kv; i++)
        s->kv[i] = (uint16_t)i;
}

/* --- columns --- */

static struct slice_part columns(const struct rank_slice *s, size_t total, size_t block)
{
    if (block < VALUES && total >= VALUES * s->n_ranks)
        block = VALUES;
    return part(total, block, s->rank, s->n_ranks);
}

int slice_find(struct rank_slice *s, const struct model *m, const struct weights *w, size_t rank,
               size_t n, struct err *e)
{
    if (n < 2 || n > RANKS_MAX || rank >= n)
        return err_set(e, ERR_INVALID, "rank %zu of %zu; expected 2 to %d ranks", rank, n,
                       RANKS_MAX);
    *s = (struct rank_slice){
        .rank = rank, .n_ranks = n, .head_dim = m->head_dim, .whole_heads = m->n_head
    };
    if (norms_rows(m, w))
        keep_attention(s, m);
    else
        find_heads(s, m, block_of(m, w, SLOT_WO));
    s->ff = columns(s, m->n_ff, block_of(m, w, SLOT_DOWN));
    if (m->n_expert) {
        s->ff_expert = columns(s, m->n_ff_expert, block_of(m, w, SLOT_DOWN_EXPS));
        s->ff_shared = columns(s, m->n_ff_shared, block_of(m, w, SLOT_SHARED_DOWN));
    }
    for (size_t r = 0; r <= n; r++)
        s->vocab[r] = border(m->n_vocab, VOCAB_ROWS, r, n);
    return 0;
}
