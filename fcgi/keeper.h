/* keeper.h - main's loop: loads, reloads, watches, and says when it is time to end.
 *
 * Main only. */
#ifndef AIRSTRIP_KEEPER_H
#define AIRSTRIP_KEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include "fcgi/acceptor.h"
#include "fcgi/app.h"
#include "fcgi/reading.h"
#include "fcgi/server.h"
#include "fcgi/sockets.h"

struct keeper {
    struct server *server;
    const struct reading *reading;
    const struct sockets *sockets;
    bool settled;          /* what was loading at the start is loaded */
    struct app *coming;    /* read anew, and loading; NULL: none */
    bool again;            /* it was asked for once more meanwhile */
    bool changing;         /* it comes because of the first of the server's changes */
    bool stalled;          /* an engine hangs, and it was told */
    uint64_t n_ended;      /* jobs, when it was last looked */
    double quiet_since_ms; /* clock_ms(); since then none has run or ended */
    bool gave_back;        /* memory, since then */
    bool lost_ranks;       /* the engines were told that another rank failed */
    struct err why;        /* keeper_serve() returned 1: because of this */
};

/* Waits until all models are loaded, before anything is served: a predecessor goes on meanwhile.
 * Errors: a model could not be loaded; a signal came. */
int keeper_await(struct keeper *k, struct err *e) MUST_CHECK;

/* Serves until somebody wants the program to stop or has taken its place (0), or no model could be
 * loaded, or stall_exit is on and an engine hangs or can serve no more (1). */
int keeper_serve(struct keeper *k);

/* Readiness says 503 from now on.  For drain_notice all is served as ever, so that balancers send
 * requests elsewhere before any is refused; not where another process takes this one's place. Then
 * lets running requests finish, up to the deadline or a second signal, then ends them with an
 * error.  is_kept: another process has the listening socket, or will have it, so that nobody needs
 * to be accepted only to be refused. */
void keeper_drain(struct keeper *k, struct acceptor *a, bool is_kept);

#endif
