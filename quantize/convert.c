#include "quantize/convert.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/quant/encode.h"
#include "kernels/quant/quant.h"

enum {
    SLAB_BYTES = 8 << 20,    /* written at once */
    CHUNK_VALUES = 64 << 10, /* claimed at once */
};

struct converter {
    struct pool *pool;
    size_t n_threads;
    float *rows; /* [n_threads, cols]: each thread's row in floats */
    size_t row_values;
    unsigned char *slab;
    size_t slab_bytes;
};

/* One slab of rows [first, first + n). */
struct job {
    struct converter *c;
    const struct planned *it;
    const struct quant_format *to;
    size_t first, n, chunk, n_chunks, row_bytes;
    float limit; /* of what the type holds */
    struct pool_gate gate;
    atomic_bool infinite, large; /* such a value was found */
};

int converter_create(struct converter **out, size_t n_threads, struct err *e)
{
    struct converter *c = calloc(1, sizeof *c);
    int rc;

    *out = NULL;
    if (!c)
        return err_set(e, ERR_NOMEM, "out of memory");
    rc = pool_create(&c->pool, n_threads, e);
    if (rc) {
        free(c);
        return rc;
    }
    c->n_threads = pool_threads(c->pool);
    *out = c;
    return 0;
}

void converter_free(struct converter *c)
{
    if (!c)
        return;
    pool_free(c->pool);
    free(c->rows);
    free(c->slab);
    free(c);
}

/* Where row r of the new tensor stands. */
static const void *source_row(const struct planned *it, size_t r, const struct tensor **part)
{
    size_t i = 0, of_part;

    if (it->head) {
        size_t in_head = r % it->head;

        r += in_head % 2 * (it->head / 2) + in_head / 2 - in_head;
    }
    while (r >= (of_part = tensor_count(it->parts[i]) / it->cols)) {
        r -= of_part;
        i++;
    }
    *part = it->parts[i];
    return (const char *)(*part)->data + r * ((*part)->bytes / of_part);
}

/* Row r as floats in this thread's memory; NULL where not all values are as they must be. */
static const float *load_row(struct job *j, size_t thread, size_t r)
{
    float *x = j->c->rows + thread * j->c->row_values, largest = 0;
    const struct tensor *part;
    const void *from = source_row(j->it, r, &part);
    const struct quant_format *f = quant_format(part->dtype);
    size_t cols = j->it->cols;
    float poison = 0; /* NaN once a value is not finite */

    f->decode(x, from, cols / f->block_values);
    for (size_t i = 0; i < cols; i++) {
        poison += x[i] * 0.0f;
        largest = fmaxf(largest, fabsf(x[i]));
    }
    if (poison != 0)
        atomic_store(&j->infinite, true);
    else if (largest > j->limit)
        atomic_store(&j->large, true);
    return poison == 0 && largest <= j->limit ? x : NULL;
}

static void work(void *arg, size_t thread)
{
    struct job *j = arg;
    size_t chunk;

    while (pool_claim(&j->gate, j->n_chunks, &chunk)) {
        size_t start = chunk * j->chunk, end = start + j->chunk < j->n ? start + j->chunk : j->n;

        for (size_t r = start; r < end; r++) {
            const float *x = load_row(j, thread, j->first + r);

            if (x)
                quant_encode(j->to->dtype, j->c->slab + r * j->row_bytes, x,
                             j->it->cols / j->to->block_values);
        }
    }
}

static int make_room(struct converter *c, size_t row_values, size_t slab_bytes, struct err *e)
{
    if (row_values > c->row_values) {
        size_t values;

        free(c->rows);
        c->row_values = 0;
        c->rows = __builtin_mul_overflow(row_values, c->n_threads * sizeof *c->rows, &values)
                      ? NULL
                      : malloc(values);
        if (!c->rows)
            return err_set(e, ERR_NOMEM, "no memory for rows of %zu values", row_values);
        c->row_values = row_values;
    }
    if (slab_bytes > c->slab_bytes) {
        free(c->slab);
        c->slab_bytes = 0;
        c->slab = malloc(slab_bytes);
        if (!c->slab)
            return err_set(e, ERR_NOMEM, "no memory for %zu bytes", slab_bytes);
        c->slab_bytes = slab_bytes;
    }
    return 0;
}

/* Blocks that stay as they are. */
static int copy(struct gguf_writer *g, const struct planned *it,
                int (*tick)(void *arg, size_t bytes, struct err *e), void *arg, struct err *e)
{
    int rc = 0;

    for (size_t i = 0; i < it->n_parts && !rc; i++) {
        const unsigned char *from = it->parts[i]->data;

        for (size_t at = 0, n; at < it->parts[i]->bytes && !rc; at += n) {
            n = it->parts[i]->bytes - at < SLAB_BYTES ? it->parts[i]->bytes - at : SLAB_BYTES;
            rc = gguf_write(g, from + at, n, e);
            if (!rc)
                rc = tick(arg, n, e);
        }
    }
    return rc;
}

static int complain(const struct job *j, struct err *e)
{
    const char *name = j->it->t.name;

    if (atomic_load(&j->infinite))
        return err_param(e, name, ERR_INVALID, "tensor %.100s has values that are not finite",
                         name);
    return err_param(e, name, ERR_INVALID,
                     "tensor %.100s has values beyond %g, which %s cannot hold (BF16 and F32 can)",
                     name, (double)j->limit, j->to->name);
}

int convert(struct converter *c, struct gguf_writer *g, const struct planned *it,
            int (*tick)(void *arg, size_t bytes, struct err *e), void *arg, struct err *e)
{
    const struct quant_format *to = quant_format(it->t.dtype);
    struct job j = { .c = c, .it = it, .to = to };
    size_t slab_rows;
    int rc;

    if (it->copied)
        return copy(g, it, tick, arg, e);
    j.row_bytes = it->cols / to->block_values * to->block_bytes;
    j.limit = it->t.dtype == DTYPE_F32 || it->t.dtype == DTYPE_BF16 ? INFINITY : 65504;
    j.chunk = it->cols < CHUNK_VALUES ? CHUNK_VALUES / it->cols : 1;
    slab_rows = j.row_bytes < SLAB_BYTES ? SLAB_BYTES / j.row_bytes : 1;
    if (slab_rows > it->rows)
        slab_rows = it->rows;
    rc = make_room(c, it->cols, slab_rows * j.row_bytes, e);
    for (; j.first < it->rows && !rc; j.first += j.n) {
        j.n = it->rows - j.first < slab_rows ? it->rows - j.first : slab_rows;
        j.n_chunks = (j.n + j.chunk - 1) / j.chunk;
        memset(&j.gate, 0, sizeof j.gate);
        pool_run(c->pool, work, &j);
        rc = atomic_load(&j.infinite) || atomic_load(&j.large)
                 ? complain(&j, e)
                 : gguf_write(g, c->slab, j.n * j.row_bytes, e);
        if (!rc)
            rc = tick(arg, j.n * j.row_bytes, e);
    }
    return rc;
}
