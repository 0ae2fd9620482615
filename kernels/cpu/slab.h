/* slab.h - memory for packed weights: few large mappings, in large pages where the system has them.
 *
 * Matrices of small models are less than a large page (2 MB): they share slabs, in the order they
 * are made, so that a token's walk through all weights is one walk through memory.  One thread at a
 * time. */
#ifndef AIRSTRIP_CPU_SLAB_H
#define AIRSTRIP_CPU_SLAB_H

#include "kernels/cpu/mm.h"

/* Zeroed memory, aligned to 64.  It lives until slab_release() was called once for each time its
 * slab was handed out.  ERR_NOMEM. */
int slab_alloc(struct weight_slab **slab, void **memory, struct weight_store *store, size_t bytes,
               struct err *e) MUST_CHECK;
void slab_release(struct weight_slab *slab); /* NULL is fine */

#endif
