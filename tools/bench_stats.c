/* bench_stats.c - what several measurements share. */
#include <stdlib.h>

#include "inference/sampler.h"
#include "tools/bench.h"

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double bench_quantile(double *x, size_t n, double q)
{
    qsort(x, n, sizeof *x, by_size);
    return x[(size_t)(q * (double)(n - 1) + 0.5)];
}

double bench_median(double *x, size_t n)
{
    qsort(x, n, sizeof *x, by_size);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

void bench_random_ids(int32_t *ids, size_t n, size_t n_vocab, uint64_t seed)
{
    struct rng r = { seed };

    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)(rng_uniform(&r) * (double)n_vocab);
}

struct engine_config bench_config(const struct bench_options *o, size_t n_ctx)
{
    struct engine_config c = { .name = "bench",
                               .model_path = o->model_path,
                               .device = o->device,
                               .isa = o->isa,
                               .kv_type = o->kv,
                               .n_threads = o->n_threads,
                               .n_ranks = o->n_ranks,
                               .n_ctx = n_ctx,
                               .max_batch = 1 };

    for (size_t i = 0; i < o->n_batches; i++)
        if (o->batches[i] > c.max_batch)
            c.max_batch = o->batches[i];
    return c;
}
