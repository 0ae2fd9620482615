/* safetensors - the container of Hugging Face's weights (safetensors' README, "Format").
 *
 *   byte  0..7      n, the length of the header: u64, little-endian
 *         8..8+n-1  the header: a JSON object, blanks may follow it
 *                   {"NAME": {"dtype": "F32", "shape": [rows, cols], "data_offsets": [begin, end]},
 *                    ..., "__metadata__": {"key": "text"}}
 *         8+n..     the data; begin and end count from here
 *
 * Shapes are slowest first, as ours.  Numbers are little-endian. */
#include "inference/weights/safetensors.h"

#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "kernels/base/json.h"

/* The reference reader's own limit; a header is a few hundred bytes for each tensor. */
enum { MAX_HEADER_BYTES = 100000000, MAX_DEPTH = 8, SHOWN_NAME = 100 };

static const struct {
    const char *name;
    size_t bytes;
    int dtype; /* -1: not computed with */
} types[] = {
    { "F32", 4, DTYPE_F32 }, { "F16", 2, DTYPE_F16 }, { "BF16", 2, DTYPE_BF16 },
    { "F64", 8, -1 },        { "I64", 8, -1 },        { "I32", 4, -1 },
    { "I16", 2, -1 },        { "I8", 1, -1 },         { "U64", 8, -1 },
    { "U32", 4, -1 },        { "U16", 2, -1 },        { "U8", 1, -1 },
    { "BOOL", 1, -1 },       { "F8_E4M3", 1, -1 },    { "F8_E5M2", 1, -1 },
    { "F8_E8M0", 1, -1 },
};

/* A member of a tensor's entry that must be a list of at most `most` integers from 0 on. */
static int read_sizes(const struct value *entry, const char *key, size_t most, size_t *out,
                      size_t *n, struct err *e)
{
    const struct value *v = value_get(entry, key);

    if (!v || v->kind != VALUE_LIST || v->list.len > most)
        return err_set(e, ERR_FORMAT, "%s is not a list of up to %zu integers", key, most);
    for (size_t i = 0; i < v->list.len; i++) {
        const struct value *item = v->list.items[i];

        if (item->kind != VALUE_INT || item->integer < 0 || (uint64_t)item->integer > SIZE_MAX)
            return err_set(e, ERR_FORMAT, "%s holds something that is no size", key);
        out[i] = (size_t)item->integer;
    }
    *n = v->list.len;
    return 0;
}

/* An unknown type cannot be checked against its bytes, so it is refused here. */
static int read_type(struct st_tensor *s, const struct value *entry, size_t *bytes, struct err *e)
{
    const struct value *v = value_get(entry, "dtype");

    if (!v || v->kind != VALUE_STRING)
        return err_set(e, ERR_FORMAT, "dtype is not a string");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, v->string.data) == 0) {
            s->type = types[i].name;
            s->known = types[i].dtype >= 0;
            s->t.dtype = s->known ? (enum dtype)types[i].dtype : DTYPE_F32;
            *bytes = types[i].bytes;
            return 0;
        }
    return err_set(e, ERR_UNSUPPORTED, "type %.40s is not known", v->string.data);
}

static int read_tensor(struct st_tensor *s, const struct value *entry, const unsigned char *data,
                       size_t room, struct err *e)
{
    size_t each = 0, n_dims = 0, n_offsets = 0, offsets[2], bytes;
    int rc;

    if (entry->kind != VALUE_MAP)
        return err_set(e, ERR_FORMAT, "its entry is not an object");
    if ((rc = read_type(s, entry, &each, e)) ||
        (rc = read_sizes(entry, "shape", TENSOR_MAX_DIMS, s->t.shape, &n_dims, e)) ||
        (rc = read_sizes(entry, "data_offsets", 2, offsets, &n_offsets, e)))
        return rc;
    if (n_offsets != 2 || offsets[0] > offsets[1] || offsets[1] > room)
        return err_set(e, ERR_FORMAT,
                       "its data_offsets do not lie within the %zu bytes of data (was the file "
                       "downloaded completely?)",
                       room);
    bytes = each;
    for (size_t i = 0; i < n_dims; i++)
        if (__builtin_mul_overflow(bytes, s->t.shape[i], &bytes))
            return err_set(e, ERR_FORMAT, "its shape is too large");
    if (bytes != offsets[1] - offsets[0])
        return err_set(e, ERR_FORMAT, "its shape takes %zu bytes of %s, its data_offsets span %zu",
                       bytes, s->type, offsets[1] - offsets[0]);
    for (size_t i = n_dims; i < TENSOR_MAX_DIMS; i++)
        s->t.shape[i] = 1;
    s->t.n_dims = n_dims ? (int)n_dims : 1;
    s->t.data = data + offsets[0];
    s->t.bytes = bytes;
    return 0;
}

static int read_header(struct st_list *out, const struct value *header, const unsigned char *data,
                       size_t room, struct arena *a, struct err *e)
{
    int rc;

    if (header->kind != VALUE_MAP)
        return err_set(e, ERR_FORMAT, "the header is not a JSON object");
    out->items = arena_array(a, header->map.len + 1, sizeof *out->items);
    if (!out->items)
        return err_set(e, ERR_NOMEM, "out of memory for %zu tensors", header->map.len);
    for (size_t i = 0; i < header->map.len; i++) {
        const struct value_pair *p = &header->map.pairs[i];

        if (strcmp(p->key, "__metadata__") == 0)
            continue;
        out->items[out->n].t.name = p->key;
        rc = read_tensor(&out->items[out->n], p->value, data, room, e);
        if (rc) {
            if (e)
                err_prefix(e, "tensor %.*s: ", SHOWN_NAME, p->key);
            return rc;
        }
        out->n++;
    }
    return 0;
}

int safetensors_read(struct st_list *out, const void *file, size_t n, struct arena *a,
                     struct err *e)
{
    const unsigned char *bytes = file;
    struct value *header = NULL;
    uint64_t len;
    int rc;

    *out = (struct st_list){ 0 };
    if (n < sizeof len)
        return err_set(e, ERR_FORMAT, "not a safetensors file: it has %zu bytes", n);
    memcpy(&len, bytes, sizeof len);
    len = le64toh(len);
    if (len > MAX_HEADER_BYTES || len > n - sizeof len)
        return err_set(e, ERR_FORMAT,
                       "not a safetensors file: a header of %llu bytes does not fit in its %zu "
                       "bytes, or is more than %d (was it downloaded completely?)",
                       (unsigned long long)len, n, MAX_HEADER_BYTES);
    rc = json_parse((const char *)bytes + sizeof len, (size_t)len, MAX_DEPTH, a, &header, e);
    if (rc == 0)
        rc = read_header(out, header, bytes + sizeof len + len, n - sizeof len - (size_t)len, a, e);
    else if (e)
        err_prefix(e, "its header: ");
    return rc;
}
