/* penalties.h - what a request and the sequence so far add to the logits.
 *
 *   logits + bias -> repetition -> frequency, presence -> dry -> ngrams
 */
#ifndef AIRSTRIP_PENALTIES_H
#define AIRSTRIP_PENALTIES_H

#include "inference/dry.h"
#include "inference/engine.h"

/* Is there anything to add? */
bool penalties_wanted(const struct sampling *p);

/* x: [n_vocab] logits, changed in place.  ids: the sequence so far, n_prompt of them the prompt,
 * all within the vocabulary, as are the ids of p->bias.  counts: [n_vocab], all zero before and
 * after.  dry has seen all n_ids where p wants it. */
void penalties_apply(float *x, uint32_t *counts, const struct sampling *p, const int32_t *ids,
                     size_t n_prompt, size_t n_ids, struct dry *dry);

#endif
