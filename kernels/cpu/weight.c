/* weight.c - matrices as mm.h offers them: what is kept of the source, and packing (order:
 * mm_ops.h). */
#include <math.h>
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

/* codes[r][32] (from row r of the stripe) into the packed order of a block. */
static void pack_codes(unsigned char *out, const struct stripe *s, size_t column, int bits)
{
    uint8_t step[MM_STEPS][MM_STEP_BYTES];

    for (size_t k = 0; k < MM_STEPS; k++)
        for (size_t r = 0; r < MM_GROUP; r++)
            memcpy(&step[k][4 * r], &s->code[r][column + 4 * k], 4);
    if (bits == 8) {
        memcpy(out, step, sizeof step);
        return;
    }
    for (size_t k = 0; k < 4; k++)
        for (size_t j = 0; j < MM_STEP_BYTES; j++)
            out[64 * k + j] = (unsigned char)((step[k][j] & 15) | (step[k + 4][j] & 15) << 4);
    for (size_t j = 0; j < MM_STEP_BYTES; j++) {
        unsigned plane = 0;
        unsigned wide = (unsigned)bits - 4; /* 0, 1 or 2 upper bits of each code */

        for (size_t k = 0; k < MM_STEPS; k++)
            plane |= (unsigned)(step[k][j] >> 4) << wide * k;
        if (wide > 0)
            out[256 + j] = (unsigned char)plane;
        if (wide > 1)
            out[320 + j] = (unsigned char)(plane >> 8);
    }
}

static void pack_scales(unsigned char *out, const struct stripe *s, size_t column,
                        const struct weight *w, const float *inverse)
{
    size_t group = w->format->group;
    uint16_t half[3 * MM_GROUP];
    size_t n = 0;

    for (int sub = 0; sub < w->subs; sub++)
        for (size_t r = 0; r < MM_GROUP; r++)
            half[n++] = quant_to_f16(s->scale[r][column / group + (size_t)sub] * inverse[r]);
    for (size_t r = 0; w->has_min && r < MM_GROUP; r++)
        half[n++] = quant_to_f16(s->min[r][column / group] * inverse[r]);
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

/* Formats with 256 values a block have scales that are products, not halves: each row gets a power
 * of two that brings its largest to 2^14 .. 2^15, so that small ones keep their precision. */
static void row_factors(float *factor, struct stripe *s, const struct weight *w, size_t row)
{
    const struct quant_format *f = w->format;
    size_t subs = f->block_values / f->group;

    for (size_t r = 0; r < MM_GROUP; r++)
        factor[r] = 0;
    for (size_t i = 0; f->block_values > MM_BLOCK && i < w->cols / f->block_values; i++) {
        explode_stripe(s, w, row, i);
        for (size_t r = 0; r < MM_GROUP; r++)
            for (size_t g = 0; g < subs; g++) {
                factor[r] = fmaxf(factor[r], fabsf(s->scale[r][g]));
                if (w->has_min)
                    factor[r] = fmaxf(factor[r], fabsf(s->min[r][g]));
            }
    }
    for (size_t r = 0; r < MM_GROUP; r++) {
        int exponent = 0;

        if (factor[r] > 0 && factor[r] <= 3e38f)
            frexpf(factor[r], &exponent); /* max = m * 2^exponent, 0.5 <= m < 1 */
        else
            exponent = 15;
        if (exponent < -100)
            exponent = -100;
        factor[r] = ldexpf(1, exponent - 15);
    }
}

static void pack_group(struct weight *w, size_t group)
{
    const struct quant_format *f = w->format;
    size_t row = group * MM_GROUP, block = 0;
    float factor[MM_GROUP], inverse[MM_GROUP];
    struct stripe s;

    row_factors(factor, &s, w, row);
    for (size_t r = 0; r < MM_GROUP; r++)
        inverse[r] = 1 / factor[r];
    memcpy(weight_factor(w, group), factor, sizeof factor);
    for (size_t i = 0; i < w->cols / f->block_values; i++) {
        explode_stripe(&s, w, row, i);
        for (size_t c = 0; c < f->block_values; c += MM_BLOCK, block++) {
            size_t p = block / w->panel_blocks, b = block % w->panel_blocks;

            pack_codes(weight_codes(w, group, p) + b * w->code_bytes, &s, c, w->bits);
            pack_scales((unsigned char *)weight_scales(w, group, p) + b * w->scale_bytes, &s, c, w,
                        inverse);
        }
    }
}

/* Can the kernels work on it?  4 or 5 bits with or without minimums, 6 bits with two scales a
 * block, 8 bits; zero points in the middle.  That is every format in the table so far. */
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

    if (!packable(f))
        return err_set(e, ERR_UNSUPPORTED, "%s: no matrix multiplication for type %s", name,
                       f->name);
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
    w->factor_at =
        (w->n_panels - 1) * w->panel_bytes + panel_bytes(w, weight_blocks(w, w->n_panels - 1));
    w->group_bytes = w->factor_at + MM_GROUP * sizeof(float);
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
    } else if (w->format->code_bits == 0) {
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
