/* model_attention.h - the part of model_check() that is about attention.
 *
 * Private to model_check.c.  Any thread. */
#ifndef AIRSTRIP_MODEL_ATTENTION_H
#define AIRSTRIP_MODEL_ATTENTION_H

#include "inference/model.h"
#include "inference/model_keys.h"

/* Epsilon of norms, scale of scores, caps, windows, and which layers are rotated, into *m; after
 * its sizes. */
int model_read_attention(struct model *m, const struct keys *k, struct err *e) MUST_CHECK;

#endif
