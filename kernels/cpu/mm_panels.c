/* mm_panels.c - a run of weight rows times rows of a prompt: panel after panel, and each of its
 * parts with all strips. */
#include <string.h>

#include "kernels/cpu/mm_ops.h"

enum { LINE = 64 };

struct run {
    const struct mm_panels *p;
    const struct weight *w;
    const unsigned char *strips;
    size_t n;     /* rows of activations */
    float *y;     /* of the panel: [n][rows], w->rows apart */
    size_t rows;  /* of weights in the panel */
    void *panel;  /* room for one */
    float *plain; /* room for a panel's rows as floats */

    /* What will be made a panel next, asked for a few lines a tile: as many rows as a panel has are
     * too many for the processor to follow. */
    const unsigned char *ahead;
    size_t ahead_rows, ahead_bytes; /* left to ask for, of each */
    size_t asked;                   /* bytes of the first of them */
};

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void ask(struct run *k, size_t lines)
{
    for (; lines > 0 && k->ahead_rows > 0; lines--) {
        __builtin_prefetch(k->ahead + k->asked);
        k->asked += LINE;
        if (k->asked < k->ahead_bytes)
            continue;
        k->asked = 0;
        k->ahead += k->w->row_bytes;
        k->ahead_rows--;
    }
}

/* A tile at the end of the matrix: y has no place for the rows that there are not. */
static void edge(const struct run *k, const struct panel_tile *tile)
{
    float sums[PANEL_SUMS] = { 0 };
    struct panel_tile t = *tile;

    t.y = sums;
    t.y_stride = k->p->width;
    for (size_t i = 0; i < t.rows && !t.first; i++)
        memcpy(sums + i * t.y_stride, tile->y + i * tile->y_stride, k->rows * sizeof *sums);
    k->p->tile(&t);
    for (size_t i = 0; i < t.rows; i++)
        memcpy(tile->y + i * tile->y_stride, sums + i * t.y_stride, k->rows * sizeof *sums);
}

/* Columns c .. c + n_cols - 1 of the panel. */
static void part(struct run *k, size_t c, size_t n_cols)
{
    const size_t cols = k->w->cols, height = k->p->height;
    const size_t lines =
        k->ahead_rows * (k->ahead_bytes / LINE + 1) / ((k->n - 1) / height + 1) + 1;

    for (size_t i = 0; i < k->n; i += height) {
        size_t rows = min_size(height, k->n - i), next = i + height;
        struct panel_tile t = { .x = k->strips + (i * cols + c * rows) * k->p->value_bytes,
                                .w = k->panel,
                                .n_cols = n_cols,
                                .rows = rows,
                                .y = k->y + i * k->w->rows,
                                .y_stride = k->w->rows,
                                .first = c == 0 };

        if (next < k->n) {
            rows = min_size(height, k->n - next);
            t.next = (const char *)k->strips + (next * cols + c * rows) * k->p->value_bytes;
        }
        ask(k, lines);
        if (k->rows == k->p->width)
            k->p->tile(&t);
        else
            edge(k, &t);
    }
}

/* The panel of rows r .. r + k->rows - 1; `more`: another one follows. */
static void panel(const struct mm_ops *ops, struct run *k, size_t r, bool more)
{
    const struct weight *w = k->w;
    size_t n_parts = (w->cols - 1) / k->p->part + 1, per = ((w->cols - 1) / n_parts + 2) / 2 * 2;
    const unsigned char *source = w->source + r * w->row_bytes, *from = source;
    size_t row_bytes = w->row_bytes;
    enum dtype dtype = w->format->dtype;

    if (w->format->block_values > 1) {
        from = (const void *)mm_rows_as_floats(ops, w, r, k->rows, k->plain);
        dtype = DTYPE_F32;
        row_bytes = w->cols * sizeof(float);
    }
    for (size_t c = 0; c < w->cols; c += per) {
        size_t n_cols = min_size(per, w->cols - c), next = c + n_cols;

        k->p->panel(k->panel, from + c * (row_bytes / w->cols), dtype, row_bytes, k->rows, n_cols);
        k->ahead =
            source + (next < w->cols ? next * w->row_bytes / w->cols : k->rows * w->row_bytes);
        k->ahead_rows = next < w->cols || more ? k->rows : 0;
        k->ahead_bytes = n_cols * w->row_bytes / w->cols;
        k->asked = 0;
        part(k, c, n_cols);
    }
}

void mm_panels(const struct mm_ops *ops, const struct matmul *op, size_t matrix, size_t r,
               size_t n_rows, size_t i, size_t n, const void *strips, float *memory)
{
    const struct weight *w = op->w[matrix];
    struct run k = { .p = mm_panels_of(ops, op, w),
                     .w = w,
                     .strips = strips,
                     .n = n,
                     .panel = memory + MM_FLOAT_ROWS / 2 * w->cols,
                     .plain = memory };

    for (size_t end = r + n_rows; r < end; r += k.rows) {
        k.rows = min_size(k.p->width, end - r);
        k.y = op->y[matrix] + i * w->rows + r;
        panel(ops, &k, r, end - r >= 2 * k.p->width);
    }
}
