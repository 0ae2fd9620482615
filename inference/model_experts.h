/* model_experts.h - mixtures of experts: their numbers, their tensors in a file, their upload.
 *
 * A file has each of an expert's three matrices either in one tensor of all experts, [n_expert,
 * rows, cols] (ffn_gate_exps.weight), or in one of its own (ffn_gate.N.weight).  Layers without a
 * router are dense.  Private to model.c and model_check.c.  One thread. */
#ifndef AIRSTRIP_MODEL_EXPERTS_H
#define AIRSTRIP_MODEL_EXPERTS_H

#include "inference/model.h"
#include "inference/model_keys.h"

/* How many experts, how wide, how they are weighed; all 0 where the file has none.
 * ERR_UNSUPPORTED where the family has none, or they are chosen in another way. */
int experts_read(struct model *m, const struct keys *k, struct err *e) MUST_CHECK;

/* Has the layer a router? */
bool experts_in_layer(const struct model *m, const struct weights *w, size_t layer);

/* Must a layer with experts, or without, have the tensor of this slot? */
bool experts_slot_fits(enum arch_slot slot, bool experts);

/* A layer's expert matrices are there and of the right shape. */
int experts_check(const struct model *m, const struct weights *w, size_t layer,
                  struct err *e) MUST_CHECK;

/* Is this what follows "blk.N." in the name of an expert's own matrix? */
bool experts_name(const struct model *m, const char *name);

/* How much of a tensor one token reads: 1, or of an expert matrix the part that is used. */
double experts_share(const struct model *m, const char *name);

/* Matrix of expert `expert`, borrowed from w; false where there is none. */
bool experts_tensor(const struct model *m, const struct weights *w, size_t layer,
                    enum arch_slot slot, size_t expert, struct tensor *out);

#endif
