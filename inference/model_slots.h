/* model_slots.h - where a layer's tensors are: their names in the file, their shapes, their places
 * in memory.
 *
 * Private to model*.c, slice.c and place.c.  Any thread. */
#ifndef AIRSTRIP_MODEL_SLOTS_H
#define AIRSTRIP_MODEL_SLOTS_H

#include "inference/model.h"

/* The tensor of a slot in layer `layer`, NULL where the file has none or the family knows none. */
const struct tensor *slot_tensor(const struct model *m, const struct weights *w, size_t layer,
                                 enum arch_slot slot);

/* What it must look like: a vector has *rows = 0; of experts' matrices, one expert's. */
void slot_shape(const struct model *m, enum arch_slot slot, size_t *rows, size_t *cols);

/* What its dimensions count. */
struct slot_dims slot_dims(enum arch_slot slot);

/* Is it added to a sum of all ranks, so that only one may have it? */
bool slot_is_rank_0s(const struct model *m, enum arch_slot slot);

/* Where it goes. */
float **slot_vector(struct model_layer *l, enum arch_slot slot); /* slot < SLOT_FIRST_MATRIX */
struct weight **slot_matrix(struct model_layer *l,
                            enum arch_slot slot); /* < SLOT_FIRST_EXPERTS, not a vector */

/* "blk.N.name" into buf; returns buf. */
enum { SLOT_NAME_BYTES = 96 };
const char *slot_name(const struct model *m, size_t layer, enum arch_slot slot,
                      char buf[static SLOT_NAME_BYTES]);

#endif
