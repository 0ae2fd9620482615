/* hf_experts.c - tensors of a folder that hold all experts of a layer, in the order of a GGUF file.
 *
 * That order is [n_expert, rows, cols], one tensor each for gate, up and down.  Folders have
 * [n_expert, cols, rows], or rows of gate and up in turn (row 2r is gate's, 2r + 1 up's), or MXFP4
 * blocks as a pair of tensors:
 *
 *   NAME_blocks [n_expert, rows, cols / 32, 16]  byte i: value 2i in the low nibble, 2i + 1 in the
 *                                                high one
 *   NAME_scales [n_expert, rows, cols / 32]      exponents, bias 127
 *
 * (transformers, integrations/mxfp4.py; for GGUF's block see kernels/quant/mxfp4.c.) */
#include <string.h>

#include "inference/hf.h"
#include "kernels/quant/quant.h"

enum { NIBBLE_BYTES = 16, MX_VALUES = 32, MX_BYTES = 1 + NIBBLE_BYTES };

/* Part `part` of what each expert has: every n_parts-th row from that one on. */
struct gather {
    unsigned char *to;
    size_t n_expert, rows, cols; /* of the part */
    size_t part, n_parts;
};

/* Rows that lie as they should; bytes: of a row. */
static void gather_rows(const struct gather *g, const unsigned char *from, size_t bytes)
{
    size_t row = g->part;

    for (size_t i = 0; i < g->n_expert * g->rows; i++, row += g->n_parts)
        memcpy(g->to + i * bytes, from + row * bytes, bytes);
}

/* Each expert's matrix is turned over, in blocks that stay in the cache; bytes: of a value. */
static void gather_columns(const struct gather *g, const unsigned char *from, size_t bytes)
{
    enum { BLOCK = 32 };
    size_t stride = g->rows * g->n_parts, all = g->rows * g->cols * bytes;

    for (size_t e = 0; e < g->n_expert; e++)
        for (size_t r0 = 0; r0 < g->rows; r0 += BLOCK)
            for (size_t c0 = 0; c0 < g->cols; c0 += BLOCK)
                for (size_t r = r0; r < g->rows && r < r0 + BLOCK; r++)
                    for (size_t c = c0; c < g->cols && c < c0 + BLOCK; c++)
                        memcpy(g->to + e * all + (r * g->cols + c) * bytes,
                               from + e * all * g->n_parts +
                                   (c * stride + r * g->n_parts + g->part) * bytes,
                               bytes);
}

static void gather_blocks(const struct gather *g, const unsigned char *blocks,
                          const unsigned char *scales)
{
    size_t per_row = g->cols / MX_VALUES, row = g->part;
    unsigned char *to = g->to;

    for (size_t i = 0; i < g->n_expert * g->rows; i++, row += g->n_parts)
        for (size_t b = 0; b < per_row; b++, to += MX_BYTES) {
            const unsigned char *from = blocks + (row * per_row + b) * NIBBLE_BYTES;

            to[0] = scales[row * per_row + b];
            for (size_t k = 0; k < NIBBLE_BYTES / 2; k++) { /* value 2k beside 2k + 16, ... */
                unsigned low = from[k], high = from[k + NIBBLE_BYTES / 2];

                to[1 + 2 * k] = (unsigned char)((low & 0x0f) | (high & 0x0f) << 4);
                to[2 + 2 * k] = (unsigned char)(low >> 4 | (high & 0xf0));
            }
        }
}

/* The exponents that belong to "..._blocks"; NULL where they are not, or not as many. */
static const struct st_tensor *scales_of(const struct hf *h, const struct st_tensor *blocks)
{
    const struct st_list *all = &h->folder->tensors;
    size_t stem = strlen(blocks->t.name) - strlen("blocks");

    for (size_t i = 0; i < all->n; i++)
        if (strncmp(all->items[i].t.name, blocks->t.name, stem) == 0 &&
            strcmp(all->items[i].t.name + stem, "scales") == 0)
            return strcmp(all->items[i].type, "U8") == 0 &&
                           all->items[i].t.bytes == blocks->t.bytes / NIBBLE_BYTES
                       ? &all->items[i]
                       : NULL;
    return NULL;
}

/* Sizes of the whole.  A vector for each expert counts as one of rows of a value. */
static int measure(const struct st_tensor *s, unsigned how, struct gather *g, struct err *e)
{
    const struct tensor *t = &s->t;
    int dims = how & HF_MXFP4 ? 4 : how & HF_TRANSPOSED ? 3 : 2;

    if (t->n_dims != dims)
        return err_param(e, t->name, ERR_FORMAT, "tensor %.100s has %d dimensions; expected %d",
                         t->name, t->n_dims, dims);
    if (how & HF_MXFP4 && (strcmp(s->type, "U8") != 0 || t->shape[3] != NIBBLE_BYTES))
        return err_param(e, t->name, ERR_FORMAT,
                         "tensor %.100s has blocks of %zu values of type %s; expected %d of U8",
                         t->name, t->shape[3], s->type, NIBBLE_BYTES);
    g->n_expert = t->shape[0];
    g->rows = t->shape[how & HF_TRANSPOSED ? 2 : 1];
    g->cols = how & HF_MXFP4 ? t->shape[2] * MX_VALUES : how & HF_TRANSPOSED ? t->shape[1] : 1;
    if (g->rows % g->n_parts)
        return err_param(e, t->name, ERR_FORMAT,
                         "tensor %.100s has %zu rows for each expert, which are not two halves",
                         t->name, g->rows);
    g->rows /= g->n_parts;
    return 0;
}

int hf_expert_parts(struct hf *h, const struct arch_hf_tensor *row, const struct st_tensor *s,
                    struct tensor parts[static 2], struct err *e)
{
    const struct st_tensor *scales = NULL;
    struct gather g = { .n_parts = row->how & HF_ALTERNATING ? 2 : 1 };
    size_t each = s->known ? quant_format(s->t.dtype)->block_bytes : 0;
    int rc = measure(s, row->how, &g, e);

    if (rc == 0 && row->how & HF_MXFP4 && !(scales = scales_of(h, s)))
        rc = err_param(e, s->t.name, ERR_FORMAT,
                       "tensor %.100s: its scales are missing, or not one for each block",
                       s->t.name);
    for (; rc == 0 && g.part < g.n_parts; g.part++) {
        struct tensor *t = &parts[g.part];

        *t = s->t;
        t->mapped = false;
        t->made = true;
        t->bytes = s->t.bytes / g.n_parts;
        if (scales)
            t->bytes = t->bytes / NIBBLE_BYTES * MX_BYTES;
        g.to = weights_room(h->w, t->bytes);
        if (!g.to)
            return err_set(e, ERR_NOMEM, "tensor %.100s: no memory for %zu bytes", s->t.name,
                           t->bytes);
        if (scales)
            gather_blocks(&g, s->t.data, scales->t.data);
        else if (row->how & HF_TRANSPOSED)
            gather_columns(&g, s->t.data, each);
        else
            gather_rows(&g, s->t.data, each);
        t->data = g.to;
        t->dtype = scales ? DTYPE_MXFP4 : s->t.dtype;
        t->n_dims = row->how & (HF_MXFP4 | HF_TRANSPOSED) ? 3 : 2;
        t->shape[0] = g.n_expert;
        t->shape[1] = g.rows;
        t->shape[2] = g.cols;
        t->shape[3] = 1;
    }
    return rc;
}
