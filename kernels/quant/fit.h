/* fit.h - the scale, or scale and minimum, with which integer codes stand for a group of values
 * best.
 *
 * Private to the encoders.  Errors are squared and weighted.  Given codes, the best scale (and
 * minimum) solve a small linear system; given these, the best codes are the nearest: a few starting
 * points, one such round from each, and the best is kept. */
#ifndef AIRSTRIP_QUANT_FIT_H
#define AIRSTRIP_QUANT_FIT_H

#include <stddef.h>

enum { FIT_MAX = 32 }; /* values of a group */

struct fit {
    float scale, min; /* value = scale * code + min */
};

/* Code of x, lo .. hi; the nearest, or 0 clamped into them where scale is 0. */
int fit_code(float x, float scale, float min, int lo, int hi);

/* Without a minimum; the scale may come out negative, so that the side with one code more is where
 * it is needed.  All zeros give scale 0. */
struct fit fit_scale(const float *x, const float *weight, size_t n, int lo, int hi);

/* Codes 0 .. hi, and a minimum; min <= max_min. */
struct fit fit_scale_min(const float *x, const float *weight, size_t n, int hi, float max_min);

#endif
