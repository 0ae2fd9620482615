/* vectors.h - embeddings as clients get them: of length 1, as numbers or in base64.
 *
 * Any thread. */
#ifndef AIRSTRIP_VECTORS_H
#define AIRSTRIP_VECTORS_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/base/buf.h"

/* Divides by the Euclidean length; zeros stay. */
void vector_to_unit(float *x, size_t n);

/* Appends a JSON array, or in base64 a string of n little-endian float32. */
void vector_put(struct buf *b, const float *x, size_t n, bool base64);

#endif
