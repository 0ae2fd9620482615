/* bench.h - what airstrip-bench measures, and how the parts share it.
 *
 * One thread. */
#ifndef AIRSTRIP_BENCH_H
#define AIRSTRIP_BENCH_H

#include "inference/engine.h"
#include "inference/model.h"

enum { BENCH_MAX_BATCHES = 8, BENCH_MAX_REPEATS = 100, BENCH_MAX_PEAKS = 4 };

struct bench_options {
    const char *model_path, *isa;
    const char *device; /* cpu, cuda or auto */
    const char *kv;     /* type of keys and values; NULL: the model's */
    size_t n_prompt, n_gen, n_threads, n_repeats;
    size_t n_ranks;                    /* that compute it together, as threads; 0: one */
    size_t batches[BENCH_MAX_BATCHES]; /* ascending or not, each at least 1 */
    size_t n_batches;
    size_t depth;    /* tokens that stand in each sequence before generation is timed */
    size_t n_turn;   /* tokens of a conversation's first turn; 0: turns are not measured */
    size_t n_long;   /* tokens of the prompt that comes between a stream; 0: not measured */
    size_t n_guided; /* sequences at once, free and held to a schema; 0: not measured */
    bool quote;      /* also with guessed tokens */
    bool rates_only; /* nothing through the engine */
    bool json;
};

/* Medians over the repeats, after one run that does not count. */
struct bench_result {
    double load_ms;    /* open, upload, first token; before that the file may be cold */
    double prompt_tps; /* n_prompt tokens into an empty cache */
    double gen_tps[BENCH_MAX_BATCHES]; /* n_gen tokens each, of so many sequences, from an empty
                                          cache */
    double ttft_ms;        /* engine_submit() of n_prompt tokens until the first is out */
    double peak_mb;        /* resident, before the limits are probed and the engine is opened */
    double file_mb, kv_mb; /* of it: the file, and all the cache that was asked for */
    char isa[32], device[128], model[128], architecture[32], quantisation[32];
    size_t n_threads;

    /* What the model asks for, and what the machine could give: see bench_limits.c. */
    double ops_per_token;   /* of a prompt: its matrices, two per weight; not the head */
    double bytes_per_token; /* of matrices in the file, read for one generated token */
    double read_gbps;
    struct bench_peak {
        const char *name; /* static */
        double gops;
    } peaks[BENCH_MAX_PEAKS];
    size_t n_peaks;

    double first_turn_ms, second_turn_ms; /* to the first token; n_turn > 0 */
    double gap_ms[3][2];                  /* [quiet, prompt, quiet][50, 99 % of them]; n_long > 0 */
    double gap_of_quiet;               /* 99 % of those while the prompt is evaluated, each of what
                                        * was quiet for the stream at its length */
    double beside_ms;                  /* what that prompt took */
    double quote_tps[2], plain_tps[2]; /* [without, with guesses]; quote */
    double guided_tps[3];   /* [free, held to a schema, and what must come guessed]; n_guided > 0 */
    double guided_share[3]; /* of what is free, round by round */
    double guided_ms[3]; /* processor time, likewise: what others do to the machine hardly counts */
};

/* bench_forward.c: rates and limits. */
int bench_forward(const struct bench_options *o, struct bench_result *r, struct err *e) MUST_CHECK;

/* bench_limits.c: read_gbps, peaks, ops_per_token, bytes_per_token. */
int bench_limits(const struct model *m, struct bench_result *r, struct err *e) MUST_CHECK;

/* bench_device.c: read_gbps of a device with memory of its own. */
int bench_device(const struct model *m, struct bench_result *r, struct err *e) MUST_CHECK;

/* bench_engine.c: what a client of the engine sees. */
int bench_engine(const struct bench_options *o, struct bench_result *r, struct err *e) MUST_CHECK;

/* bench_stats.c.  Both sort x; n > 0.  quantile: q = 0 .. 1, the value nearest to it. */
double bench_median(double *x, size_t n);
double bench_quantile(double *x, size_t n, double q);

/* Any ids will do for timing, as long as they differ: equal rows would flatter the caches. */
void bench_random_ids(int32_t *ids, size_t n, size_t n_vocab, uint64_t seed);

/* For sequences of up to n_ctx tokens. */
struct engine_config bench_config(const struct bench_options *o, size_t n_ctx);

/* bench_tell.c: the result on standard output; 1 if it could not be written. */
int bench_tell(const struct bench_options *o, const struct bench_result *r) MUST_CHECK;

#endif
