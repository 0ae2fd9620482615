/* gguf - the container of ggml's model files, versions 2 and 3, little-endian (ggml docs/gguf.md).
 *
 *   byte  0..3    magic        "GGUF"
 *         4..7    version      u32
 *         8..15   n_tensors    u64
 *         16..23  n_values     u64
 *         24..    n_values times: key (string), type u32, value           -> meta.c
 *                 n_tensors times: name (string), n_dims u32, dims u64[n_dims] (fastest first),
 *                                  type u32, offset u64 (from the start of the data section)
 *                 padding to a multiple of general.alignment (a key; 32 where it is missing)
 *                 the data section: each tensor at its offset, which is a multiple of the alignment
 *
 *   string: length u64, then that many bytes, no terminator.  Versions 2 and 3 differ only in that
 * 3 may be big-endian, which shows in the version's bytes. */
#include "inference/weights/gguf.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/quant/quant.h"

enum {
    DEFAULT_ALIGNMENT = 32,
    /* name of one byte, one dimension: what a tensor's entry takes at least */
    MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8,
};

/* Names of numbers that this build cannot compute with, for the sentence that says so. */
static const struct {
    uint32_t type;
    const char *name;
} foreign_types[] = {
    { 9, "Q8_1" },    { 10, "Q2_K" },    { 11, "Q3_K" },  { 15, "Q8_K" },   { 16, "IQ2_XXS" },
    { 17, "IQ2_XS" }, { 18, "IQ3_XXS" }, { 19, "IQ1_S" }, { 20, "IQ4_NL" }, { 21, "IQ3_S" },
    { 22, "IQ2_S" },  { 23, "IQ4_XS" },  { 24, "I8" },    { 25, "I16" },    { 26, "I32" },
    { 27, "I64" },    { 28, "F64" },     { 29, "IQ1_M" }, { 34, "TQ1_0" },  { 35, "TQ2_0" },
    { 39, "MXFP4" },  { 40, "NVFP4" },
};

/* A tensor's entry as it stands in the file. */
struct entry {
    struct str name;
    uint32_t n_dims, type;
    uint64_t dims[TENSOR_MAX_DIMS]; /* fastest first */
    uint64_t offset;
};

uint64_t cursor_load(const unsigned char *p, size_t bytes)
{
    uint64_t v = 0;

    memcpy(&v, p, bytes);
    return le64toh(v);
}

static int take(struct cursor *c, const char *what, size_t bytes, uint64_t *out, struct err *e)
{
    if (c->end - c->pos < bytes)
        return err_set(e, ERR_FORMAT, "the file ends at byte %zu, in the middle of %s", c->end,
                       what);
    *out = cursor_load(c->base + c->pos, bytes);
    c->pos += bytes;
    return 0;
}

int cursor_u32(struct cursor *c, const char *what, uint32_t *out, struct err *e)
{
    uint64_t v = 0;
    int rc = take(c, what, 4, &v, e);

    if (rc == 0)
        *out = (uint32_t)v;
    return rc;
}

int cursor_u64(struct cursor *c, const char *what, uint64_t *out, struct err *e)
{
    return take(c, what, 8, out, e);
}

int cursor_str(struct cursor *c, const char *what, struct str *out, struct err *e)
{
    size_t start = c->pos;
    uint64_t len = 0;
    int rc = take(c, what, 8, &len, e);

    if (rc != 0)
        return rc;
    if (len > c->end - c->pos) {
        rc = err_set(e, ERR_FORMAT,
                     "%s at byte %zu has a length of %llu and runs past the end at %zu", what,
                     start, (unsigned long long)len, c->end);
        c->pos = start;
        return rc;
    }
    *out = (struct str){ (const char *)c->base + c->pos, (size_t)len };
    c->pos += (size_t)len;
    return 0;
}

struct quoted quote(struct str s)
{
    struct quoted q;
    size_t room = sizeof q.text - 6, n = s.len < room ? s.len : room; /* quotes, "...", NUL */
    char *p = q.text;

    *p++ = '\'';
    for (size_t i = 0; i < n; i++)
        *p++ = s.data[i] >= ' ' && s.data[i] <= '~' ? s.data[i] : '?';
    if (n < s.len) {
        memcpy(p, "...", 3);
        p += 3;
    }
    *p++ = '\'';
    *p = 0;
    return q;
}

/* A file of another kind shows what it is in its first bytes: say them. */
static int check_magic(const struct weights *w, struct err *e)
{
    static const unsigned char magic[4] = "GGUF";
    size_t n = w->bytes < sizeof magic ? w->bytes : sizeof magic;
    char hex[3 * sizeof magic + 1] = "";

    if (n == sizeof magic && memcmp(w->base, magic, sizeof magic) == 0)
        return 0;
    for (size_t i = 0; i < n; i++) {
        hex[3 * i] = ' ';
        hex[3 * i + 1] = "0123456789abcdef"[w->base[i] >> 4];
        hex[3 * i + 2] = "0123456789abcdef"[w->base[i] & 15];
        hex[3 * i + 3] = 0;
    }
    return err_set(e, ERR_FORMAT, "not a GGUF file: begins with%s %s, expected 47 47 55 46 'GGUF'",
                   n ? hex : " nothing", quote((struct str){ (const char *)w->base, n }).text);
}

static int check_version(struct cursor *c, struct err *e)
{
    uint32_t version;
    int rc = cursor_u32(c, "the version", &version, e);

    if (rc != 0)
        return rc;
    if (version == 2 || version == 3)
        return 0;
    /* A big-endian 3 read as little-endian has its one byte on top. */
    if ((version & 0xffff) == 0 && version != 0)
        return err_set(
            e, ERR_UNSUPPORTED,
            "a big-endian GGUF file (version bytes 0x%08x): only little-endian ones are read",
            version);
    return err_set(e, ERR_UNSUPPORTED, "GGUF version %u: only versions 2 and 3 are read", version);
}

/* Only what an entry needs to be read at all is checked here; shape() and place() check the rest.
 */
static int read_entry(struct cursor *c, struct entry *t, struct err *e)
{
    int rc = cursor_str(c, "its name", &t->name, e);

    if (rc != 0)
        return rc;
    if (t->name.len == 0 || memchr(t->name.data, 0, t->name.len))
        return err_set(e, ERR_FORMAT, "its name %s",
                       t->name.len == 0 ? "is empty" : "has a NUL byte in it");
    rc = cursor_u32(c, "its number of dimensions", &t->n_dims, e);
    if (rc != 0)
        return rc;
    if (t->n_dims < 1 || t->n_dims > TENSOR_MAX_DIMS)
        return err_set(e, ERR_FORMAT, "%u dimensions, expected 1 to %d", t->n_dims,
                       TENSOR_MAX_DIMS);
    for (uint32_t i = 0; i < t->n_dims; i++) {
        rc = cursor_u64(c, "its shape", &t->dims[i], e);
        if (rc != 0)
            return rc;
    }
    rc = cursor_u32(c, "its type", &t->type, e);
    return rc != 0 ? rc : cursor_u64(c, "its offset", &t->offset, e);
}

static int refuse_type(uint32_t type, struct err *e)
{
    for (size_t i = 0; i < sizeof foreign_types / sizeof foreign_types[0]; i++)
        if (foreign_types[i].type == type)
            return err_set(e, ERR_UNSUPPORTED, "type %u (%s) is not supported", type,
                           foreign_types[i].name);
    return err_set(e, ERR_UNSUPPORTED, "type %u is not known", type);
}

/* Turns an entry round into *t, all but its data: shape slowest first, and the bytes that type and
 * shape make. */
static int shape(struct tensor *t, const struct entry *from, struct err *e)
{
    const struct quant_format *f =
        from->type < DTYPE_OWN ? quant_format((enum dtype)from->type) : NULL;
    size_t count = 1;

    if (!f)
        return refuse_type(from->type, e);
    t->dtype = f->dtype;
    t->n_dims = (int)from->n_dims;
    for (size_t i = 0; i < TENSOR_MAX_DIMS; i++)
        t->shape[i] = 1;
    for (uint32_t i = 0; i < from->n_dims; i++) {
        uint64_t dim = from->dims[i];

        if (dim == 0 || dim > SIZE_MAX || __builtin_mul_overflow(count, (size_t)dim, &count))
            return err_set(e, ERR_FORMAT, "dimension %u is %llu%s", i, (unsigned long long)dim,
                           dim ? ": their product is too large" : "");
        t->shape[from->n_dims - 1 - i] = (size_t)dim;
    }
    if (from->dims[0] % f->block_values != 0)
        return err_set(e, ERR_FORMAT, "rows of %llu values, but %s has blocks of %zu",
                       (unsigned long long)from->dims[0], f->name, f->block_values);
    if (__builtin_mul_overflow(count / f->block_values, f->block_bytes, &t->bytes))
        return err_set(e, ERR_FORMAT, "%zu values of %s are too large", count, f->name);
    return 0;
}

/* Reads the i-th entry; offsets[i] is where its data begins in the data section. */
static int read_tensor(struct weights *w, struct cursor *c, size_t i, uint64_t *offsets,
                       struct err *e)
{
    struct tensor *t = &w->tensors[i];
    struct entry entry = { .name.len = 0 };
    int rc = read_entry(c, &entry, e);

    if (rc == 0)
        rc = shape(t, &entry, e);
    if (rc != 0) {
        if (e)
            err_prefix(e, "tensor %zu of %zu %s: ", i + 1, w->n_tensors, quote(entry.name).text);
        return rc;
    }
    offsets[i] = entry.offset;
    t->mapped = w->n_files > 0;
    t->name = arena_strndup(&w->arena, entry.name.data, entry.name.len);
    return t->name ? 0 : err_set(e, ERR_NOMEM, "out of memory for the names of tensors");
}

/* qsort: two elements of w->by_name. */
static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const struct tensor *const *)a)->name,
                  (*(const struct tensor *const *)b)->name);
}

/* Tensors of the same name end up side by side. */
int gguf_sort_names(struct weights *w, struct err *e)
{
    for (size_t i = 0; i < w->n_tensors; i++)
        w->by_name[i] = &w->tensors[i];
    if (w->n_tensors > 0)
        qsort(w->by_name, w->n_tensors, sizeof w->by_name[0], compare_names);
    for (size_t i = 1; i < w->n_tensors; i++) {
        const char *name = w->by_name[i]->name;

        if (strcmp(w->by_name[i - 1]->name, name) == 0)
            return err_set(e, ERR_FORMAT, "two tensors are called %s",
                           quote((struct str){ name, strlen(name) }).text);
    }
    return 0;
}

/* The data section begins at the next multiple of *alignment after the entries. */
static int find_data(const struct weights *w, struct cursor *c, uint64_t *alignment, struct err *e)
{
    uint64_t pad;
    int rc;

    *alignment = DEFAULT_ALIGNMENT;
    rc = weights_u64(w, "general.alignment", alignment, e);
    if (rc != 0 && rc != ERR_NOTFOUND)
        return rc;
    if (*alignment == 0 || (*alignment & (*alignment - 1)) != 0)
        return err_set(e, ERR_FORMAT, "general.alignment is %llu, expected a power of two",
                       (unsigned long long)*alignment);
    pad = (*alignment - c->pos % *alignment) % *alignment;
    if (w->n_tensors == 0)
        return 0; /* then nothing needs to follow */
    if (pad > c->end - c->pos)
        return err_set(e, ERR_FORMAT,
                       "the file ends at byte %zu, before its data: %zu aligned to %llu", c->end,
                       c->pos, (unsigned long long)*alignment);
    c->pos += (size_t)pad;
    return 0;
}

/* Points t to its bytes, which must lie in the data section, from c to the end of the file. Tensors
 * may share bytes: nothing is ever written, and tied weights may be stored so. */
static int place(const struct cursor *c, struct tensor *t, uint64_t offset, uint64_t alignment,
                 struct err *e)
{
    size_t room = c->end - c->pos;
    struct quoted name = quote((struct str){ t->name, strlen(t->name) });

    if (offset % alignment != 0)
        return err_set(e, ERR_FORMAT, "tensor %s: offset %llu is not a multiple of %llu", name.text,
                       (unsigned long long)offset, (unsigned long long)alignment);
    if (offset > room || t->bytes > room - (size_t)offset)
        return err_set(
            e, ERR_FORMAT,
            "tensor %s: %zu bytes at offset %llu run past the end of the file, whose data "
            "section has %zu bytes (was it downloaded completely?)",
            name.text, t->bytes, (unsigned long long)offset, room);
    t->data = c->base + c->pos + (size_t)offset;
    return 0;
}

/* n is outside data: it is compared with the bytes that are left before anything is allocated, so
 * that memory stays within a small multiple of the file. */
static int read_tensors(struct weights *w, struct cursor *c, uint64_t n, struct err *e)
{
    uint64_t *offsets = NULL, alignment;
    int rc;

    if (n > (c->end - c->pos) / MIN_TENSOR_BYTES)
        return err_set(e, ERR_FORMAT, "%llu tensors announced, but only %zu bytes follow",
                       (unsigned long long)n, c->end - c->pos);
    w->n_tensors = (size_t)n;
    w->tensors = arena_array(&w->arena, w->n_tensors + 1, sizeof *w->tensors);
    w->by_name = arena_array(&w->arena, w->n_tensors + 1, sizeof *w->by_name);
    offsets = calloc(w->n_tensors + 1, sizeof *offsets);
    if (!w->tensors || !w->by_name || !offsets) {
        rc = err_set(e, ERR_NOMEM, "out of memory for %zu tensors", w->n_tensors);
        goto out;
    }
    rc = 0;
    for (size_t i = 0; i < w->n_tensors && rc == 0; i++)
        rc = read_tensor(w, c, i, offsets, e);
    if (rc == 0)
        rc = gguf_sort_names(w, e);
    if (rc == 0)
        rc = find_data(w, c, &alignment, e);
    for (size_t i = 0; i < w->n_tensors && rc == 0; i++)
        rc = place(c, &w->tensors[i], offsets[i], alignment, e);
out:
    free(offsets);
    return rc;
}

/* Both counts come before what they count; then the keys, then the tensors. */
int gguf_read(struct weights *w, struct err *e)
{
    struct cursor c = { w->base, 4, w->bytes };
    uint64_t n_tensors, n_values;
    int rc = check_magic(w, e);

    if (rc == 0)
        rc = check_version(&c, e);
    if (rc == 0)
        rc = cursor_u64(&c, "the number of tensors", &n_tensors, e);
    if (rc == 0)
        rc = cursor_u64(&c, "the number of keys", &n_values, e);
    if (rc == 0)
        rc = meta_read(w, &c, n_values, e);
    return rc != 0 ? rc : read_tensors(w, &c, n_tensors, e);
}
