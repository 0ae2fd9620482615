/* metrics.h - what is counted while requests are served, for /metrics and the status page.
 *
 * One struct of a model, which outlives the engine behind it, and one of the whole process.  All of
 * it is relaxed atomics: any thread, no lock, no order between the numbers of one reading. */
#ifndef AIRSTRIP_METRICS_H
#define AIRSTRIP_METRICS_H

#include <stdatomic.h>
#include <stddef.h>

#include "kernels/base/buf.h"

enum { METRIC_BUCKETS = 22 };

/* Counts by upper bound; sums are kept in millionths, so that they stay exact as integers. */
struct histogram {
    const double *bounds; /* [METRIC_BUCKETS], rising; beyond the last: +Inf */
    atomic_ullong counts[METRIC_BUCKETS + 1];
    atomic_ullong sum; /* millionths */
};

enum metric {
    METRIC_TTFT,    /* s, from the request's arrival to its first token */
    METRIC_GAP,     /* s, between tokens of one answer */
    METRIC_TOTAL,   /* s, from the request's arrival to its last token */
    METRIC_QUEUE,   /* s, waiting for a place in the batch */
    METRIC_PROMPT,  /* s, from there to the first token */
    METRIC_DECODE,  /* s, from the first token to the last */
    METRIC_GIVEN,   /* tokens of a prompt */
    METRIC_WRITTEN, /* tokens of an answer */
    N_METRICS
};

/* How requests ended, in vLLM's words. */
enum metric_end { END_STOP, END_LENGTH, END_ABORT, END_ERROR, N_ENDS };

struct metrics {
    struct histogram histograms[N_METRICS];
    atomic_ullong ends[N_ENDS];
};

void metrics_init(struct metrics *m);

/* n times the same value, in seconds or tokens. */
void metrics_observe(struct metrics *m, enum metric which, double value, size_t n);

/* Prometheus' text format 0.0.4: `name{labels,le="..."} n` lines of one histogram; labels is
 * `key="value"`, and the # HELP and # TYPE lines are the caller's. */
void metrics_write_histogram(struct buf *b, const struct histogram *h, const char *name,
                             const char *labels);

#endif
