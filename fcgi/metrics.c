/* Bounds are vLLM's where it has the metric, so that its dashboards and alerts read ours; those of
 * gaps begin lower, since small models write a token in a millisecond or two. */
#include "fcgi/metrics.h"

#include <stdbool.h>
#include <string.h>

static const double first_bounds[METRIC_BUCKETS] = {
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,  0.25, 0.5,   0.75,
    1.0,   2.5,   5.0,  7.5,  10.0, 20.0, 40.0, 80.0, 160., 640.0, 2560.0,
};
static const double gap_bounds[METRIC_BUCKETS] = {
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2,  0.3,
    0.4,   0.5,    0.75,  1.0,  2.5,   5.0,  7.5,   10., 20.0, 40.0, 80.0,
};
static const double total_bounds[METRIC_BUCKETS] = {
    0.1,  0.3,  0.5,  0.8,  1.0,  1.5,   2.0,   2.5,   5.0,   10.0,   15.0,
    20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0,
};
static const double token_bounds[METRIC_BUCKETS] = {
    1,   2,   4,    5,    8,    10,    16,    20,    32,     50,     100,
    200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000, 1000000,
};

void metrics_init(struct metrics *m)
{
    static const double *const bounds[N_METRICS] = {
        [METRIC_TTFT] = first_bounds,   [METRIC_GAP] = gap_bounds,
        [METRIC_TOTAL] = total_bounds,  [METRIC_QUEUE] = total_bounds,
        [METRIC_PROMPT] = total_bounds, [METRIC_DECODE] = total_bounds,
        [METRIC_GIVEN] = token_bounds,  [METRIC_WRITTEN] = token_bounds,
    };

    memset(m, 0, sizeof *m);
    for (size_t i = 0; i < N_METRICS; i++)
        m->histograms[i].bounds = bounds[i];
}

void metrics_observe(struct metrics *m, enum metric which, double value, size_t n)
{
    struct histogram *h = &m->histograms[which];
    size_t i = 0;

    if (!(value >= 0)) /* NaN is not */
        value = 0;
    while (i < METRIC_BUCKETS && value > h->bounds[i])
        i++;
    atomic_fetch_add_explicit(&h->counts[i], n, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum, (unsigned long long)(value * 1e6 * (double)n + 0.5),
                              memory_order_relaxed);
}

void metrics_write_histogram(struct buf *b, const struct histogram *h, const char *name,
                             const char *labels)
{
    unsigned long long below = 0;

    for (size_t i = 0; i <= METRIC_BUCKETS; i++) {
        below += atomic_load_explicit(&h->counts[i], memory_order_relaxed);
        if (i < METRIC_BUCKETS)
            buf_printf(b, "%s_bucket{%s,le=\"%g\"} %llu\n", name, labels, h->bounds[i], below);
        else
            buf_printf(b, "%s_bucket{%s,le=\"+Inf\"} %llu\n", name, labels, below);
    }
    buf_printf(b, "%s_sum{%s} %.6f\n", name, labels,
               (double)atomic_load_explicit(&h->sum, memory_order_relaxed) / 1e6);
    buf_printf(b, "%s_count{%s} %llu\n", name, labels, below);
}
