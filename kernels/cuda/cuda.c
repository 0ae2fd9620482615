/* cuda.c - the CUDA backend: is there a device, opening it, memory, and waiting for what was
 * enqueued. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/device.h"
#include "kernels/cuda/module.h"

enum {
    MIN_MAJOR = 8, /* the oldest compute capability that this build has code for */
    STAGE_BYTES = 1 << 20,
    VIEW_BYTES = 4 << 20,
};

bool device_ok(struct device *d, cudaError_t e)
{
    if (e != cudaSuccess && d->broken == cudaSuccess)
        d->broken = e;
    return e == cudaSuccess;
}

int device_error(struct device *d, cudaError_t e, struct err *err, const char *what, size_t bytes)
{
    size_t free_bytes = 0, total = 0;

    if (e != cudaErrorMemoryAllocation)
        return err_set(err, ERR_INTERNAL, "%s: %s: %s", d->name, what, cudaGetErrorString(e));
    (void)cudaGetLastError(); /* a refused allocation leaves the device as it was */
    if (cudaMemGetInfo(&free_bytes, &total) != cudaSuccess)
        free_bytes = 0;
    return err_set(err, ERR_NOMEM, "%s: %s needs %zu bytes of device memory, %zu of %zu are free",
                   d->name, what, bytes, free_bytes, total);
}

void device_forget_experts(struct device *d)
{
    while (d->experts) {
        struct expert_array *a = d->experts;

        d->experts = a->next;
        cudaFree(a->device);
        free(a);
    }
}

/* --- is there one? --- */

static int look(struct err *e)
{
    int n = 0, driver = 0;
    cudaError_t r = cudaGetDeviceCount(&n);

    (void)cudaGetLastError();
    if (r == cudaErrorInsufficientDriver) {
        if (cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0)
            return err_set(e, ERR_UNSUPPORTED, "no NVIDIA driver is installed");
        return err_set(e, ERR_UNSUPPORTED,
                       "the NVIDIA driver is for CUDA %d.%d, expected %d.%d or later",
                       driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000,
                       CUDART_VERSION % 1000 / 10);
    }
    if (r == cudaErrorNoDevice || (r == cudaSuccess && n == 0))
        return err_set(e, ERR_UNSUPPORTED, "there is no CUDA device");
    if (r != cudaSuccess)
        return err_set(e, ERR_UNSUPPORTED, "CUDA does not start: %s", cudaGetErrorString(r));
    return 0;
}

static int cuda_open(struct device **out, const struct backend_options *o, struct err *e)
{
    struct cudaDeviceProp p;
    struct device *d;
    cudaError_t r;
    int rc = look(e);

    (void)o;
    if (rc)
        return rc;
    d = calloc(1, sizeof *d);
    if (!d)
        return err_set(e, ERR_NOMEM, "no memory for a CUDA device");
    r = cudaSetDevice(0);
    if (r == cudaSuccess)
        r = cudaGetDeviceProperties(&p, 0);
    if (r != cudaSuccess) {
        rc = err_set(e, ERR_UNSUPPORTED, "CUDA device 0 does not open: %s", cudaGetErrorString(r));
        goto fail;
    }
    snprintf(d->name, sizeof d->name, "%.*s", (int)sizeof d->name - 1, p.name);
    d->major = p.major;
    d->minor = p.minor;
    if (p.major < MIN_MAJOR) {
        rc = err_set(e, ERR_UNSUPPORTED, "%s has compute capability %d.%d, expected %d.0 or later",
                     p.name, p.major, p.minor, MIN_MAJOR);
        goto fail;
    }
    r = cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking);
    if (r != cudaSuccess) {
        rc = device_error(d, r, e, "a stream", 0);
        goto fail;
    }
    rc = stage_open(d, STAGE_BYTES, e);
    if (rc)
        goto fail;
    r = cudaMallocHost(&d->view, VIEW_BYTES);
    if (r != cudaSuccess) {
        rc = device_error(d, r, e, "a buffer for results", VIEW_BYTES);
        goto fail;
    }
    d->view_bytes = VIEW_BYTES;
    *out = d;
    return 0;
fail:
    backend_cuda.close(d);
    return rc;
}

static void cuda_close(struct device *d)
{
    if (!d)
        return;
    if (d->stream)
        cudaStreamSynchronize(d->stream);
    stage_close(d);
    device_forget_experts(d);
    cudaFreeHost(d->view);
    cudaFree(d->acts.code);
    cudaFree(d->acts.act);
    cudaFree(d->tables);
    cudaFree(d->parts);
    if (d->stream)
        cudaStreamDestroy(d->stream);
    free(d);
}

static void cuda_info(const struct device *d, struct backend_info *out)
{
    static char isa[16];

    memset(out, 0, sizeof *out);
    snprintf(isa, sizeof isa, "sm_%d%d", d->major, d->minor);
    out->isa = isa;
    out->n_threads = 1;
    snprintf(out->device, sizeof out->device, "CUDA (%.*s)", (int)sizeof out->device - 8, d->name);
}

/* --- memory --- */

/* The tests look into buffers as if they were their own: on a real device with
 * AIRSTRIP_CUDA_MANAGED=1. */
static cudaError_t allocate(void **out, size_t bytes)
{
    const char *managed = getenv("AIRSTRIP_CUDA_MANAGED");

    return managed && *managed == '1' ? cudaMallocManaged(out, bytes, cudaMemAttachGlobal)
                                      : cudaMalloc(out, bytes);
}

static int cuda_alloc(struct device *d, size_t bytes, void **out, struct err *e)
{
    cudaError_t r = allocate(out, bytes ? bytes : 1);

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

static void cuda_free(struct device *d, void *p)
{
    (void)d;
    cudaFree(p);
}

/* Grows a buffer of the device, whose contents are lost. */
static int grow(struct device *d, void **p, size_t bytes, const char *what, struct err *e)
{
    void *fresh;
    cudaError_t r = cudaMalloc(&fresh, bytes);

    if (r != cudaSuccess)
        return device_error(d, r, e, what, bytes);
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
    if (device_ok(d, cudaStreamSynchronize(d->stream)) &&
        reserve(d, rows, cols, head_dim, NULL) == 0)
        return true;
    device_ok(d, cudaErrorMemoryAllocation);
    return false;
}

static int cuda_reserve(struct device *d, size_t max_rows, struct err *e)
{
    return reserve(d, max_rows, 0, 0, e);
}

static int upload(struct device *d, const struct tensor *t, unsigned use, struct weight **out,
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
        s->dtype != DTYPE_Q8_0)
        return err_set(e, ERR_INVALID, "KV type %d is none of F32, F16, BF16 and Q8_0",
                       (int)s->dtype);
    return 0;
}

static int cuda_kv_open(struct device *d, const struct kv_shape *s, struct kv **out, struct err *e)
{
    size_t bytes;
    struct kv *kv;
    void *base;
    int rc = check_shape(s, e);

    if (rc == 0)
        rc = reserve(d, 0, 0, s->head_dim, e);
    if (rc == 0 && !d->parts)
        rc = grow(d, (void **)&d->parts, PARTS_BYTES, "attention", e);
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

static void cuda_kv_close(struct device *d, struct kv *kv)
{
    (void)d;
    if (!kv)
        return;
    cudaFree(kv->on_device.base);
    free(kv);
}

/* --- the stream --- */

static void cuda_write(struct device *d, void *dst, const void *src, size_t bytes)
{
    if (bytes > 0)
        device_ok(d, cudaMemcpyAsync(dst, src, bytes, cudaMemcpyHostToDevice, d->stream));
}

static void cuda_sync(struct device *d)
{
    device_ok(d, cudaStreamSynchronize(d->stream));
    device_ok(d, cudaGetLastError());
    stage_forget(d);
    d->view_used = 0;
}

/* A copy in pinned memory; where that is full it is made larger, and older views stay where they
 * are until then. */
static const void *cuda_view(struct device *d, const void *p, size_t bytes)
{
    size_t at = (d->view_used + 63) / 64 * 64;
    char *to;

    if (at + bytes > d->view_bytes) {
        size_t more = (at + bytes) * 2;
        void *fresh;

        if (!device_ok(d, cudaMallocHost(&fresh, more)))
            return d->view; /* wrong, but there; check() says so */
        memcpy(fresh, d->view, d->view_used);
        cudaFreeHost(d->view);
        d->view = fresh;
        d->view_bytes = more;
    }
    to = (char *)d->view + at;
    if (d->broken != cudaSuccess ||
        !device_ok(d, cudaMemcpyAsync(to, p, bytes, cudaMemcpyDeviceToHost, d->stream)) ||
        !device_ok(d, cudaStreamSynchronize(d->stream)))
        memset(to, 0, bytes);
    d->view_used = at + bytes;
    return to;
}

static int cuda_check(struct device *d, struct err *e)
{
    if (d->broken == cudaSuccess)
        return 0;
    return err_set(e, ERR_INTERNAL, "%s has failed: %s", d->name, cudaGetErrorString(d->broken));
}

const struct backend backend_cuda = {
    .name = "cuda",
    .open = cuda_open,
    .close = cuda_close,
    .info = cuda_info,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .upload = upload,
    .weight_free = cuda_weight_free,
    .kv_open = cuda_kv_open,
    .kv_close = cuda_kv_close,
    .reserve = cuda_reserve,
    .write = cuda_write,
    .embed = cuda_embed,
    .gather = cuda_gather,
    .norm = cuda_norm,
    .matmul = cuda_matmul,
    .feed_forward = cuda_feed_forward,
    .rope_kv = cuda_rope_kv,
    .attend = cuda_attend,
    .kv_copy = cuda_kv_copy,
    .gated_act = cuda_gated_act,
    .experts = cuda_experts,
    .softcap = cuda_softcap,
    .argmax = cuda_argmax,
    .sync = cuda_sync,
    .view = cuda_view,
    .check = cuda_check,
};

const struct cuda_module airstrip_cuda = {
    .abi = CUDA_MODULE_ABI,
    .backend_bytes = sizeof(struct backend),
    .backend = &backend_cuda,
    .look = look,
};
