/* narrow.h - what leaves tokens out before one is drawn.
 *
 *   top_n_sigma -> top_k -> typical_p -> min_p -> top_p -> xtc
 *
 * Each looks at what those before it have left; where the list is too short for it to say, all
 * begin again with a longer one.  At least one token always stays. */
#ifndef AIRSTRIP_NARROW_H
#define AIRSTRIP_NARROW_H

#include "inference/candidates.h"
#include "inference/engine.h"

/* Does p ask for any of them? */
bool narrow_wanted(const struct sampling *p);

/* Is the most likely token always among those that stay? */
bool narrow_keeps_best(const struct sampling *p);

/* Lists what stays (s->whole is false where that is all but s->n_gone tokens).  s: x, tops, c,
 * n_vocab and max set, deviation and moment NAN.  xtc: the dice are for it, this time. */
void narrow(struct candidates *s, const struct sampling *p, bool xtc);

#endif
