/* encode.h - float32 values into blocks of a storage format.
 *
 * The other way round of quant_format.decode, for the formats that are worth making: Q8_0, Q4_0,
 * Q4_1, Q4_K, Q5_K, Q6_K, and the plain floats.  Scales and minimums are searched for, so that the
 * sum of squared errors, in which large values count more, is small.  Leaves: no allocation, any
 * thread, the same blocks from the same values on every machine. */
#ifndef AIRSTRIP_QUANT_ENCODE_H
#define AIRSTRIP_QUANT_ENCODE_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/quant/quant.h"

bool quant_can_encode(enum dtype dtype);

/* x[n_blocks * block_values], all finite, into n_blocks blocks.  A dtype that cannot be made is the
 * caller's mistake: nothing is written. */
void quant_encode(enum dtype dtype, void *blocks, const float *x, size_t n_blocks);

#endif
