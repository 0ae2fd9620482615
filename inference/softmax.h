/* softmax.h - sums of exponentials over a vocabulary, fast enough to do per token.
 *
 * Written in blocks of a fixed size and without branches, so that any compiler vectorises them.
 * Leaf functions, any thread. */
#ifndef AIRSTRIP_SOFTMAX_H
#define AIRSTRIP_SOFTMAX_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* e^x for x <= 0 within 3e-7 relative; 0 below -87 and for NaN.
 * x = r ln 2 + f with |f| <= ln 2 / 2, then Taylor's series of e^f to the seventh power. */
static inline float softmax_exp(float x)
{
    float c = x >= -87.0f ? x : -87.0f;
    float r = (c * 1.44269504f + 12582912.0f) - 12582912.0f; /* 1.5 * 2^23 rounds to an integer */
    float f = (c - r * 0.693359375f) + r * 2.12194440e-4f; /* ln 2 in two parts (Cody and Waite) */
    float p = 1.0f / 5040, s;
    int32_t bits = ((int32_t)r + 127) * (1 << 23);

    p = p * f + 1.0f / 720;
    p = p * f + 1.0f / 120;
    p = p * f + 1.0f / 24;
    p = p * f + 1.0f / 6;
    p = p * f + 0.5f;
    p = p * f + 1.0f;
    p = p * f + 1.0f;
    memcpy(&s, &bits, sizeof s);
    return x >= -87.0f ? p * s : 0.0f;
}

enum { SOFTMAX_BLOCK = 64 };

/* Sum over i of e^((x[i] - max) * scale).  max: no x is larger; finite.  scale > 0. */
double softmax_sum(const float *x, size_t n, float max, float scale);

/* The first i at which the running sum of the same terms passes `target` (or the last one with a
 * term above 0 where rounding kept it below).  n > 0. */
size_t softmax_find(const float *x, size_t n, float max, float scale, double target);

/* The largest value; NaN is skipped; -INFINITY where there is none.  *at: the first index that has
 * it. */
float softmax_max(const float *x, size_t n, size_t *at);

#endif
