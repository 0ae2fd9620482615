#include "tests/inference/weights/sample.h"

#include <stdlib.h>
#include <string.h>

#include "inference/weights/gguf.h"
#include "kernels/quant/quant.h"

void put_le(struct buf *b, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        buf_putc(b, (char)(i < 8 ? value >> 8 * i & 255 : 0));
}

void put_str(struct buf *b, const char *s, size_t len)
{
    put_le(b, len, 8);
    buf_put(b, s, len);
}

void put_header(struct buf *b, uint32_t version, uint64_t n_tensors, uint64_t n_values)
{
    buf_puts(b, "GGUF");
    put_le(b, version, 4);
    put_le(b, n_tensors, 8);
    put_le(b, n_values, 8);
}

void put_key(struct buf *b, const char *key, uint32_t type)
{
    put_str(b, key, strlen(key));
    put_le(b, type, 4);
}

void put_array(struct buf *b, const char *key, uint32_t item, uint64_t len)
{
    put_key(b, key, META_ARRAY);
    put_le(b, item, 4);
    put_le(b, len, 8);
}

void put_tensor(struct buf *b, const char *name, uint32_t n_dims, const uint64_t *dims,
                uint32_t type, uint64_t offset)
{
    put_str(b, name, strlen(name));
    put_le(b, n_dims, 4);
    for (uint32_t i = 0; i < n_dims; i++)
        put_le(b, dims[i], 8);
    put_le(b, type, 4);
    put_le(b, offset, 8);
}

void put_padding(struct buf *b, size_t alignment)
{
    while (b->len % alignment != 0)
        buf_putc(b, 0);
}

static void put_float(struct buf *b, double value, size_t bytes)
{
    float f = (float)value;
    uint64_t bits64;
    uint32_t bits32;

    memcpy(&bits64, &value, sizeof bits64);
    memcpy(&bits32, &f, sizeof bits32);
    put_le(b, bytes == 4 ? bits32 : bits64, bytes);
}

static void put_numbers(struct buf *b)
{
    static const struct {
        const char *key;
        enum meta_type type;
        size_t bytes;
        uint64_t value;
    } ints[] = {
        { "test.u8", META_U8, 1, 200 },          { "test.i8", META_I8, 1, 0x80 },
        { "test.u16", META_U16, 2, 60000 },      { "test.i16", META_I16, 2, 0xffff },
        { "test.u32", META_U32, 4, 4000000000 }, { "test.i32", META_I32, 4, 7 },
        { "test.u64", META_U64, 8, UINT64_MAX }, { "test.i64", META_I64, 8, UINT64_MAX - 1 },
    };

    for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++) {
        put_key(b, ints[i].key, ints[i].type);
        put_le(b, ints[i].value, ints[i].bytes);
    }
    put_key(b, "test.f32", META_F32);
    put_float(b, 0.1, 4);
    put_key(b, "test.f64", META_F64);
    put_float(b, -1e300, 8);
}

static void put_arrays(struct sample *s)
{
    struct buf *b = &s->bytes;

    put_array(b, "test.strs", META_STR, 3);
    s->at[MARK_ARRAY_LEN] = b->len - 8;
    s->at[MARK_ARRAY_ITEM] = b->len - 12;
    put_str(b, "one", 3);
    s->at[MARK_ARRAY_STR_LEN] = b->len;
    put_str(b, "", 0);
    put_str(b, "t\0o", 3);
    put_array(b, "test.ints", META_I16, 3);
    s->at[MARK_INTS_LEN] = b->len - 8;
    s->at[MARK_INTS_ITEM] = b->len - 12;
    put_le(b, 1, 2);
    put_le(b, 0xfffe, 2);
    put_le(b, 3, 2);
    put_array(b, "test.bools", META_BOOL, 2);
    s->at[MARK_BOOLS] = b->len;
    put_le(b, 1, 1);
    put_le(b, 0, 1);
    put_array(b, "test.floats", META_F64, 2);
    put_float(b, 0.5, 8);
    put_float(b, -2, 8);
    put_array(b, "test.singles", META_F32, 1);
    put_float(b, 0.25, 4);
    put_array(b, "test.large", META_U64, 1);
    put_le(b, (uint64_t)INT64_MAX + 1, 8);
    put_array(b, "test.none", META_STR, 0);
}

static void put_tensors(struct sample *s)
{
    static const uint64_t matrix[] = { 64, 3 }, vector[] = { 5 }, cube[] = { 2, 3, 4 };
    struct buf *b = &s->bytes;
    size_t at = b->len;

    put_tensor(b, "matrix", 2, matrix, DTYPE_Q4_0, 0); /* 3 * 2 * 18 = 108 bytes */
    s->at[MARK_NAME_LEN] = at;
    s->at[MARK_NAME] = at + 8;
    s->at[MARK_N_DIMS] = at + 14;
    s->at[MARK_DIM0] = at + 18;
    s->at[MARK_DIM1] = at + 26;
    s->at[MARK_TYPE] = at + 34;
    s->at[MARK_OFFSET] = at + 38;
    at = b->len;
    put_tensor(b, "vector", 1, vector, DTYPE_F32, 128);
    s->at[MARK_VECTOR_NAME] = at + 8;
    s->at[MARK_VECTOR_DIM0] = at + 18;
    s->at[MARK_VECTOR_TYPE] = at + 26;
    s->at[MARK_VECTOR_OFFSET] = at + 30;
    at = b->len;
    put_tensor(b, "cube", 3, cube, DTYPE_F16, 192);
    s->at[MARK_CUBE_N_DIMS] = at + 12;
    s->at[MARK_CUBE_DIM0] = at + 16;
    put_padding(b, 64);
    s->at[MARK_DATA] = b->len;
    for (unsigned i = 0; i < 192 + 2 * 3 * 4 * 2; i++)
        put_le(b, i, 1);
}

void sample_make(struct sample *s, uint32_t version)
{
    struct buf *b = &s->bytes;

    *s =
        (struct sample){ .at = { [MARK_VERSION] = 4, [MARK_N_TENSORS] = 8, [MARK_N_VALUES] = 16 } };
    put_header(b, version, 3, 20);
    s->at[MARK_KEY_LEN] = b->len;
    s->at[MARK_KEY] = b->len + 8;
    put_key(b, "general.alignment", META_U32);
    s->at[MARK_KEY_TYPE] = b->len - 4;
    s->at[MARK_ALIGNMENT] = b->len;
    put_le(b, 64, 4);
    s->at[MARK_BOOL_KEY] = b->len + 8;
    put_key(b, "test.bool", META_BOOL);
    s->at[MARK_BOOL] = b->len;
    put_le(b, 1, 1);
    s->at[MARK_STR_KEY] = b->len + 8;
    put_key(b, "test.text", META_STR);
    s->at[MARK_STR_TYPE] = b->len - 4;
    s->at[MARK_STR_LEN] = b->len;
    put_str(b, "a \xc3\xa9", 4);
    put_numbers(b);
    put_arrays(s);
    put_tensors(s);
}

/* The sum of its bytes, so that every one is read. */
static long read_all(const struct str *s)
{
    long sum = 0;

    for (size_t i = 0; i < s->len; i++)
        sum += (unsigned char)s->data[i];
    return sum;
}

static bool exercise_key(const struct weights *w, const char *key)
{
    struct weights_array a;
    struct str s = { NULL, 0 };
    struct err e = { .code = 0 };
    uint64_t n;
    double d;
    bool b, ok = weights_has(w, key);
    void *all;
    int found = 0;

    found += weights_u64(w, key, &n, &e) == 0;
    found += weights_f64(w, key, &d, &e) == 0;
    found += weights_bool(w, key, &b, &e) == 0;
    if (weights_str(w, key, &s, &e) == 0)
        found += read_all(&s) >= 0;
    if (weights_array(w, key, &a, &e) != 0)
        return ok && (found > 0 || e.text[0]);
    all = malloc(a.len * sizeof(struct str) + 1);
    if (!all)
        return true;
    if (a.kind == WEIGHTS_STR) {
        weights_array_strs(&a, all);
        for (size_t i = 0; i < a.len; i++)
            ok = ok && read_all(&((struct str *)all)[i]) >= 0;
    } else if (a.kind == WEIGHTS_FLOAT) {
        weights_array_floats(&a, all);
    } else {
        weights_array_ints(&a, all);
        for (size_t i = 0; i < a.len && a.kind == WEIGHTS_BOOL; i++)
            ok = ok && (uint64_t)((int64_t *)all)[i] <= 1;
    }
    free(all);
    return ok && found == 0;
}

static bool exercise_tensor(const struct weights *w, const struct tensor *t)
{
    const struct quant_format *f = quant_format(t->dtype);
    const unsigned char *p = t->data;
    float y[256];

    if (!f || t->n_dims < 1 || t->n_dims > TENSOR_MAX_DIMS || tensor_count(t) == 0 ||
        weights_tensor(w, t->name) != t || p < w->base || (size_t)(p - w->base) > w->bytes ||
        t->bytes > w->bytes - (size_t)(p - w->base) ||
        tensor_rows(t) * (tensor_cols(t) / f->block_values) * f->block_bytes != t->bytes)
        return false;
    for (size_t i = 0; i < t->bytes; i += f->block_bytes)
        f->decode(y, p + i, 1);
    weights_release(w, t);
    return true;
}

bool sample_exercise(const struct weights *w)
{
    bool ok = true;

    for (size_t i = 0; i < w->n_values && ok; i++) {
        char *key = strndup(w->values[i].key.data, w->values[i].key.len);

        ok = key && exercise_key(w, key);
        free(key);
    }
    for (size_t i = 0; i < weights_n_tensors(w) && ok; i++)
        ok = exercise_tensor(w, weights_tensor_at(w, i));
    return ok && !weights_tensor_at(w, weights_n_tensors(w));
}
