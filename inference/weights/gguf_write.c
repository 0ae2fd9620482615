#include "inference/weights/gguf_write.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inference/weights/gguf.h"
#include "kernels/base/buf.h"
#include "kernels/quant/quant.h"

enum { ALIGNMENT = 32, VERSION_WRITTEN = 3 };

struct gguf_writer {
    char *path, *temporary; /* the latter is NULL once it is renamed or gone */
    int fd;
    struct buf keys, table; /* as they will stand in the file */
    uint64_t n_keys, n_tensors;
    size_t *sizes; /* [n_tensors] bytes of each */
    size_t cap;
    uint64_t offset;     /* where the next tensor will begin in the data section */
    size_t header_bytes; /* up to there, padded */
    size_t current, at;  /* the tensor that is being written, and its bytes so far */
};

/* "cannot write PATH: No space left on device" */
static int io_error(const struct gguf_writer *g, const char *what, struct err *e)
{
    return err_set(e, ERR_IO, "cannot %s %s: %s", what, g->path, strerror(errno));
}

static void put_u32(struct buf *b, uint32_t v)
{
    v = htole32(v);
    buf_put(b, &v, sizeof v);
}

static void put_u64(struct buf *b, uint64_t v)
{
    v = htole64(v);
    buf_put(b, &v, sizeof v);
}

static void put_str(struct buf *b, struct str s)
{
    put_u64(b, s.len);
    buf_put(b, s.data, s.len);
}

/* --- the file --------------------------------------------------------------------------------- */

int gguf_writer_create(struct gguf_writer **out, const char *path, struct err *e)
{
    struct gguf_writer *g = calloc(1, sizeof *g);
    size_t room = strlen(path) + sizeof ".XXXXXX";
    mode_t mask;
    int rc;

    *out = NULL;
    if (!g)
        return err_set(e, ERR_NOMEM, "out of memory");
    g->fd = -1;
    g->path = strdup(path);
    g->temporary = malloc(room);
    if (!g->path || !g->temporary) {
        gguf_writer_free(g);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    snprintf(g->temporary, room, "%s.XXXXXX", path);
    g->fd = mkstemp(g->temporary);
    if (g->fd < 0) {
        rc = io_error(g, "create", e);
        free(g->temporary);
        g->temporary = NULL;
        gguf_writer_free(g);
        return rc;
    }
    mask = umask(0); /* mkstemp() lets nobody else read */
    umask(mask);
    (void)fchmod(g->fd, 0666 & ~mask);
    *out = g;
    return 0;
}

void gguf_writer_free(struct gguf_writer *g)
{
    if (!g)
        return;
    if (g->fd >= 0)
        close(g->fd);
    if (g->temporary)
        unlink(g->temporary);
    buf_done(&g->keys);
    buf_done(&g->table);
    free(g->sizes);
    free(g->temporary);
    free(g->path);
    free(g);
}

static int put_bytes(const struct gguf_writer *g, const void *bytes, size_t n, struct err *e)
{
    const char *p = bytes;

    while (n) {
        ssize_t k = write(g->fd, p, n);

        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0) {
            if (k == 0)
                errno = ENOSPC;
            return io_error(g, "write", e);
        }
        p += k;
        n -= (size_t)k;
    }
    return 0;
}

/* --- keys ------------------------------------------------------------------------------------- */

static void put_f32(struct buf *b, float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    put_u32(b, bits);
}

/* The narrower type that holds all elements, or the one they have. */
static enum meta_type narrowed(const struct meta_value *v, enum gguf_how how)
{
    bool u32 = true, i32 = true;

    if (how == GGUF_AS_IS)
        return v->item;
    if (how == GGUF_REAL && v->type != META_ARRAY && v->type != META_STR && v->type != META_BOOL)
        return META_F32;

    if (v->item == META_F64)
        return META_F32;
    if (v->item != META_U64 && v->item != META_I64)
        return v->item;
    for (size_t i = 0; i < v->len; i++) {
        uint64_t n = cursor_load(v->data + 8 * i, 8);

        u32 &= n <= UINT32_MAX;
        i32 &= v->item == META_U64 ? n <= INT32_MAX
                                   : (int64_t)n >= INT32_MIN && (int64_t)n <= INT32_MAX;
    }
    if (v->type == META_ARRAY)
        return i32 ? META_I32 : v->item;
    return u32 ? META_U32 : i32 ? META_I32 : v->item;
}

static void put_elements(struct gguf_writer *g, const struct meta_value *v, enum meta_type item)
{
    for (size_t i = 0; i < v->len; i++) {
        if (item == META_F32)
            put_f32(&g->keys, (float)meta_real(v, i));
        else
            put_u32(&g->keys, (uint32_t)cursor_load(v->data + 8 * i, 8));
    }
}

static void put_value(struct gguf_writer *g, const struct meta_value *v, enum meta_type item)
{
    bool array = v->type == META_ARRAY;

    put_str(&g->keys, v->key);
    put_u32(&g->keys, array ? META_ARRAY : item);
    g->n_keys++;
    if (array) {
        put_u32(&g->keys, item);
        put_u64(&g->keys, v->len);
    }
    if (!v->data) /* a string that build.h made */
        put_str(&g->keys, v->text);
    else if (item == v->item)
        buf_put(&g->keys, v->data, meta_bytes(v));
    else
        put_elements(g, v, item);
}

void gguf_put_keys(struct gguf_writer *g, const struct weights *w,
                   enum gguf_how (*how)(const void *arg, struct str key), const void *arg)
{
    for (size_t i = 0; i < w->n_values; i++) {
        enum gguf_how as = how(arg, w->values[i].key);

        if (as != GGUF_DROP)
            put_value(g, &w->values[i], narrowed(&w->values[i], as));
    }
}

/* --- tensors ---------------------------------------------------------------------------------- */

static bool pad_up(uint64_t *n)
{
    return !__builtin_add_overflow(*n, (uint64_t)(ALIGNMENT - *n % ALIGNMENT) % ALIGNMENT, n);
}

int gguf_put_tensor(struct gguf_writer *g, const struct tensor *t, size_t *bytes, struct err *e)
{
    const struct quant_format *f = quant_format(t->dtype);
    uint64_t end;

    if (tensor_cols(t) % f->block_values ||
        __builtin_mul_overflow(tensor_count(t) / f->block_values, f->block_bytes, bytes))
        return err_set(e, ERR_FORMAT, "tensor %.100s: rows of %zu values are not blocks of %s",
                       t->name, tensor_cols(t), f->name);
    if (g->n_tensors == g->cap) {
        size_t cap = g->cap ? 2 * g->cap : 64;
        size_t *sizes = realloc(g->sizes, cap * sizeof *sizes);

        if (!sizes)
            return err_set(e, ERR_NOMEM, "out of memory for %zu tensors", cap);
        g->sizes = sizes;
        g->cap = cap;
    }
    put_str(&g->table, (struct str){ t->name, strlen(t->name) });
    put_u32(&g->table, (uint32_t)t->n_dims);
    for (int i = t->n_dims - 1; i >= 0; i--)
        put_u64(&g->table, t->shape[i]);
    put_u32(&g->table, (uint32_t)t->dtype);
    put_u64(&g->table, g->offset);
    end = g->offset;
    if (__builtin_add_overflow(end, (uint64_t)*bytes, &end) || !pad_up(&end) || end > INT64_MAX)
        return err_set(e, ERR_FORMAT, "tensor %.100s: the file would be too large", t->name);
    g->offset = end;
    g->sizes[g->n_tensors++] = *bytes;
    return 0;
}

int gguf_begin(struct gguf_writer *g, struct err *e)
{
    static const char zeros[ALIGNMENT];
    struct buf head = { 0 };
    int rc = 0;

    buf_put(&head, "GGUF", 4);
    put_u32(&head, VERSION_WRITTEN);
    put_u64(&head, g->n_tensors);
    put_u64(&head, g->n_keys);
    g->header_bytes = head.len + g->keys.len + g->table.len;
    if (head.failed || g->keys.failed || g->table.failed)
        rc = err_set(e, ERR_NOMEM, "out of memory for the keys of %s", g->path);
    if (!rc)
        rc = put_bytes(g, head.data, head.len, e);
    if (!rc)
        rc = put_bytes(g, g->keys.data, g->keys.len, e);
    if (!rc)
        rc = put_bytes(g, g->table.data, g->table.len, e);
    if (!rc)
        rc = put_bytes(g, zeros, (ALIGNMENT - g->header_bytes % ALIGNMENT) % ALIGNMENT, e);
    g->header_bytes += (ALIGNMENT - g->header_bytes % ALIGNMENT) % ALIGNMENT;
    if (!rc && g->offset && fallocate(g->fd, 0, 0, (off_t)gguf_file_bytes(g)) &&
        (errno == ENOSPC || errno == EFBIG))
        rc = io_error(g, "write", e);
    buf_done(&head);
    return rc;
}

size_t gguf_file_bytes(const struct gguf_writer *g)
{
    return g->header_bytes + (size_t)g->offset;
}

int gguf_write(struct gguf_writer *g, const void *bytes, size_t n, struct err *e)
{
    static const char zeros[ALIGNMENT];
    int rc;

    if (g->current == g->n_tensors || n > g->sizes[g->current] - g->at)
        return err_set(e, ERR_INTERNAL, "%zu bytes too many for tensor %zu of %s", n, g->current,
                       g->path);
    rc = put_bytes(g, bytes, n, e);
    g->at += n;
    if (rc || g->at < g->sizes[g->current])
        return rc;
    rc = put_bytes(g, zeros, (ALIGNMENT - g->at % ALIGNMENT) % ALIGNMENT, e);
    g->current++;
    g->at = 0;
    return rc;
}

int gguf_finish(struct gguf_writer *g, struct err *e)
{
    struct weights *back;
    int rc;

    if (g->current != g->n_tensors)
        return err_set(e, ERR_INTERNAL, "%s has %zu of its %llu tensors", g->path, g->current,
                       (unsigned long long)g->n_tensors);
    if (fsync(g->fd))
        return io_error(g, "write", e);
    rc = weights_open(&back, g->temporary, e);
    if (rc)
        return rc;
    weights_close(back);
    if (rename(g->temporary, g->path))
        return io_error(g, "create", e);
    free(g->temporary);
    g->temporary = NULL;
    return 0;
}
