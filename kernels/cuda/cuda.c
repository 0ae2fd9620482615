/* cuda.c - the CUDA backend: is there a device, opening it, and waiting for what was enqueued. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/device.h"
#include "kernels/cuda/module.h"
#include "kernels/ranks.h"

enum {
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

void device_enter(const struct device *d)
{
    cudaSetDevice(d->ordinal);
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

/* Ranks that are threads have a device each; of ranks elsewhere we do not know, NCCL does. */
static int choose(struct device *d, const struct ranks *r, struct err *e)
{
    int n = 0;

    if (!r)
        return 0;
    if (cudaGetDeviceCount(&n) != cudaSuccess || n < 1)
        return err_set(e, ERR_UNSUPPORTED, "there is no CUDA device");
    if (strcmp(r->ops->name, "threads") == 0 && r->n > (size_t)n)
        return err_set(e, ERR_UNSUPPORTED, "%zu ranks need as many CUDA devices, there are %d",
                       r->n, n);
    d->ordinal = (int)(r->rank % (size_t)n);
    return 0;
}

/* Its name and what it can do. */
static int meet(struct device *d, struct err *e)
{
    struct cudaDeviceProp p;
    cudaError_t r = cudaSetDevice(d->ordinal);

    if (r == cudaSuccess)
        r = cudaGetDeviceProperties(&p, d->ordinal);
    if (r != cudaSuccess)
        return err_set(e, ERR_UNSUPPORTED, "CUDA device %d does not open: %s", d->ordinal,
                       cudaGetErrorString(r));
    snprintf(d->name, sizeof d->name, "%.*s", (int)sizeof d->name - 1, p.name);
    d->major = p.major;
    d->minor = p.minor;
    snprintf(d->isa, sizeof d->isa, "sm_%d%d", p.major, p.minor);
    if (10 * p.major + p.minor < CUDA_OLDEST)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s has compute capability %d.%d, this build is for %d.%d or later", p.name,
                       p.major, p.minor, CUDA_OLDEST / 10, CUDA_OLDEST % 10);
    return 0;
}

static int open_buffers(struct device *d, struct err *e)
{
    cudaError_t r = cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking);
    int rc;

    if (r != cudaSuccess)
        return device_error(d, r, e, "a stream", 0);
    rc = queue_open(d, e);
    if (rc == 0)
        rc = stage_open(d, STAGE_BYTES, e);
    if (rc)
        return rc;
    r = cudaMallocHost(&d->view, VIEW_BYTES);
    if (r != cudaSuccess)
        return device_error(d, r, e, "a buffer for results", VIEW_BYTES);
    d->view_bytes = VIEW_BYTES;
    return 0;
}

static int cuda_open(struct device **out, const struct backend_options *o, struct err *e)
{
    struct device *d = NULL;
    int rc = look(e);

    if (rc == 0) {
        d = calloc(1, sizeof *d);
        if (!d)
            rc = err_set(e, ERR_NOMEM, "no memory for a CUDA device");
    }
    if (rc == 0) {
        d->shared = o->shared;
        rc = choose(d, o->ranks, e);
    }
    if (rc == 0)
        rc = meet(d, e);
    if (rc == 0)
        rc = open_buffers(d, e);
    if (rc == 0)
        rc = ranks_open(d, o->ranks, e);
    if (rc == 0) {
        *out = d;
        return 0;
    }
    if (o->ranks)
        o->ranks->ops->quit(o->ranks, e); /* nobody waits for it */
    backend_cuda.close(d);
    return rc;
}

static void cuda_close(struct device *d)
{
    if (!d)
        return;
    device_enter(d);
    ranks_leave(d);
    if (d->stream)
        cudaStreamSynchronize(d->stream);
    queue_close(d);
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
    memset(out, 0, sizeof *out);
    out->isa = d->isa;
    out->n_threads = 1;
    snprintf(out->device, sizeof out->device, "CUDA (%.*s)", (int)sizeof out->device - 8, d->name);
}

/* --- the stream --- */

static void cuda_sync(struct device *d)
{
    device_enter(d);
    queue_run(d);
    device_wait(d);
    device_ok(d, cudaGetLastError());
    ranks_look(d);
    stage_forget(d);
    d->view_used = 0;
}

/* A copy in pinned memory; where that is full it is made larger, and older views stay where they
 * are until then. */
static const void *cuda_view(struct device *d, const void *p, size_t bytes)
{
    size_t at = (d->view_used + 63) / 64 * 64;
    char *to;

    device_enter(d);
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
    if (d->broken == cudaSuccess) {
        if (d->lost.code && e)
            *e = d->lost;
        return d->lost.code;
    }
    return err_set(e, ERR_INTERNAL, "%s has failed: %s", d->name, cudaGetErrorString(d->broken));
}

const struct backend backend_cuda = {
    .name = "cuda",
    .open = cuda_open,
    .close = cuda_close,
    .info = cuda_info,
    .free_bytes = cuda_free_bytes,
    .weight_bytes = cuda_weight_bytes,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .upload = cuda_upload_matrix,
    .weight_free = cuda_weight_free,
    .kv_open = cuda_kv_open,
    .kv_close = cuda_kv_close,
    .reserve = cuda_reserve,
    .write = queue_write,
    .embed = queue_embed,
    .gather = queue_gather,
    .norm = queue_norm,
    .matmul = queue_matmul,
    .feed_forward = queue_feed_forward,
    .rope_kv = queue_rope_kv,
    .attend = queue_attend,
    .kv_copy = queue_kv_copy,
    .gated_act = queue_gated_act,
    .experts = queue_experts,
    .softcap = queue_softcap,
    .argmax = queue_argmax,
    .top = queue_top,
    .reduce = queue_reduce,
    .collect = queue_collect,
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
