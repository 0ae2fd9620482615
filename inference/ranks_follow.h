/* ranks_follow.h - any rank but rank 0: it has its part of the model, and does as it is told. */
#ifndef AIRSTRIP_RANKS_FOLLOW_H
#define AIRSTRIP_RANKS_FOLLOW_H

#include "inference/engine.h"
#include "kernels/ranks.h"

/* Loads the rank's part of c's model (model_path, device, isa, n_threads; nothing else of it is
 * looked at) and follows rank 0 until that ends: 0 then.  Whatever goes wrong here is told to the
 * other ranks, too.  r is borrowed; errors as engine_open(), ERR_INTERNAL where another rank
 * failed. The calling thread is busy until then; it must leave SIGBUS and SIGSYS open
 * (weights/guard.h). */
int ranks_follow(const struct engine_config *c, struct ranks *r, struct err *e) MUST_CHECK;

#endif
