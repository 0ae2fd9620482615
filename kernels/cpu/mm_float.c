/* mm_float.c - float matrices, and quantised formats that the packed order has no place for: these
 * are decoded and go the same way.  Rows of a prompt are multiplied in panels, where the
 * instruction set has these; of others, many in blocks, to the same bits as one. */
#include "kernels/cpu/mm_ops.h"

const float *mm_rows_as_floats(const struct mm_ops *ops, const struct weight *w, size_t row,
                               size_t n_rows, float *panel)
{
    const unsigned char *from = w->source + row * w->row_bytes;
    size_t n_blocks = n_rows * w->cols / w->format->block_values;

    if (w->format->dtype == DTYPE_F32 && (uintptr_t)from % sizeof(float) == 0)
        return (const void *)from;
    if (!ops->spread || !ops->spread(panel, from, w->format->dtype, n_blocks))
        w->format->decode(panel, from, n_blocks);
    return panel;
}

/* Row k times n activation rows. */
static void one_row(const struct mm_ops *ops, const struct weight *w, size_t k, float *y,
                    const float *x, size_t n, float *panel)
{
    const void *row = w->source + k * w->row_bytes;
    enum dtype dtype = w->format->dtype;

    if (w->format->block_values > 1) {
        row = mm_rows_as_floats(ops, w, k, 1, panel);
        dtype = DTYPE_F32;
    }
    ops->dots(y + k, w->rows, row, dtype, x, w->cols, w->cols, n);
}

static void many(const struct mm_ops *ops, const struct matmul *op, size_t matrix, size_t r,
                 size_t n_rows, size_t i, size_t n, float *panel)
{
    const struct weight *w = op->w[matrix];

    for (size_t end = r + n_rows; r < end; r += n_rows) {
        n_rows = end - r < MM_FLOAT_ROWS ? end - r : MM_FLOAT_ROWS;
        ops->many_dots(&(struct mm_dots){ .w = mm_rows_as_floats(ops, w, r, n_rows, panel),
                                          .x = op->x + i * w->cols,
                                          .cols = w->cols,
                                          .n_rows = n_rows,
                                          .n = n,
                                          .y = op->y[matrix] + i * w->rows + r,
                                          .y_stride = w->rows });
    }
}

void mm_float(const struct mm_ops *ops, const struct matmul *op, size_t matrix, size_t r,
              size_t n_rows, size_t i, size_t n, const void *strips, float *memory)
{
    const struct weight *w = op->w[matrix];
    const float *bias = op->bias[matrix], *x = op->x + i * w->cols;
    float *y = op->y[matrix] + i * w->rows;

    if (mm_panels_of(ops, op, w))
        mm_panels(ops, op, matrix, r, n_rows, i, n, strips, memory);
    else if (mm_many_floats(ops, op))
        many(ops, op, matrix, r, n_rows, i, n, memory);
    else
        for (size_t k = r; k < r + n_rows; k++)
            one_row(ops, w, k, y, x, n, memory);
    for (size_t t = 0; bias && t < n; t++)
        for (size_t k = r; k < r + n_rows; k++)
            y[t * w->rows + k] += bias[k];
}
