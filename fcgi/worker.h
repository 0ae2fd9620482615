/* worker.h - serves one FastCGI request: who may ask, what for, the answer, the log.
 *
 * Any thread; those that serve are made by acceptor.c. */
#ifndef AIRSTRIP_WORKER_H
#define AIRSTRIP_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "fcgi/intake.h"
#include "fcgi/server.h"

enum worker_result {
    WORKER_DONE,       /* answered, or the web server has left */
    WORKER_WANTS_BODY, /* nothing was answered yet: come again when *in is whole */
};

/* Serves the request that *in holds, whose answer goes to fd; both stay the caller's.  Where the
 * body is still on its way (INTAKE_BODY), it is only looked at: it is refused, or wants its body.
 * overloaded: only routes that are open to all are served, others are answered 503.  *unfinished is
 * raised while a request that was begun before server->draining was set is being served. */
enum worker_result worker_serve(struct server *server, struct intake *in, int fd, bool overloaded,
                                atomic_size_t *unfinished);

#endif
