/* pace.h - how much of a prompt is evaluated before those who generate get their next token.
 *
 * A slice of a pass of prompts stands between two passes of generated rows.  Both together may take
 * 2.2 times as long as such a pass takes undisturbed: beside a prompt it finds the caches full of
 * other things, and takes longer itself.  What undisturbed means changes while a long prompt is
 * evaluated, since those who generate see more and more positions: so there is a step without a
 * slice now and then.  Times are learnt from what ran, those of slices per kind
 * of stage and unit of work (see forward_stage); where one stage of a full pass takes longer than a
 * slice may, attention is cut into more stages and passes get fewer rows.
 * Plain arithmetic on the times it is told.  Owned by the engine thread. */
#ifndef AIRSTRIP_PACE_H
#define AIRSTRIP_PACE_H

#include <stdbool.h>
#include <stddef.h>

#include "inference/forward.h"

enum {
    PACE_KEPT = 9,
    PACE_SIZES = 13,    /* of passes: 1, 2, 3-4, 5-8, ... rows */
    PACE_MIN_ROWS = 64, /* fewer cost as much: a pass reads all weights */
    PACE_ATTEND_ROWS = 64,
    PACE_MIN_ATTEND_ROWS = 32, /* only where PACE_ATTEND_ROWS take longer than a slice may */
    PACE_ATTEND_ONCE = 24,     /* rows for which an op of attention takes keys and values in */
    PACE_LISTEN = 16,          /* each so many steps, one without a slice */
    /* With nobody to wait for: a client that leaves is noticed between slices. */
    PACE_ALONE_MS = 300,
};

/* The last times of something, ms. */
struct pace_times {
    double ms[PACE_KEPT];
    size_t n, next;
};

struct pace {
    struct pace_times quiet[PACE_SIZES]; /* passes of generated rows after no slice */
    struct pace_times beside;            /* of any size, after a slice */
    size_t n_generating;                 /* rows of the last of them */
    size_t n_steps;                      /* since it was last listened */
    double unit_ms[STAGE_KINDS];         /* of late; 0: not known */
};

/* What the stages of a slice have to do together. */
struct pace_work {
    double of[STAGE_KINDS];
    size_t n_stages;
};

/* What was measured: a pass of n_rows generated rows; a slice of a pass of prompts. */
void pace_generated(struct pace *p, size_t n_rows, bool after_slice, double ms);
void pace_sliced(struct pace *p, const struct pace_work *w, double ms);

/* Before a slice beside those who generate: shall it be left out, for their pass to be timed? */
bool pace_listens(struct pace *p);

/* How many rows the next pass of prompts may have, up to max_rows; and how many of them an attend
 * stage, where the last one sees n_positions. */
size_t pace_rows(const struct pace *p, size_t max_rows, bool others_generate);
size_t pace_attend_rows(const struct pace *p, size_t n_rows, size_t n_positions,
                        bool others_generate);

/* May a stage join a slice?  Yes where the slice is empty; then it has joined. */
bool pace_join(const struct pace *p, struct pace_work *w, enum stage_kind kind, double work,
               bool others_generate);

#endif
