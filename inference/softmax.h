/* softmax.h - sums over the logits of a vocabulary, fast enough to do per token.
 *
 * Plain loops over sixteen sums side by side, which compilers turn into vectors of whatever width
 * the processor has; the same operations in the same order everywhere, nothing fused, so that a
 * seed gives the same draw on all of them.  Leaf functions, any thread. */
#ifndef AIRSTRIP_SOFTMAX_H
#define AIRSTRIP_SOFTMAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SOFTMAX_BLOCK = 64 };

/* Blocks that n values make, the last of which may be shorter. */
static inline size_t softmax_blocks(size_t n)
{
    return (n + SOFTMAX_BLOCK - 1) / SOFTMAX_BLOCK;
}

/* e^x for x <= 0 within 3e-7 relative; 0 below -87 and for NaN. */
float softmax_exp(float x);

/* y[i] = x[i] where bit i % 64 of mask[i / 64] is set, else -INFINITY. */
void softmax_allow(float *y, const float *x, size_t n, const uint64_t *mask);

/* Sum over i of e^((x[i] - max) * scale).  max: no x is larger; finite.  scale > 0.
 * tops: NULL, or what softmax_max() gave for x: blocks that add nothing are passed over.
 * sums: NULL, or [softmax_blocks(n)], for softmax_find(): filled with the sum of each block. */
double softmax_sum(const float *x, size_t n, float max, float scale, const float *tops,
                   double *sums);

/* The first i at which the running sum of the same terms passes `target` (or the last one with a
 * term above 0 where rounding kept it below).  n > 0.  sums: as filled for the same x, n, max and
 * scale. */
size_t softmax_find(const float *x, size_t n, float max, float scale, const double *sums,
                    double target);

/* The largest value; NaN is skipped; -INFINITY where there is none.  *at: the first index that has
 * it.  tops: NULL, or [softmax_blocks(n)]: filled with the largest of each block. */
float softmax_max(const float *x, size_t n, size_t *at, float *tops);

/* Of the block that begins at x[i]: bit k says whether x[i + k] is at least t. */
uint64_t softmax_above(const float *x, size_t n, size_t i, float t);

/* Of the same block: terms[k] = e^(x[i + k] - max), [SOFTMAX_BLOCK]. */
void softmax_terms(const float *x, size_t n, size_t i, float max, float *terms);

/* Sum over i of e^(x[i] - max) * (x[i] - max), which is at most 0: with it the entropy of
 * p = e^(x - max) / Z is ln Z - softmax_moment() / Z. */
double softmax_moment(const float *x, size_t n, float max);

/* Standard deviation of the values above -INFINITY, as of a whole population; 0 without any. */
double softmax_deviation(const float *x, size_t n);

#endif
