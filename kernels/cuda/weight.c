/* weight.c - matrices in the device's own order (types.h): integer codes with scales where a format
 * has them, else floats.  Rows are turned on the host, some at a time, and copied. */
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/device.h"
#include "kernels/quant/quant.h"

enum { CHUNK_BYTES = 4 << 20, MAX_BLOCK = 256, MAX_GROUPS = 16 };

/* --- codes --- */

/* Bytes of a row in each array. */
struct row_sizes {
    size_t low, high, scale, min;
};

static struct row_sizes sizes_of(const struct cuda_codes *c)
{
    size_t blocks = c->blocks, halves = blocks * (size_t)c->subs * sizeof(uint16_t);

    return (struct row_sizes){ blocks * (c->bits == 8 ? 32 : 16),
                               blocks * (c->bits == 5   ? 4
                                         : c->bits == 6 ? 8
                                                        : 0),
                               halves, c->min ? halves : 0 };
}

/* Which of the kernels' formats holds f's codes: the smallest. */
static void choose(struct cuda_codes *c, const struct quant_format *f)
{
    c->subs = f->group == 16 ? 2 : 1;
    c->zero = f->zero;
    if (f->code_bits <= 4)
        c->bits = 4;
    else if (f->code_bits == 5 && f->group == 32)
        c->bits = 5;
    else if (f->code_bits == 6 && f->group == 16 && !f->has_min)
        c->bits = 6;
    else {
        c->bits = 8;
        c->zero = 0; /* codes are kept signed */
    }
}

/* Is there a kernel for f's codes?  Else they are decoded to floats. */
static bool by_codes(const struct quant_format *f, unsigned use)
{
    struct cuda_codes c;

    if (use & WEIGHT_EXACT || !f->explode)
        return false;
    choose(&c, f);
    return c.bits == 8 ? !f->has_min : c.bits != 4 || c.subs == 1 || f->has_min;
}

/* Codes of 32 columns into the order of types.h. */
static void pack_block(const struct cuda_codes *c, uint8_t *low, uint8_t *high, const uint8_t *code,
                       int zero)
{
    if (c->bits == 8) {
        for (size_t j = 0; j < 32; j++)
            low[CUDA_BYTE_OF(j)] = (uint8_t)(code[j] - zero);
        return;
    }
    for (size_t j = 0; j < 16; j++)
        low[j] = (uint8_t)((code[j] & 15) | (code[j + 16] & 15) << 4);
    if (c->bits == 5) {
        uint32_t bits = 0;

        for (size_t j = 0; j < 32; j++)
            bits |= (uint32_t)(code[j] >> 4 & 1) << j;
        memcpy(high, &bits, sizeof bits);
    } else if (c->bits == 6) {
        uint32_t bits[2] = { 0, 0 };

        for (size_t j = 0; j < 32; j++)
            bits[j / 16] |= (uint32_t)(code[j] >> 4 & 3) << 2 * (j % 16);
        memcpy(high, bits, sizeof bits);
    }
}

/* One row of the file into its four arrays. */
static void pack_row(const struct cuda_codes *c, const struct quant_format *f,
                     const unsigned char *source, uint8_t *low, uint8_t *high, uint16_t *scale,
                     uint16_t *min)
{
    size_t low_bytes = c->bits == 8 ? 32 : 16, high_bytes = c->bits == 5 ? 4 : 8, block = 0;
    uint8_t code[MAX_BLOCK];
    float scales[MAX_GROUPS], mins[MAX_GROUPS];

    for (size_t i = 0; i * f->block_values < c->blocks * (size_t)CUDA_BLOCK; i++) {
        f->explode(code, scales, mins, source + i * f->block_bytes);
        for (size_t at = 0; at < f->block_values; at += CUDA_BLOCK, block++) {
            pack_block(c, low + block * low_bytes, high + block * high_bytes, code + at, f->zero);
            for (size_t k = 0; k < (size_t)c->subs; k++) {
                size_t g = (at + k * CUDA_BLOCK / (size_t)c->subs) / f->group;

                scale[block * (size_t)c->subs + k] = quant_to_f16(scales[g]);
                if (f->has_min)
                    min[block * (size_t)c->subs + k] = quant_to_f16(mins[g]);
            }
        }
    }
}

static bool copy_up(struct device *d, const void *to, size_t offset, const void *from, size_t bytes)
{
    return bytes == 0 ||
           device_ok(d, cudaMemcpy((char *)to + offset, from, bytes, cudaMemcpyHostToDevice));
}

static int upload_codes(struct device *d, struct weight *w, const struct quant_format *f,
                        const struct tensor *t, struct err *e)
{
    struct cuda_codes *c = &w->code;
    size_t row_bytes = w->cols / f->block_values * f->block_bytes, rows_at_once, each, all;
    struct row_sizes size;
    unsigned char *buffer;
    char *memory;
    bool ok = true;
    cudaError_t r;

    c->rows = (unsigned)w->rows;
    c->blocks = (unsigned)(w->cols / CUDA_BLOCK);
    choose(c, f);
    c->min = f->has_min ? (const uint16_t *)1 : NULL; /* sizes_of() asks; the place follows */
    size = sizes_of(c);
    each = size.low + size.high + size.scale + size.min;
    if (__builtin_mul_overflow(each, w->rows, &all) || all > SIZE_MAX - 256)
        return err_set(e, ERR_NOMEM, "%s: %zu x %zu values do not fit memory", t->name, w->rows,
                       w->cols);
    r = cudaMalloc(&w->memory, all + 64); /* arrays begin at multiples of 16 */
    if (r != cudaSuccess)
        return device_error(d, r, e, t->name, all);
    memory = w->memory;
    c->low = (uint8_t *)memory;
    c->high = c->low + (size.low * w->rows + 15) / 16 * 16;
    c->scale = (const uint16_t *)(c->high + (size.high * w->rows + 15) / 16 * 16);
    c->min =
        f->has_min
            ? (const uint16_t *)((const char *)c->scale + (size.scale * w->rows + 15) / 16 * 16)
            : NULL;
    rows_at_once = CHUNK_BYTES / each + 1;
    rows_at_once = rows_at_once < w->rows ? rows_at_once : w->rows;
    buffer = malloc(rows_at_once * each + 16);
    if (!buffer)
        return err_set(e, ERR_NOMEM, "%s: no memory to turn it", t->name);
    for (size_t row = 0; row < w->rows && ok; row += rows_at_once) {
        size_t n = rows_at_once < w->rows - row ? rows_at_once : w->rows - row;
        uint16_t *scale = (uint16_t *)buffer, *min = scale + n * size.scale / 2;
        uint8_t *low = (uint8_t *)(min + n * size.min / 2), *high = low + n * size.low;

        for (size_t i = 0; i < n; i++)
            pack_row(c, f, (const unsigned char *)t->data + (row + i) * row_bytes,
                     low + i * size.low, high + i * size.high, scale + i * size.scale / 2,
                     min + i * size.min / 2);
        ok = copy_up(d, c->low, row * size.low, low, n * size.low) &&
             copy_up(d, c->high, row * size.high, high, n * size.high) &&
             copy_up(d, c->scale, row * size.scale, scale, n * size.scale) &&
             (!c->min || copy_up(d, c->min, row * size.min, min, n * size.min));
    }
    free(buffer);
    w->codes = true;
    return ok ? 0 : device_error(d, d->broken, e, t->name, all);
}

/* --- floats: as they are, or decoded --- */

static int upload_floats(struct device *d, struct weight *w, const struct quant_format *f,
                         const struct tensor *t, struct err *e)
{
    bool as_is = f->dtype == DTYPE_F32 || f->dtype == DTYPE_F16 || f->dtype == DTYPE_BF16;
    size_t value = f->dtype == DTYPE_F16 || f->dtype == DTYPE_BF16 ? 2 : 4, bytes, rows_at_once;
    size_t row_bytes = w->cols / f->block_values * f->block_bytes;
    float *buffer = NULL;
    bool ok = true;
    cudaError_t r;

    if (__builtin_mul_overflow(w->rows * value, w->cols, &bytes))
        return err_set(e, ERR_NOMEM, "%s: %zu x %zu values do not fit memory", t->name, w->rows,
                       w->cols);
    r = cudaMalloc(&w->memory, bytes);
    if (r != cudaSuccess)
        return device_error(d, r, e, t->name, bytes);
    w->floats = (struct cuda_floats){ w->memory, (unsigned)w->rows, (unsigned)w->cols,
                                      as_is ? (int)f->dtype : (int)DTYPE_F32 };
    if (as_is)
        return copy_up(d, w->memory, 0, t->data, bytes)
                   ? 0
                   : device_error(d, d->broken, e, t->name, bytes);
    rows_at_once = CHUNK_BYTES / (w->cols * value) + 1;
    buffer = malloc(rows_at_once * w->cols * sizeof *buffer);
    if (!buffer)
        return err_set(e, ERR_NOMEM, "%s: no memory to turn it", t->name);
    for (size_t row = 0; row < w->rows && ok; row += rows_at_once) {
        size_t n = rows_at_once < w->rows - row ? rows_at_once : w->rows - row;

        f->decode(buffer, (const unsigned char *)t->data + row * row_bytes,
                  n * (w->cols / f->block_values));
        ok = copy_up(d, w->memory, row * w->cols * sizeof *buffer, buffer,
                     n * w->cols * sizeof *buffer);
    }
    free(buffer);
    return ok ? 0 : device_error(d, d->broken, e, t->name, bytes);
}

size_t weight_bytes(const struct tensor *t, unsigned use)
{
    const struct quant_format *f = quant_format(t->dtype);
    struct cuda_codes c = { .blocks = (unsigned)(tensor_cols(t) / CUDA_BLOCK) };
    struct row_sizes size;

    if (!f || !(use & WEIGHT_MATMUL))
        return 0;
    if (!by_codes(f, use))
        return tensor_rows(t) * tensor_cols(t) *
               (f->dtype == DTYPE_F16 || f->dtype == DTYPE_BF16 ? 2 : 4);
    choose(&c, f);
    c.min = f->has_min ? (const uint16_t *)1 : NULL;
    size = sizes_of(&c);
    return tensor_rows(t) * (size.low + size.high + size.scale + size.min) + 64;
}

static int check(struct weight *w, const struct quant_format *f, const struct tensor *t,
                 struct err *e)
{
    w->rows = tensor_rows(t);
    w->cols = tensor_cols(t);
    if (w->rows == 0 || w->cols == 0 || w->cols % f->block_values != 0 || w->rows > INT32_MAX ||
        w->cols > INT32_MAX)
        return err_set(e, ERR_FORMAT, "%s: %zu x %zu values cannot be of type %s", t->name, w->rows,
                       w->cols, f->name);
    if (t->bytes / (w->cols / f->block_values * f->block_bytes) < w->rows)
        return err_set(e, ERR_FORMAT, "%s: %zu x %zu values of type %s need more than %zu bytes",
                       t->name, w->rows, w->cols, f->name, t->bytes);
    return 0;
}

int cuda_upload(struct device *d, const struct tensor *t, unsigned use, struct weight **out,
                struct err *e)
{
    const struct quant_format *f = quant_format(t->dtype);
    struct weight *w;
    int rc;

    if (!f)
        return err_set(e, ERR_UNSUPPORTED, "%s: tensor type %d is not known", t->name,
                       (int)t->dtype);
    w = calloc(1, sizeof *w);
    if (!w)
        return err_set(e, ERR_NOMEM, "%s: no memory for a matrix", t->name);
    device_enter(d);
    rc = check(w, f, t, e);
    if (rc == 0 && use & WEIGHT_EMBED)
        w->t = t;
    if (rc == 0 && use & WEIGHT_MATMUL)
        rc = by_codes(f, use) ? upload_codes(d, w, f, t, e) : upload_floats(d, w, f, t, e);
    if (rc) {
        cuda_weight_free(d, w);
        return rc;
    }
    *out = w;
    return 0;
}

void cuda_weight_free(struct device *d, struct weight *w)
{
    if (!w)
        return;
    device_enter(d);
    graph_forget(d);
    device_forget_experts(d);
    cudaFree(w->memory);
    free(w);
}

void weight_row(const struct weight *w, size_t row, float *y)
{
    const struct quant_format *f = quant_format(w->t->dtype);
    size_t n = w->cols / f->block_values;

    f->decode(y, (const unsigned char *)w->t->data + row * n * f->block_bytes, n);
}
