/* bench_limits.c - what the machine could do at best, so that a rate can be told as a share of it.
 *
 * Reading: the team walks through as much memory as the matrices of one token take, in order, in
 * large pages, again and again, as generation does; so it is as cold as the weights are for each
 * token (in the last-level cache where that is large enough, and only there).  Of more than
 * MAX_READ_BYTES a part is read: that is larger than any cache.
 * Multiplying: kernels/cpu/peak.h, by all threads. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernels/base/clock.h"
#include "kernels/base/pool.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/peak.h"
#include "tools/bench.h"

enum {
    LINE = 64,
    AHEAD = 4096, /* how far ahead of the reader lines are asked for */
    CHUNK_BYTES = 256 << 10,
    MIN_READ_BYTES = 1 << 20,
    MAX_READ_BYTES = 512 << 20,
    MIN_PASSES = 5,
    MAX_PASSES = 100,
    PEAK_CHUNKS = 64,
    PEAK_ROUNDS = 20000,
};
#define PROBE_MS 300.0

struct probe {
    struct pool_gate gate;
    size_t n_chunks;
    const unsigned char *bytes; /* reading */
    double (*peak)(size_t rounds);
    atomic_ullong sum; /* of what was read, or of operations */
};

/* A word of each line: the line travels whole. */
static uint64_t read_chunk(const unsigned char *p)
{
    uint64_t sum = 0, word;

    for (size_t i = 0; i < CHUNK_BYTES; i += LINE) {
        memcpy(&word, p + i, sizeof word);
        sum += word;
        __builtin_prefetch(p + i + AHEAD);
    }
    return sum;
}

static void work(void *arg, size_t thread)
{
    struct probe *p = arg;
    unsigned long long sum = 0;
    size_t c;

    (void)thread;
    while (pool_claim(&p->gate, p->n_chunks, &c)) {
        sum += p->peak ? (unsigned long long)p->peak(PEAK_ROUNDS)
                       : read_chunk(p->bytes + c * CHUNK_BYTES);
        pool_finish(&p->gate, p->n_chunks);
    }
    atomic_fetch_add(&p->sum, sum);
    pool_wait(&p->gate, p->n_chunks);
}

/* The median of its faster half: what the rates' medians are compared with should not be the one
 * lucky moment. */
static double run_ms(struct pool *pool, struct probe *p)
{
    double ms[MAX_PASSES], begin = clock_ms();
    size_t n = 0;

    while (n < MAX_PASSES && (n < MIN_PASSES || clock_ms() - begin < PROBE_MS)) {
        double start = clock_ms();

        memset(&p->gate, 0, sizeof p->gate);
        atomic_store(&p->sum, 0);
        pool_run(pool, work, p);
        ms[n++] = clock_ms() - start;
    }
    return bench_quantile(ms, n, 0.25);
}

static int probe_reading(struct pool *pool, struct bench_result *r, struct err *e)
{
    double wanted = r->bytes_per_token;
    size_t bytes = wanted > MAX_READ_BYTES   ? MAX_READ_BYTES
                   : wanted < MIN_READ_BYTES ? MIN_READ_BYTES
                                             : (size_t)wanted;
    struct probe p = { .n_chunks = (bytes + CHUNK_BYTES - 1) / CHUNK_BYTES };
    unsigned char *memory;

    bytes = p.n_chunks * CHUNK_BYTES;
    memory = mmap(NULL, bytes + AHEAD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return err_set(e, ERR_NOMEM, "no memory to read %zu bytes of", bytes);
    madvise(memory, bytes + AHEAD, MADV_HUGEPAGE); /* a wish */
    memset(memory, 1, bytes + AHEAD);              /* untouched, it would be one page of zeros */
    p.bytes = memory;
    r->read_gbps = (double)bytes / run_ms(pool, &p) / 1e6;
    munmap(memory, bytes + AHEAD);
    return 0;
}

static void probe_peaks(struct pool *pool, const struct peak *peaks, struct bench_result *r)
{
    for (r->n_peaks = 0; r->n_peaks < BENCH_MAX_PEAKS && peaks[r->n_peaks].name; r->n_peaks++) {
        const struct peak *peak = &peaks[r->n_peaks];
        struct probe p = { .n_chunks = PEAK_CHUNKS, .peak = peak->run };
        double ms = run_ms(pool, &p);

        r->peaks[r->n_peaks].name = peak->name;
        r->peaks[r->n_peaks].gops = (double)atomic_load(&p.sum) / ms / 1e6;
    }
}

int bench_limits(const struct model *m, struct bench_result *r, struct err *e)
{
    double attention = 2.0 * (double)(m->n_head + m->n_kv) * (double)m->head_dim;
    const struct isa_ops *ops;
    struct pool *pool;
    int rc;

    r->bytes_per_token = (double)m->bytes_per_token;
    r->ops_per_token =
        2.0 * (double)m->n_layers * (double)m->n_embd * (attention + 3.0 * (double)m->n_ff);
    if (m->backend->free_bytes) /* not the host's memory, nor its instructions */
        return bench_device(m, r, e);
    ops = isa_pick(r->isa, e);
    if (!ops)
        return e->code;
    rc = pool_create(&pool, r->n_threads, e);
    if (rc)
        return rc;
    rc = probe_reading(pool, r, e);
    probe_peaks(pool, ops->peaks, r);
    pool_free(pool);
    return rc;
}
