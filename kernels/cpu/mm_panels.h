/* mm_panels.h - rows of a prompt times float matrices, where an instruction set has loops for that.
 * Seen by mm*.c only.
 *
 * A strip is some rows of activations column by column: [cols][rows], `height` rows, all strips of
 * an op one behind the other; the last one has what rows are left.  It is made once an op.  A panel
 * is some rows of weights likewise, widened: [cols][width], zeros past the last row; it is made of
 * a part of the columns at a time, as many as stay in the nearest cache while all rows of a range
 * are multiplied with it.  A tile is a strip times a panel: all its sums are in registers.
 *
 * The arithmetic of floats: acc = x[c] * w[c] + acc, fused, column after column from acc = 0 on, y
 * = acc + bias.
 *
 * Of pairs, for weights in BF16: activations are rounded to bf16 as well, two columns of them lie
 * side by side, [cols / 2][rows][2], and their two products are added to acc at once, as the
 * processor does it. */
#ifndef AIRSTRIP_CPU_MM_PANELS_H
#define AIRSTRIP_CPU_MM_PANELS_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/tensor.h"

struct panel_tile {
    const void *x; /* [n_cols][rows] */
    const void *w; /* [n_cols][width], 64-aligned */
    size_t n_cols;
    size_t rows; /* 1 .. height */
    float *y;    /* [rows][width], rows y_stride floats apart */
    size_t y_stride;
    bool first;       /* sums start at 0, else at what y holds */
    const char *next; /* what is wanted after x, as many bytes, to be fetched on the way; or NULL */
};

struct mm_panels {
    size_t height, width; /* rows of activations, of weights: up to 14 and 32 */
    size_t part;          /* columns of a panel at most */
    size_t value_bytes;   /* of activations and weights in this order: 4; of pairs 2, and columns
                           * come in twos */

    /* strip[c][r] = x[r][c], r < rows <= height. */
    void (*strip)(void *strip, const float *x, size_t cols, size_t rows);

    /* panel[c][k] = column c of row k, c < n_cols, k < rows <= width.  w: values of F32, F16 or
     * BF16, unaligned, rows row_bytes apart. */
    void (*panel)(void *panel, const void *w, enum dtype dtype, size_t row_bytes, size_t rows,
                  size_t n_cols);
    void (*tile)(const struct panel_tile *t);
};

enum { PANEL_SUMS = 14 * 32 }; /* of a tile at most */

extern const struct mm_panels mm_panels_avx2, mm_panels_avx512;

#endif
