/* wire.h - floats as they travel between ranks.
 *
 * Packed values stand in blocks of WIRE_BLOCK from the first value on, so that what begins at a
 * multiple of it has the same bits however much is packed at once. */
#ifndef AIRSTRIP_MPI_WIRE_H
#define AIRSTRIP_MPI_WIRE_H

#include <stddef.h>

#include "kernels/ranks_mpi.h"

enum { WIRE_BLOCK = 32 };

/* count values take so many bytes. */
size_t wire_bytes(enum ranks_precision p, size_t count);

void wire_put(enum ranks_precision p, void *to, const float *x, size_t count);
void wire_get(enum ranks_precision p, float *y, const void *from, size_t count); /* y = */
void wire_add(enum ranks_precision p, float *y, const void *from, size_t count); /* y += */

#endif
