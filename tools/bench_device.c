/* bench_device.c - what a device with memory of its own could do at best.
 *
 * Its memory copies pages of a cache from one half to the other, again and again: what is read and
 * written counts.  Like the host's (bench_limits.c) it is as much as the matrices of one token
 * take, so it is as cold as the weights are. */
#include "kernels/base/clock.h"
#include "tools/bench.h"

enum { MIN_BYTES = 4 << 20, MAX_BYTES = 512 << 20, PAGES = 16, PASSES = 25 };

int bench_device(const struct model *m, struct bench_result *r, struct err *e)
{
    const struct backend *b = m->backend;
    double wanted = r->bytes_per_token, ms[PASSES];
    size_t bytes = wanted > MAX_BYTES ? MAX_BYTES : wanted < MIN_BYTES ? MIN_BYTES : (size_t)wanted;
    struct kv_shape s = {
        .n_layers = 1, .head_dim = 128, .n_pages = PAGES, .page_tokens = 256, .dtype = DTYPE_F16
    };
    size_t head = 2 * s.page_tokens * kv_bytes(s.dtype, s.head_dim);
    struct kv *kv;
    int rc;

    s.n_kv = bytes / PAGES / head + 1;
    rc = b->kv_open(m->device, &s, &kv, e);
    if (rc)
        return rc;
    for (size_t pass = 0; pass <= PASSES; pass++) {
        double start = clock_ms();

        for (int32_t page = 0; page < PAGES / 2; page++)
            b->kv_copy(m->device, kv, page, page + PAGES / 2, s.page_tokens);
        b->sync(m->device);
        if (pass) /* the first one finds the memory as it is */
            ms[pass - 1] = clock_ms() - start;
    }
    r->read_gbps = (double)(PAGES * s.n_kv * head) / bench_quantile(ms, PASSES, 0.25) / 1e6;
    b->kv_close(m->device, kv);
    return b->check ? b->check(m->device, e) : 0;
}
