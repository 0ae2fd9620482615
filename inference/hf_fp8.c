/* hf_fp8.c - a folder's matrices of 8-bit floats, whose scales are in a tensor beside.
 *
 *   NAME.weight            [rows, cols] F8_E4M3
 *   NAME.weight_scale_inv  [ceil(rows / h), ceil(cols / w)], of blocks of h x w values, mostly 128
 * x 128 (DeepSeek-AI 2024, section 3.3; quantization_config.weight_block_size) NAME.weight_scale
 * [1] of all, or [rows, 1]
 *
 * value = float * scale, whichever of the two names it has.  They become blocks of 32 values
 * (kernels/quant/f8_e4m3.c), or floats where rows are no multiple of that, so every value is what
 * it is in the reference.  Scales of activations are left aside: ours are not rounded. */
#include <stdlib.h>
#include <string.h>

#include "inference/hf.h"
#include "kernels/quant/quant.h"

enum { VALUES = 32, BLOCK_BYTES = 4 + VALUES, BLOCK_SIDE = 128, NAN_BITS = 0x7f };

static int by_name(const void *a, const void *b)
{
    const struct st_tensor *const *x = a, *const *y = b;

    return strcmp((*x)->t.name, (*y)->t.name);
}

/* The tensor called stem, stem_len bytes of it, and end. */
static const struct st_tensor *find(const struct hf *h, const char *stem, size_t stem_len,
                                    const char *end)
{
    size_t low = 0, high = h->folder->tensors.n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct st_tensor *s = h->by_name[middle];
        int order = strncmp(s->t.name, stem, stem_len);

        if (order == 0)
            order = strcmp(s->t.name + stem_len, end);
        if (order == 0)
            return s;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool hf_is_fp8(const struct st_tensor *s)
{
    return strcmp(s->type, "F8_E4M3") == 0;
}

int hf_fp8_begin(struct hf *h, struct err *e)
{
    size_t n = h->folder->tensors.n;

    h->by_name = weights_room(h->w, (n + 1) * sizeof *h->by_name);
    if (!h->by_name)
        return err_set(e, ERR_NOMEM, "no memory for %zu tensors", n);
    for (size_t i = 0; i < n; i++)
        h->by_name[i] = &h->folder->tensors.items[i];
    qsort(h->by_name, n, sizeof *h->by_name, by_name);
    return 0;
}

bool hf_fp8_scale(const struct hf *h, const struct st_tensor *s)
{
    static const char *const ends[] = { "weight_scale_inv", "weight_scale", "input_scale",
                                        "activation_scale" };
    size_t len = strlen(s->t.name);

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t end = strlen(ends[i]);
        const struct st_tensor *w;

        if (len <= end || strcmp(s->t.name + len - end, ends[i]) != 0)
            continue;
        w = find(h, s->t.name, len - end, "weight");
        return w && hf_is_fp8(w);
    }
    return false;
}

/* Scales of a matrix as floats: of a block of rows x cols values each, so many in a row. */
struct scales {
    float *of;
    size_t rows, cols, per_row;
};

/* Sides of a block by config.json. */
static size_t side(const struct hf *h, size_t i)
{
    const struct value *list =
        value_get(value_get(h->config, "quantization_config"), "weight_block_size");

    if (!list || list->kind != VALUE_LIST || list->list.len != 2 ||
        list->list.items[i]->kind != VALUE_INT || list->list.items[i]->integer < 1 ||
        list->list.items[i]->integer > 1 << 20)
        return BLOCK_SIDE;
    return (size_t)list->list.items[i]->integer;
}

static size_t ceil_div(size_t a, size_t b)
{
    return a / b + (a % b > 0);
}

static int read_scales(struct hf *h, const struct st_tensor *s, struct scales *out, struct err *e)
{
    size_t rows = s->t.shape[0], cols = s->t.shape[1], stem = strlen(s->t.name);
    size_t height = side(h, 0), width = side(h, 1), count;
    const struct st_tensor *scale = find(h, s->t.name, stem, "_scale_inv");

    if (!scale)
        scale = find(h, s->t.name, stem, "_scale");
    if (!scale || !scale->known)
        return err_param(e, s->t.name, ERR_FORMAT,
                         "tensor %.100s is of type F8_E4M3, but %.100s_scale_inv %s", s->t.name,
                         s->t.name, scale ? "is of an unknown type" : "is missing");
    count = tensor_count(&scale->t);
    if (count == 1)
        *out = (struct scales){ NULL, rows, cols, 1 };
    else if (count == rows && scale->t.shape[0] == rows)
        *out = (struct scales){ NULL, 1, cols, 1 };
    else if (scale->t.n_dims == 2 && scale->t.shape[0] == ceil_div(rows, height) &&
             scale->t.shape[1] == ceil_div(cols, width))
        *out = (struct scales){ NULL, height, width, scale->t.shape[1] };
    else
        return err_param(e, scale->t.name, ERR_FORMAT,
                         "tensor %.100s is [%zu, %zu]; expected a scale for each block of %zu x "
                         "%zu values of %zu x %zu, for each row, or one",
                         scale->t.name, scale->t.shape[0], scale->t.shape[1], height, width, rows,
                         cols);
    out->of = calloc(count, sizeof *out->of);
    if (!out->of)
        return err_set(e, ERR_NOMEM, "no memory for %zu scales", count);
    quant_format(scale->t.dtype)->decode(out->of, scale->t.data, count);
    return 0;
}

/* Block b of a row from column c on. */
static void put_block(unsigned char *to, const unsigned char *from, size_t n, float scale)
{
    memcpy(to, &scale, sizeof scale);
    memcpy(to + sizeof scale, from, n);
}

/* All rows in blocks, or, where each column has to be a value of its own, in floats. */
static int convert(const struct tensor *from, const struct scales *s, unsigned char *to,
                   bool floats, struct err *e)
{
    size_t rows = from->shape[0], cols = from->shape[1], step = floats ? 1 : VALUES;
    const unsigned char *in = from->data;
    unsigned char block[BLOCK_BYTES] = { 0 };
    float values[VALUES];

    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c += step, in += step) {
            float scale = s->of[r / s->rows * s->per_row + c / s->cols];

            for (size_t i = 0; i < step; i++)
                if ((in[i] & NAN_BITS) == NAN_BITS)
                    return err_param(e, from->name, ERR_FORMAT,
                                     "tensor %.100s: value %zu of row %zu is not a number",
                                     from->name, c + i, r);
            put_block(floats ? block : to, in, step, scale);
            if (floats) {
                quant_format(DTYPE_F8_E4M3)->decode(values, block, 1);
                memcpy(to, values, sizeof *values);
            }
            to += floats ? sizeof *values : BLOCK_BYTES;
        }
    return 0;
}

int hf_fp8_weight(struct hf *h, const struct st_tensor *s, struct tensor *t, struct err *e)
{
    struct scales scales = { 0 };
    bool floats;
    unsigned char *to;
    int rc;

    if (s->t.n_dims != 2 || tensor_count(&s->t) == 0)
        return err_param(e, s->t.name, ERR_UNSUPPORTED,
                         "tensor %.100s is of type F8_E4M3 and not a matrix", s->t.name);
    rc = read_scales(h, s, &scales, e);
    if (rc)
        return rc;
    floats = s->t.shape[1] % VALUES != 0 || (scales.per_row > 1 && scales.cols % VALUES != 0);
    *t = s->t;
    t->mapped = false;
    t->made = true;
    t->dtype = floats ? DTYPE_F32 : DTYPE_F8_E4M3;
    /* no more than 4 bytes for each that the file has */
    t->bytes = floats ? s->t.bytes * sizeof(float) : s->t.bytes / VALUES * BLOCK_BYTES;
    to = weights_room(h->w, t->bytes);
    t->data = to;
    rc = to ? convert(&s->t, &scales, to, floats, e)
            : err_set(e, ERR_NOMEM, "tensor %.100s: no memory for %zu bytes", s->t.name, t->bytes);
    free(scales.of);
    return rc;
}
