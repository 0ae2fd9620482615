/* ranks_team.h - ranks as threads of this process: rank 0 is the caller's, the others follow.
 *
 * The engine's thread. */
#ifndef AIRSTRIP_RANKS_TEAM_H
#define AIRSTRIP_RANKS_TEAM_H

#include "inference/engine.h"
#include "kernels/ranks.h"

struct team;

/* n ranks for c's model, what is needed of c copied.  Nothing runs yet. */
int team_create(struct team **out, const struct engine_config *c, size_t n,
                struct err *e) MUST_CHECK;
/* Rank 0, borrowed until team_free(). */
struct ranks *team_lead(struct team *t);
/* The others begin to load. */
int team_start(struct team *t, struct err *e) MUST_CHECK;
/* Waits for them to end, as they do once they are told so or a rank has quit.  NULL is fine. */
void team_free(struct team *t);

#endif
