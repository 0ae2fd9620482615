/* drafts.h - how many guessed tokens each sequence has verified in the next pass of generated rows.
 *
 * A pass with more rows takes longer, by how much depends on the machine and the model, so it is
 * learnt from the passes that ran; now and then one runs without guesses, to be compared with. What
 * a guess gains is its chance (inference/speculate.h).  The plan is the number of guesses that
 * gives the most tokens per time, where it pays at all, and where no sequence gets its tokens much
 * later for what others gain. Plain arithmetic on the times it is told.  Owned by the engine
 * thread. */
#ifndef AIRSTRIP_DRAFTS_H
#define AIRSTRIP_DRAFTS_H

#include <stdbool.h>
#include <stddef.h>

#include "inference/speculate.h"

enum { DRAFTS_MAX_ROWS = SPECULATE_MAX_DRAFT + 1 }; /* of a pass with guesses in it */

struct drafts {
    double ms[DRAFTS_MAX_ROWS + 1];      /* of late, of a pass with so many rows */
    unsigned since[DRAFTS_MAX_ROWS + 1]; /* passes since the last with so many rows */
    bool known;                          /* any pass at all */
    bool regardless;                     /* set after drafts_init(): guesses are taken to be free */
};

void drafts_init(struct drafts *d);

/* A pass of so many generated rows took so long. */
void drafts_took(struct drafts *d, size_t n_rows, double ms);

/* What a pass of n_rows would take with only n of them, n <= n_rows; for time it as drafts_took().
 */
double drafts_ms_of(const struct drafts *d, size_t n_rows, double ms, size_t n);

/* A sequence that generates: one row of its own. */
struct drafter {
    const struct speculate *speculate; /* NULL: never guesses */
    size_t most;                       /* guesses that it has room for */
    size_t n_forced; /* where not 0: so many guesses that are as good as sure, and no others */
    size_t n;        /* filled in: guesses to verify, from the first */
};

/* max_rows: of the pass, n included; DRAFTS_MAX_ROWS at most counts. */
void drafts_plan(const struct drafts *d, struct drafter *of, size_t n, size_t max_rows);

#endif
