/* door.h - through which of Takeoff's doors a request came.
 *
 * Takeoff listens on several ports; behind the one FastCGI socket they are told apart by a
 * parameter that the web server adds to the requests of a port: AIRSTRIP_DOOR, takeoff or
 * management.  Clients cannot: what they send is called HTTP_ something.  Only where the
 * configuration says `takeoff = on` is the parameter looked at, and what is in Takeoff's doors is
 * never served without it.  Runs on the worker's thread. */
#ifndef AIRSTRIP_TAKEOFF_DOOR_H
#define AIRSTRIP_TAKEOFF_DOOR_H

#include <stdbool.h>

#include "fcgi/app.h"
#include "fcgi/reply.h"
#include "fcgi/router.h"

struct door {
    const struct route *routes; /* what is answered there; nothing where the name is unknown */
    bool manages;               /* see door_admits() */
};

struct door door_of(const struct app *app, const struct request *r);

/* Whether this request may use the door, its key having been looked at: management is for keys with
 * manage=yes, or, where no keys are configured, for clients on this machine that speak to the web
 * server themselves: no page of a browser (which says its Origin), nobody elsewhere for whom a
 * proxy asks (which says so).  Otherwise *p is the answer, 403. */
bool door_admits(const struct app *app, const struct door *d, const struct request *r,
                 struct reply *p);

#endif
