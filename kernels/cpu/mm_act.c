/* mm_act.c - activations of one op in the order that its arithmetic wants: blocks of bytes a row,
 * or in tiles of 16 rows, or strips of bf16; and the memory of all that. */
#include "kernels/cpu/mm_act.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum {
    PREPARE_ROWS = 8,     /* a chunk of mm_prepare(), or half the columns of 16 in tiles */
    PRIVATE_BLOCKS = 128, /* up to here each thread quantises for itself: less than a barrier */
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

size_t mm_act_stride(size_t cols)
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

static bool any_floats(const struct matmul *op)
{
    for (size_t i = 0; i < op->n_out; i++)
        if (op->w[i]->kind == WEIGHT_FLOAT)
            return true;
    return false;
}

/* Rows of a prompt that strips are made of. */
static bool needs_strips(const struct mm_ops *ops, const struct matmul *op)
{
    for (size_t i = 0; i < op->n_out; i++)
        if (mm_in_strips(ops, op, op->w[i]))
            return true;
    return false;
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
    struct fetch *fetch = s->fetch;
    size_t shared, thread, low, hidden, pairs;
    void *base;

    if (s->base && max_rows <= s->max_rows && max_cols <= s->max_cols && n_threads <= s->n_threads)
        return 0;
    if (max_cols > SIZE_MAX / 65536 || max_rows > SIZE_MAX / 16 / (4 * max_cols + 128) ||
        n_threads > 65536)
        return err_set(e, ERR_NOMEM, "no memory for steps of %zu rows of %zu columns", max_rows,
                       max_cols);
    /* a tile has whole rows, and its blocks are no larger than rows' are */
    shared = max_size((max_rows + MM_STRIP - 1) * mm_act_stride(max_cols),
                      strips_bytes(max_rows, max_cols));
    thread = private_bytes() + MM_FLOAT_ROWS * max_cols * sizeof(float);
    thread = ceil_div(thread, 64) * 64 + sizeof(struct mm_prompt_buf);
    thread = ceil_div(thread, 4096) * 4096;
    low = ceil_div(shared, 64) * 64;
    hidden = low + ceil_div(strips_bytes(max_rows, max_cols), 64) * 64;
    pairs = hidden + ceil_div(strips_bytes(max_rows, max_cols), 64) * 64;
    shared = pairs + ceil_div(strips_bytes(max_rows, max_cols), 64) * 64;
    base = mmap(NULL, shared + thread * n_threads, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return err_set(e, ERR_NOMEM, "no memory for steps of %zu rows of %zu columns: %s", max_rows,
                       max_cols, strerror(errno));
    mm_scratch_done(s);
    *s = (struct mm_scratch){ .base = base,
                              .shared_bytes = shared,
                              .thread_bytes = thread,
                              .low_at = low,
                              .hidden_at = hidden,
                              .pairs_at = pairs,
                              .max_rows = max_rows,
                              .max_cols = max_cols,
                              .n_threads = n_threads,
                              .fetch = fetch };
    return 0;
}

void mm_scratch_done(struct mm_scratch *s)
{
    if (s->base)
        munmap(s->base, s->shared_bytes + s->thread_bytes * s->n_threads);
    *s = (struct mm_scratch){ 0 };
}

struct mm_scratch mm_scratch_behind(const struct mm_scratch *s, size_t rows)
{
    struct mm_scratch part = *s;

    part.first_row += rows;
    part.max_rows -= rows;
    return part;
}

static unsigned char *acts(const struct matmul *op, const struct mm_scratch *s, size_t thread)
{
    return is_private(op) ? s->base + s->shared_bytes + thread * s->thread_bytes : s->base;
}

struct act_block *mm_act_row(const struct matmul *op, const struct mm_scratch *s, size_t thread,
                             size_t row)
{
    row += is_private(op) ? 0 : s->first_row;
    return (void *)(acts(op, s, thread) + row * mm_act_stride(op->w[0]->cols));
}

/* The tiles that begin with activation row `row`, a multiple of 16. */
struct act_tile *mm_act_tiles(const struct matmul *op, const struct mm_scratch *s, size_t thread,
                              size_t row)
{
    row += is_private(op) ? 0 : s->first_row;
    return (struct act_tile *)(void *)acts(op, s, thread) +
           row / MM_STRIP * (op->w[0]->cols / MM_BLOCK);
}

float *mm_float_panel(const struct mm_scratch *s, size_t thread)
{
    return (void *)(s->base + s->shared_bytes + thread * s->thread_bytes + private_bytes());
}

/* At the end of the thread's part, which is whole lines. */
struct mm_prompt_buf *mm_prompt_buf_of(const struct mm_scratch *s, size_t thread)
{
    return (void *)(s->base + s->shared_bytes + (thread + 1) * s->thread_bytes -
                    sizeof(struct mm_prompt_buf));
}

/* --- activations --- */

/* Where a row of a prompt stands in its strip. */
uint16_t *mm_act_strip(const struct matmul *op, const struct mm_scratch *s, size_t row)
{
    uint16_t *base = (void *)(s->base + s->strips_at);

    row += s->first_row;
    return base + row / MM_STRIP * MM_STRIP * op->w[0]->cols + row % MM_STRIP * MM_BLOCK;
}

uint16_t *mm_act_low(const struct matmul *op, const struct mm_scratch *s, size_t row)
{
    struct mm_scratch low = *s;

    low.strips_at = s->low_at;
    return mm_act_strip(op, &low, row);
}

/* Floats in place of low parts and products: no table has both. */
void *mm_act_columns(const struct matmul *op, const struct mm_scratch *s, const struct mm_panels *p,
                     size_t row)
{
    size_t at = p->value_bytes == sizeof(float) ? s->low_at : s->pairs_at;

    return s->base + at + (s->first_row + row) * op->w[0]->cols * p->value_bytes;
}

static void quantise_rows(const struct mm_ops *ops, const struct matmul *op, struct mm_scratch *s,
                          size_t thread, size_t row, size_t end)
{
    size_t cols = op->w[0]->cols;

    for (; row < end && mm_is_prompt(ops, op); row++)
        ops->to_bf16(mm_act_strip(op, s, row), any_floats(op) ? mm_act_low(op, s, row) : NULL,
                     op->x + row * cols, cols / MM_BLOCK);
    for (; row < end; row++)
        ops->quantise(mm_act_row(op, s, thread, row), op->x + row * cols, cols / MM_BLOCK);
}

/* The tiles of 16 rows from `row`: their blocks block .. end - 1, which lie together, so that
 * threads do not write to the same lines. */
static void quantise_tile(const struct mm_ops *ops, const struct matmul *op, struct mm_scratch *s,
                          size_t thread, size_t row, size_t block, size_t end)
{
    struct act_tile *a = mm_act_tiles(op, s, thread, row);
    struct act_block blocks[MM_PANEL_BLOCKS];
    size_t n;

    for (; block < end; block += n) {
        n = min_size(end - block, MM_PANEL_BLOCKS);
        for (size_t r = 0; r < MM_STRIP; r++) {
            if (row + r < op->n)
                ops->quantise(blocks, op->x + (row + r) * op->w[0]->cols + block * MM_BLOCK, n);
            else if (row + r == op->n) /* rows that there are not */
                memset(blocks, 0, sizeof blocks);
            for (size_t b = 0; b < n; b++) {
                memcpy(a[block + b].code[r], blocks[b].code, sizeof blocks[b].code);
                a[block + b].scale[r] = blocks[b].scale;
                a[block + b].ssum[r] = blocks[b].ssum;
            }
        }
    }
}

/* Chunks that make bytes or bf16 of activations. */
static size_t code_chunks(const struct mm_ops *ops, const struct matmul *op)
{
    bool together =
        mm_is_prompt(ops, op) ? needs_strips(ops, op) : any_packed(op) && !is_private(op);

    return together ? ceil_div(op->n, PREPARE_ROWS) : 0;
}

/* Chunks that make strips for p, one each. */
static size_t strip_chunks(const struct mm_ops *ops, const struct matmul *op,
                           const struct mm_panels *p)
{
    for (size_t i = 0; p && i < op->n_out; i++)
        if (mm_panels_of(ops, op, op->w[i]) == p)
            return ceil_div(op->n, p->height);
    return 0;
}

size_t mm_prepare_chunks(const struct mm_ops *ops, const struct matmul *op)
{
    return code_chunks(ops, op) + strip_chunks(ops, op, ops->panels) +
           strip_chunks(ops, op, ops->pairs);
}

static void prepare_strip(const struct mm_ops *ops, const struct matmul *op,
                          const struct mm_scratch *s, size_t chunk)
{
    size_t n_panels = strip_chunks(ops, op, ops->panels), cols = op->w[0]->cols, row;
    const struct mm_panels *p = chunk < n_panels ? ops->panels : ops->pairs;

    row = (chunk < n_panels ? chunk : chunk - n_panels) * p->height;
    p->strip(mm_act_columns(op, s, p, row), op->x + row * cols, cols,
             min_size(op->n - row, p->height));
}

void mm_prepare(const struct mm_ops *ops, const struct matmul *op, struct mm_scratch *s,
                size_t chunk)
{
    size_t row = chunk * PREPARE_ROWS, blocks = op->w[0]->cols / MM_BLOCK, half = chunk % 2;
    size_t n_codes = code_chunks(ops, op);

    if (chunk >= n_codes) {
        prepare_strip(ops, op, s, chunk - n_codes);
        return;
    }
    if (!mm_in_tiles(ops, op)) {
        quantise_rows(ops, op, s, 0, row, min_size(row + PREPARE_ROWS, op->n));
        return;
    }
    row -= half * PREPARE_ROWS;
    quantise_tile(ops, op, s, 0, row, half * (blocks / 2),
                  half || op->n - row <= PREPARE_ROWS ? blocks : blocks / 2);
}

void mm_begin(const struct mm_ops *ops, const struct matmul *op, struct mm_scratch *s,
              size_t thread)
{
    if (!any_packed(op) || !is_private(op) || mm_is_prompt(ops, op))
        return;
    if (!mm_in_tiles(ops, op))
        quantise_rows(ops, op, s, thread, 0, op->n);
    for (size_t row = 0; mm_in_tiles(ops, op) && row < op->n; row += MM_STRIP)
        quantise_tile(ops, op, s, thread, row, 0, op->w[0]->cols / MM_BLOCK);
}
