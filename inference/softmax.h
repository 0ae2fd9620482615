/* softmax.h - sums of exponentials over a vocabulary, fast enough to do per token.
 *
 * Written with the compilers' own vectors of four floats, which every 64-bit machine has; the same
 * operations in the same order everywhere, so that a seed gives the same draw on all of them. Leaf
 * functions, any thread. */
#ifndef AIRSTRIP_SOFTMAX_H
#define AIRSTRIP_SOFTMAX_H

#include <stdbool.h>
#include <stddef.h>

enum { SOFTMAX_BLOCK = 64 };

/* e^x for x <= 0 within 3e-7 relative; 0 below -87 and for NaN. */
float softmax_exp(float x);

/* Sum over i of e^((x[i] - max) * scale).  max: no x is larger; finite.  scale > 0.
 * sums: NULL, or [n / SOFTMAX_BLOCK + 1], for softmax_find(): filled with the sum of each block. */
double softmax_sum(const float *x, size_t n, float max, float scale, double *sums);

/* The first i at which the running sum of the same terms passes `target` (or the last one with a
 * term above 0 where rounding kept it below).  n > 0.  sums: as filled for the same x, n, max and
 * scale. */
size_t softmax_find(const float *x, size_t n, float max, float scale, const double *sums,
                    double target);

/* The largest value; NaN is skipped; -INFINITY where there is none.  *at: the first index that has
 * it. */
float softmax_max(const float *x, size_t n, size_t *at);

/* Is any of the SOFTMAX_BLOCK values from x on at least t?  To skip a block at a time. */
bool softmax_any(const float *x, float t);

#endif
