/* ranks_threads.h - ranks that are threads of one process: what one has, the others read where it
 * is. */
#ifndef AIRSTRIP_RANKS_THREADS_H
#define AIRSTRIP_RANKS_THREADS_H

#include "kernels/ranks.h"

/* n ranks, 1 .. RANKS_MAX, into out[n], each closed by its ops->close() in whatever order. */
int ranks_threads_create(struct ranks **out, size_t n, struct err *e) MUST_CHECK;

#endif
