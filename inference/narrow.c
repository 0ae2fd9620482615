#include "inference/narrow.h"

#include <math.h>

#include "inference/softmax.h"

/* Keeps the first n of the list, which are then all that are in. */
static bool keep(struct candidates *s, size_t n)
{
    s->n = n ? n : 1;
    s->whole = true;
    s->total = NAN;
    return true;
}

/* Keeps those of at least this logit.  The best one is at the front where nothing else is. */
static bool keep_above(struct candidates *s, float logit)
{
    if (!s->whole && logit < s->floor)
        return false;
    return keep(s, candidates_above(s->c, s->n, logit));
}

static float deviation(struct candidates *s)
{
    if (isnan(s->deviation))
        s->deviation = softmax_deviation(s->x, s->n_vocab);
    return (float)s->deviation;
}

/* Logits within so many standard deviations of the best (Tang et al. 2024). */
static bool top_n_sigma(struct candidates *s, const struct sampling *p)
{
    return keep_above(s, s->max - p->top_n_sigma * deviation(s));
}

static bool top_k(struct candidates *s, const struct sampling *p)
{
    if (s->n < p->top_k)
        return s->whole;
    candidates_best(s->c, s->n, p->top_k);
    return keep(s, p->top_k);
}

/* The fewest tokens whose probabilities sum up to typical_p, those first whose surprise is nearest
 * to the expected one, the entropy (Meister et al. 2022). */
static bool typical_p(struct candidates *s, const struct sampling *p)
{
    double total = candidates_total(s), moment = 0, far;
    float expected; /* of logit - max */
    size_t n;

    if (s->whole) {
        for (size_t i = 0; i < s->n; i++)
            moment += (double)(s->c[i].weight * (s->c[i].key - s->max));
    } else {
        if (isnan(s->moment))
            s->moment = softmax_moment(s->x, s->n_vocab, s->max);
        moment = s->moment;
    }
    expected = (float)(moment / total);
    for (size_t i = 0; i < s->n; i++)
        s->c[i].key = -fabsf(s->c[i].key - s->max - expected);
    n = candidates_reach(s->c, s->n, (double)p->typical_p * total);
    n = n ? n : 1;
    far = -(double)candidates_last(s->c, n).key;
    /* Those not listed are at least so far away. */
    if (!s->whole && (n == s->n || far >= (double)expected - (double)(s->floor - s->max)))
        return false;
    for (size_t i = 0; i < s->n; i++)
        s->c[i].key = s->x[s->c[i].id];
    return keep(s, n);
}

/* Probabilities of at least min_p times the largest (Nguyen et al. 2024). */
static bool min_p(struct candidates *s, const struct sampling *p)
{
    return keep_above(s, candidates_first(s->c, s->n).key + logf(p->min_p));
}

/* The fewest most likely tokens whose probabilities sum up to top_p (Holtzman et al. 2020). */
static bool top_p(struct candidates *s, const struct sampling *p)
{
    double target = (double)p->top_p * candidates_total(s);

    size_t n = candidates_reach(s->c, s->n, target);

    if (!s->whole && n == s->n && candidates_weight(s) < target)
        return false;
    return keep(s, n);
}

/* Leaves out all tokens of a probability of at least xtc_threshold, but for the least likely of
 * them (exclude top choices; P. E. Weidmann 2024). */
static bool leave_out_top(struct candidates *s, const struct sampling *p)
{
    double least = (double)p->xtc_threshold * candidates_total(s);
    size_t n = 0;

    if (!s->whole && least < exp((double)(s->floor - s->max)))
        return false;
    for (size_t i = 0; i < s->n; i++)
        if ((double)s->c[i].weight >= least)
            candidates_swap(&s->c[i], &s->c[n++]);
    if (n < 2)
        return true;
    for (size_t i = 1; i < n; i++)
        if (candidate_better(&s->c[0], &s->c[i]))
            candidates_swap(&s->c[0], &s->c[i]); /* this one stays */
    for (size_t i = 1; i < n && s->n - i > i; i++)
        candidates_swap(&s->c[i], &s->c[s->n - i]); /* the others go behind the rest */
    s->n -= n - 1;
    s->n_gone = n - 1;
    s->total = NAN;
    return true;
}

/* What p asks for, in order; a stage returns false where it needs a longer list. */
static bool all_stages(struct candidates *s, const struct sampling *p, bool xtc)
{
    const struct {
        bool wanted;
        bool (*narrow)(struct candidates *s, const struct sampling *p);
    } stages[] = {
        { p->top_n_sigma > 0, top_n_sigma },
        { p->top_k > 0, top_k },
        { p->typical_p < 1, typical_p },
        { p->min_p > 0, min_p },
        { p->top_p < 1, top_p },
        { xtc, leave_out_top },
    };

    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
        if (stages[i].wanted && !stages[i].narrow(s, p))
            return false;
    return true;
}

bool narrow_keeps_best(const struct sampling *p)
{
    return p->top_k == 1 || (p->typical_p >= 1 && p->xtc_probability <= 0);
}

bool narrow_wanted(const struct sampling *p)
{
    return p->top_n_sigma > 0 || p->top_k || p->typical_p < 1 || p->min_p > 0 || p->top_p < 1 ||
           p->xtc_probability > 0;
}

/* How far down a list usually must go so that these probabilities are all in it. */
static float usual_depth(float share)
{
    return share < 1 ? 4.5f - 1.5f * logf(1 - share) : 6;
}

/* A first list, as short as it can be without being too short. */
static void begin(struct candidates *s, const struct sampling *p)
{
    float depth = fmaxf(usual_depth(p->top_p), usual_depth(p->typical_p));

    if (p->top_k && p->top_n_sigma <= 0) {
        candidates_list_best(s, p->top_k);
        return;
    }
    /* Nothing further down stays. */
    if (p->min_p > 0 && p->typical_p >= 1)
        depth = fminf(depth, 0.01f - logf(p->min_p));
    if (p->top_n_sigma > 0)
        depth = fminf(depth, 0.01f + p->top_n_sigma * deviation(s));
    candidates_list(s, depth);
}

void narrow(struct candidates *s, const struct sampling *p, bool xtc)
{
    begin(s, p);
    while (!all_stages(s, p, xtc))
        candidates_deepen(s);
}
