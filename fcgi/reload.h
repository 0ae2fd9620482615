/* reload.h - keeper's part that exchanges what is served: another reading of the configuration, or
 * a change of it (changes.h).
 *
 * One of either comes at a time (keeper.coming); what is asked for meanwhile waits.  Main only. */
#ifndef AIRSTRIP_RELOAD_H
#define AIRSTRIP_RELOAD_H

#include "fcgi/keeper.h"

/* Nothing may be coming. */
void reload_begin(struct keeper *k);

/* Whether what comes is there, and what is to come next; keeper's loop calls it often. */
void reload_look(struct keeper *k);

/* Whether a model of a failed that `now` (or NULL) serves, or that is new. */
bool reload_any_failed(const struct app *a, const struct app *now, struct err *e);

#endif
