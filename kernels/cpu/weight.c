/* weight.c - matrices as mm.h offers them: what is kept of the source, and the shape of what is
 * packed (order: mm_ops.h). */
#include <stdlib.h>

#include "kernels/cpu/mm_ops.h"
#include "kernels/cpu/slab.h"

static size_t panel_bytes(const struct weight *w, size_t blocks)
{
    return (blocks * (w->code_bytes + w->scale_bytes) + 63) / 64 * 64;
}

/* Shapes and memory of the packed order, then the packing itself. */
static int pack(struct weight *w, struct weight_store *store, const struct tensor *t, struct err *e)
{
    const struct quant_format *f = w->format;
    void *memory;
    int r;

    w->kind = WEIGHT_PACKED;
    w->bits = f->code_bits;
    w->zero = f->zero;
    w->has_min = f->has_min;
    w->subs = (int)(MM_BLOCK / f->group);
    w->n_groups = w->rows / MM_GROUP + (w->rows % MM_GROUP > 0);
    w->n_blocks = w->cols / MM_BLOCK;
    w->code_bytes = (size_t)w->bits * 64;
    w->scale_bytes = (size_t)(w->subs + w->has_min) * MM_GROUP * sizeof(uint16_t);
    w->n_panels = (w->n_blocks + MM_PANEL_BLOCKS - 1) / MM_PANEL_BLOCKS;
    w->panel_blocks = (w->n_blocks + w->n_panels - 1) / w->n_panels;
    w->n_panels = (w->n_blocks + w->panel_blocks - 1) / w->panel_blocks;
    w->panel_bytes = panel_bytes(w, w->panel_blocks);
    w->group_bytes =
        (w->n_panels - 1) * w->panel_bytes + panel_bytes(w, weight_blocks(w, w->n_panels - 1));
    if (w->n_groups > SIZE_MAX / 4 / w->group_bytes)
        return err_set(e, ERR_NOMEM, "%s: %zu x %zu values do not fit memory", t->name, w->rows,
                       w->cols);
    r = slab_alloc(&w->slab, &memory, store, w->n_groups * w->group_bytes, e);
    if (r < 0)
        return r;
    w->packed = memory;
    pack_groups(w, t->mapped, store->pool);
    return 0;
}

/* Rows that stay as they are, in large pages: walked through these faster than through the file's
 * small ones (one stream of a float32 model by 15 %). */
static int copy(struct weight *w, struct weight_store *store, const struct tensor *t, struct err *e)
{
    void *memory;
    int r;

    w->n_groups = w->rows / MM_GROUP + (w->rows % MM_GROUP > 0);
    w->group_bytes = MM_GROUP * w->row_bytes;
    if (w->n_groups > SIZE_MAX / 4 / w->group_bytes)
        return err_set(e, ERR_NOMEM, "%s: %zu x %zu values do not fit memory", t->name, w->rows,
                       w->cols);
    r = slab_alloc(&w->slab, &memory, store, w->n_groups * w->group_bytes, e);
    if (r < 0)
        return r;
    w->packed = memory;
    pack_groups(w, t->mapped, store->pool);
    w->source = w->packed;
    if (w->format->code_bits == 0 && MM_BLOCK % w->format->block_values == 0 &&
        w->cols % MM_BLOCK == 0) {
        w->n_blocks = w->panel_blocks = w->cols / MM_BLOCK;
        w->n_panels = 1;
    }
    return 0;
}

/* Shape and bytes must agree; afterwards w->rows * w->row_bytes bytes may be read. */
static int check(struct weight *w, const struct tensor *t, struct err *e)
{
    const struct quant_format *f = quant_format(t->dtype);

    if (!f)
        return err_set(e, ERR_UNSUPPORTED, "%s: tensor type %d is not known", t->name,
                       (int)t->dtype);
    w->format = f;
    w->rows = tensor_rows(t);
    w->cols = tensor_cols(t);
    if (w->rows == 0 || w->cols == 0 || w->cols % f->block_values != 0)
        return err_set(e, ERR_FORMAT, "%s: %zu x %zu values cannot be of type %s", t->name, w->rows,
                       w->cols, f->name);
    if (w->cols / f->block_values > SIZE_MAX / 1024 / f->block_bytes)
        return err_set(e, ERR_FORMAT, "%s: %zu columns are too many", t->name, w->cols);
    w->row_bytes = w->cols / f->block_values * f->block_bytes;
    if (t->bytes / w->row_bytes < w->rows)
        return err_set(e, ERR_FORMAT,
                       "%s: %zu x %zu values of type %s need %zu bytes a row, all are %zu", t->name,
                       w->rows, w->cols, f->name, w->row_bytes, t->bytes);
    w->source = t->data;
    return 0;
}

int weight_create(struct weight **out, struct weight_store *store, const struct tensor *t,
                  unsigned use, struct err *e)
{
    struct weight *w = calloc(1, sizeof *w);
    int r;

    if (!w)
        return err_set(e, ERR_NOMEM, "%s: no memory for a matrix", t->name);
    r = check(w, t, e);
    if (r < 0)
        goto fail;
    if (!(use & WEIGHT_MATMUL)) {
        w->kind = WEIGHT_ROWS;
    } else if (use & WEIGHT_EXACT || !pack_can(w->format)) {
        w->kind = WEIGHT_FLOAT;
        w->rounds = !(use & WEIGHT_EXACT) && w->format->dtype == DTYPE_BF16 && w->cols % 2 == 0;
        r = t->made ? 0 : copy(w, store, t, e);
        if (r < 0)
            goto fail;
    } else {
        r = pack(w, store, t, e);
        if (r < 0)
            goto fail;
        if (!(use & WEIGHT_EMBED))
            w->source = NULL;
    }
    *out = w;
    return 0;
fail:
    free(w);
    return r;
}

void weight_free_all(struct weight *w)
{
    if (!w)
        return;
    slab_release(w->slab);
    free(w);
}

bool weight_needs_source(const struct weight *w)
{
    return w->source != NULL && w->source != w->packed;
}

size_t weight_rows(const struct weight *w)
{
    return w->rows;
}

size_t weight_cols(const struct weight *w)
{
    return w->cols;
}

void weight_row(const struct weight *w, size_t row, float *y)
{
    w->format->decode(y, w->source + row * w->row_bytes, w->cols / w->format->block_values);
}
