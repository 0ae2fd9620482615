/* attend_wide.c - attention of given tokens, hundreds of query vectors a tile: struct wide_ops does
 * the arithmetic, here keys and values of a block are made floats for it, page by page.
 *
 * After every 512 positions sums are closed and merged, as in attend.c, so that splits can
 * be tasks: a tile of few query vectors spends its time on conversion, and rows that are not cut
 * share it.  A cache in F32 promises more than BF16 factors keep, and stays with attend.c; so do
 * scores that positions are added to. */
#include <string.h>

#include "kernels/cpu/attend.h"

enum {
    MAX_M = 512,        /* query vectors of a tile: they share a block's conversion */
    MAX_VALUES = 65536, /* of acc, which should stay in a processor's own cache */
    TASKS_PER_THREAD = 4,
    FEW = 256, /* query vectors of a kv head: rather than them, positions are cut */
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

void attend_wide_cut(const struct device *d, const struct attend *op, size_t longest,
                     struct attend_plan *p)
{
    bool few = op->n * p->group_heads <= FEW;
    size_t tiles = ceil_div(TASKS_PER_THREAD * d->n_threads, op->kv->shape.n_kv * p->n_groups);
    size_t vectors = op->n * p->group_heads;

    p->split = few && d->n_threads > 1 && longest > ATTEND_WIDE_SPLIT;
    if (!p->split && d->n_threads > 1)
        vectors = ceil_div(op->n, tiles) * p->group_heads;
    vectors = min_size(round_up(vectors, WIDE_GROUP), most_vectors(op->kv->shape.head_dim));
    p->rows = max_size(vectors / p->group_heads, 1);
}

/* Cuts memory, aligned to 64, into the sums of n vectors; returns its bytes. */
static size_t lay_out_sums(struct wide_sums *s, char *base, size_t n, size_t v_dims)
{
    s->acc = (float *)(void *)base;
    s->max = s->acc + n * v_dims;
    s->sum = s->max + n;
    return n * (v_dims + 2) * sizeof(float);
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
        { &w->last, n * sizeof *w->last },
        { &w->before, n * sizeof *w->before },
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

/* Behind that: the sums of all splits so far and of the one at hand. */
static size_t sums_bytes(size_t m, size_t head_dim)
{
    return round_up(m, WIDE_GROUP) * (round_up(head_dim, KV_LANES) + 2) * sizeof(float);
}

size_t attend_wide_bytes(const struct device *d, size_t head_dim)
{
    struct wide w = { 0 };

    return d->ops->wide ? lay_out(&w, NULL, most_vectors(head_dim), head_dim) +
                              2 * sums_bytes(most_vectors(head_dim), head_dim)
                        : 0;
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

/* A tile's queries in this thread's scratch; *sums is what follows there. */
static struct wide tile_start(const struct device *d, const struct tile *t, size_t thread,
                              char **sums)
{
    const struct attend *op = t->op;
    struct wide w = { .m = t->m,
                      .n_heads = t->n_heads,
                      .pos = t->span->pos + t->row,
                      .reach = t->span->reach,
                      .window = op->window,
                      .softcap = op->softcap,
                      .scale = op->scale };
    char *base = (char *)d->tiles.base + thread * d->tile_bytes;

    *sums = base + lay_out(&w, base, t->m, op->kv->shape.head_dim);
    return w;
}

/* The tile's first value in q and y, and how far rows are apart. */
static size_t tile_offset(const struct tile *t, size_t *ld)
{
    *ld = t->op->n_head * t->kv->shape.head_dim;
    return (t->span->row + t->row) * *ld + t->head * t->kv->shape.head_dim;
}

static void load_queries(const struct device *d, const struct tile *t, struct wide *w)
{
    size_t ld, at = tile_offset(t, &ld);

    d->ops->wide->load(w, t->op->q + at, ld);
}

static void one_split(const struct device *d, const struct tile *t, struct wide *w, size_t split)
{
    size_t from = max_size(split * t->split, t->from / WIDE_BLOCK * WIDE_BLOCK);
    size_t to = min_size((split + 1) * t->split, t->to);

    d->ops->wide->start(w);
    for (size_t at = from; at < to; at += WIDE_BLOCK) {
        size_t n = min_size(to - at, WIDE_BLOCK);

        load_block(d, t, w, at, at + n);
        d->ops->wide->block(w, at, n);
    }
}

static void finish(const struct device *d, const struct tile *t, const struct wide *w,
                   const struct wide_sums *s)
{
    size_t ld, at = tile_offset(t, &ld);

    d->ops->wide->store(w, s, t->op->y + at, ld, t->op->sinks ? t->op->sinks + t->head : NULL);
}

void attend_wide(struct device *d, const struct tile *t, size_t thread)
{
    size_t first = t->from / t->split, n = tile_splits(t);
    char *at;
    struct wide w = tile_start(d, t, thread, &at);
    struct wide_sums all;

    at += lay_out_sums(&all, at, w.n_groups * WIDE_GROUP, w.v_dims);
    load_queries(d, t, &w);
    for (size_t i = 0; i < n; i++) {
        if (i == 0)
            w.now = all;
        else
            lay_out_sums(&w.now, at, w.n_groups * WIDE_GROUP, w.v_dims);
        one_split(d, t, &w, first + i);
        if (i > 0)
            d->ops->wide->merge(&w, &all, &w.now);
    }
    finish(d, t, &w, &all);
}

size_t attend_wide_part_bytes(const struct attend *op, const struct attend_plan *p)
{
    return sums_bytes(p->rows * p->group_heads, op->kv->shape.head_dim);
}

void attend_wide_split(struct device *d, const struct tile *t, size_t thread, size_t split,
                       void *part)
{
    char *unused;
    struct wide w = tile_start(d, t, thread, &unused);

    lay_out_sums(&w.now, part, w.n_groups * WIDE_GROUP, w.v_dims);
    load_queries(d, t, &w);
    one_split(d, t, &w, split);
}

void attend_wide_merge(struct device *d, const struct tile *t, size_t thread, char *parts, size_t n,
                       size_t part_bytes)
{
    char *unused;
    struct wide w = tile_start(d, t, thread, &unused);
    struct wide_sums all, part;

    lay_out_sums(&all, parts, w.n_groups * WIDE_GROUP, w.v_dims);
    for (size_t i = 1; i < n; i++) {
        lay_out_sums(&part, parts + i * part_bytes, w.n_groups * WIDE_GROUP, w.v_dims);
        d->ops->wide->merge(&w, &all, &part);
    }
    finish(d, t, &w, &all);
}
