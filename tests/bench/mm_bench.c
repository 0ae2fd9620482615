/* mm_bench - how near the matrix multiplication comes to what the machine can do.
 *
 *     tests/bench/mm_bench [ISA [TYPE [THREADS]]]     default: what runs here, Q4_1 and others, 1
 * and 2
 *
 * One "layer" is SmolLM2-135M's: q-k-v, o, gate-up, down.  Enough layers of them for 150 MB, so
 * that one row (n = 1) streams from memory; GB/s counts the file's bytes of weights.  GOP/s counts
 * two operations a weight and row.  Best of several runs; compare figures of one run only. */
#include <stdio.h>

#include "kernels/base/clock.h"
#include "kernels/base/pool.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/mm_ops.h"
#include "kernels/cpu/ops.h"
#include "tests/kernels/cpu/mm_case.h"

enum { N_EMBD = 576, N_KV = 192, N_FF = 1536, MAX_N = 512, MAX_LAYERS = 100, STEPS = 4 };
#define TARGET_BYTES 150e6

struct layer {
    struct weight *q, *k, *v, *o, *gate, *up, *down;
};

struct bench {
    const struct mm_ops *ops;
    struct pool *pool;
    size_t n_threads;
    bool prompt; /* rows are those of a prompt */
    struct weight_store store;
    struct mm_scratch scratch;
    struct layer layers[MAX_LAYERS];
    size_t n_layers;
    double layer_bytes; /* of weights, in the file's format */
    float *x, *y[3];

    struct matmul op; /* under way */
    struct pool_gate prepared, multiplied;
};

static void work(void *arg, size_t thread)
{
    struct bench *b = arg;
    size_t prepare = mm_prepare_chunks(b->ops, &b->op);
    size_t chunks = mm_chunks(b->ops, &b->op, b->n_threads), c;
    bool begun = false;

    while (pool_claim(&b->prepared, prepare, &c)) {
        mm_prepare(b->ops, &b->op, &b->scratch, c);
        pool_finish(&b->prepared, prepare);
    }
    pool_wait(&b->prepared, prepare);
    while (pool_claim(&b->multiplied, chunks, &c)) {
        if (!begun)
            mm_begin(b->ops, &b->op, &b->scratch, thread);
        begun = true;
        mm_chunk(b->ops, &b->op, &b->scratch, chunks, c, thread);
        pool_finish(&b->multiplied, chunks);
    }
    pool_wait(&b->multiplied, chunks);
}

static void multiply(struct bench *b, size_t n, struct weight *w0, struct weight *w1,
                     struct weight *w2)
{
    b->op = (struct matmul){ .n_out = w2   ? 3
                                      : w1 ? 2
                                           : 1,
                             .w = { w0, w1, w2 },
                             .y = { b->y[0], b->y[1], b->y[2] },
                             .x = b->x,
                             .n = n,
                             .prompt = b->prompt };
    memset(&b->prepared, 0, sizeof b->prepared);
    memset(&b->multiplied, 0, sizeof b->multiplied);
    pool_run(b->pool, work, b);
}

static struct weight *weight(struct bench *b, const struct quant_format *f, size_t rows,
                             size_t cols)
{
    struct tensor t = mm_case_tensor(f, rows, cols, -1, 0, (uint32_t)rows);
    struct weight *w;
    struct err e;

    if (weight_create(&w, &b->store, &t, WEIGHT_MATMUL, &e) < 0) {
        fprintf(stderr, "%s\n", e.text);
        exit(1);
    }
    b->layer_bytes += b->n_layers == 0 ? (double)t.bytes : 0;
    if (!weight_needs_source(w))
        mm_case_free(&t);
    return w;
}

static void make_layers(struct bench *b, const struct quant_format *f)
{
    /* blocks of 256 do not fit 576 columns: the nearest shapes that they do fit */
    size_t n_embd = N_EMBD % f->block_values == 0 ? N_EMBD : 512;

    for (b->n_layers = 0; b->n_layers < MAX_LAYERS; b->n_layers++) {
        struct layer *l = &b->layers[b->n_layers];

        if (b->n_layers > 0 && b->layer_bytes * (double)b->n_layers > TARGET_BYTES)
            break;
        l->q = weight(b, f, n_embd, n_embd);
        l->k = weight(b, f, N_KV, n_embd);
        l->v = weight(b, f, N_KV, n_embd);
        l->o = weight(b, f, n_embd, n_embd);
        l->gate = weight(b, f, N_FF, n_embd);
        l->up = weight(b, f, N_FF, n_embd);
        l->down = weight(b, f, n_embd, N_FF);
    }
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Milliseconds a layer: of each of its four ops the fastest quarter's slowest, since neighbours
 * come and go in between. */
static double layer_ms(struct bench *b, size_t n, size_t layers, size_t runs)
{
    size_t count = layers * runs;
    double *ms = malloc(4 * count * sizeof *ms), sum = 0;

    for (size_t i = 0; ms && i < count; i++) {
        struct layer *l = &b->layers[i % layers];
        double at[5];

        at[0] = clock_ms();
        multiply(b, n, l->q, l->k, l->v);
        at[1] = clock_ms();
        multiply(b, n, l->o, NULL, NULL);
        at[2] = clock_ms();
        multiply(b, n, l->gate, l->up, NULL);
        at[3] = clock_ms();
        multiply(b, n, l->down, NULL, NULL);
        at[4] = clock_ms();
        for (size_t k = 0; k < 4; k++)
            ms[k * count + i] = at[k + 1] - at[k];
    }
    for (size_t k = 0; ms && k < 4; k++) {
        qsort(ms + k * count, count, sizeof *ms, ascending);
        sum += ms[k * count + count / 4];
    }
    free(ms);
    return sum;
}

/* The inner loop alone: two panels and 48 activation rows that stay in the nearest caches.  What
 * the whole reaches with many rows should be near this; VPDPBUSD's own peak is about a half more.
 */
static void bench_tile(struct bench *b, const struct quant_format *f)
{
    enum { ROWS = 48, TIMES = 50 };
    static struct act_block a[ROWS * N_EMBD / MM_BLOCK];
    static struct mm_panel_buf buf[2];
    struct weight *w = weight(b, f, 2 * MM_GROUP, 512);
    struct mm_tile t = { .w = w, .n_panels = 2, .rows = 2 * MM_GROUP, .n = ROWS, .a = a };
    double best = 1e30;

    t.n_blocks = w->n_blocks;
    t.a_stride = t.n_blocks * sizeof a[0];
    t.y = b->y[0];
    t.y_stride = t.rows;
    t.first = t.last = true;
    b->ops->quantise(a, b->x, ROWS * t.n_blocks);
    for (size_t g = 0; g < 2; g++)
        b->ops->expand(&t.panel[g], &buf[g], w, weight_codes(w, g, 0), weight_scales(w, g, 0),
                       t.n_blocks);
    for (int r = 0; r < 20; r++) {
        double start = clock_ms(), ms;

        for (int i = 0; i < TIMES; i++)
            b->ops->tile(&t);
        ms = clock_ms() - start;
        best = ms < best ? ms : best;
    }
    printf("  inner loop alone, one thread: %.1f GOP/s\n",
           2.0 * TIMES * ROWS * (double)(t.rows * w->cols) / best / 1e6);
    weight_free_all(w);
}

static void bench_type(const struct mm_ops *ops, const char *isa, const struct quant_format *f,
                       size_t n_threads, bool prompt)
{
    static const size_t sizes[] = { 1, 2, 4, 8, 16, 24, 64, 512 };
    struct bench b = { .ops = ops, .n_threads = n_threads };
    double weights, start = clock_ms();
    struct err e;

    if (pool_create(&b.pool, n_threads, &e) < 0 ||
        mm_scratch_reserve(&b.scratch, MAX_N, N_FF, n_threads, &e) < 0) {
        fprintf(stderr, "%s\n", e.text);
        exit(1);
    }
    make_layers(&b, f);
    weights = b.layer_bytes * (double)f->block_values / (double)f->block_bytes;
    b.x = calloc(MAX_N * N_FF, sizeof(float));
    for (size_t m = 0; m < 3; m++)
        b.y[m] = calloc(MAX_N * N_FF, sizeof(float));
    for (uint32_t i = 0, seed = 1; i < MAX_N * N_FF; i++)
        b.x[i] = mm_case_uniform(&seed);
    b.prompt = prompt;
    printf("%-6s %-4s %s, %zu threads, packed in %.0f ms\n", isa, f->name,
           prompt ? "prompt rows" : "rows", n_threads, clock_ms() - start);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t n = sizes[i];
        double ms = layer_ms(&b, n, n <= 24 ? b.n_layers : 2, n <= 24 ? 4 : 10);

        printf("  n %3zu  %8.1f us  %6.2f GB/s  %7.1f GOP/s  %8.0f rows/s over 30 layers\n", n,
               ms * 1e3, b.layer_bytes / ms / 1e6, 2 * weights * (double)n / ms / 1e6,
               (double)n / ms * 1e3 / 30);
    }
    if (!prompt)
        bench_tile(&b, f);
    for (size_t i = 0; i < b.n_layers && !weight_needs_source(b.layers[i].q); i++) {
        struct weight **w = &b.layers[i].q;

        for (size_t k = 0; k < sizeof(struct layer) / sizeof *w; k++)
            weight_free_all(w[k]);
    }
    mm_scratch_done(&b.scratch);
    pool_free(b.pool);
    free(b.x);
    for (size_t m = 0; m < 3; m++)
        free(b.y[m]);
}

/* --- what the machine can do --- */

struct reading {
    const uint64_t *words;
    size_t n, n_threads;
    uint64_t sum; /* kept so that the loop is */
    struct pool_gate gate;
};

enum { READ_CHUNKS = 256 };

static void read_work(void *arg, size_t thread)
{
    struct reading *r = arg;
    uint64_t sum = 0;
    size_t c;

    (void)thread;
    while (pool_claim(&r->gate, READ_CHUNKS, &c)) {
        const uint64_t *p = r->words + r->n / READ_CHUNKS * c;

        for (size_t i = 0; i < r->n / READ_CHUNKS; i += 8) {
            sum += p[i]; /* a word of each line: the line travels whole */
            __builtin_prefetch(p + i + 512);
        }
        pool_finish(&r->gate, READ_CHUNKS);
    }
    __atomic_fetch_add(&r->sum, sum, __ATOMIC_RELAXED);
    pool_wait(&r->gate, READ_CHUNKS);
}

static void bench_read(size_t n_threads)
{
    struct reading r = { .n = 16 << 20, .n_threads = n_threads };
    uint64_t *words = calloc(r.n, sizeof *words);
    double best = 1e30;
    struct pool *pool;
    struct err e;

    if (!words || pool_create(&pool, n_threads, &e) < 0)
        exit(1);
    for (size_t i = 0; i < r.n; i++)
        words[i] = i;
    r.words = words;
    for (int run = 0; run < 9; run++) {
        double start = clock_ms(), ms;

        memset(&r.gate, 0, sizeof r.gate);
        pool_run(pool, read_work, &r);
        ms = clock_ms() - start;
        best = ms < best ? ms : best;
    }
    printf("plain read, %zu threads: %.2f GB/s (sum %llu)\n", n_threads,
           (double)(r.n * sizeof *words) / best / 1e6, (unsigned long long)r.sum & 1);
    pool_free(pool);
    free(words);
}

int main(int argc, char **argv)
{
    static const char *const types[] = { "Q4_1", "Q8_0", "Q5_0", "Q4_K", "Q6_K", "Q4_0", NULL };
    size_t only = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    struct err e;

    for (size_t t = 1; t <= 2; t++) {
        if (only != 0 && t != only)
            continue;
        bench_read(t);
        for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
            const char *name = argc > 2 ? (i == 0 ? argv[2] : NULL) : types[i];
            const struct isa_ops *isa = isa_pick(argc > 1 ? argv[1] : NULL, &e);

            if (!name)
                break;
            if (!isa || !quant_by_name(name)) {
                fprintf(stderr, "%s\n", isa ? "no such type" : e.text);
                return 1;
            }
            bench_type(isa->mm, isa->name, quant_by_name(name), t, false);
            if (isa->mm->prompt)
                bench_type(isa->mm, isa->name, quant_by_name(name), t, true);
        }
    }
    return 0;
}
