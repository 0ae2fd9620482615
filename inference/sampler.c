/* sampler.c - see sampler.h for the order of things.
 *
 * Costs are per token and sequence on the engine's one thread, so a vocabulary of 262144 is walked
 * as few times as possible: once for the maximum, once for the sum, and, where the choice is
 * narrowed, twice more in whole blocks that mostly hold nothing of interest. */
#include "inference/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "inference/softmax.h"

struct candidate {
    float logit;
    float weight; /* what select_best() adds up: 1, or a probability times a constant */
    int32_t id;
};

/* Below this the distribution is one token for any logits that differ at all. */
static const float MIN_TEMPERATURE = 1e-4f;

/* Tokens further below the best one than this rarely matter: the first try leaves them out. */
static const float NEAR = 12.0f;

void sampling_default(struct sampling *s)
{
    *s = (struct sampling){ .temperature = 1, .top_p = 1, .repetition_penalty = 1 };
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

int sampler_open(struct sampler *s, size_t n_vocab, struct err *e)
{
    *s = (struct sampler){ .n_vocab = n_vocab };
    s->allowed = calloc(n_vocab, sizeof *s->allowed);
    s->adjusted = calloc(n_vocab, sizeof *s->adjusted);
    s->counts = calloc(n_vocab, sizeof *s->counts);
    s->kept = calloc(n_vocab, sizeof *s->kept);
    s->sums = calloc(n_vocab / SOFTMAX_BLOCK + 1, sizeof *s->sums);
    if (s->allowed && s->adjusted && s->counts && s->kept && s->sums)
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
    free(s->sums);
    *s = (struct sampler){ 0 };
}

static bool is_adjusted(const struct sampling *p)
{
    return p->n_bias || p->frequency_penalty != 0 || p->presence_penalty != 0 ||
           p->repetition_penalty != 1;
}

static bool takes_best(const struct sampling *p)
{
    return p->temperature < MIN_TEMPERATURE || p->top_k == 1 || p->top_p <= 0 || p->min_p >= 1;
}

bool sampler_is_argmax(const struct sampling *p)
{
    return takes_best(p) && !is_adjusted(p);
}

/* Each distinct token once: x / r where positive, x * r where negative (Keskar et al. 2019,
 * section 4.1, with the sign rule that Hugging Face added). */
static void penalise_repetition(struct sampler *s, float r, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float *x = &s->adjusted[ids[i]];

        if (s->counts[ids[i]]++ == 0)
            *x = *x > 0 ? *x / r : *x * r;
    }
    for (size_t i = 0; i < n; i++)
        s->counts[ids[i]] = 0;
}

/* x -= count * frequency + (count > 0) * presence             (OpenAI API reference). */
static void penalise_frequency(struct sampler *s, const struct sampling *p, const int32_t *ids,
                               size_t n)
{
    for (size_t i = 0; i < n; i++)
        s->counts[ids[i]]++;
    for (size_t i = 0; i < n; i++) {
        uint32_t *count = &s->counts[ids[i]];

        if (*count)
            s->adjusted[ids[i]] -= (float)*count * p->frequency_penalty + p->presence_penalty;
        *count = 0;
    }
}

/* The raw logits where nothing changes them, else s->adjusted. */
static const float *adjust(struct sampler *s, const float *logits, const struct sampling *p,
                           const int32_t *ids, size_t n_prompt, size_t n_ids)
{
    if (!is_adjusted(p))
        return logits;
    memcpy(s->adjusted, logits, s->n_vocab * sizeof *logits);
    for (size_t i = 0; i < p->n_bias; i++)
        s->adjusted[p->bias[i].id] += p->bias[i].bias;
    if (p->repetition_penalty != 1)
        penalise_repetition(s, p->repetition_penalty, ids, n_ids);
    if (p->frequency_penalty != 0 || p->presence_penalty != 0)
        penalise_frequency(s, p, ids + n_prompt, n_ids - n_prompt);
    return s->adjusted;
}

const float *sampler_allow(struct sampler *s, const float *logits, const uint64_t *mask)
{
    for (size_t i = 0; i < s->n_vocab; i++)
        s->allowed[i] = mask[i / 64] >> i % 64 & 1 ? logits[i] : -INFINITY;
    return s->allowed;
}

static bool better(const struct candidate *a, const struct candidate *b)
{
    return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

static void swap(struct candidate *a, struct candidate *b)
{
    struct candidate t = *a;

    *a = *b;
    *b = t;
}

/* Puts the median of first, middle and last at c[n - 1], and what is better than it in front.
 * Returns how many those are: afterwards the pivot stands there. */
static size_t partition(struct candidate *c, size_t n)
{
    struct candidate *a = &c[0], *m = &c[n / 2], *z = &c[n - 1];
    size_t k = 0;

    if (better(m, a))
        swap(m, a);
    if (better(z, a))
        swap(z, a);
    if (better(m, z))
        swap(m, z); /* now a, z, m in order: the median is last */
    for (size_t i = 0; i + 1 < n; i++)
        if (better(&c[i], z))
            swap(&c[i], &c[k++]);
    swap(&c[k], z);
    return k;
}

/* Brings the fewest best candidates whose weights reach `target` to the front; returns how many
 * (all, where together they do not).  Quickselect by weight: linear on average. */
static size_t select_best(struct candidate *c, size_t n, double target)
{
    size_t lo = 0, hi = n;
    double done = 0;

    while (lo < hi) {
        size_t mid = lo + partition(c + lo, hi - lo);
        double sum = done;

        for (size_t i = lo; i < mid; i++)
            sum += (double)c[i].weight;
        if (sum >= target) {
            hi = mid;
            continue;
        }
        sum += (double)c[mid].weight;
        lo = mid + 1;
        done = sum;
        if (sum >= target)
            break;
    }
    return lo;
}

/* From i on, passes over whole blocks without a value of at least t. */
static size_t skip_below(const float *x, size_t n, size_t i, float t)
{
    while (i % SOFTMAX_BLOCK == 0 && n - i >= SOFTMAX_BLOCK && !softmax_any(x + i, t))
        i += SOFTMAX_BLOCK;
    return i;
}

/* All tokens of at least this logit, in order of id; NaN is not. */
static size_t gather(struct candidate *c, const float *x, size_t n, float at_least)
{
    size_t k = 0;

    for (size_t i = 0; (i = skip_below(x, n, i, at_least)) < n; i++)
        if (x[i] >= at_least)
            c[k++] = (struct candidate){ .logit = x[i], .weight = 1, .id = (int32_t)i };
    return k;
}

/* Sets the weights to e^(logit - max); returns their sum. */
static double weigh(struct candidate *c, size_t n, float max)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)(c[i].weight = softmax_exp(c[i].logit - max));
    return sum;
}

/* The worst of c: everything at least as good as it is kept. */
static struct candidate worst(const struct candidate *c, size_t n)
{
    struct candidate w = c[0];

    for (size_t i = 1; i < n; i++)
        if (better(&w, &c[i]))
            w = c[i];
    return w;
}

/* Collects into s->kept every token that top_k and top_p can possibly want; *total: e^(x - max)
 * summed over all tokens that are still in.  A first look takes only those near the best, which is
 * nearly always enough. */
static size_t shortlist(struct sampler *s, const float *x, const struct sampling *p, float max,
                        double *total)
{
    struct candidate *c = s->kept;
    size_t n;

    if (p->min_p <= 0) {
        n = gather(c, x, s->n_vocab, max - NEAR);
        if (p->top_k && n >= p->top_k)
            goto cut;
        *total = p->top_k ? INFINITY : softmax_sum(x, s->n_vocab, max, 1, NULL);
        if (weigh(c, n, max) >= (double)p->top_p * *total)
            return n;
    }
    n = gather(c, x, s->n_vocab, p->min_p > 0 ? max + logf(p->min_p) : -INFINITY);
cut:
    if (p->top_k && n > p->top_k)
        n = select_best(c, n, (double)p->top_k);
    *total = weigh(c, n, max);
    return n;
}

/* Leaves what top_k, min_p and top_p keep, in order of id: logits in s->adjusted, ids in s->kept.
 * x may be s->adjusted: writing never overtakes reading.  At least one, the best. */
static size_t narrow(struct sampler *s, const float *x, const struct sampling *p, float max)
{
    double total;
    size_t n = shortlist(s, x, p, max, &total), k = 0;
    struct candidate last;

    if (p->top_p < 1)
        n = select_best(s->kept, n, (double)p->top_p * total);
    last = worst(s->kept, n);
    for (size_t i = 0; (i = skip_below(x, s->n_vocab, i, last.logit)) < s->n_vocab; i++)
        if (x[i] > last.logit || (x[i] == last.logit && (int32_t)i <= last.id)) {
            s->adjusted[k] = x[i];
            s->kept[k++].id = (int32_t)i;
        }
    return k;
}

int32_t sampler_pick(struct sampler *s, const float *logits, const struct sampling *p,
                     const int32_t *ids, size_t n_prompt, size_t n_ids, struct rng *r)
{
    const float *x = adjust(s, logits, p, ids, n_prompt, n_ids);
    bool narrowed = p->top_k || p->min_p > 0 || p->top_p < 1;
    size_t best, n = s->n_vocab, at;
    float max = softmax_max(x, n, &best), scale;
    double target;

    if (takes_best(p) || !isfinite(max)) /* an infinite logit is certain; all NaN: token 0 */
        return (int32_t)best;
    if (narrowed) {
        n = narrow(s, x, p, max);
        x = s->adjusted;
    }
    scale = 1 / p->temperature;
    target = rng_uniform(r) * softmax_sum(x, n, max, scale, s->sums);
    at = softmax_find(x, n, max, scale, s->sums, target);
    return narrowed ? s->kept[at].id : (int32_t)at;
}

/* Keeps top[0 .. *n) the best so far, best first. */
static void insert(struct token_logprob *top, size_t *n, size_t limit, int32_t id, float logit)
{
    size_t i = *n < limit ? (*n)++ : limit - 1;

    for (; i > 0 && top[i - 1].logprob < logit; i--)
        top[i] = top[i - 1];
    top[i] = (struct token_logprob){ .id = id, .logprob = logit };
}

void sampler_logprobs(const float *logits, size_t n_vocab, int32_t taken, size_t n_top,
                      struct token_logprob *out)
{
    size_t best, n = 0;
    float max = softmax_max(logits, n_vocab, &best);
    float log_sum =
        isfinite(max) ? max + (float)log(softmax_sum(logits, n_vocab, max, 1, NULL)) : max;

    out[0] = (struct token_logprob){ .id = taken, .logprob = logits[taken] };
    for (size_t i = 0; i < n_top; i++)
        out[1 + i] = (struct token_logprob){ .id = -1, .logprob = SAMPLER_MIN_LOGPROB };
    for (size_t i = 0; n_top && i < n_vocab; i++) {
        if (n == n_top)
            i = skip_below(logits, n_vocab, i, out[n_top].logprob);
        if (i < n_vocab && (n < n_top ? logits[i] >= -INFINITY : logits[i] > out[n_top].logprob))
            insert(out + 1, &n, n_top, (int32_t)i, logits[i]);
    }
    for (size_t i = 0; i <= n; i++) {
        float lp = out[i].logprob - log_sum;

        out[i].logprob = lp >= SAMPLER_MIN_LOGPROB ? lp : SAMPLER_MIN_LOGPROB; /* NaN too */
    }
}
