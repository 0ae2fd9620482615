/* loaded_ranks.h - a loaded model as rank 0 of several (engine_config's n_ranks and ranks); nothing
 * where it is alone.  Only for loaded.c. */
#ifndef AIRSTRIP_LOADED_RANKS_H
#define AIRSTRIP_LOADED_RANKS_H

#include "inference/loaded.h"

/* Kernel threads of this rank, as backend_options has them: ranks of one process share what is
 * configured. */
size_t loaded_threads(const struct engine_config *c);

/* Who computes the model together, and of the checked model this rank's part. */
int loaded_join(struct loaded *l, const struct engine_config *c, struct err *e) MUST_CHECK;

/* From here on the others load, too, and do what is done here. */
int loaded_lead(struct loaded *l, struct err *e) MUST_CHECK;
void loaded_lead_cache(struct loaded *l); /* once it is open */

#endif
