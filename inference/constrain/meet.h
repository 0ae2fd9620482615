/* meet.h - what two expressions have in common, and what one has beyond the other.
 *
 * Both are compiled, walked side by side, and the product is an automaton of the grammar again.
 * Only for expressions without calls.  One thread at a time. */
#ifndef AIRSTRIP_CONSTRAIN_MEET_H
#define AIRSTRIP_CONSTRAIN_MEET_H

#include "inference/constrain/network.h"

enum meet {
    MEET_BOTH, /* the texts of a that b has too */
    MEET_ONLY, /* the texts of a that b does not have */
};

/* *out: a node; one that matches nothing where no text is left.  Errors: ERR_LIMIT where the
 * product is too large, ERR_NOMEM, ERR_INTERNAL where a or b has calls. */
int meet_node(struct grammar *g, int32_t a, int32_t b, enum meet how, int32_t *out,
              struct err *e) MUST_CHECK;

/* 1: a (without calls) has this text; 0: it has not; or ERR_*. */
int meet_reads(struct grammar *g, int32_t a, const char *text, size_t len,
               struct err *e) MUST_CHECK;

#endif
