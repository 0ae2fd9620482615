/* sampler_bench - what choosing a token takes, on one core.
 *
 *     tests/bench/sampler_bench FILE N_VOCAB [MS]     float32 logits, rows of N_VOCAB; 300
 *
 * Microseconds of processor time a token, the mean over all rows, for option sets that people use.
 * Compare with what a token of that model takes (airstrip-bench). */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "inference/sampler.h"

enum { N_IDS = 2000 };

static const struct {
    const char *name;
    struct sampling p; /* 0: the default */
} SETS[] = {
    { "temperature 1", { .temperature = 1 } },
    { "temperature 0.2, top_p 0.9", { .temperature = 0.2f, .top_p = 0.9f } },
    { "top_p 0.95", { .top_p = 0.95f } },
    { "top_p 0.999", { .top_p = 0.999f } },
    { "min_p 0.05", { .min_p = 0.05f } },
    { "top_k 64, top_p 0.95", { .top_p = 0.95f, .top_k = 64 } },
    { "top_k 40, top_p 0.95, min_p 0.05",
      { .temperature = 0.8f, .top_p = 0.95f, .min_p = 0.05f, .top_k = 40 } },
    { "presence_penalty, top_p 0.9",
      { .temperature = 0.7f, .top_p = 0.9f, .presence_penalty = 0.5f } },
    { "repetition_penalty, top_k 40", { .repetition_penalty = 1.1f, .top_k = 40 } },
    { "typical_p 0.95", { .typical_p = 0.95f } },
    { "top_n_sigma 1", { .top_n_sigma = 1 } },
    { "xtc 0.5", { .xtc_probability = 0.5f } },
    { "mirostat 1", { .mirostat = 1 } },
    { "mirostat 2", { .mirostat = 2 } },
    { "dry 0.8, top_p 0.95", { .dry_multiplier = 0.8f, .top_p = 0.95f } },
};

/* Of this thread: what others take of the processor does not count. */
static double processor_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* What is 0 in a set takes its default. */
static struct sampling filled(const struct sampling *set)
{
    struct sampling p;

    sampling_default(&p);
#define TAKE(field)      \
    if (set->field != 0) \
    p.field = set->field
    TAKE(temperature);
    TAKE(top_p);
    TAKE(min_p);
    TAKE(typical_p);
    TAKE(top_n_sigma);
    TAKE(top_k);
    TAKE(xtc_probability);
    TAKE(mirostat);
    TAKE(presence_penalty);
    TAKE(repetition_penalty);
    TAKE(dry_multiplier);
#undef TAKE
    p.has_seed = true;
    return p;
}

static double measure(const float *x, size_t n_vocab, size_t rows, const struct sampling *set,
                      double ms)
{
    static int32_t ids[N_IDS];
    struct sampling p = filled(set);
    struct sampler_state state;
    struct sampler s;
    struct err e;
    double start;
    size_t n = 0;

    for (size_t i = 0; i < N_IDS; i++)
        ids[i] = (int32_t)(i * 7919 % 997);
    if (sampler_open(&s, n_vocab, &e) || sampler_begin(&state, &p, N_IDS, &e))
        exit(1);
    for (size_t i = 0; dry_wanted(&p) && i < N_IDS; i++)
        dry_push(&state.dry, &p, (struct str){ "word", 4 });
    start = processor_ms();
    do
        for (size_t i = 0; i < rows; i++, n++)
            (void)sampler_pick(&s, x + i * n_vocab, &p, ids, N_IDS / 2, N_IDS, &state);
    while (processor_ms() - start < ms);
    sampler_end(&state);
    sampler_close(&s);
    return (processor_ms() - start) * 1e3 / (double)n;
}

int main(int argc, char **argv)
{
    size_t n_vocab = argc > 2 ? strtoul(argv[2], NULL, 10) : 0, cap = 256 << 20, rows;
    float *x = malloc(cap);
    FILE *f;

    if (!n_vocab || !x || !(f = fopen(argv[1], "rb"))) {
        fprintf(stderr, "usage: sampler_bench FILE N_VOCAB [MS]\n");
        return 2;
    }
    rows = fread(x, 1, cap, f) / (n_vocab * sizeof *x);
    fclose(f);
    for (size_t i = 0; rows && i < sizeof SETS / sizeof *SETS; i++)
        printf("%8.1f us  %s\n",
               measure(x, n_vocab, rows, &SETS[i].p, argc > 3 ? atof(argv[3]) : 300), SETS[i].name);
    free(x);
    return rows ? 0 : 1;
}
