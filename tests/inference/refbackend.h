/* refbackend.h - the slow, obvious backend: decodes weights to float32, sums in double, one thread.
 *
 * The yardstick for the forward pass where its own arithmetic, not a kernel's, is in question. */
#ifndef AIRSTRIP_TESTS_REFBACKEND_H
#define AIRSTRIP_TESTS_REFBACKEND_H

#include "kernels/backend.h"

extern const struct backend refbackend;

/* Allocations (alloc, upload, kv_open) that still succeed; afterwards ERR_NOMEM.  SIZE_MAX: all. */
extern size_t refbackend_allocs_left;

/* Things made and not freed yet. */
extern size_t refbackend_live;

#endif
