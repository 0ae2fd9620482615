/* bench.h - what airstrip-bench measures, and how the parts share it.
 *
 * One thread. */
#ifndef AIRSTRIP_BENCH_H
#define AIRSTRIP_BENCH_H

#include "inference/engine.h"

enum { BENCH_MAX_BATCHES = 8, BENCH_MAX_REPEATS = 100 };

struct bench_options {
    const char *model_path, *isa;
    size_t n_prompt, n_gen, n_threads, n_repeats;
    size_t batches[BENCH_MAX_BATCHES]; /* ascending or not, each at least 1 */
    size_t n_batches;
    bool json;
};

/* Medians over the repeats, after one run that does not count. */
struct bench_result {
    double load_ms;    /* open, upload, first token; before that the file may be cold */
    double prompt_tps; /* n_prompt tokens into an empty cache */
    double gen_tps[BENCH_MAX_BATCHES]; /* n_gen tokens each, of so many sequences, from an empty
                                          cache */
    double ttft_ms; /* engine_submit() of n_prompt tokens until the first is out */
    double peak_mb; /* resident, before the engine for ttft_ms is opened */
    char isa[32], model[128], architecture[32], quantisation[32];
    size_t n_threads;
};

int bench_forward(const struct bench_options *o, struct bench_result *r, struct err *e) MUST_CHECK;
int bench_engine(const struct bench_options *o, struct bench_result *r, struct err *e) MUST_CHECK;

#endif
