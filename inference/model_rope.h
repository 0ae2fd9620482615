/* model_rope.h - how far a position turns q and k: what a file says of it, and the angles.
 *
 * Private to model.c and model_check.c.  Any thread. */
#ifndef AIRSTRIP_MODEL_ROPE_H
#define AIRSTRIP_MODEL_ROPE_H

#include "inference/model.h"
#include "inference/model_keys.h"

/* Longrope's divisors [n_rot / 2], of sequences of up to near_tokens and of longer ones. */
#define ROPE_SHORT "rope_factors_short.weight"
#define ROPE_LONG  "rope_factors_long.weight"

/* Bases and scaling; after the sizes. */
int model_read_rope(struct model *m, const struct keys *k, struct err *e) MUST_CHECK;

/* Angle of pair i at position 1, into out[n_rot / 2].  local: of layers with a sliding window where
 * these turn otherwise.  factors: of float type, [n_rot / 2] divisors; or NULL. */
void model_inv_freq(const struct model *m, bool local, const struct tensor *factors, float *out);

#endif
