/* meta - the keys of a GGUF file: read and checked once, then looked up.
 *
 *   value: u8 i8 u16 i16 u32 i32 f32 u64 i64 f64 little-endian; bool one byte, 0 or 1; string as in
 *   gguf.c; array: type of its elements u32, count u64, then the elements.
 * Arrays of arrays are part of the format; no model file uses them, and they are refused. */
#include "inference/weights/gguf.h"

#include <stdlib.h>
#include <string.h>

/* key of one byte, type, a value of one byte */
enum { MIN_VALUE_BYTES = 8 + 1 + 4 + 1 };

enum number { NOT_A_NUMBER, UNSIGNED, SIGNED, REAL };

static const struct {
    const char *name; /* with its article, for sentences */
    size_t bytes;     /* 0: not of fixed size */
    enum number number;
} types[META_N_TYPES] = {
    [META_U8] = { "a u8", 1, UNSIGNED },          [META_I8] = { "an i8", 1, SIGNED },
    [META_U16] = { "a u16", 2, UNSIGNED },        [META_I16] = { "an i16", 2, SIGNED },
    [META_U32] = { "a u32", 4, UNSIGNED },        [META_I32] = { "an i32", 4, SIGNED },
    [META_F32] = { "an f32", 4, REAL },           [META_BOOL] = { "a bool", 1, NOT_A_NUMBER },
    [META_STR] = { "a string", 0, NOT_A_NUMBER }, [META_ARRAY] = { "an array", 0, NOT_A_NUMBER },
    [META_U64] = { "a u64", 8, UNSIGNED },        [META_I64] = { "an i64", 8, SIGNED },
    [META_F64] = { "an f64", 8, REAL },
};

/* Shorter before longer where one begins with the other: a total order of any bytes. */
static int compare_str(struct str a, struct str b)
{
    int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_keys(const void *a, const void *b)
{
    return compare_str(((const struct meta_value *)a)->key, ((const struct meta_value *)b)->key);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* The number is an index into types[] from here on. */
static int read_type(struct cursor *c, const char *what, enum meta_type *out, struct err *e)
{
    uint32_t type;
    int rc = cursor_u32(c, what, &type, e);

    if (rc != 0)
        return rc;
    if (type >= META_N_TYPES)
        return err_set(e, ERR_FORMAT, "%s is %u, expected 0 to %d", what, type, META_N_TYPES - 1);
    *out = (enum meta_type)type;
    return 0;
}

/* Moves c over n elements of v->item, all of which are checked. */
static int read_elements(struct cursor *c, const struct meta_value *v, uint64_t n, struct err *e)
{
    size_t room = c->end - c->pos;
    size_t each = v->item == META_STR ? 8 : types[v->item].bytes;
    struct str s;
    int rc = 0;

    /* A string takes at least the 8 bytes of its length: n is bounded before the loop runs. */
    if (n > room / each)
        return err_set(e, ERR_FORMAT,
                       "%llu elements (%s each) do not fit in the %zu bytes that follow",
                       (unsigned long long)n, types[v->item].name, room);
    if (v->item == META_STR) {
        for (uint64_t i = 0; i < n && rc == 0; i++)
            rc = cursor_str(c, "a string", &s, e);
        return rc;
    }
    for (size_t i = 0; v->item == META_BOOL && i < n; i++)
        if (v->data[i] > 1)
            return err_set(e, ERR_FORMAT, "a bool at byte %zu is %u, expected 0 or 1", c->pos + i,
                           v->data[i]);
    c->pos += (size_t)n * each;
    return 0;
}

/* One key and value; v->key is set as soon as it is known, for the sentence. */
static int read_value(struct cursor *c, struct meta_value *v, struct err *e)
{
    uint64_t n = 1;
    int rc = cursor_str(c, "its name", &v->key, e);

    if (rc != 0)
        return rc;
    if (v->key.len == 0 || memchr(v->key.data, 0, v->key.len))
        return err_set(e, ERR_FORMAT, "its name %s",
                       v->key.len == 0 ? "is empty" : "has a NUL byte in it");
    rc = read_type(c, "the type of its value", &v->type, e);
    v->item = v->type;
    if (rc == 0 && v->type == META_ARRAY) {
        rc = read_type(c, "the type of its elements", &v->item, e);
        if (rc == 0 && v->item == META_ARRAY)
            return err_set(e, ERR_UNSUPPORTED, "an array of arrays is not supported");
        if (rc == 0)
            rc = cursor_u64(c, "the length of its array", &n, e);
    }
    if (rc != 0)
        return rc;
    v->data = c->base + c->pos;
    rc = read_elements(c, v, n, e);
    v->len = (size_t)n; /* it fits: the elements lie in the file */
    return rc;
}

int meta_read(struct weights *w, struct cursor *c, uint64_t n, struct err *e)
{
    if (n > (c->end - c->pos) / MIN_VALUE_BYTES)
        return err_set(e, ERR_FORMAT, "%llu keys announced, but only %zu bytes follow",
                       (unsigned long long)n, c->end - c->pos);
    w->values = arena_array(&w->arena, (size_t)n + 1, sizeof *w->values);
    if (!w->values)
        return err_set(e, ERR_NOMEM, "out of memory for %llu keys", (unsigned long long)n);
    w->n_values = (size_t)n;
    for (size_t i = 0; i < w->n_values; i++) {
        int rc = read_value(c, &w->values[i], e);

        if (rc != 0) {
            if (e)
                err_prefix(e, "key %zu of %zu %s: ", i + 1, w->n_values,
                           quote(w->values[i].key).text);
            return rc;
        }
    }
    return meta_sort(w, e);
}

int meta_sort(struct weights *w, struct err *e)
{
    if (w->n_values > 0)
        qsort(w->values, w->n_values, sizeof *w->values, compare_keys);
    for (size_t i = 1; i < w->n_values; i++)
        if (compare_keys(&w->values[i - 1], &w->values[i]) == 0)
            return err_set(e, ERR_FORMAT, "the key %s appears twice", quote(w->values[i].key).text);
    return 0;
}

/* --- looking up ------------------------------------------------------------------------------- */

static const struct meta_value *find(const struct weights *w, const char *key)
{
    struct meta_value wanted = { .key = { key, strlen(key) } };

    if (w->n_values == 0)
        return NULL;
    return bsearch(&wanted, w->values, w->n_values, sizeof *w->values, compare_keys);
}

/* The key is there, but its value is of another kind than the caller needs. */
static int wrong_kind(const struct meta_value *v, const char *expected, struct err *e)
{
    return err_set(e, ERR_FORMAT, "key %s is %s, expected %s", quote(v->key).text,
                   types[v->type].name, expected);
}

/* Bits 63..0 of an integer element, sign-extended where its type has a sign. */
static uint64_t load_int(enum meta_type type, const unsigned char *p)
{
    uint64_t v = cursor_load(p, types[type].bytes);
    unsigned unused = 64 - 8 * (unsigned)types[type].bytes;

    return types[type].number == SIGNED ? (uint64_t)((int64_t)(v << unused) >> unused) : v;
}

/* Both widths are taken as bits, then widened exactly. */
static double load_real(enum meta_type type, const unsigned char *p)
{
    uint64_t bits = cursor_load(p, types[type].bytes);
    uint32_t bits32 = (uint32_t)bits;
    double d;
    float f;

    memcpy(&d, &bits, sizeof d);
    memcpy(&f, &bits32, sizeof f);
    return type == META_F32 ? (double)f : d;
}

bool weights_has(const struct weights *w, const char *key)
{
    return find(w, key) != NULL;
}

int weights_u64(const struct weights *w, const char *key, uint64_t *out, struct err *e)
{
    const struct meta_value *v = find(w, key);
    uint64_t n;

    if (!v)
        return ERR_NOTFOUND;
    if (types[v->type].number != UNSIGNED && types[v->type].number != SIGNED)
        return wrong_kind(v, "an integer", e);
    n = load_int(v->type, v->data);
    if (types[v->type].number == SIGNED && (int64_t)n < 0)
        return err_set(e, ERR_FORMAT, "key %s is %lld, expected no negative number",
                       quote(v->key).text, (long long)n);
    *out = n;
    return 0;
}

int weights_f64(const struct weights *w, const char *key, double *out, struct err *e)
{
    const struct meta_value *v = find(w, key);
    const double exact = 0x1p53; /* above, a double skips integers */
    uint64_t n;
    double d;

    if (!v)
        return ERR_NOTFOUND;
    switch (types[v->type].number) {
    case REAL:
        *out = load_real(v->type, v->data);
        return 0;
    case UNSIGNED:
    case SIGNED:
        n = load_int(v->type, v->data);
        d = types[v->type].number == SIGNED ? (double)(int64_t)n : (double)n;
        if (d > exact || d < -exact)
            return err_set(e, ERR_FORMAT, "key %s is an integer near %g, which no double holds",
                           quote(v->key).text, d);
        *out = d;
        return 0;
    case NOT_A_NUMBER:
        break;
    }
    return wrong_kind(v, "a number", e);
}

int weights_bool(const struct weights *w, const char *key, bool *out, struct err *e)
{
    const struct meta_value *v = find(w, key);

    if (!v)
        return ERR_NOTFOUND;
    if (v->type != META_BOOL)
        return wrong_kind(v, "a bool", e);
    *out = v->data[0] != 0;
    return 0;
}

/* The string at p, which lies in a file that was checked, and where it ends. */
static const unsigned char *load_str(const unsigned char *p, struct str *out)
{
    *out = (struct str){ (const char *)p + 8, (size_t)cursor_load(p, 8) };
    return p + 8 + out->len;
}

double meta_real(const struct meta_value *v, size_t i)
{
    const unsigned char *p = v->data + i * types[v->item].bytes;

    if (types[v->item].number == REAL)
        return load_real(v->item, p);
    return types[v->item].number == SIGNED ? (double)(int64_t)load_int(v->item, p)
                                           : (double)load_int(v->item, p);
}

size_t meta_bytes(const struct meta_value *v)
{
    const unsigned char *p = v->data;
    struct str s;

    if (v->item != META_STR)
        return v->len * types[v->item].bytes;
    for (size_t i = 0; i < v->len; i++)
        p = load_str(p, &s);
    return (size_t)(p - v->data);
}

int weights_str(const struct weights *w, const char *key, struct str *out, struct err *e)
{
    const struct meta_value *v = find(w, key);

    if (!v)
        return ERR_NOTFOUND;
    if (v->type != META_STR)
        return wrong_kind(v, "a string", e);
    if (v->data)
        load_str(v->data, out);
    else
        *out = v->text;
    return 0;
}

/* --- arrays ----------------------------------------------------------------------------------- */

int weights_array(const struct weights *w, const char *key, struct weights_array *out,
                  struct err *e)
{
    const struct meta_value *v = find(w, key);
    enum weights_kind kind = WEIGHTS_INT;

    if (!v)
        return ERR_NOTFOUND;
    if (v->type != META_ARRAY)
        return wrong_kind(v, "an array", e);
    if (v->item == META_STR || v->item == META_BOOL)
        kind = v->item == META_STR ? WEIGHTS_STR : WEIGHTS_BOOL;
    else if (types[v->item].number == REAL)
        kind = WEIGHTS_FLOAT;
    /* weights_array_ints() cannot fail, so what an int64 cannot hold is found here. */
    for (size_t i = 0; v->item == META_U64 && i < v->len; i++)
        if (cursor_load(v->data + 8 * i, 8) > INT64_MAX)
            return err_set(e, ERR_FORMAT, "key %s: element %zu is %llu, larger than an int64",
                           quote(v->key).text, i,
                           (unsigned long long)cursor_load(v->data + 8 * i, 8));
    *out = (struct weights_array){ kind, v->len, v->data, (int)v->item };
    return 0;
}

void weights_array_ints(const struct weights_array *a, int64_t *out)
{
    const unsigned char *p = a->impl;
    enum meta_type type = (enum meta_type)a->type;

    for (size_t i = 0; i < a->len; i++)
        out[i] = (int64_t)load_int(type, p + i * types[type].bytes);
}

void weights_array_floats(const struct weights_array *a, double *out)
{
    const unsigned char *p = a->impl;
    enum meta_type type = (enum meta_type)a->type;

    for (size_t i = 0; i < a->len; i++)
        out[i] = load_real(type, p + i * types[type].bytes);
}

void weights_array_strs(const struct weights_array *a, struct str *out)
{
    const unsigned char *p = a->impl;

    for (size_t i = 0; i < a->len; i++)
        p = load_str(p, &out[i]);
}
