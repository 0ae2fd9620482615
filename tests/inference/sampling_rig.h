/* sampling_rig.h - logits to draw from, and what sampler.h promises written the slow way:
 * everything is sorted, all sums are in double. */
#ifndef AIRSTRIP_TESTS_SAMPLING_RIG_H
#define AIRSTRIP_TESTS_SAMPLING_RIG_H

#include "inference/sampler.h"

/* [n] of about that spread; freed with free(). */
float *make_logits(size_t n, float scale, uint64_t seed);

struct ranked {
    double logit, p;
    int32_t id;
};
int by_rank(const void *a, const void *b);

/* p[id] = the probability of drawing id; mu as in struct sampler_state. */
void reference(const float *x, size_t n, const struct sampling *s, double mu, double *p);

/* Draws many times, as if each were the first: what has no probability never comes, and chi-square
 * is unremarkable. */
void check_distribution(const float *x, size_t n, const struct sampling *s, size_t draws);

#endif
