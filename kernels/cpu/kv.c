/* kv.c - the storage itself; its rows are kv_rows.c's. */
#include "kernels/cpu/kv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* *product *= by; false if it would wrap. */
static bool times(size_t *product, size_t by)
{
    return !__builtin_mul_overflow(*product, by, product);
}

/* What the loops rely on: whole groups of 16 in a page, heads that fit the buffers of rope.c. */
static int check_shape(const struct kv_shape *s, struct err *e)
{
    size_t t = s->page_tokens;

    if (s->n_layers == 0 || s->n_kv == 0 || s->n_pages == 0)
        return err_set(e, ERR_INVALID, "a KV cache of %zu layers, %zu heads and %zu pages is empty",
                       s->n_layers, s->n_kv, s->n_pages);
    if (s->head_dim == 0 || s->head_dim > KV_MAX_HEAD_DIM)
        return err_set(e, ERR_INVALID, "a head has %zu values, expected 1 to %d", s->head_dim,
                       KV_MAX_HEAD_DIM);
    if (t < KV_LANES || t > 256 || (t & (t - 1)) != 0)
        return err_set(e, ERR_INVALID,
                       "a KV page has %zu positions, expected a power of 2, 16 to 256", t);
    if (s->dtype == DTYPE_Q8_0 && s->head_dim % KV_Q8 != 0)
        return err_set(e, ERR_UNSUPPORTED,
                       "keys and values in Q8_0 need heads of a multiple of %d values, not %zu",
                       KV_Q8, s->head_dim);
    if (s->dtype == DTYPE_F8_E4M3)
        return err_set(
            e, ERR_UNSUPPORTED,
            "keys and values in f8 are for models that are on a GPU as a whole: q8_0 takes "
            "hardly more memory");
    if (s->dtype != DTYPE_F16 && s->dtype != DTYPE_F32 && s->dtype != DTYPE_BF16 &&
        s->dtype != DTYPE_Q8_0)
        return err_set(e, ERR_INVALID, "KV type %d is none of F32, F16, BF16 and Q8_0",
                       (int)s->dtype);
    return 0;
}

int kv_create(struct kv **out, const struct kv_shape *s, struct err *e)
{
    struct kv *kv;
    void *base;
    int rc = check_shape(s, e);

    if (rc != 0)
        return rc;
    kv = calloc(1, sizeof *kv);
    if (!kv)
        return err_set(e, ERR_NOMEM, "no memory for a KV cache");
    kv->shape = *s;
    kv->value_bytes = s->dtype == DTYPE_F32 ? 4 : s->dtype == DTYPE_Q8_0 ? 1 : 2;
    kv->v_cols = (s->head_dim + KV_LANES - 1) / KV_LANES * KV_LANES;
    kv->k_bytes = s->page_tokens * kv_bytes(s->dtype, s->head_dim);
    kv->head_bytes = kv->k_bytes + s->page_tokens * kv_bytes(s->dtype, kv->v_cols);
    kv->total_bytes = kv->head_bytes;
    if (!times(&kv->total_bytes, s->n_kv) || !times(&kv->total_bytes, s->n_pages) ||
        !times(&kv->total_bytes, s->n_layers)) {
        free(kv);
        return err_set(e, ERR_NOMEM, "a KV cache of %zu pages is larger than memory can be",
                       s->n_pages);
    }
    base = mmap(NULL, kv->total_bytes, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        rc = err_set(e, ERR_NOMEM, "cannot map %zu bytes for a KV cache: %s", kv->total_bytes,
                     strerror(errno));
        free(kv);
        return rc;
    }
    madvise(base, kv->total_bytes, MADV_HUGEPAGE); /* a wish: small pages only cost speed */
    kv->base = base;
    *out = kv;
    return 0;
}

void kv_free(struct kv *kv)
{
    if (!kv)
        return;
    munmap(kv->base, kv->total_bytes);
    free(kv);
}

void kv_copy_layer(const struct kv *kv, size_t layer, size_t from, size_t to)
{
    memcpy(kv_keys(kv, layer, to, 0), kv_keys(kv, layer, from, 0), kv->shape.n_kv * kv->head_bytes);
}
