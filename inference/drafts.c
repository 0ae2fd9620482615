/* drafts.c - the likeliest guess first, one at a time; of all the plans on that way the best.
 *
 * A guess counts with the chance that it and all before it are right.  The gain per row falls from
 * guess to guess, but the cost per row does not rise evenly (kernels take rows by fours, tiles by
 * sixteens), so the way is walked to its end. */
#include "inference/drafts.h"

#include <stdbool.h>

/* What another row costs before that is measured, part of a pass of one: little, so that it is
 * tried. */
static const double FIRST_GUESS = 0.06;

/* Weight of the newest measurement, since attention grows and neighbours come and go; of the first
 * one in a long time. */
static const double NEWEST = 0.15, FIRST = 0.5;

/* A measurement counts as within these factors of what is known: what is far off is an accident. */
static const double LEAST = 0.7, MOST = 1.25;

/* Part of its way to where the newest measurement would put it that the time of any larger number
 * of rows goes: one that was measured in bad times is tried again after some thousand passes. */
static const double FORGET = 0.001;

/* So many passes with guesses, then one without. */
enum { MAX_SINCE = 64 };

/* The chance of a guess whose text must come: it may be cut into tokens in another way. */
static const double FORCED = 0.9;

/* A gain below this is not worth a doubt. */
static const double LEAST_GAIN = 1.04;

/* A sequence's tokens may come this many times later than without the others' guesses. */
static const double MAX_DELAY = 1.25;

void drafts_init(struct drafts *d)
{
    *d = (struct drafts){ 0 };
    for (size_t r = 0; r <= DRAFTS_MAX_ROWS; r++)
        d->since[r] = MAX_SINCE;
}

/* By a pass of n_rows that took ms, without having seen any of r. */
static double extrapolate(double ms, size_t n_rows, size_t r)
{
    return ms * (1 + FIRST_GUESS * (double)r) / (1 + FIRST_GUESS * (double)n_rows);
}

static double clamp(double x, double lo, double hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

void drafts_took(struct drafts *d, size_t n_rows, double ms)
{
    if (n_rows == 0 || n_rows > DRAFTS_MAX_ROWS || !(ms > 0))
        return;
    for (size_t r = 1; r <= DRAFTS_MAX_ROWS; r++) {
        double *t = &d->ms[r], seen = extrapolate(ms, n_rows, r);

        if (!d->known)
            *t = seen;
        else if (r == n_rows && d->since[r] == MAX_SINCE)
            *t += FIRST * (clamp(seen, *t / 4, *t * 4) - *t);
        else if (r == n_rows)
            *t += NEWEST * (clamp(seen, *t * LEAST, *t * MOST) - *t);
        else if (r > n_rows)
            *t += FORGET * (clamp(seen, *t * LEAST, *t) - *t);
        d->since[r] += d->since[r] < MAX_SINCE;
    }
    d->since[n_rows] = 0;
    d->known = true;
}

/* More rows never take less. */
static double ms_of(const struct drafts *d, size_t n_rows)
{
    double most = d->ms[1];

    for (size_t r = 2; r <= n_rows; r++)
        most = d->ms[r] > most ? d->ms[r] : most;
    return most;
}

double drafts_ms_of(const struct drafts *d, size_t n_rows, double ms, size_t n)
{
    return n == n_rows || n_rows > DRAFTS_MAX_ROWS || !d->known
               ? ms
               : ms * ms_of(d, n) / ms_of(d, n_rows);
}

/* On the way: what each sequence would have. */
struct way {
    size_t n[DRAFTS_MAX_ROWS];      /* guesses */
    double reach[DRAFTS_MAX_ROWS];  /* chance that all of them are right */
    double tokens[DRAFTS_MAX_ROWS]; /* expected, the one without guesses included */
};

/* Gives the likeliest next guess its row; false: there is none. */
static bool go_on(struct way *w, const struct drafter *of, size_t n)
{
    size_t best = n;
    double most = 0;

    for (size_t i = 0; i < n; i++) {
        double chance = 0;

        if (of[i].n_forced)
            chance = w->n[i] < of[i].n_forced && w->n[i] < of[i].most ? w->reach[i] * FORCED : 0;
        else if (of[i].speculate && w->n[i] < of[i].most)
            chance = w->reach[i] * (double)speculate_chance(of[i].speculate, w->n[i]);
        if (chance > most) {
            most = chance;
            best = i;
        }
    }
    if (best == n)
        return false;
    w->n[best]++;
    w->reach[best] = most;
    w->tokens[best] += most;
    return true;
}

void drafts_plan(const struct drafts *d, struct drafter *of, size_t n, size_t max_rows)
{
    double best = d->regardless ? 1 : LEAST_GAIN;
    struct way w;

    for (size_t i = 0; i < n; i++)
        of[i].n = 0;
    if (max_rows > DRAFTS_MAX_ROWS)
        max_rows = DRAFTS_MAX_ROWS;
    if (n == 0 || n >= max_rows || d->since[n] >= MAX_SINCE)
        return;
    for (size_t i = 0; i < n; i++) {
        w.n[i] = 0;
        w.reach[i] = w.tokens[i] = 1;
    }
    for (size_t rows = n + 1; rows <= max_rows && go_on(&w, of, n); rows++) {
        double cost = d->regardless ? 1 : ms_of(d, rows) / ms_of(d, n);
        double tokens = 0, least = w.tokens[0];

        for (size_t i = 0; i < n; i++) {
            tokens += w.tokens[i];
            least = w.tokens[i] < least ? w.tokens[i] : least;
        }
        if (cost > MAX_DELAY * least || tokens / (double)n / cost <= best)
            continue;
        best = tokens / (double)n / cost;
        for (size_t i = 0; i < n; i++)
            of[i].n = w.n[i];
    }
}
