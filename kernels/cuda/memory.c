/* memory.c - the device's memory: buffers, what ops work in, caches. */
#include <stdlib.h>

#include "kernels/cuda/device.h"

/* The tests look into buffers as if they were their own: on a real device with
 * AIRSTRIP_CUDA_MANAGED=1. */
static cudaError_t allocate(const struct device *d, void **out, size_t bytes)
{
    const char *managed = getenv("AIRSTRIP_CUDA_MANAGED");

    return d->shared || (managed && *managed == '1')
               ? cudaMallocManaged(out, bytes, cudaMemAttachGlobal)
               : cudaMalloc(out, bytes);
}

int cuda_alloc(struct device *d, size_t bytes, void **out, struct err *e)
{
    cudaError_t r;

    device_enter(d);
    r = allocate(d, out, bytes ? bytes : 1);
    if (r == cudaSuccess) {
        r = cudaMemsetAsync(*out, 0, bytes, d->stream);
        if (r == cudaSuccess)
            r = cudaStreamSynchronize(d->stream);
        if (r == cudaSuccess)
            return 0;
        cudaFree(*out);
    }
    *out = NULL;
    return device_error(d, r, e, "a buffer", bytes);
}

void cuda_free(struct device *d, void *p)
{
    device_enter(d);
    cudaFree(p);
}

/* Grows a buffer of the device, whose contents are lost. */
static int grow(struct device *d, void **p, size_t bytes, const char *what, struct err *e)
{
    void *fresh;
    cudaError_t r = cudaMalloc(&fresh, bytes);

    if (r != cudaSuccess)
        return device_error(d, r, e, what, bytes);
    graph_forget(d);
    cudaFree(*p);
    *p = fresh;
    return 0;
}

static int reserve(struct device *d, size_t rows, size_t cols, size_t head_dim, struct err *e)
{
    size_t values, blocks;
    int rc;

    rows = rows > d->max_rows ? rows : d->max_rows;
    cols = cols > d->max_cols ? cols : d->max_cols;
    head_dim = head_dim > d->max_head_dim ? head_dim : d->max_head_dim;
    if (cols > 0 && rows > SIZE_MAX / 8 / cols)
        return err_set(e, ERR_NOMEM, "no memory for steps of %zu rows of %zu columns", rows, cols);
    values = (rows * cols + CUDA_BLOCK - 1) / CUDA_BLOCK * CUDA_BLOCK;
    blocks = values / CUDA_BLOCK;
    if (rows > 0 && cols > 0 && (rows > d->max_rows || cols > d->max_cols)) {
        rc = grow(d, (void **)&d->acts.code, values, "activations", e);
        if (rc == 0)
            rc = grow(d, (void **)&d->acts.act, blocks * sizeof(struct cuda_act), "activations", e);
        if (rc)
            return rc;
    }
    if (rows > 0 && head_dim > 0 && (rows > d->max_rows || head_dim > d->max_head_dim)) {
        rc = grow(d, (void **)&d->tables, ROPE_TABLES * rows * head_dim * sizeof(float),
                  "rotations", e);
        if (rc)
            return rc;
    }
    d->max_rows = rows;
    d->max_cols = cols;
    d->max_head_dim = head_dim;
    return 0;
}

bool device_room(struct device *d, size_t rows, size_t cols, size_t head_dim)
{
    if (rows <= d->max_rows && cols <= d->max_cols && head_dim <= d->max_head_dim)
        return true;
    if (device_wait(d) && reserve(d, rows, cols, head_dim, NULL) == 0)
        return true;
    device_ok(d, cudaErrorMemoryAllocation);
    return false;
}

/* A block of a MiB or more takes whole pages of 2 MiB of the device. */
static size_t block_bytes(size_t bytes)
{
    size_t page = bytes >= 1 << 20 ? 2 << 20 : 512;

    return (bytes + page - 1) / page * page;
}

size_t cuda_free_bytes(struct device *d, const struct backend_room *r)
{
    size_t values = r->max_rows * r->max_cols, free_bytes, total, needed;

    device_enter(d);
    if (!device_ok(d, cudaMemGetInfo(&free_bytes, &total)))
        return 0;
    needed = PARTS_BYTES + block_bytes(values) +
             block_bytes(values / CUDA_BLOCK * sizeof(struct cuda_act)) +
             block_bytes(ROPE_TABLES * r->max_rows * r->head_dim * sizeof(float)) +
             free_bytes / 64; /* lost between blocks */
    return free_bytes > needed ? free_bytes - needed : 0;
}

size_t cuda_weight_bytes(const struct tensor *t, unsigned use)
{
    return block_bytes(weight_bytes(t, use));
}

/* Where ops of attention and of the largest values keep what they have found so far. */
static int reserve_parts(struct device *d, struct err *e)
{
    return d->parts ? 0 : grow(d, &d->parts, PARTS_BYTES, "intermediate results", e);
}

bool device_parts(struct device *d)
{
    return reserve_parts(d, NULL) == 0 || device_ok(d, cudaErrorMemoryAllocation);
}

int cuda_reserve(struct device *d, size_t max_rows, struct err *e)
{
    device_enter(d);
    return reserve(d, max_rows, 0, 0, e);
}

int cuda_upload_matrix(struct device *d, const struct tensor *t, unsigned use, struct weight **out,
                       struct err *e)
{
    int rc = cuda_upload(d, t, use, out, e);

    if (rc)
        return rc;
    rc = reserve(d, 0, (*out)->cols, 0, e);
    if (rc) {
        cuda_weight_free(d, *out);
        *out = NULL;
    }
    return rc;
}

static int check_shape(const struct kv_shape *s, struct err *e)
{
    if (s->n_layers == 0 || s->n_kv == 0 || s->n_pages == 0 || s->head_dim == 0 ||
        s->head_dim > 1024)
        return err_set(e, ERR_INVALID,
                       "a KV cache of %zu layers, %zu heads of %zu and %zu pages cannot be",
                       s->n_layers, s->n_kv, s->head_dim, s->n_pages);
    if (s->page_tokens < 16 || s->page_tokens > CUDA_SPLIT ||
        (s->page_tokens & (s->page_tokens - 1)) != 0)
        return err_set(e, ERR_INVALID,
                       "a KV page has %zu positions, expected a power of 2, 16 to 256",
                       s->page_tokens);
    if (s->dtype == DTYPE_Q8_0 && s->head_dim % KV_Q8 != 0)
        return err_set(e, ERR_UNSUPPORTED,
                       "keys and values in Q8_0 need heads of a multiple of %d values, not %zu",
                       KV_Q8, s->head_dim);
    if (s->dtype != DTYPE_F16 && s->dtype != DTYPE_F32 && s->dtype != DTYPE_BF16 &&
        s->dtype != DTYPE_Q8_0 && s->dtype != DTYPE_F8_E4M3)
        return err_set(e, ERR_INVALID, "KV type %d is none of F32, F16, BF16, Q8_0 and F8_E4M3",
                       (int)s->dtype);
    return 0;
}

int cuda_kv_open(struct device *d, const struct kv_shape *s, struct kv **out, struct err *e)
{
    size_t bytes;
    struct kv *kv;
    void *base;
    int rc = check_shape(s, e);

    device_enter(d);
    if (rc == 0)
        rc = reserve(d, 0, 0, s->head_dim, e);
    if (rc == 0)
        rc = reserve_parts(d, e);
    if (rc)
        return rc;
    kv = calloc(1, sizeof *kv);
    if (!kv)
        return err_set(e, ERR_NOMEM, "no memory for a KV cache");
    kv->shape = *s;
    kv->on_device.n_layers = (unsigned)s->n_layers;
    kv->on_device.n_kv = (unsigned)s->n_kv;
    kv->on_device.head_dim = (unsigned)s->head_dim;
    kv->on_device.page_tokens = (unsigned)s->page_tokens;
    kv->on_device.dtype = (int)s->dtype;
    kv->on_device.head_bytes = 2 * s->page_tokens * kv_bytes(s->dtype, s->head_dim);
    kv->on_device.page_bytes = kv->on_device.head_bytes * s->n_kv * s->n_layers;
    if (__builtin_mul_overflow((size_t)kv->on_device.page_bytes, s->n_pages, &bytes))
        rc = err_set(e, ERR_NOMEM, "a KV cache of %zu pages is larger than memory can be",
                     s->n_pages);
    else
        rc = cuda_alloc(d, bytes, &base, e);
    if (rc) {
        if (rc == ERR_NOMEM)
            err_prefix(e, "the KV cache: ");
        free(kv);
        return rc;
    }
    kv->on_device.base = base;
    *out = kv;
    return 0;
}

void cuda_kv_close(struct device *d, struct kv *kv)
{
    if (!kv)
        return;
    device_enter(d);
    graph_forget(d);
    cudaFree(kv->on_device.base);
    free(kv);
}
