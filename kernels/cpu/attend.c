/* attend.c - attention of a batch of rows over paged keys and values.
 *
 * A task is a tile of up to TILE_M query vectors that read the same kv head of the same sequence:
 * rows times the heads of a group, so that keys and values are read once for all of them. Positions
 * are walked in blocks of 64: scores, online softmax, weighted sum of values.  After every 256
 * positions the running maximum, sum and vector of the split are closed and merged into those of
 * the splits before (Dao et al. 2023, FlashAttention-2, section 3.1), whether one thread walks all
 * splits or each is a task of its own.
 *
 * So blocks and splits stand at fixed positions and a row's arithmetic is the same in any tile,
 * batch and division of work; where a row of a tile does not see a position that others see, exact
 * zeros are added. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/attend.h"
#include "kernels/quant/quant.h"

enum {
    TILE_M = 48, /* query vectors of a tile */
    TILE_ROWS = 16,
    BLOCK = ATTEND_BLOCK,
    SPLIT = 256,
    FEW = 6,              /* query vectors of a tile whose time goes into reading keys and values */
    TASKS_PER_THREAD = 4, /* with fewer tasks than that, splits become tasks */
};

/* Running softmax of a tile: maximum and sum of each query vector, weighted values not yet divided
 * by sum. */
struct partial {
    float max[TILE_M], sum[TILE_M];
    float *acc; /* [TILE_M, v_cols] */
};

/* --- cutting --- */

static size_t span_tiles(const struct attend_plan *p, const struct seq_span *s)
{
    return ceil_div(s->n, p->rows);
}

/* Heads of a group are spread evenly over its tasks; rows then fill the tile.  With enough tiles
 * for all threads splits are walked in order instead: same result, no memory for parts. */
static struct attend_plan plan(const struct device *d, const struct attend *op)
{
    size_t n_kv = op->kv->shape.n_kv, heads = op->n_head / n_kv, longest = 0, tiles = 0;
    struct attend_plan p;

    p.n_groups = ceil_div(heads, ATTEND_HEADS);
    p.group_heads = ceil_div(heads, p.n_groups);
    p.n_groups = ceil_div(heads, p.group_heads);
    p.wide = attend_is_wide(d, op);
    p.rows = min_size(TILE_ROWS, TILE_M / p.group_heads);
    for (size_t i = 0; i < op->n_spans; i++)
        longest =
            max_size(longest, max_size(op->spans[i].pos + op->spans[i].n, op->spans[i].reach));
    if (p.wide)
        attend_wide_cut(d, op, longest, &p);
    for (size_t i = 0; i < op->n_spans; i++)
        tiles += span_tiles(&p, &op->spans[i]);
    p.n_tiles = tiles * n_kv * p.n_groups;
    if (!p.wide)
        p.split =
            d->n_threads > 1 && longest > SPLIT && p.n_tiles < TASKS_PER_THREAD * d->n_threads;
    return p;
}

struct tile tile_at(const struct attend *op, const struct attend_plan *p, size_t index)
{
    size_t n_kv = op->kv->shape.n_kv, per_row_tile = n_kv * p->n_groups;
    size_t group = index % p->n_groups, at = index / per_row_tile, n;
    struct tile t = { .op = op, .kv = op->kv, .span = op->spans, .index = index };

    t.split = p->wide ? ATTEND_WIDE_SPLIT : SPLIT;
    while (at >= (n = span_tiles(p, t.span))) {
        at -= n;
        t.span++;
    }
    t.row = (n - 1 - at) * p->rows;
    t.n_rows = min_size(p->rows, t.span->n - t.row);
    t.kv_head = index / p->n_groups % n_kv;
    t.head = t.kv_head * (op->n_head / n_kv) + group * p->group_heads;
    t.n_heads = min_size(p->group_heads, (t.kv_head + 1) * (op->n_head / n_kv) - t.head);
    t.m = t.n_rows * t.n_heads;
    t.from = first_seen(op, t.span->pos + t.row);
    t.to = end_seen(op, t.span, t.span->pos + t.row + t.n_rows - 1);
    return t;
}

/* --- scratch --- */

/* Of one thread: q, scores, two vectors of weighted values, and a block of keys or values. */
static size_t tile_floats(size_t v_cols)
{
    return (size_t)TILE_M * (3 * v_cols + BLOCK) + BLOCK * v_cols;
}

/* Of one closed split in device.parts: max, sum, acc. */
static size_t part_bytes(const struct attend *op, const struct attend_plan *p)
{
    return p->wide ? attend_wide_part_bytes(op, p) : TILE_M * (2 + op->kv->v_cols) * sizeof(float);
}

int attend_reserve(struct device *d, size_t head_dim, struct err *e)
{
    size_t v_cols = ceil_div(head_dim, KV_LANES) * KV_LANES;
    size_t bytes = max_size(tile_floats(v_cols) * sizeof(float), attend_wide_bytes(d, head_dim));

    if (!scratch_grow(&d->tiles, bytes * d->n_threads))
        return err_set(e, ERR_NOMEM, "no memory for attention over heads of %zu", head_dim);
    d->tile_bytes = max_size(d->tile_bytes, bytes);
    return 0;
}

/* Splits of all tiles, and memory for their partial results. */
static size_t plan_splits(struct device *d, const struct attend *op, struct attend_plan *p)
{
    size_t n = 0, bytes;

    for (size_t i = 0; i < p->n_tiles; i++) {
        struct tile t = tile_at(op, p, i);
        n += tile_splits(&t);
    }
    if (__builtin_mul_overflow(n, part_bytes(op, p), &bytes) || !scratch_grow(&d->parts, bytes))
        p->split = false;
    return n;
}

void attend_enqueue(struct device *d, const struct attend *op)
{
    struct attend_plan p = plan(d, op);
    size_t n = p.n_tiles;
    struct op *put;

    if (n == 0)
        return;
    if (p.split)
        n = plan_splits(d, op, &p);
    put = queue_put(d, OP_ATTEND, p.split ? n : p.n_tiles, 0);
    put->attend.op = *op;
    put->attend.plan = p;
    if (p.split) {
        put = queue_put(d, OP_ATTEND_MERGE, p.n_tiles, 0);
        put->attend.op = *op;
        put->attend.plan = p;
    }
}

/* --- the work --- */

/* Lays out this thread's scratch.  The scale goes onto q once instead of onto every score. */
static void load_queries(const struct device *d, struct tile *t, size_t thread,
                         struct partial run[2])
{
    size_t dim = t->kv->shape.head_dim, v_cols = t->kv->v_cols;
    float *at = (float *)((char *)d->tiles.base + thread * d->tile_bytes);

    t->q = at;
    t->scores = at + TILE_M * v_cols;
    run[0].acc = t->scores + TILE_M * BLOCK;
    run[1].acc = run[0].acc + TILE_M * v_cols;
    t->block = run[1].acc + TILE_M * v_cols;
    for (size_t r = 0; r < t->n_rows; r++) {
        size_t row = t->span->row + t->row + r;
        float *q = t->q + r * t->n_heads * dim;

        d->ops->scale(q, t->op->q + (row * t->op->n_head + t->head) * dim, t->op->scale,
                      t->n_heads * dim);
    }
}

/* Few query vectors multiply numbers as they stand in the cache, on their way out of memory; for
 * many, a block is made floats once.  The products are the same. */
static bool is_direct(const struct tile *t)
{
    return t->kv->shape.dtype == DTYPE_F32 || (t->m <= FEW && t->kv->shape.dtype != DTYPE_Q8_0);
}

static void multiply(const struct device *d, const struct tile *t, const struct mac *mac)
{
    if (mac->b == t->block || t->kv->shape.dtype == DTYPE_F32)
        d->ops->mac_f32(mac);
    else if (t->kv->shape.dtype == DTYPE_F16)
        d->ops->mac_f16(mac);
    else
        d->ops->mac_bf16(mac);
}

/* scores[:, g0*16 .. g1*16-1] of the block at `block`, page by page. */
static void block_scores(const struct device *d, const struct tile *t, size_t block, size_t g0,
                         size_t g1)
{
    const struct kv_shape *s = &t->kv->shape;
    size_t group_values = s->head_dim * KV_LANES;

    for (size_t g = g0, n; g < g1; g += n) {
        size_t pos = block + g * KV_LANES, in_page = pos % s->page_tokens;
        size_t page = (size_t)t->span->pages[pos / s->page_tokens];
        const unsigned char *keys = kv_keys(t->kv, t->op->layer, page, t->kv_head);
        struct mac mac = { .c = t->scores + g * KV_LANES,
                           .ldc = BLOCK,
                           .a = t->q,
                           .lda = s->head_dim,
                           .ldb = KV_LANES,
                           .step = group_values,
                           .m = t->m,
                           .k = s->head_dim };

        n = min_size(g1 - g, (s->page_tokens - in_page) / KV_LANES);
        mac.n_groups = n;
        if (is_direct(t)) {
            mac.b = keys + in_page / KV_LANES * group_values * t->kv->value_bytes;
            mac.next = t->m > FEW
                           ? NULL
                           : keys + t->kv->k_bytes + in_page * t->kv->v_cols * t->kv->value_bytes;
        } else {
            kv_read_keys(d->ops, t->kv, keys, in_page, n, t->block);
            mac.b = t->block;
        }
        multiply(d, t, &mac);
    }
}

/* Keys that this thread will most likely read next: those at pos, or the first of another tile. */
static const void *next_keys(const struct tile *t, size_t pos)
{
    size_t tokens = t->kv->shape.page_tokens, in_page = pos % tokens;
    const unsigned char *keys;

    if (pos >= t->to)
        return NULL;
    keys = kv_keys(t->kv, t->op->layer, (size_t)t->span->pages[pos / tokens], t->kv_head);
    return keys + in_page * t->kv->shape.head_dim * t->kv->value_bytes;
}

/* acc += the block's weights times the values of positions from .. to-1, page by page. */
static void block_values(const struct device *d, const struct tile *t, float *acc, size_t block,
                         size_t from, size_t to)
{
    const struct kv_shape *s = &t->kv->shape;
    size_t v_cols = t->kv->v_cols;

    for (size_t pos = from, n; pos < to; pos += n) {
        size_t in_page = pos % s->page_tokens, page = (size_t)t->span->pages[pos / s->page_tokens];
        const unsigned char *keys = kv_keys(t->kv, t->op->layer, page, t->kv_head);
        struct mac mac = { .c = acc,
                           .ldc = v_cols,
                           .a = t->scores + (pos - block),
                           .lda = BLOCK,
                           .ldb = v_cols,
                           .step = LANES,
                           .m = t->m,
                           .n_groups = v_cols / LANES,
                           .accumulate = true };

        n = min_size(to - pos, s->page_tokens - in_page);
        mac.k = n;
        if (is_direct(t)) {
            mac.b = keys + t->kv->k_bytes + in_page * v_cols * t->kv->value_bytes;
            mac.next = t->m > FEW ? NULL : next_keys(t, pos + n);
        } else {
            kv_read_values(d->ops, t->kv, keys, in_page, n, t->block);
            mac.b = t->block;
        }
        multiply(d, t, &mac);
    }
}

/* s[i] += scale * bf16(slope bf16(start + i)), of all vectors of the tile. */
static void add_slopes(const struct tile *t, float *scores, size_t start, size_t n)
{
    float at[BLOCK];

    for (size_t i = 0; i < n; i++)
        at[i] = quant_round_bf16((float)(start + i));
    for (size_t v = 0; v < t->m; v++) {
        float slope = t->op->slopes[t->head + v % t->n_heads], *s = scores + v * BLOCK;

        for (size_t i = 0; i < n; i++)
            s[i] += t->op->scale * quant_round_bf16(slope * at[i]);
    }
}

/* Positions from .. to-1 of the tile that lie in the block at `block`. */
static void block(const struct device *d, const struct tile *t, struct partial *run,
                  size_t block_at, size_t from, size_t to)
{
    size_t g0 = (from - block_at) / KV_LANES, g1 = ceil_div(to - block_at, KV_LANES);
    size_t v_cols = t->kv->v_cols, start = block_at + g0 * KV_LANES, n = (g1 - g0) * KV_LANES;

    block_scores(d, t, block_at, g0, g1);
    if (t->op->slopes)
        add_slopes(t, t->scores + g0 * KV_LANES, start, n);
    for (size_t r = 0; r < t->n_rows; r++) {
        size_t pos = t->span->pos + t->row + r;
        size_t lo = max_size(first_seen(t->op, pos), start);
        size_t hi = min_size(end_seen(t->op, t->span, pos), to);

        for (size_t i = r * t->n_heads; i < (r + 1) * t->n_heads; i++) {
            float *s = t->scores + i * BLOCK + g0 * KV_LANES, *acc = run->acc + i * v_cols, factor;

            if (lo >= hi) {
                memset(s, 0, n * sizeof *s);
                continue;
            }
            factor = d->ops->softmax(s, n, lo - start, hi - start, t->op->softcap, &run->max[i],
                                     &run->sum[i]);
            if (factor != 1.0f)
                d->ops->scale(acc, acc, factor, v_cols);
        }
    }
    block_values(d, t, run->acc, block_at, from, to);
}

/* Starts anew, so that the result can be merged by whoever comes. */
static void one_split(const struct device *d, const struct tile *t, struct partial *run,
                      size_t split)
{
    size_t from = max_size(split * SPLIT, t->from), to = min_size((split + 1) * SPLIT, t->to);

    for (size_t i = 0; i < t->m; i++) {
        run->max[i] = -INFINITY;
        run->sum[i] = 0;
    }
    memset(run->acc, 0, t->m * t->kv->v_cols * sizeof(float));
    for (size_t at = from / BLOCK * BLOCK; at < to; at += BLOCK)
        block(d, t, run, at, max_size(at, from), min_size(at + BLOCK, to));
}

/* into = into and from together, for vector i. */
static void merge(const struct device *d, const struct tile *t, struct partial *into, float max,
                  float sum, const float *acc, size_t i)
{
    float top = fmaxf(into->max[i], max), a, b;

    if (max == -INFINITY)
        return; /* this row saw nothing there */
    a = into->max[i] == top ? 1.0f : expf(into->max[i] - top);
    b = max == top ? 1.0f : expf(max - top);
    into->max[i] = top;
    into->sum[i] = into->sum[i] * a + sum * b;
    d->ops->scale_add(into->acc + i * t->kv->v_cols, a, acc, b, t->kv->v_cols);
}

/* y = acc / sum, a sink's weight added to sum.  A -0 that met the zeros of a tile is made 0 by
 * scale().
 */
static void finish(const struct device *d, const struct tile *t, const struct partial *run)
{
    size_t dim = t->kv->shape.head_dim;

    for (size_t i = 0; i < t->m; i++) {
        size_t row = t->span->row + t->row + i / t->n_heads, head = t->head + i % t->n_heads;
        float *y = t->op->y + (row * t->op->n_head + head) * dim, factor = 1 / run->sum[i];
        const float *acc = run->acc + i * t->kv->v_cols;

        if (t->op->sinks) {
            float top = fmaxf(run->max[i], t->op->sinks[head]), own = expf(run->max[i] - top);

            factor = own / (run->sum[i] * own + expf(t->op->sinks[head] - top));
        }
        d->ops->scale(y, acc, factor, dim);
    }
}

/* Where split number `split` of all tiles keeps its result. */
static float *part_at(const struct device *d, const struct op *op, size_t split)
{
    return (float *)d->parts.base +
           split * part_bytes(&op->attend.op, &op->attend.plan) / sizeof(float);
}

/* Walks all splits of a tile, in order. */
static void whole_tile(struct device *d, struct tile *t, size_t thread)
{
    size_t first = t->from / SPLIT, n = tile_splits(t);
    struct partial run[2];

    load_queries(d, t, thread, run);
    one_split(d, t, &run[0], first);
    for (size_t s = 1; s < n; s++) {
        one_split(d, t, &run[1], first + s);
        for (size_t i = 0; i < t->m; i++)
            merge(d, t, &run[0], run[1].max[i], run[1].sum[i], run[1].acc + i * t->kv->v_cols, i);
    }
    finish(d, t, &run[0]);
}

void attend_chunk(struct device *d, const struct op *op, size_t chunk, size_t thread)
{
    const struct attend_plan *p = &op->attend.plan;
    struct tile t = tile_at(&op->attend.op, p, p->split ? 0 : chunk);
    size_t n, split = chunk;
    struct partial run[2];
    float *part;

    if (!p->split) {
        p->wide ? attend_wide(d, &t, thread) : whole_tile(d, &t, thread);
        return;
    }
    while (split >= (n = tile_splits(&t))) {
        split -= n;
        t = tile_at(&op->attend.op, p, t.index + 1);
    }
    part = part_at(d, op, chunk);
    if (p->wide) {
        attend_wide_split(d, &t, thread, t.from / t.split + split, part);
        return;
    }
    load_queries(d, &t, thread, run);
    one_split(d, &t, &run[0], t.from / SPLIT + split);
    memcpy(part, run[0].max, sizeof run[0].max);
    memcpy(part + TILE_M, run[0].sum, sizeof run[0].sum);
    memcpy(part + 2 * TILE_M, run[0].acc, t.m * t.kv->v_cols * sizeof(float));
}

/* One tile: its parts, left to right, as whole_tile() would have met them. */
void attend_merge_chunk(struct device *d, const struct op *op, size_t chunk, size_t thread)
{
    struct tile t = tile_at(&op->attend.op, &op->attend.plan, 0);
    size_t first = 0, n, v_cols = t.kv->v_cols;
    struct partial run;

    while (t.index < chunk) {
        first += tile_splits(&t);
        t = tile_at(&op->attend.op, &op->attend.plan, t.index + 1);
    }
    n = tile_splits(&t);
    if (op->attend.plan.wide) {
        attend_wide_merge(d, &t, thread, (char *)part_at(d, op, first), n,
                          part_bytes(&op->attend.op, &op->attend.plan));
        return;
    }
    memcpy(run.max, part_at(d, op, first), sizeof run.max);
    memcpy(run.sum, part_at(d, op, first) + TILE_M, sizeof run.sum);
    run.acc = part_at(d, op, first) + 2 * TILE_M;
    for (size_t s = 1; s < n; s++) {
        const float *part = part_at(d, op, first + s);

        for (size_t i = 0; i < t.m; i++)
            merge(d, &t, &run, part[i], part[TILE_M + i], part + 2 * TILE_M + i * v_cols, i);
    }
    finish(d, &t, &run);
}
