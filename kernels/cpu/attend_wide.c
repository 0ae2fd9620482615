/* attend_wide.c - attention of given tokens, hundreds of query vectors a tile: struct wide_ops does
 * the arithmetic, here keys and values of a block are made floats for it, page by page.
 *
 * One running softmax from the first position to the last: the splits of attend.c are for rows that
 * are few.  A cache in F32 promises more than BF16 factors keep, and stays with attend.c; so do
 * scores that positions are added to. */
#include <string.h>

#include "kernels/cpu/attend.h"

enum {
    MAX_M = 512,        /* query vectors of a tile: they share a block's conversion */
    MAX_VALUES = 65536, /* of acc, which should stay in a processor's own cache */
    TASKS_PER_THREAD = 4,
};

static size_t round_up(size_t n, size_t to)
{
    return ceil_div(n, to) * to;
}

/* As many query vectors as a tile may have, at least one group. */
static size_t most_vectors(size_t head_dim)
{
    size_t n = min_size(MAX_M, MAX_VALUES / round_up(head_dim, KV_LANES));

    return max_size(n / WIDE_GROUP, 1) * WIDE_GROUP;
}

bool attend_is_wide(const struct device *d, const struct attend *op)
{
    return op->prompt && d->ops->wide && op->kv->shape.dtype != DTYPE_F32 && !op->slopes;
}

size_t attend_wide_rows(const struct device *d, const struct attend *op, size_t group_heads)
{
    size_t heads = op->n_head / op->kv->shape.n_kv, n_groups = ceil_div(heads, group_heads);
    size_t tiles = ceil_div(TASKS_PER_THREAD * d->n_threads, op->kv->shape.n_kv * n_groups);
    size_t fair = max_size(ceil_div(op->n, tiles), ceil_div(WIDE_GROUP, group_heads));

    return max_size(min_size(fair, most_vectors(op->kv->shape.head_dim) / group_heads), 1);
}

/* Cuts one thread's scratch into the arrays of w, all of them aligned to 64; returns its bytes.
 * With base NULL only counts. */
static size_t lay_out(struct wide *w, char *base, size_t m, size_t head_dim)
{
    size_t n = round_up(m, WIDE_GROUP), at = 0;

    w->head_dim = head_dim;
    w->k_dims = round_up(head_dim, 32);
    w->v_dims = round_up(head_dim, KV_LANES);
    w->n_groups = n / WIDE_GROUP;
    const struct {
        void *out; /* address of the pointer */
        size_t bytes;
    } want[] = {
        { &w->q, n * w->k_dims * sizeof *w->q },
        { &w->acc, n * w->v_dims * sizeof *w->acc },
        { &w->max, n * sizeof *w->max },
        { &w->sum, n * sizeof *w->sum },
        { &w->at, n * sizeof *w->at },
        { &w->k_floats, WIDE_BLOCK * head_dim * sizeof *w->k_floats },
        { &w->v_floats, WIDE_BLOCK * w->v_dims * sizeof *w->v_floats },
        { &w->k, WIDE_BLOCK * w->k_dims * sizeof *w->k },
        { &w->v, WIDE_BLOCK * w->v_dims * sizeof *w->v },
        { &w->scores, WIDE_BLOCK * WIDE_GROUP * sizeof *w->scores },
        { &w->weights, WIDE_BLOCK * WIDE_GROUP * sizeof *w->weights },
    };

    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        if (base)
            memcpy(want[i].out, &(char *){ base + at }, sizeof(char *));
        at += round_up(want[i].bytes, 64);
    }
    return at;
}

size_t attend_wide_bytes(const struct device *d, size_t head_dim)
{
    struct wide w = { 0 };

    return d->ops->wide ? lay_out(&w, NULL, most_vectors(head_dim), head_dim) : 0;
}

/* Positions block .. to-1, 64 at most, into w->k_floats and w->v_floats. */
static void load_block(const struct device *d, const struct tile *t, struct wide *w, size_t block,
                       size_t to)
{
    const struct kv_shape *s = &t->kv->shape;

    for (size_t pos = block, n; pos < to; pos += n) {
        size_t in_page = pos % s->page_tokens, page = (size_t)t->span->pages[pos / s->page_tokens];
        const unsigned char *keys = kv_keys(t->kv, t->op->layer, page, t->kv_head);

        n = min_size(to - pos, s->page_tokens - in_page);
        kv_read_keys(d->ops, t->kv, keys, in_page, ceil_div(n, KV_LANES),
                     w->k_floats + (pos - block) * s->head_dim);
        kv_read_values(d->ops, t->kv, keys, in_page, n, w->v_floats + (pos - block) * w->v_dims);
    }
}

void attend_wide(struct device *d, const struct tile *t, size_t thread)
{
    const struct attend *op = t->op;
    size_t ld = op->n_head * op->kv->shape.head_dim;
    size_t start = (t->span->row + t->row) * ld + t->head * op->kv->shape.head_dim;
    struct wide w = { .m = t->m,
                      .n_heads = t->n_heads,
                      .pos = t->span->pos + t->row,
                      .window = op->window,
                      .softcap = op->softcap,
                      .scale = op->scale };

    lay_out(&w, (char *)d->tiles.base + thread * d->tile_bytes, t->m, op->kv->shape.head_dim);
    d->ops->wide->load(&w, op->q + start, ld);
    for (size_t at = t->from / WIDE_BLOCK * WIDE_BLOCK; at < t->to; at += WIDE_BLOCK) {
        size_t n = min_size(t->to - at, WIDE_BLOCK);

        load_block(d, t, &w, at, at + n);
        d->ops->wide->block(&w, at, n);
    }
    d->ops->wide->store(&w, op->y + start, ld, op->sinks ? op->sinks + t->head : NULL);
}
