/* pace.h - how much of a prompt is evaluated before those who generate get their next token.
 *
 * A slice of a pass of prompts stands between two passes of generated rows.  It may take 1.5 times
 * as long as such a pass, so that a running stream's gap is about 2.5 times what it is undisturbed
 * while most of the machine goes to the prompt.  Times are learnt from what ran; where even one
 * stage of a full pass takes longer, passes get fewer rows.
 * Plain arithmetic on the times it is told.  Owned by the engine thread. */
#ifndef AIRSTRIP_PACE_H
#define AIRSTRIP_PACE_H

#include <stdbool.h>
#include <stddef.h>

enum {
    PACE_KEPT = 9,
    PACE_MIN_ROWS = 64, /* fewer cost as much: a pass reads all weights */
    /* With nobody to wait for: a client that leaves is noticed between slices. */
    PACE_ALONE_MS = 300,
};

struct pace {
    double kept[PACE_KEPT]; /* ms of the last passes of generated rows, [n_kept] */
    size_t n_kept, next;
    double row_ms[2]; /* of late, of a row in even and odd stages (see forward.h); 0: not known */
};

/* What was measured: a pass of generated rows; n_stages of a pass of prompts. */
void pace_generated(struct pace *p, double ms);
void pace_sliced(struct pace *p, size_t n_rows, size_t stage, size_t n_stages, double ms);

/* How many rows the next pass of prompts may have, up to max_rows. */
size_t pace_rows(const struct pace *p, size_t max_rows, bool others_generate);

/* How many stages of it, from `stage` on, make a slice; 1 .. n_left. */
size_t pace_stages(const struct pace *p, size_t n_rows, size_t stage, size_t n_left,
                   bool others_generate);

#endif
