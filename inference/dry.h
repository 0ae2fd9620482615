/* dry.h - "don't repeat yourself" (P. E. Weidmann 2024), as llama.cpp has it.
 *
 * Where the last L tokens have stood before, the token that followed them there is made less
 * likely, by multiplier * base ^ (L - allowed_length) where L is at least that: the longer the
 * repetition, the more.  Repetitions begin anew after sequence breakers, which are looked for in
 * the text; a token that has a whole one in it is left alone.  A state belongs to its sequence. */
#ifndef AIRSTRIP_DRY_H
#define AIRSTRIP_DRY_H

#include "inference/engine.h"
#include "inference/weights/weights.h" /* struct str */

struct dry {
    uint64_t *breaks; /* [max_ids] bits: has this token a whole breaker in it.  NULL: off */
    uint32_t *runs;   /* [max_ids] to work in */
    size_t max_ids;
    size_t n_seen;                    /* tokens whose text was looked at */
    size_t since;                     /* of these, the first behind the last breaker */
    char tail[DRY_BREAKER_MAX_BYTES]; /* the last bytes of the text */
    size_t n_tail;
};

static inline bool dry_wanted(const struct sampling *p)
{
    return p->dry_multiplier > 0 && p->dry_last_n > 0;
}

/* For a sequence of up to max_ids tokens; does nothing where p does not want it. */
int dry_init(struct dry *d, const struct sampling *p, size_t max_ids, struct err *e) MUST_CHECK;
void dry_done(struct dry *d); /* a zeroed one is fine */

/* The text of token n_seen. */
void dry_push(struct dry *d, const struct sampling *p, struct str text);

/* x -= penalty.  ids: [n_seen].  counts: [n_vocab], all zero before and after. */
void dry_penalise(struct dry *d, const struct sampling *p, const int32_t *ids, float *x,
                  uint32_t *counts);

#endif
