/* keeper.h - main's loop: loads, reloads, watches, and says when it is time to end.
 *
 * Main only. */
#ifndef AIRSTRIP_KEEPER_H
#define AIRSTRIP_KEEPER_H

#include <stdbool.h>

#include "fcgi/acceptor.h"
#include "fcgi/app.h"
#include "fcgi/reading.h"
#include "fcgi/server.h"

struct keeper {
    struct server *server;
    const struct reading *reading;
    bool settled;       /* what was loading at the start is loaded */
    struct app *coming; /* read anew, and loading; NULL: none */
    bool again;         /* it was asked for once more meanwhile */
    bool stalled;       /* an engine hangs, and it was told */
};

/* Serves until somebody wants the program to stop (0), or no model could be loaded, or an engine
 * hangs and stall_exit is on (1). */
int keeper_serve(struct keeper *k);

/* Lets running requests finish, up to the deadline or a second signal, then ends them with an
 * error. */
void keeper_drain(struct keeper *k, const struct acceptor *a);

#endif
