/* slice_tensor.c - a rank's part of a tensor: runs of rows, and of columns of each row.
 *
 * Rows of a file lie behind each other, so a single run of them is used where it is; everything
 * else is put together anew.  A block of zero bytes decodes to zeros in every format. */
#include <stdlib.h>
#include <string.h>

#include "inference/slice.h"
#include "kernels/quant/quant.h"

struct run {
    size_t from, n;
};

/* Part of a dimension: n_runs runs of it, all of one length. */
struct cut {
    size_t n_runs, per; /* values of a run */
    size_t from;        /* of the first one */
    const uint16_t *at; /* or NULL; run i begins at at[i] * per */
    bool zeros;
};

static struct cut cut_part(struct slice_part p, size_t each)
{
    return (struct cut){ .n_runs = 1, .per = p.n * each, .from = p.from * each, .zeros = p.zeros };
}

/* Heads side by side are one run. */
static struct cut cut_kv(const struct rank_slice *s, size_t each)
{
    struct cut c = { .n_runs = 1, .per = s->n_kv * each, .from = s->kv[0] * each };

    for (size_t i = 1; i < s->n_kv; i++)
        if (s->kv[i] != s->kv[0] + i)
            return (struct cut){ .n_runs = s->n_kv, .per = each, .at = s->kv };
    c.zeros = s->heads.zeros;
    return c;
}

static struct cut cut_of(const struct rank_slice *s, enum slot_dim d, size_t total)
{
    switch (d) {
    case DIM_Q:
        return cut_part(s->heads, s->head_dim);
    case DIM_HEADS:
        return cut_part(s->heads, 1);
    case DIM_KV:
        return cut_kv(s, s->head_dim);
    case DIM_KV_HEADS:
        return cut_kv(s, 1);
    case DIM_FF:
        return cut_part(s->ff, 1);
    case DIM_FF_EXPERT:
        return cut_part(s->ff_expert, 1);
    case DIM_FF_SHARED:
        return cut_part(s->ff_shared, 1);
    case DIM_ONE:
    case DIM_EMBD:
    case DIM_HEAD:
    case DIM_EXPERTS:
        break;
    }
    return (struct cut){ .n_runs = 1, .per = total };
}

static size_t count(const struct cut *c)
{
    return c->n_runs * c->per;
}

static size_t begin(const struct cut *c, size_t run)
{
    return c->at ? c->at[run] * c->per : c->from;
}

/* The cuts of both dimensions; false: the tensor is as it is. */
static bool cut(const struct rank_slice *s, struct slot_dims dims, const struct tensor *t,
                struct cut *rows, struct cut *cols)
{
    if (s->n_ranks == 0)
        return false;
    *rows = cut_of(s, dims.rows, tensor_rows(t));
    *cols = cut_of(s, dims.cols, tensor_cols(t));
    return rows->zeros || cols->zeros || rows->n_runs > 1 || cols->n_runs > 1 ||
           count(rows) != tensor_rows(t) || count(cols) != tensor_cols(t);
}

static size_t bytes_of(const struct tensor *t, size_t values)
{
    const struct quant_format *f = quant_format(t->dtype);

    return values / f->block_values * f->block_bytes;
}

static void shape(const struct tensor *t, size_t rows, size_t cols, struct tensor *out)
{
    *out = *t;
    out->data = NULL;
    if (t->n_dims == 1) {
        out->shape[0] = cols;
    } else {
        out->n_dims = 2;
        out->shape[0] = rows;
        out->shape[1] = cols;
        out->shape[2] = out->shape[3] = 1;
    }
    out->bytes = rows * bytes_of(t, cols);
}

void slice_shape(const struct rank_slice *s, struct slot_dims dims, const struct tensor *t,
                 struct tensor *out)
{
    struct cut rows, cols;

    *out = *t;
    if (cut(s, dims, t, &rows, &cols))
        shape(t, count(&rows), count(&cols), out);
}

/* Calls fn with each piece of a row that is kept, in order. */
static void walk(const struct tensor *t, const struct cut *rows, const struct cut *cols,
                 void (*fn)(void *arg, const unsigned char *from, size_t values), void *arg)
{
    size_t row_bytes = bytes_of(t, tensor_cols(t));

    for (size_t i = 0; i < rows->n_runs; i++)
        for (size_t r = begin(rows, i); r < begin(rows, i) + rows->per; r++)
            for (size_t k = 0; k < cols->n_runs; k++)
                fn(arg,
                   (const unsigned char *)t->data + r * row_bytes + bytes_of(t, begin(cols, k)),
                   cols->per);
}

struct copying {
    const struct tensor *t;
    unsigned char *to;
};

static void copy_piece(void *arg, const unsigned char *from, size_t values)
{
    struct copying *c = arg;
    size_t bytes = bytes_of(c->t, values);

    memcpy(c->to, from, bytes);
    c->to += bytes;
}

int slice_cut(const struct rank_slice *s, struct slot_dims dims, const struct tensor *t,
              struct tensor *out, void **copy, struct err *e)
{
    struct cut rows, cols;

    *copy = NULL;
    *out = *t;
    if (!cut(s, dims, t, &rows, &cols))
        return 0;
    shape(t, count(&rows), count(&cols), out);
    if (!rows.zeros && !cols.zeros && rows.n_runs == 1 && count(&cols) == tensor_cols(t) &&
        cols.n_runs == 1) {
        out->data = (const unsigned char *)t->data + begin(&rows, 0) * bytes_of(t, tensor_cols(t));
        return 0;
    }
    *copy = calloc(1, out->bytes);
    if (!*copy)
        return err_set(e, ERR_NOMEM, "%s: no memory for a part of %zu bytes", t->name, out->bytes);
    out->data = *copy;
    out->mapped = out->made = false;
    if (!rows.zeros && !cols.zeros)
        walk(t, &rows, &cols, copy_piece, &(struct copying){ t, *copy });
    return 0;
}

struct decoding {
    const struct quant_format *format;
    float *to;
};

static void decode_piece(void *arg, const unsigned char *from, size_t values)
{
    struct decoding *d = arg;

    d->format->decode(d->to, from, values);
    d->to += values;
}

void slice_floats(const struct rank_slice *s, struct slot_dims dims, const struct tensor *t,
                  float *to)
{
    const struct quant_format *f = quant_format(t->dtype);
    struct cut rows, cols;

    if (!cut(s, dims, t, &rows, &cols))
        f->decode(to, t->data, tensor_count(t));
    else if (rows.zeros || cols.zeros)
        memset(to, 0, count(&rows) * count(&cols) * sizeof *to);
    else
        walk(t, &rows, &cols, decode_piece, &(struct decoding){ f, to });
}

/* Rows, or values of a vector, of `row` values each. */
static void vocab(const struct rank_slice *s, const struct tensor *t, size_t row,
                  struct tensor *out)
{
    size_t from;

    *out = *t;
    if (s->n_ranks == 0)
        return;
    from = s->vocab[s->rank];
    out->n_dims = 2;
    out->shape[0] = s->vocab[s->rank + 1] - from;
    out->shape[1] = row;
    out->bytes = out->shape[0] * bytes_of(t, row);
    out->data = (const unsigned char *)t->data + from * bytes_of(t, row);
}

void slice_head(const struct rank_slice *s, const struct tensor *t, struct tensor *out)
{
    vocab(s, t, tensor_cols(t), out);
}

void slice_head_bias(const struct rank_slice *s, const struct tensor *t, struct tensor *out)
{
    vocab(s, t, 1, out);
}
