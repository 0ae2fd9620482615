/* argmax.c - the largest of a row, long rows in parts: a vocabulary may have a quarter of a million
 * ids. */
#include <math.h>

#include "kernels/cpu/device.h"

enum { PART_COLS = 16384 }; /* 64 KiB, read twice: once for the value, once for its place */

struct part {
    float value; /* NaN: nothing but NaN in here */
    int32_t col;
};

void argmax_enqueue(struct device *d, int32_t *ids, const float *x, size_t rows, size_t cols)
{
    size_t n_parts = ceil_div(cols, PART_COLS);
    struct op *op;

    if (rows == 0 || cols == 0)
        return;
    /* Without memory for parts a row is one part, which is written straight to ids. */
    if (n_parts > 1 && !scratch_grow(&d->parts, rows * n_parts * sizeof(struct part)))
        n_parts = 1;
    op = queue_put(d, OP_ARGMAX, rows * n_parts, n_parts > 1 ? PART_COLS : cols);
    op->argmax.ids = ids;
    op->argmax.x = x;
    op->argmax.rows = rows;
    op->argmax.cols = cols;
    op->argmax.n_parts = n_parts;
    if (n_parts > 1) {
        struct op *merge = queue_put(d, OP_ARGMAX_MERGE, 1, 0);

        merge->argmax = op->argmax;
    }
}

void argmax_chunk(struct device *d, const struct op *op, size_t chunk)
{
    size_t row = chunk / op->argmax.n_parts, from = chunk % op->argmax.n_parts * op->per;
    size_t n = min_size(op->per, op->argmax.cols - from);
    const float *x = op->argmax.x + row * op->argmax.cols + from;
    size_t best = d->ops->argmax(x, n);

    if (op->argmax.n_parts == 1) {
        op->argmax.ids[row] = best < n ? (int32_t)best : 0;
        return;
    }
    ((struct part *)d->parts.base)[chunk] = (struct part){
        .value = best < n ? x[best] : NAN,
        .col = best < n ? (int32_t)(from + best) : 0,
    };
}

/* Parts stand in order and only a larger value wins, so that a tie goes to the lowest index. */
void argmax_merge_chunk(struct device *d, const struct op *op)
{
    for (size_t row = 0; row < op->argmax.rows; row++) {
        const struct part *p = (const struct part *)d->parts.base + row * op->argmax.n_parts;
        struct part best = p[0];

        for (size_t i = 1; i < op->argmax.n_parts; i++)
            if (p[i].value > best.value || (isnan(best.value) && !isnan(p[i].value)))
                best = p[i];
        op->argmax.ids[row] = best.col;
    }
}
