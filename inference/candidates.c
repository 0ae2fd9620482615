#include "inference/candidates.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "inference/softmax.h"

/* Further below the best a token weighs nothing. */
static const float NOTHING = 87;

enum {
    BINS = 1024,
    FEW = 200, /* of which the best are found without bins */
};

/* All tokens of at least this logit, in order of id; NaN and -INFINITY are not.  Blocks mostly hold
 * nothing of interest. */
static size_t gather(const struct candidates *s, float at_least)
{
    struct candidate *c = s->c;
    size_t n = 0;

    for (size_t b = 0; b < softmax_blocks(s->n_vocab); b++) {
        float terms[SOFTMAX_BLOCK];
        const float *v = s->x + b * SOFTMAX_BLOCK;
        uint64_t bits = 0, two;
        bool many; /* three at least, whose exponentials are cheaper all at once */

        if (s->tops[b] >= at_least)
            bits = softmax_above(s->x, s->n_vocab, b * SOFTMAX_BLOCK, at_least);
        two = bits & (bits - 1);
        many = (two & (two - 1)) != 0;
        if (many)
            softmax_terms(s->x, s->n_vocab, b * SOFTMAX_BLOCK, s->max, terms);
        for (; bits; bits &= bits - 1) {
            unsigned k = (unsigned)__builtin_ctzll(bits);

            c[n++] = (struct candidate){ .key = v[k],
                                         .weight = many ? terms[k] : softmax_exp(v[k] - s->max),
                                         .id = (int32_t)(b * SOFTMAX_BLOCK + k) };
        }
    }
    return n;
}

static void list_from(struct candidates *s, float floor)
{
    s->whole = !(floor > -FLT_MAX);
    s->floor = s->whole ? -FLT_MAX : floor;
    s->n = gather(s, s->floor);
    s->n_gone = 0;
    s->total = NAN;
}

void candidates_list(struct candidates *s, float depth)
{
    list_from(s, s->max - depth);
}

/* The best of each block are k tokens at least from the k-th of them on. */
void candidates_list_best(struct candidates *s, size_t k)
{
    size_t n = 0;

    for (size_t b = 0; b < softmax_blocks(s->n_vocab); b++)
        if (s->tops[b] > -INFINITY)
            s->c[n++] = (struct candidate){ .key = s->tops[b], .id = (int32_t)b };
    if (k <= n) {
        candidates_best(s->c, n, k);
        list_from(s, candidates_last(s->c, k).key);
        return;
    }
    candidates_list(s, 12);
    while (s->n < k && !s->whole)
        candidates_deepen(s);
}

void candidates_deepen(struct candidates *s)
{
    float depth = (s->max - s->floor) * 1.5f + 1;

    candidates_list(s, depth < NOTHING ? depth : INFINITY);
}

double candidates_weight(const struct candidates *s)
{
    double sum = 0;

    for (size_t i = 0; i < s->n; i++)
        sum += (double)s->c[i].weight;
    return sum;
}

double candidates_total(struct candidates *s)
{
    if (isnan(s->total))
        s->total = s->whole ? candidates_weight(s)
                            : softmax_sum(s->x, s->n_vocab, s->max, 1, s->tops, NULL);
    return s->total;
}

bool candidate_better(const struct candidate *a, const struct candidate *b)
{
    return a->key > b->key || (a->key == b->key && a->id < b->id);
}

void candidates_swap(struct candidate *a, struct candidate *b)
{
    struct candidate t = *a;

    *a = *b;
    *b = t;
}

/* Puts the median of first, middle and last at c[n - 1], and what is better than it in front.
 * Returns how many those are: afterwards the pivot stands there. */
static size_t partition(struct candidate *c, size_t n)
{
    struct candidate *a = &c[0], *m = &c[n / 2], *z = &c[n - 1], pivot;
    size_t k = 0;

    if (candidate_better(m, a))
        candidates_swap(m, a);
    if (candidate_better(z, a))
        candidates_swap(z, a);
    if (candidate_better(m, z))
        candidates_swap(m, z); /* now a, z, m in order: the median is last */
    pivot = *z;
    for (size_t i = 0; i + 1 < n; i++) { /* no branch that could be guessed wrong */
        struct candidate t = c[i];

        c[i] = c[k];
        c[k] = t;
        k += candidate_better(&t, &pivot);
    }
    candidates_swap(&c[k], z);
    return k;
}

/* How keys are spread over bins, the best first. */
struct spread {
    float best, scale;
    double sums[BINS];
};

static size_t bin_of(const struct spread *s, float key)
{
    return (uint32_t)(int32_t)((s->best - key) * s->scale);
}

/* Brings those whose bin is below `end` to the front of c[0 .. n), over what is behind; returns
 * how many. */
static size_t take_bins(const struct spread *s, struct candidate *c, size_t n, size_t end)
{
    size_t k = 0;

    for (size_t i = 0; i < n; i++) { /* no branch that could be guessed wrong */
        struct candidate t = c[i];

        c[k] = t;
        k += bin_of(s, t.key) < end;
    }
    return k;
}

/* The same, but those of later bins stay. */
static size_t part_bins(const struct spread *s, struct candidate *c, size_t n, size_t end)
{
    size_t k = 0;

    for (size_t i = 0; i < n; i++) {
        struct candidate t = c[i];

        c[i] = c[k];
        c[k] = t;
        k += bin_of(s, t.key) < end;
    }
    return k;
}

/* One walk counts what is in each bin; others part the list before the bin where the target is
 * reached, and end it behind that: *lo .. *hi, with *done before it. */
static void select_bin(struct candidate *c, size_t n, double target, bool by_weight, size_t *lo,
                       size_t *hi, double *done)
{
    struct spread s = { .best = c[0].key };
    float best[4] = { s.best, s.best, s.best, s.best }, worst = s.best, least[4];
    size_t bin = 0;

    memcpy(least, best, sizeof least);
    for (size_t i = 0; i < n; i++) { /* four at a time, none of which waits for another */
        best[i % 4] = c[i].key > best[i % 4] ? c[i].key : best[i % 4];
        least[i % 4] = c[i].key < least[i % 4] ? c[i].key : least[i % 4];
    }
    for (size_t i = 0; i < 4; i++) {
        s.best = best[i] > s.best ? best[i] : s.best;
        worst = least[i] < worst ? least[i] : worst;
    }
    s.scale = (BINS - 1) / (s.best - worst);
    if (!(s.best > worst) || !isfinite(s.scale) || !isfinite(s.best - worst))
        return;
    for (size_t i = 0; i < n; i++)
        s.sums[bin_of(&s, c[i].key)] += by_weight ? (double)c[i].weight : 1;
    while (bin + 1 < BINS && *done + s.sums[bin] < target)
        *done += s.sums[bin++];
    *hi = take_bins(&s, c, n, bin + 1);
    *lo = part_bins(&s, c, *hi, bin);
}

/* Quickselect by what pays(): linear on average; long lists by bins first. */
static size_t select_best(struct candidate *c, size_t n, double target, bool by_weight)
{
    size_t lo = 0, hi = n;
    double done = 0;

    if (n > FEW)
        select_bin(c, n, target, by_weight, &lo, &hi, &done);
    while (lo < hi) {
        size_t mid = lo + partition(c + lo, hi - lo);
        double sum = done;

        if (by_weight)
            for (size_t i = lo; i < mid; i++)
                sum += (double)c[i].weight;
        else
            sum += (double)(mid - lo);
        if (sum >= target) {
            hi = mid;
            continue;
        }
        sum += by_weight ? (double)c[mid].weight : 1;
        lo = mid + 1;
        done = sum;
        if (sum >= target)
            break;
    }
    return lo;
}

void candidates_best(struct candidate *c, size_t n, size_t k)
{
    (void)select_best(c, n, (double)k, false);
}

size_t candidates_reach(struct candidate *c, size_t n, double target)
{
    return select_best(c, n, target, true);
}

size_t candidates_above(struct candidate *c, size_t n, float key)
{
    size_t k = 0;

    for (size_t i = 0; i < n; i++)
        if (c[i].key >= key)
            candidates_swap(&c[i], &c[k++]);
    return k;
}

struct candidate candidates_first(const struct candidate *c, size_t n)
{
    struct candidate best = c[0];

    for (size_t i = 1; i < n; i++)
        if (candidate_better(&c[i], &best))
            best = c[i];
    return best;
}

struct candidate candidates_last(const struct candidate *c, size_t n)
{
    struct candidate worst = c[0];

    for (size_t i = 1; i < n; i++)
        if (candidate_better(&worst, &c[i]))
            worst = c[i];
    return worst;
}

void candidates_by_id(const struct candidates *s, uint64_t *bits, int32_t *ids, float *x)
{
    size_t k = 0;

    for (size_t i = 0; i < s->n; i++)
        bits[s->c[i].id / 64] |= 1ull << s->c[i].id % 64;
    for (size_t b = 0; k < s->n; b++)
        for (; bits[b]; bits[b] &= bits[b] - 1) {
            ids[k] = (int32_t)(b * 64 + (size_t)__builtin_ctzll(bits[b]));
            x[k] = s->x[ids[k]];
            k++;
        }
}
