/* fetch.c - which keys and values a thread fetches while it multiplies generated rows: those of its
 * own lane of the next attention, as late as they can be had at an even pace. */
#include "kernels/cpu/fetch.h"

#include "kernels/cpu/attend.h"

enum {
    LOOK_OPS = 24,     /* how far to look for the attention: a layer */
    MAX_LINES = 16384, /* half of a second-level cache of 2 MB: weights go through the rest */
    /* Lines a block of weights, which has 5 to 9 of its own: 4 gave more than 3 and 6. */
    PACE = 4,
};

/* One more run of bytes; false when there are enough. */
static bool add_run(struct fetch *f, const unsigned char *at, size_t bytes)
{
    size_t lines = min_size(ceil_div(bytes, FETCH_LINE), MAX_LINES - f->total);

    if (f->n_runs == FETCH_RUNS || lines == 0)
        return false;
    f->runs[f->n_runs].at = (const char *)at;
    f->runs[f->n_runs++].lines = lines;
    f->total += lines;
    return true;
}

/* Keys and values that a tile sees, page by page, as it will read them.  (Of Q8_0, whose scales
 * stand behind all codes, about where they are.) */
static bool add_tile(struct fetch *f, const struct tile *t)
{
    const struct kv *kv = t->kv;
    size_t tokens = kv->shape.page_tokens, key = kv->k_bytes / tokens;
    size_t value = (kv->head_bytes - kv->k_bytes) / tokens;

    for (size_t pos = t->from, n; pos < t->to; pos += n) {
        size_t at = pos % tokens / KV_LANES * KV_LANES;
        size_t page = (size_t)t->span->pages[pos / tokens], end;
        const unsigned char *keys = kv_keys(kv, t->op->layer, page, t->kv_head);

        n = min_size(t->to - pos, tokens - pos % tokens);
        end = ceil_div(pos % tokens + n, KV_LANES) * KV_LANES;
        if (!add_run(f, keys + at * key, (end - at) * key) ||
            !add_run(f, keys + kv->k_bytes + at * value, (end - at) * value))
            return false;
    }
    return true;
}

/* What the thread's lane of an attend op reads. */
static void list(struct fetch *f, const struct device *d, size_t index, size_t thread)
{
    const struct op *op = &d->queue[index];
    size_t n_lanes = min_size(d->n_lanes, op->n_chunks), lane = thread % n_lanes;
    size_t end = pool_lane_first(op->n_chunks, n_lanes, lane + 1);

    *f = (struct fetch){ .op = index };
    for (size_t i = pool_lane_first(op->n_chunks, n_lanes, lane); i < end; i++) {
        struct tile t = tile_at(&op->attend.op, &op->attend.plan, i);

        if (!add_tile(f, &t))
            break;
    }
    if (f->n_runs > 0) {
        f->at = f->runs[0].at;
        f->left = f->runs[0].lines;
        f->run = 1;
    }
}

/* The ops between here and the attention that multiply fetch at most PACE lines a block each; what
 * they cannot have fetched by then, earlier ones do. */
void fetch_pace(const struct device *d, size_t index, size_t thread)
{
    struct fetch *f = &d->fetch[thread];
    const struct op *op = &d->queue[index];
    size_t own, later = 0, next;

    f->per = 0;
    if (op->kind != OP_MATMUL || (own = mm_tile_blocks(d->ops->mm, &op->matmul)) == 0)
        return;
    for (next = index + 1; next < d->n_ops && d->queue[next].kind != OP_ATTEND; next++) {
        if (next == index + LOOK_OPS)
            return;
        if (d->queue[next].kind == OP_MATMUL)
            later += mm_tile_blocks(d->ops->mm, &d->queue[next].matmul);
    }
    if (next == d->n_ops || d->queue[next].attend.op.prompt || d->queue[next].attend.plan.split)
        return;
    if (f->op != next)
        list(f, d, next, thread);
    own = own / d->n_threads + 1;
    later = later / d->n_threads * PACE;
    if (f->total > later)
        f->per = min_size(ceil_div(f->total - later, own), PACE);
}
