/* mm.c - one op in chunks: who multiplies which rows of which matrix with which activation rows.
 *
 * The n activation rows are cut into ranges that stay in the second-level cache, the weight rows
 * into units; a chunk is a run of units, of all matrices in order.  None of the cuts changes a
 * result. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "kernels/cpu/mm_ops.h"

enum {
    PREPARE_ROWS = 8,     /* a chunk of mm_prepare() */
    PRIVATE_BLOCKS = 128, /* up to here each thread quantises for itself: less than a barrier */
    RANGE_ROWS = 192,     /* activation rows of a range: 450 kB at 1536 columns */
    ROW_MULTIPLE = 12,    /* so that ranges are whole tiles */
    PROMPT_BYTES = 1536 << 10, /* of prompt rows in a range: as many as the cache holds, since */
    PROMPT_MIN_ROWS = 128,     /* weights are spread out once a range */
    CHUNKS_PER_THREAD = 8,
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

/* From one activation row to the next, in bytes: an odd number of cache lines, so that the rows of
 * a tile do not meet in the same set. */
static size_t act_stride(size_t cols)
{
    return (ceil_div(cols / MM_BLOCK * sizeof(struct act_block), 64) | 1) * 64;
}

static bool any_packed(const struct matmul *op)
{
    for (size_t i = 0; i < op->n_out; i++)
        if (op->w[i]->kind == WEIGHT_PACKED)
            return true;
    return false;
}

/* Prompt rows with an arithmetic of their own. */
static bool is_prompt(const struct mm_ops *ops, const struct matmul *op)
{
    return op->prompt && ops->prompt;
}

static bool is_private(const struct matmul *op)
{
    return op->n * (op->w[0]->cols / MM_BLOCK) <= PRIVATE_BLOCKS;
}

/* --- scratch: activations of all; then for each thread its own few activations, its panel of
 * floats, and what it needs for prompt rows --- */

/* Strips are multiplied two at a time. */
static size_t strips_bytes(size_t rows, size_t cols)
{
    return ceil_div(rows, 2 * MM_STRIP) * 2 * MM_STRIP * cols * sizeof(uint16_t);
}

static size_t private_bytes(void)
{
    return PRIVATE_BLOCKS *
           (sizeof(struct act_block) + 128); /* rows of one block have the widest gaps */
}

int mm_scratch_reserve(struct mm_scratch *s, size_t max_rows, size_t max_cols, size_t n_threads,
                       struct err *e)
{
    size_t shared, thread;
    void *base;

    if (s->base && max_rows <= s->max_rows && max_cols <= s->max_cols && n_threads <= s->n_threads)
        return 0;
    if (max_cols > SIZE_MAX / 65536 || max_rows > SIZE_MAX / 8 / (2 * max_cols + 128) ||
        n_threads > 65536)
        return err_set(e, ERR_NOMEM, "no memory for steps of %zu rows of %zu columns", max_rows,
                       max_cols);
    shared = max_size(max_rows * act_stride(max_cols), strips_bytes(max_rows, max_cols));
    thread = private_bytes() + MM_FLOAT_ROWS * max_cols * sizeof(float);
    thread = ceil_div(thread, 64) * 64 + sizeof(struct mm_prompt_buf);
    thread = ceil_div(thread, 4096) * 4096;
    shared = ceil_div(shared, 64) * 64;
    base = mmap(NULL, shared + thread * n_threads, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return err_set(e, ERR_NOMEM, "no memory for steps of %zu rows of %zu columns: %s", max_rows,
                       max_cols, strerror(errno));
    mm_scratch_done(s);
    *s = (struct mm_scratch){ base, shared, thread, max_rows, max_cols, n_threads };
    return 0;
}

void mm_scratch_done(struct mm_scratch *s)
{
    if (s->base)
        munmap(s->base, s->shared_bytes + s->thread_bytes * s->n_threads);
    *s = (struct mm_scratch){ 0 };
}

static struct act_block *act_row(const struct matmul *op, const struct mm_scratch *s, size_t thread,
                                 size_t row)
{
    unsigned char *base = s->base;

    if (is_private(op))
        base += s->shared_bytes + thread * s->thread_bytes;
    return (void *)(base + row * act_stride(op->w[0]->cols));
}

static float *float_panel(const struct mm_scratch *s, size_t thread)
{
    return (void *)(s->base + s->shared_bytes + thread * s->thread_bytes + private_bytes());
}

/* At the end of the thread's part, which is whole lines. */
static struct mm_prompt_buf *prompt_buf(const struct mm_scratch *s, size_t thread)
{
    return (void *)(s->base + s->shared_bytes + (thread + 1) * s->thread_bytes -
                    sizeof(struct mm_prompt_buf));
}

/* --- activations --- */

/* Where a row of a prompt stands in its strip. */
static uint16_t *strip_row(const struct matmul *op, const struct mm_scratch *s, size_t row)
{
    uint16_t *base = (void *)s->base;

    return base + row / MM_STRIP * MM_STRIP * op->w[0]->cols + row % MM_STRIP * MM_BLOCK;
}

static void quantise_rows(const struct mm_ops *ops, const struct matmul *op, struct mm_scratch *s,
                          size_t thread, size_t row, size_t end)
{
    size_t cols = op->w[0]->cols;

    for (; row < end && is_prompt(ops, op); row++)
        ops->to_bf16(strip_row(op, s, row), op->x + row * cols, cols / MM_BLOCK);
    for (; row < end; row++)
        ops->quantise(act_row(op, s, thread, row), op->x + row * cols, cols / MM_BLOCK);
}

size_t mm_prepare_chunks(const struct mm_ops *ops, const struct matmul *op)
{
    return any_packed(op) && (is_prompt(ops, op) || !is_private(op)) ? ceil_div(op->n, PREPARE_ROWS)
                                                                     : 0;
}

void mm_prepare(const struct mm_ops *ops, const struct matmul *op, struct mm_scratch *s,
                size_t chunk)
{
    quantise_rows(ops, op, s, 0, chunk * PREPARE_ROWS, min_size((chunk + 1) * PREPARE_ROWS, op->n));
}

void mm_begin(const struct mm_ops *ops, const struct matmul *op, struct mm_scratch *s,
              size_t thread)
{
    if (any_packed(op) && is_private(op) && !is_prompt(ops, op))
        quantise_rows(ops, op, s, thread, 0, op->n);
}

/* --- chunks --- */

/* Weight rows are handed out in units: one or two groups, or what a call of sgemm should have. */
static size_t unit_rows(const struct mm_ops *ops, const struct matmul *op, const struct weight *w)
{
    size_t n = op->n;

    if (w->kind == WEIGHT_PACKED && is_prompt(ops, op))
        return 2 * MM_GROUP;
    if (w->kind == WEIGHT_FLOAT && mm_by_blas(w, n))
        return MM_FLOAT_ROWS;
    return w->kind == WEIGHT_FLOAT || n <= ONE_PANEL_ROWS ? MM_GROUP : 2 * MM_GROUP;
}

static size_t unit_count(const struct mm_ops *ops, const struct matmul *op, const struct weight *w)
{
    return ceil_div(w->rows, unit_rows(ops, op, w));
}

/* Items of work: units of weight rows, for one range of activation rows after the other. */
static size_t range_count(const struct mm_ops *ops, const struct matmul *op)
{
    size_t rows = RANGE_ROWS;

    if (is_prompt(ops, op)) {
        rows = PROMPT_BYTES / (op->w[0]->cols * sizeof(uint16_t));
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

/* First item of a chunk.  Chunks shrink evenly to nothing: long walks through memory at first, and
 * at the end all threads are done at nearly the same time (trapezoid self-scheduling, Tzeng and Ni
 * 1993). */
static size_t first_item(size_t items, size_t n_chunks, size_t chunk)
{
    size_t left = n_chunks - chunk;

    return items - items * left / n_chunks * left / n_chunks;
}

size_t mm_chunks(const struct mm_ops *ops, const struct matmul *op, size_t n_threads)
{
    size_t bytes = 0, chunks = n_threads * CHUNKS_PER_THREAD;

    for (size_t m = 0; m < op->n_out; m++)
        bytes += op->w[m]->rows * op->w[m]->row_bytes;
    if (chunks < bytes / CHUNK_BYTES)
        chunks = bytes / CHUNK_BYTES;
    return min_size(min_size(chunks, MAX_CHUNKS), all_units(ops, op) * range_count(ops, op));
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
    struct mm_tile t = { .w = w, .a_stride = act_stride(w->cols), .n = n, .y_stride = w->rows };

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
            t.a = act_row(op, s, thread, i) + p * w->panel_blocks;
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
    struct mm_prompt p = { .w = w, .n = n, .y_stride = w->rows, .buf = prompt_buf(s, thread) };

    p.a = strip_row(op, s, i);
    for (; row < row_end; row += 2 * MM_GROUP) {
        p.group = row / MM_GROUP;
        p.n_groups = min_size(2, w->n_groups - p.group);
        p.y = op->y[matrix] + i * w->rows + row;
        p.bias = op->bias[matrix] ? op->bias[matrix] + row : NULL;
        ops->prompt(&p);
    }
}

/* Units begin .. end - 1 of all matrices times n activation rows from i. */
static void multiply(const struct mm_ops *ops, const struct matmul *op, struct mm_scratch *s,
                     size_t begin, size_t end, size_t i, size_t n, size_t thread)
{
    for (size_t m = 0; m < op->n_out && end > 0; m++) {
        const struct weight *w = op->w[m];
        size_t count = unit_count(ops, op, w), unit = unit_rows(ops, op, w);
        size_t row = min_size(begin, count) * unit, row_end = min_size(end * unit, w->rows);

        if (row < row_end && w->kind == WEIGHT_PACKED && is_prompt(ops, op))
            prompt_rows(ops, op, s, m, row, row_end, i, n, thread);
        else if (row < row_end && w->kind == WEIGHT_PACKED)
            packed_rows(ops, op, s, m, row, row_end, i, n, thread);
        else if (row < row_end)
            mm_float(ops, op, m, row, row_end - row, i, n, float_panel(s, thread));
        begin -= min_size(begin, count);
        end -= min_size(end, count);
    }
}

void mm_chunk(const struct mm_ops *ops, const struct matmul *op, struct mm_scratch *s,
              size_t n_chunks, size_t chunk, size_t thread)
{
    size_t units = all_units(ops, op), ranges = range_count(ops, op), items = units * ranges;
    size_t item = first_item(items, n_chunks, chunk), end = first_item(items, n_chunks, chunk + 1);
    size_t multiple = is_prompt(ops, op) ? 2 * MM_STRIP : ROW_MULTIPLE;
    size_t step = ceil_div(ceil_div(op->n, ranges), multiple) * multiple;

    while (item < end) {
        size_t range = item / units, begin = item % units;
        size_t stop = min_size(units, begin + (end - item)), i = min_size(range * step, op->n);
        size_t n = min_size(step, op->n - i);

        if (n > 0)
            multiply(ops, op, s, begin, stop, i, n, thread);
        item += stop - begin;
    }
}
