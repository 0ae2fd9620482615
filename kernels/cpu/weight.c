/* weight.c - matrices as mm.h offers them: what is kept of the source, and packing (order:
 * mm_ops.h). */
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/mm_ops.h"
#include "kernels/cpu/slab.h"

/* One group of rows on its way: a stripe of it is as many columns as a block of the source has. */
enum { MAX_STRIPE = 256, MAX_SUBS = MAX_STRIPE / 16 };

struct stripe {
    uint8_t code[MM_GROUP][MAX_STRIPE];
    float scale[MM_GROUP][MAX_SUBS], min[MM_GROUP][MAX_SUBS];
};

/* Eight codes at a time: bits `mask` of each, once moved right by 4. */
static uint64_t upper_bits(uint64_t codes, uint64_t mask)
{
    return codes >> 4 & mask;
}

/* 8 codes of each step, s[8], to byte j of the lines of a packed block of 4, 5 or 6 bits. */
static void pack_eight(unsigned char *out, const uint64_t *s, int bits)
{
    const uint64_t nibble = 0x0f0f0f0f0f0f0f0f, one = 0x0101010101010101, two = 3 * one;
    uint64_t v;

    for (size_t k = 0; k < 4; k++) {
        v = (s[k] & nibble) | (s[k + 4] & nibble) << 4;
        memcpy(out + 64 * k, &v, sizeof v);
    }
    if (bits == 5) {
        v = 0;
        for (size_t k = 0; k < MM_STEPS; k++)
            v |= upper_bits(s[k], one) << k;
        memcpy(out + 256, &v, sizeof v);
    }
    for (size_t p = 0; bits == 6 && p < 2; p++) {
        v = 0;
        for (size_t k = 0; k < 4; k++)
            v |= upper_bits(s[4 * p + k], two) << 2 * k;
        memcpy(out + 256 + 64 * p, &v, sizeof v);
    }
}

/* 32 columns of all rows into the packed order of a block. */
static void pack_codes(unsigned char *out, const struct stripe *s, size_t column, int bits)
{
    for (size_t r = 0; r < MM_GROUP; r += 2) {
        uint64_t step[MM_STEPS];

        for (size_t k = 0; k < MM_STEPS; k++) {
            memcpy(&step[k], &s->code[r][column + 4 * k], 4);
            memcpy((unsigned char *)&step[k] + 4, &s->code[r + 1][column + 4 * k], 4);
        }
        if (bits < 8)
            pack_eight(out + 4 * r, step, bits);
        for (size_t k = 0; bits == 8 && k < MM_STEPS; k++)
            memcpy(out + 64 * k + 4 * r, &step[k], sizeof step[k]);
    }
}

/* Scales of blocks of 32 are halves in the file already.  Those of blocks of 256 are a half times a
 * small integer: rounding errs by 2^-12 at most, and not at all below the normal range, where all
 * of them are multiples of 2^-24 as halves are.  (The IQ formats halve and quarter them: the
 * smallest scales of a matrix may lose some of their last bits.) */
static void pack_scales(unsigned char *out, const struct stripe *s, size_t column,
                        const struct weight *w)
{
    size_t group = w->format->group;
    uint16_t half[3 * MM_GROUP];
    size_t n = 0;

    for (int sub = 0; sub < w->subs; sub++)
        for (size_t r = 0; r < MM_GROUP; r++)
            half[n++] = quant_to_f16(s->scale[r][column / group + (size_t)sub]);
    for (size_t r = 0; w->has_min && r < MM_GROUP; r++)
        half[n++] = quant_to_f16(s->min[r][column / group]);
    memcpy(out, half, n * sizeof half[0]);
}

static void explode_stripe(struct stripe *s, const struct weight *w, size_t row, size_t stripe)
{
    const struct quant_format *f = w->format;

    for (size_t r = 0; r < MM_GROUP; r++) {
        if (row + r >= w->rows) { /* padding: zeros whatever the codes */
            memset(s->code[r], w->zero, sizeof s->code[r]);
            memset(s->scale[r], 0, sizeof s->scale[r]);
            memset(s->min[r], 0, sizeof s->min[r]);
            continue;
        }
        f->explode(s->code[r], s->scale[r], s->min[r],
                   w->source + (row + r) * w->row_bytes + stripe * f->block_bytes);
    }
}

static void pack_group(struct weight *w, size_t group)
{
    const struct quant_format *f = w->format;
    size_t row = group * MM_GROUP, block = 0;
    struct stripe s;

    for (size_t i = 0; i < w->cols / f->block_values; i++) {
        explode_stripe(&s, w, row, i);
        for (size_t c = 0; c < f->block_values; c += MM_BLOCK, block++) {
            size_t p = block / w->panel_blocks, b = block % w->panel_blocks;

            pack_codes(weight_codes(w, group, p) + b * w->code_bytes, &s, c, w->bits);
            pack_scales((unsigned char *)weight_scales(w, group, p) + b * w->scale_bytes, &s, c, w);
        }
    }
}

/* Can the kernels work on it?  4 or 5 bits with or without minimums, 6 bits with two scales a
 * block, 8 bits; zero points in the middle.  Others are multiplied as floats. */
static bool packable(const struct quant_format *f)
{
    bool shape = f->code_bits == 4 || f->code_bits == 5 ? f->group == 32
                 : f->code_bits == 6                    ? f->group == 16 && !f->has_min
                                     : f->code_bits == 8 && f->group == 32 && !f->has_min;

    return shape && f->explode && f->zero == (f->has_min ? 0 : 1 << (f->code_bits - 1)) &&
           f->block_values % MM_BLOCK == 0 && f->block_values <= MAX_STRIPE;
}

static size_t panel_bytes(const struct weight *w, size_t blocks)
{
    return (blocks * (w->code_bytes + w->scale_bytes) + 63) / 64 * 64;
}

static int pack(struct weight *w, struct weight_store *store, const char *name, struct err *e)
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
        return err_set(e, ERR_NOMEM, "%s: %zu x %zu values do not fit memory", name, w->rows,
                       w->cols);
    r = slab_alloc(&w->slab, &memory, store, w->n_groups * w->group_bytes, e);
    if (r < 0)
        return r;
    w->packed = memory;
    for (size_t g = 0; g < w->n_groups; g++)
        pack_group(w, g);
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
    } else if (!packable(w->format)) {
        w->kind = WEIGHT_FLOAT;
    } else {
        r = pack(w, store, t->name, e);
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
    return w->source != NULL;
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
