/* sampler.h - from the logits of one position to the next token.
 *
 *   logits -> penalties (penalties.h) -> what narrows the choice (narrow.h, or mirostat.h)
 *          -> temperature -> one draw of the sequence's own generator
 *
 * Everything that narrows the choice is a threshold in the order (logit descending, id ascending),
 * found without sorting the vocabulary; the draw then walks the kept tokens in order of id.  Logits
 * that differ by rounding (another batch, another order of sums) therefore move the draw by as
 * little. The scratch belongs to one thread; generators belong to their sequences. */
#ifndef AIRSTRIP_SAMPLER_H
#define AIRSTRIP_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inference/dry.h"
#include "inference/engine.h"
#include "kernels/base/err.h"

/* splitmix64 (Steele, Lea and Flood 2014): one 64-bit counter, one draw per token, and with XTC
 * one more. */
struct rng {
    uint64_t state;
};
double rng_uniform(struct rng *r); /* [0, 1) */
uint64_t rng_random_seed(void);    /* from the system */

/* What a sequence carries from token to token. */
struct sampler_state {
    struct rng rng;
    double mu;      /* see mirostat.h */
    struct dry dry; /* the caller pushes the tokens' text to it */
};

/* For a sequence of up to max_ids tokens. */
int sampler_begin(struct sampler_state *state, const struct sampling *p, size_t max_ids,
                  struct err *e) MUST_CHECK;
void sampler_end(struct sampler_state *state); /* a zeroed one is fine */

struct candidate;

/* Scratch for one vocabulary. */
struct sampler {
    size_t n_vocab;
    float *allowed;         /* [n_vocab] logits of what a mask allows */
    float *adjusted;        /* [n_vocab] logits after penalties; later those kept, in order of id */
    uint32_t *counts;       /* [n_vocab] all zero between calls */
    struct candidate *kept; /* [n_vocab] */
    int32_t *ids;           /* [n_vocab] of those kept, in order */
    uint64_t *bits;         /* [n_vocab / 64 + 1] all zero between calls */
    float *tops;            /* of each block of the vocabulary the largest logit ... */
    double *sums;           /* ... and the sum of exponentials */
};
int sampler_open(struct sampler *s, size_t n_vocab, struct err *e) MUST_CHECK;
void sampler_close(struct sampler *s); /* a zeroed one is fine */

/* Is the choice simply the largest raw logit?  Then the backend's argmax will do. */
bool sampler_is_argmax(const struct sampling *p);

/* The logits with -INFINITY where bit i % 64 of mask[i / 64] is clear; at least one is set.  Valid
 * until the next call. */
const float *sampler_allow(struct sampler *s, const float *logits, const uint64_t *mask);

/* ids: the sequence so far, n_prompt of them the prompt; only read where penalties are on.  All
 * within the vocabulary, as are the ids of p->bias.  A tie goes to the lower id; NaN is never
 * chosen. */
int32_t sampler_pick(struct sampler *s, const float *logits, const struct sampling *p,
                     const int32_t *ids, size_t n_prompt, size_t n_ids,
                     struct sampler_state *state);

enum { SAMPLER_MAX_TOP = 20, SAMPLER_MIN_LOGPROB = -9999 };

/* out[0] = the token taken, out[1 .. n_top] = the best ones in order, id -1 where there are fewer.
 * Fills id and logprob = log softmax of the raw logits, not below SAMPLER_MIN_LOGPROB.  n_top <=
 * SAMPLER_MAX_TOP. */
void sampler_logprobs(struct sampler *s, const float *logits, int32_t taken, size_t n_top,
                      struct token_logprob *out);

/* The same where only the largest logits are there, in order, `ids` -1 behind the last, at least
 * n_top and one of them; log_sum = ln sum e^logit over all.  The token taken is the first. */
void sampler_logprobs_of_top(const int32_t *ids, const float *logits, float log_sum, int32_t taken,
                             size_t n_top, struct token_logprob *out);

#endif
