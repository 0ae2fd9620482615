/* mm.c - one op in chunks: who multiplies which rows of which matrix with which activation rows.
 *
 * The n activation rows are cut into ranges that stay in the second-level cache, the weight rows
 * into units; a chunk is a run of units, of all matrices in order.  None of the cuts changes a
 * result. */
#include "kernels/cpu/fetch.h"
#include "kernels/cpu/mm_act.h"

enum {
    RANGE_ROWS = 192,          /* activation rows of a range: 450 kB at 1536 columns */
    ROW_MULTIPLE = 12,         /* so that ranges are whole tiles */
    PANEL_ROWS = 512,          /* of a range where panels are made of weights once a range */
    PROMPT_BYTES = 1536 << 10, /* of prompt rows in a range: as many as the cache holds, since */
    PROMPT_MIN_ROWS = 128,     /* weights are spread out once a range */
    CHUNKS_PER_THREAD = 8,
    FEW_CHUNKS =
        2, /* the same where a unit fetches the next one's weights, as long as it is ours */
    CHUNK_BYTES = 128 << 10, /* of weights, on average at most */
    MAX_CHUNKS = 4096,
    ONE_PANEL_ROWS = MM_FEW_ROWS, /* up to here two panels at once gain nothing */
};

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t ceil_div(size_t a, size_t b)
{
    return a / b + (a % b > 0);
}

void mm_dots(const struct mm_ops *ops, float *y, size_t y_stride, const float *w, const float *x,
             size_t cols, size_t n)
{
    ops->dots(y, y_stride, w, DTYPE_F32, x, cols, cols, n);
}

/* --- chunks --- */

/* Weight rows are handed out in units: one or two groups, or what many_dots() takes at once. */
static size_t unit_rows(const struct mm_ops *ops, const struct matmul *op, const struct weight *w)
{
    size_t n = op->n;

    if (mm_in_strips(ops, op, w))
        return 2 * MM_GROUP;
    if (mm_panels_of(ops, op, w))
        return mm_panels_of(ops, op, w)->width;
    if (w->kind == WEIGHT_FLOAT && mm_many_floats(ops, op))
        return MM_FLOAT_ROWS;
    return w->kind == WEIGHT_FLOAT || n <= ONE_PANEL_ROWS ? MM_GROUP : 2 * MM_GROUP;
}

static size_t unit_count(const struct mm_ops *ops, const struct matmul *op, const struct weight *w)
{
    return ceil_div(w->rows, unit_rows(ops, op, w));
}

static bool any_panels(const struct mm_ops *ops, const struct matmul *op)
{
    for (size_t m = 0; m < op->n_out; m++)
        if (mm_panels_of(ops, op, op->w[m]))
            return true;
    return false;
}

/* Items of work: units of weight rows, for one range of activation rows after the other. */
static size_t range_count(const struct mm_ops *ops, const struct matmul *op)
{
    size_t rows = any_panels(ops, op) ? PANEL_ROWS : RANGE_ROWS;

    if (mm_is_prompt(ops, op)) {
        bool low = op->w[0]->kind == WEIGHT_FLOAT;

        rows = PROMPT_BYTES / (op->w[0]->cols * sizeof(uint16_t) * (low ? 2 : 1));
        rows = min_size(max_size(rows, PROMPT_MIN_ROWS), MM_PROMPT_ROWS);
    }
    return ceil_div(op->n, rows);
}

static size_t all_units(const struct mm_ops *ops, const struct matmul *op)
{
    size_t units = 0;

    for (size_t m = 0; m < op->n_out; m++)
        units += unit_count(ops, op, op->w[m]);
    return units;
}

/* First item of a chunk.  Each of n_threads has an equal run of items and of chunks, where those
 * can be dealt out evenly (pool_claim_near).  Within a run chunks shrink evenly to nothing: long
 * walks through memory at first, and at the end all threads are done at nearly the same time
 * (trapezoid self-scheduling, Tzeng and Ni 1993). */
static size_t first_item(size_t items, size_t n_threads, size_t n_chunks, size_t chunk)
{
    size_t lanes = n_chunks % n_threads == 0 ? n_threads : 1, per = n_chunks / lanes;
    size_t lane = chunk / per, first = items * lane / lanes, left = per - chunk % per;

    if (lane == lanes)
        return items;
    items = items * (lane + 1) / lanes - first;
    return first + items - items * left / per * left / per;
}

size_t mm_chunks(const struct mm_ops *ops, const struct matmul *op, size_t n_threads)
{
    bool few = mm_is_prompt(ops, op) && op->n <= 2 * MM_STRIP;
    size_t bytes = 0, chunks = n_threads * (few ? FEW_CHUNKS : CHUNKS_PER_THREAD);

    for (size_t m = 0; m < op->n_out; m++)
        bytes += op->w[m]->rows * op->w[m]->row_bytes;
    if (chunks < bytes / CHUNK_BYTES)
        chunks = bytes / CHUNK_BYTES;
    chunks = min_size(min_size(chunks, MAX_CHUNKS), all_units(ops, op) * range_count(ops, op));
    return chunks > n_threads ? chunks - chunks % n_threads : chunks;
}

const char *mm_ahead(const struct mm_ops *ops, const struct matmul *op, const struct mm_scratch *s,
                     size_t n_chunks, size_t chunk, size_t *bytes)
{
    size_t item;

    if (chunk >= n_chunks)
        return NULL;
    item = first_item(all_units(ops, op), s->n_threads, n_chunks, chunk);
    for (size_t m = 0; m < op->n_out; m++) {
        const struct weight *w = op->w[m];
        size_t count = unit_count(ops, op, w), group;

        if (item >= count) {
            item -= count;
            continue;
        }
        if (w->kind != WEIGHT_PACKED)
            return NULL;
        group = item * unit_rows(ops, op, w) / MM_GROUP;
        *bytes = (w->n_groups - group) * w->group_bytes;
        return (const char *)w->packed + group * w->group_bytes;
    }
    return NULL;
}

size_t mm_tile_blocks(const struct mm_ops *ops, const struct matmul *op)
{
    size_t blocks = 0;

    for (size_t m = 0; m < op->n_out && mm_in_tiles(ops, op); m++)
        if (op->w[m]->kind == WEIGHT_PACKED)
            blocks += op->w[m]->n_groups * op->w[m]->n_blocks * ceil_div(op->n, MM_STRIP);
    return blocks;
}

/* What the tile after this one reads: the next panels of its groups, or the first ones of the next
 * groups, if they belong to this chunk; another chunk may be another thread's. */
static void look_ahead(struct mm_tile *t, size_t group, size_t p, size_t group_end)
{
    const struct weight *w = t->w;
    size_t next = p + 1 < w->n_panels ? group : group + t->n_panels;

    p = p + 1 < w->n_panels ? p + 1 : 0;
    for (size_t g = 0; g < 2; g++) {
        t->ahead[g] = (const char *)weight_codes(w, next + g, p);
        t->ahead_lines[g] = g < t->n_panels && next + g < group_end ? w->panel_bytes / 64 : 0;
    }
}

/* Weight rows row .. row_end - 1, one or two groups at a time, times n activation rows from i. */
static void packed_rows(const struct mm_ops *ops, const struct matmul *op, struct mm_scratch *s,
                        size_t matrix, size_t row, size_t row_end, size_t i, size_t n,
                        size_t thread)
{
    const struct weight *w = op->w[matrix];
    size_t unit = unit_rows(ops, op, w);
    struct mm_panel_buf buf[2];
    struct mm_tile t = { .w = w, .a_stride = mm_act_stride(w->cols), .n = n, .y_stride = w->rows };

    for (; row < row_end; row += unit) {
        size_t group = row / MM_GROUP;

        t.rows = min_size(unit, w->rows - row);
        t.n_panels = ceil_div(t.rows, MM_GROUP);
        t.y = op->y[matrix] + i * w->rows + row;
        t.bias = op->bias[matrix] ? op->bias[matrix] + row : NULL;
        for (size_t p = 0; p < w->n_panels; p++) {
            t.n_blocks = weight_blocks(w, p);
            t.first = p == 0;
            t.last = p == w->n_panels - 1;
            t.a = mm_act_row(op, s, thread, i) + p * w->panel_blocks;
            if (ops->few && n <= MM_FEW_ROWS) {
                ops->few(&t, weight_codes(w, group, p), weight_scales(w, group, p));
                continue;
            }
            for (size_t g = 0; g < t.n_panels; g++) {
                ops->expand(&t.panel[g], &buf[g], w, weight_codes(w, group + g, p),
                            weight_scales(w, group + g, p), t.n_blocks);
            }
            look_ahead(&t, group, p, ceil_div(row_end, MM_GROUP));
            ops->tile(&t);
        }
    }
}

/* The same for rows of a prompt; i is the first of two strips. */
static void prompt_rows(const struct mm_ops *ops, const struct matmul *op,
                        const struct mm_scratch *s, size_t matrix, size_t row, size_t row_end,
                        size_t i, size_t n, size_t thread)
{
    const struct weight *w = op->w[matrix];
    bool low = w->kind == WEIGHT_FLOAT;

    ops->prompt(&(struct mm_prompt){ .w = { w, w },
                                     .unit = row / (2 * MM_GROUP),
                                     .n_units = ceil_div(row_end - row, 2 * MM_GROUP),
                                     .a = mm_act_strip(op, s, i),
                                     .low = low ? mm_act_low(op, s, i) : NULL,
                                     .n = n,
                                     .bias = { op->bias[matrix], op->bias[matrix] },
                                     .y = op->y[matrix] + i * w->rows,
                                     .buf = mm_prompt_buf_of(s, thread) });
}

/* The same for generated rows in tiles. */
static void many_rows(const struct mm_ops *ops, const struct matmul *op, struct mm_scratch *s,
                      size_t matrix, size_t row, size_t row_end, size_t i, size_t n, size_t thread)
{
    const struct weight *w = op->w[matrix];

    ops->many(&(struct mm_many){ .w = w,
                                 .group = row / MM_GROUP,
                                 .group_end = ceil_div(row_end, MM_GROUP),
                                 .a = mm_act_tiles(op, s, thread, i),
                                 .n = n,
                                 .y = op->y[matrix] + i * w->rows,
                                 .bias = op->bias[matrix],
                                 .fetch = s->fetch ? &s->fetch[thread] : NULL });
}

static const void *strips_of(const struct mm_ops *ops, const struct matmul *op,
                             const struct mm_scratch *s, const struct weight *w, size_t i)
{
    const struct mm_panels *p = mm_panels_of(ops, op, w);

    return p ? mm_act_columns(op, s, p, i) : NULL;
}

/* Units begin .. end - 1 of all matrices times n activation rows from i. */
static void multiply(const struct mm_ops *ops, const struct matmul *op, struct mm_scratch *s,
                     size_t begin, size_t end, size_t i, size_t n, size_t thread)
{
    for (size_t m = 0; m < op->n_out && end > 0; m++) {
        const struct weight *w = op->w[m];
        size_t count = unit_count(ops, op, w), unit = unit_rows(ops, op, w);
        size_t row = min_size(begin, count) * unit, row_end = min_size(end * unit, w->rows);

        if (row < row_end && mm_in_strips(ops, op, w))
            prompt_rows(ops, op, s, m, row, row_end, i, n, thread);
        else if (row < row_end && w->kind == WEIGHT_PACKED && mm_in_tiles(ops, op))
            many_rows(ops, op, s, m, row, row_end, i, n, thread);
        else if (row < row_end && w->kind == WEIGHT_PACKED)
            packed_rows(ops, op, s, m, row, row_end, i, n, thread);
        else if (row < row_end)
            mm_float(ops, op, m, row, row_end - row, i, n, strips_of(ops, op, s, w, i),
                     mm_float_panel(s, thread));
        begin -= min_size(begin, count);
        end -= min_size(end, count);
    }
}

/* What chunk `chunk` of n_chunks does of units x ranges items. */
struct walk {
    size_t units, step; /* step: activation rows of a range */
    size_t item, end;
};

static struct walk walk_start(const struct mm_ops *ops, const struct matmul *op,
                              const struct mm_scratch *s, size_t units, size_t n_chunks,
                              size_t chunk)
{
    size_t ranges = range_count(ops, op), items = units * ranges;
    size_t multiple = mm_is_prompt(ops, op)  ? 2 * MM_STRIP
                      : mm_in_tiles(ops, op) ? MM_STRIP
                      : any_panels(ops, op)  ? ops->panels->height
                                             : ROW_MULTIPLE;

    return (struct walk){ .units = units,
                          .step = ceil_div(ceil_div(op->n, ranges), multiple) * multiple,
                          .item = first_item(items, s->n_threads, n_chunks, chunk),
                          .end = first_item(items, s->n_threads, n_chunks, chunk + 1) };
}

/* The next units begin .. stop - 1 with rows i .. i + n - 1 out of n_rows; n may be 0. */
static bool walk_next(struct walk *k, size_t n_rows, size_t *begin, size_t *stop, size_t *i,
                      size_t *n)
{
    if (k->item >= k->end)
        return false;
    *begin = k->item % k->units;
    *stop = min_size(k->units, *begin + (k->end - k->item));
    *i = min_size(k->item / k->units * k->step, n_rows);
    *n = min_size(k->step, n_rows - *i);
    k->item += *stop - *begin;
    return true;
}

void mm_chunk(const struct mm_ops *ops, const struct matmul *op, struct mm_scratch *s,
              size_t n_chunks, size_t chunk, size_t thread)
{
    struct walk k = walk_start(ops, op, s, all_units(ops, op), n_chunks, chunk);
    size_t begin, stop, i, n;

    while (walk_next(&k, op->n, &begin, &stop, &i, &n))
        if (n > 0)
            multiply(ops, op, s, begin, stop, i, n, thread);
}

/* --- a feed-forward op's first half: a unit is a group of both matrices --- */

bool mm_joins(const struct mm_ops *ops, const struct matmul *in, const struct matmul *out)
{
    const struct weight *gate = in->w[0], *up = in->w[1], *down = out->w[0];

    return mm_is_prompt(ops, in) && gate->kind == WEIGHT_PACKED && up->kind == WEIGHT_PACKED &&
           down->kind == WEIGHT_PACKED && gate->rows == up->rows && down->cols == up->rows;
}

size_t mm_join_chunks(const struct mm_ops *ops, const struct matmul *in, size_t n_threads)
{
    return min_size(mm_chunks(ops, in, n_threads), in->w[0]->n_groups * range_count(ops, in));
}

void mm_join_chunk(const struct mm_ops *ops, const struct matmul *in, const struct mm_join *join,
                   struct mm_scratch *s, size_t n_chunks, size_t chunk, size_t thread)
{
    struct walk k = walk_start(ops, in, s, in->w[0]->n_groups, n_chunks, chunk);
    struct mm_scratch hidden = mm_hidden(s);
    size_t begin, stop, i, n;

    while (walk_next(&k, in->n, &begin, &stop, &i, &n))
        if (n > 0)
            ops->prompt(&(struct mm_prompt){
                .w = { in->w[0], in->w[1] },
                .unit = begin,
                .n_units = stop - begin,
                .a = mm_act_strip(in, s, i),
                .n = n,
                .bias = { in->bias[0], in->bias[1] },
                .join = join,
                .strips = (uint16_t *)(void *)(hidden.base + hidden.strips_at) + i * in->w[0]->rows,
                .buf = mm_prompt_buf_of(s, thread) });
}

struct mm_scratch mm_hidden(const struct mm_scratch *s)
{
    struct mm_scratch hidden = *s;

    hidden.strips_at = s->hidden_at;
    return hidden;
}
