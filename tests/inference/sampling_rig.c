#include "tests/inference/sampling_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static float noise(struct rng *r, float scale)
{
    return ((float)rng_uniform(r) + (float)rng_uniform(r) + (float)rng_uniform(r) - 1.5f) * scale;
}

float *make_logits(size_t n, float scale, uint64_t seed)
{
    struct rng r = { seed };
    float *x = malloc(n * sizeof *x);

    for (size_t i = 0; i < n; i++)
        x[i] = noise(&r, scale);
    return x;
}

int by_rank(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    if (x->logit != y->logit)
        return x->logit > y->logit ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

/* --- what llama.cpp's samplers of these names do to a sorted list r[0 .. n); each returns how many
 * are left --- */

static void softmax(struct ranked *r, size_t n)
{
    double total = 0;

    for (size_t i = 0; i < n; i++)
        total += r[i].p = exp(r[i].logit - r[0].logit);
    for (size_t i = 0; i < n; i++)
        r[i].p /= total;
}

static size_t top_n_sigma(const struct ranked *r, size_t n, double sigmas)
{
    double mean = 0, square = 0;
    size_t kept = 0;

    for (size_t i = 0; i < n; i++)
        mean += r[i].logit / (double)n;
    for (size_t i = 0; i < n; i++)
        square += (r[i].logit - mean) * (r[i].logit - mean) / (double)n;
    while (kept < n && r[kept].logit >= r[0].logit - sigmas * sqrt(square))
        kept++;
    return kept;
}

static double entropy;

static int by_surprise(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    double d = fabs(-log(x->p) - entropy), e = fabs(-log(y->p) - entropy);

    if (d != e)
        return d < e ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static size_t typical(struct ranked *r, size_t n, double share)
{
    double sum = 0;
    size_t kept = 0;

    softmax(r, n);
    entropy = 0;
    for (size_t i = 0; i < n; i++)
        entropy -= r[i].p > 0 ? r[i].p * log(r[i].p) : 0;
    qsort(r, n, sizeof *r, by_surprise);
    while (kept < n && (kept == 0 || sum < share))
        sum += r[kept++].p;
    qsort(r, kept, sizeof *r, by_rank);
    return kept;
}

static size_t top_p(struct ranked *r, size_t n, double share)
{
    double sum = 0;
    size_t kept = 0;

    softmax(r, n);
    while (kept < n && (kept == 0 || sum < share))
        sum += r[kept++].p;
    return kept;
}

/* How many of the first are left out. */
static size_t xtc(struct ranked *r, size_t n, double threshold)
{
    size_t above = 0;

    softmax(r, n);
    while (above < n && r[above].p >= threshold)
        above++;
    return above > 1 ? above - 1 : 0;
}

static size_t narrowed(struct ranked *r, size_t n, const struct sampling *s)
{
    size_t k = n;

    if (s->top_n_sigma > 0)
        n = top_n_sigma(r, n, (double)s->top_n_sigma);
    if (s->top_k && s->top_k < n)
        n = s->top_k;
    if (s->typical_p < 1)
        n = typical(r, n, (double)s->typical_p);
    for (k = 0; k < n; k++)
        if (s->min_p > 0 && exp(r[k].logit - r[0].logit) < (double)s->min_p)
            break;
    return s->top_p < 1 ? top_p(r, k, (double)s->top_p) : k;
}

/* Equations 26 and 30 of Basu et al. 2021, with llama.cpp's m of 100; r has its probabilities. */
static size_t mirostat_1(const struct ranked *r, size_t n, double n_vocab, double mu)
{
    double tb = 0, tt = 0, s, e, k;

    for (size_t i = 0; i < 99 && i + 1 < n; i++) {
        double t = log((double)(i + 2) / (double)(i + 1));

        tb += t * log(r[i].p / r[i + 1].p);
        tt += t * t;
    }
    s = tb / tt;
    e = s - 1;
    k = pow(e * pow(2, mu) / (1 - pow(n_vocab, -e)), 1 / s);
    return !(k >= 1) ? 1 : k > (double)n ? n : (size_t)k; /* of one token: NaN */
}

static size_t mirostat_2(const struct ranked *r, size_t n, double mu)
{
    size_t k = 0;

    while (k < n && -log2(r[k].p) <= mu)
        k++;
    return k ? k : 1;
}

/* Adds share times the probabilities of what is left. */
static void add(double *p, const struct ranked *r, size_t n, double temperature, double share)
{
    double total = 0;

    for (size_t i = 0; i < n; i++)
        total += exp((r[i].logit - r[0].logit) / temperature);
    for (size_t i = 0; i < n; i++)
        p[r[i].id] += share * exp((r[i].logit - r[0].logit) / temperature) / total;
}

void reference(const float *x, size_t n, const struct sampling *s, double mu, double *p)
{
    struct ranked *r = malloc(n * sizeof *r);
    double t = (double)s->temperature;
    size_t kept = n;

    for (size_t i = 0; i < n; i++)
        r[i] = (struct ranked){ .logit = (double)x[i], .id = (int32_t)i };
    qsort(r, n, sizeof *r, by_rank);
    memset(p, 0, n * sizeof *p);
    if (s->mirostat) {
        for (size_t i = 0; i < n; i++)
            r[i].logit /= t;
        softmax(r, n);
        kept = s->mirostat == 1 ? mirostat_1(r, n, (double)n, mu) : mirostat_2(r, n, mu);
        add(p, r, kept, 1, 1);
    } else {
        double often = s->xtc_threshold <= 0.5f ? (double)s->xtc_probability : 0;

        kept = narrowed(r, n, s);
        add(p, r, kept, t, 1 - often);
        if (often > 0) {
            size_t out = xtc(r, kept, (double)s->xtc_threshold);

            add(p, r + out, kept - out, t, often);
        }
    }
    free(r);
}

void check_distribution(const float *x, size_t n, const struct sampling *s, size_t draws)
{
    double *p = malloc(n * sizeof *p), chi = 0;
    size_t *count = calloc(n, sizeof *count), cells = 0, rare = 0;
    struct sampler_state state = { .rng = { 99 } };
    struct sampler sampler;
    double rare_p = 0, mu = 2 * (double)s->mirostat_tau;

    assert_int_equal(sampler_open(&sampler, n, NULL), 0);
    reference(x, n, s, mu, p);
    for (size_t i = 0; i < draws; i++) {
        state.mu = mu;
        count[sampler_pick(&sampler, x, s, NULL, 0, 0, &state)]++;
    }
    for (size_t i = 0; i < n; i++) {
        double want = p[i] * (double)draws, diff = (double)count[i] - want;

        if (p[i] <= 0)
            assert_int_equal(count[i], 0);
        if (want < 5) {
            rare += count[i];
            rare_p += p[i];
        } else {
            chi += diff * diff / want;
            cells++;
        }
    }
    if (rare_p * (double)draws > 5) {
        double want = rare_p * (double)draws;

        chi += ((double)rare - want) * ((double)rare - want) / want;
        cells++;
    }
    if (cells < 2) /* one token, and a few times another one where there is any */
        assert_true(chi < (rare_p > 0 ? 0.1 : 1e-6));
    else /* mean cells - 1, variance twice that; seeds are fixed, so this does not flicker */
        assert_true(chi < (double)cells + 5 * sqrt(2.0 * (double)cells));
    sampler_close(&sampler);
    free(p);
    free(count);
}
