/* sampler.c - see sampler.h for the order of things.
 *
 * Costs are per token and sequence on the engine's one thread, so a vocabulary of 262144 is walked
 * as few times as possible: once for the maximum of each block, once for the sum of exponentials
 * where that is wanted, once to be copied where it is changed. */
#include "inference/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "inference/candidates.h"
#include "inference/mirostat.h"
#include "inference/narrow.h"
#include "inference/penalties.h"
#include "inference/softmax.h"

/* Below this the distribution is one token for any logits that differ at all. */
static const float MIN_TEMPERATURE = 1e-4f;

void sampling_default(struct sampling *s)
{
    static const char *const breakers[] = { "\n", ":", "\"", "*" };

    *s = (struct sampling){ .temperature = 1,
                            .top_p = 1,
                            .typical_p = 1,
                            .xtc_threshold = 0.1f,
                            .mirostat_tau = 5,
                            .mirostat_eta = 0.1f,
                            .repetition_penalty = 1,
                            .repetition_last_n = SIZE_MAX,
                            .frequency_last_n = SIZE_MAX,
                            .dry_base = 1.75f,
                            .dry_allowed_length = 2,
                            .dry_last_n = SIZE_MAX,
                            .dry_breakers = breakers,
                            .n_dry_breakers = sizeof breakers / sizeof *breakers };
}

double rng_uniform(struct rng *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return (double)(z >> 11) * 0x1p-53;
}

uint64_t rng_random_seed(void)
{
    struct timespec t;
    uint64_t seed;

    if (getrandom(&seed, sizeof seed, 0) == (ssize_t)sizeof seed)
        return seed;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000007u ^ (uint64_t)t.tv_nsec;
}

int sampler_begin(struct sampler_state *state, const struct sampling *p, size_t max_ids,
                  struct err *e)
{
    *state = (struct sampler_state){ .rng.state = p->has_seed ? p->seed : rng_random_seed(),
                                     .mu = mirostat_start(p) };
    return dry_init(&state->dry, p, max_ids, e);
}

void sampler_end(struct sampler_state *state)
{
    dry_done(&state->dry);
}

int sampler_open(struct sampler *s, size_t n_vocab, struct err *e)
{
    size_t blocks = softmax_blocks(n_vocab);

    *s = (struct sampler){ .n_vocab = n_vocab };
    s->allowed = calloc(n_vocab, sizeof *s->allowed);
    s->adjusted = calloc(n_vocab, sizeof *s->adjusted);
    s->counts = calloc(n_vocab, sizeof *s->counts);
    s->kept = calloc(n_vocab, sizeof *s->kept);
    s->ids = calloc(n_vocab, sizeof *s->ids);
    s->bits = calloc(n_vocab / 64 + 1, sizeof *s->bits);
    s->tops = calloc(blocks, sizeof *s->tops);
    s->sums = calloc(blocks, sizeof *s->sums);
    if (s->allowed && s->adjusted && s->counts && s->kept && s->ids && s->bits && s->tops &&
        s->sums)
        return 0;
    sampler_close(s);
    return err_set(e, ERR_NOMEM, "no memory to sample from a vocabulary of %zu tokens", n_vocab);
}

void sampler_close(struct sampler *s)
{
    free(s->allowed);
    free(s->adjusted);
    free(s->counts);
    free(s->kept);
    free(s->ids);
    free(s->bits);
    free(s->tops);
    free(s->sums);
    *s = (struct sampler){ 0 };
}

static bool takes_best(const struct sampling *p)
{
    bool narrow_to_it = p->top_k == 1 || p->top_p <= 0 || p->min_p >= 1;

    return p->mirostat ? p->temperature < MIN_TEMPERATURE
                       : narrow_keeps_best(p) && (p->temperature < MIN_TEMPERATURE || narrow_to_it);
}

bool sampler_is_argmax(const struct sampling *p)
{
    return takes_best(p) && !penalties_wanted(p);
}

const float *sampler_allow(struct sampler *s, const float *logits, const uint64_t *mask)
{
    softmax_allow(s->allowed, logits, s->n_vocab, mask);
    return s->allowed;
}

/* The raw logits where nothing changes them, else s->adjusted. */
static const float *adjust(struct sampler *s, const float *logits, const struct sampling *p,
                           const int32_t *ids, size_t n_prompt, size_t n_ids,
                           struct sampler_state *state)
{
    if (!penalties_wanted(p))
        return logits;
    memcpy(s->adjusted, logits, s->n_vocab * sizeof *logits);
    penalties_apply(s->adjusted, s->counts, p, ids, n_prompt, n_ids, &state->dry);
    return s->adjusted;
}

/* Position of the token drawn among x[0 .. n), *probability: what it had.  tops: NULL, or bounds of
 * its blocks. */
static size_t draw(struct sampler *s, const float *x, size_t n, float max, float scale,
                   const float *tops, struct rng *r, double *probability)
{
    double total = softmax_sum(x, n, max, scale, tops, s->sums);
    size_t at = softmax_find(x, n, max, scale, s->sums, rng_uniform(r) * total);

    *probability = (double)softmax_exp((x[at] - max) * scale) / total;
    return at;
}

/* The vocabulary but for those that are out. */
static int32_t draw_of_all(struct sampler *s, const struct candidates *c, size_t best,
                           const struct sampling *p, struct rng *r)
{
    const float *x = c->x;
    float max = c->max;
    double probability;

    if (c->n_gone) {
        if (x != s->adjusted)
            memcpy(s->adjusted, x, s->n_vocab * sizeof *x);
        for (size_t i = 0; i < c->n_gone; i++)
            s->adjusted[c->c[c->n + i].id] = -INFINITY;
        x = s->adjusted;
        max = softmax_max(x, s->n_vocab, &best, NULL);
    }
    if (p->temperature < MIN_TEMPERATURE)
        return (int32_t)best;
    return (int32_t)draw(s, x, s->n_vocab, max, 1 / p->temperature, s->tops, r, &probability);
}

int32_t sampler_pick(struct sampler *s, const float *logits, const struct sampling *p,
                     const int32_t *ids, size_t n_prompt, size_t n_ids, struct sampler_state *state)
{
    const float *x = adjust(s, logits, p, ids, n_prompt, n_ids, state);
    struct candidates c = { .x = x,
                            .tops = s->tops,
                            .c = s->kept,
                            .n_vocab = s->n_vocab,
                            .deviation = NAN,
                            .moment = NAN };
    struct candidate first;
    double probability;
    size_t best, at;

    c.max = softmax_max(x, s->n_vocab, &best, s->tops);
    if (p->no_repeat_ngram && c.max == -INFINITY) { /* what must come may come again */
        struct sampling lenient = *p;

        lenient.no_repeat_ngram = 0;
        return sampler_pick(s, logits, &lenient, ids, n_prompt, n_ids, state);
    }
    if (takes_best(p) || !isfinite(c.max)) /* an infinite logit is certain; all NaN: token 0 */
        return (int32_t)best;
    if (p->mirostat)
        mirostat_narrow(&c, p, state->mu);
    else if (narrow_wanted(p))
        narrow(&c, p,
               p->xtc_probability > 0 && p->xtc_threshold <= 0.5f &&
                   rng_uniform(&state->rng) < (double)p->xtc_probability);
    if (!c.whole)
        return draw_of_all(s, &c, best, p, &state->rng);
    first = candidates_first(c.c, c.n);
    if (p->temperature < MIN_TEMPERATURE)
        return first.id;
    candidates_by_id(&c, s->bits, s->ids, s->adjusted);
    at = draw(s, s->adjusted, c.n, first.key, 1 / p->temperature, NULL, &state->rng, &probability);
    if (p->mirostat)
        mirostat_learn(p, &state->mu, probability);
    return s->ids[at];
}

/* Keeps top[0 .. *n) the best so far, best first. */
static void insert(struct token_logprob *top, size_t *n, size_t limit, int32_t id, float logit)
{
    size_t i = *n < limit ? (*n)++ : limit - 1;

    for (; i > 0 && top[i - 1].logprob < logit; i--)
        top[i] = top[i - 1];
    top[i] = (struct token_logprob){ .id = id, .logprob = logit };
}

/* The best ones in order; the blocks that have none of them are passed over. */
static size_t find_top(const struct sampler *s, const float *x, size_t n_top,
                       struct token_logprob *top)
{
    size_t n = 0;

    for (size_t i = 0; n_top && i < s->n_vocab; i++) {
        if (n == n_top && i % SOFTMAX_BLOCK == 0 &&
            !(s->tops[i / SOFTMAX_BLOCK] > top[n_top - 1].logprob))
            i += SOFTMAX_BLOCK - 1;
        else if (n < n_top ? x[i] >= -INFINITY : x[i] > top[n_top - 1].logprob)
            insert(top, &n, n_top, (int32_t)i, x[i]);
    }
    return n;
}

/* Logits of out[0] and the n ones behind it become log-probabilities; the rest of n_top are none.
 */
static void normalise(struct token_logprob *out, size_t n, size_t n_top, float log_sum)
{
    for (size_t i = 0; i <= n; i++) {
        float lp = out[i].logprob - log_sum;

        out[i].logprob = lp >= SAMPLER_MIN_LOGPROB ? lp : SAMPLER_MIN_LOGPROB; /* NaN too */
    }
    for (size_t i = n + 1; i <= n_top; i++)
        out[i] = (struct token_logprob){ .id = -1, .logprob = SAMPLER_MIN_LOGPROB };
}

void sampler_logprobs_of_top(const int32_t *ids, const float *logits, float log_sum, int32_t taken,
                             size_t n_top, struct token_logprob *out)
{
    size_t n = 0;

    out[0] = (struct token_logprob){ .id = taken, .logprob = logits[0] };
    for (; n < n_top && ids[n] >= 0; n++)
        out[1 + n] = (struct token_logprob){ .id = ids[n], .logprob = logits[n] };
    normalise(out, n, n_top, log_sum);
}

void sampler_logprobs(struct sampler *s, const float *logits, int32_t taken, size_t n_top,
                      struct token_logprob *out)
{
    size_t best, n;
    float max = softmax_max(logits, s->n_vocab, &best, s->tops);
    float log_sum = isfinite(max)
                        ? max + (float)log(softmax_sum(logits, s->n_vocab, max, 1, s->tops, NULL))
                        : max;

    out[0] = (struct token_logprob){ .id = taken, .logprob = logits[taken] };
    n = find_top(s, logits, n_top, out + 1);
    normalise(out, n, n_top, log_sum);
}
