/* ngrams.h - no run of n tokens twice in a sequence, prompt and answer together.
 *
 * Source: Paulus, Xiong and Socher 2017, section 2.5; no_repeat_ngram_size of transformers. */
#ifndef AIRSTRIP_NGRAMS_H
#define AIRSTRIP_NGRAMS_H

#include <stddef.h>
#include <stdint.h>

/* x: [n_vocab] logits; those of tokens that would end a run of n tokens that is in ids already
 * become -INFINITY.  n > 0; ids: [n_ids], all within the vocabulary. */
void ngrams_forbid(float *x, size_t n, const int32_t *ids, size_t n_ids);

#endif
