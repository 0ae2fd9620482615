/* worker.h - serves one FastCGI connection: adopt it, read the request, answer, log.
 *
 * The only file that knows libfcgi. */
#ifndef AIRSTRIP_WORKER_H
#define AIRSTRIP_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "fcgi/server.h"

/* Once, before any thread is made: libfcgi's own set-up.  -1 if it fails. */
int worker_init(void);

/* Serves the request on fd and closes fd.  overloaded: only routes that are open to all are served,
 * others are answered 503 without reading their body.  *unfinished is raised while a request that
 * was begun before server->draining was set is being served. */
void worker_serve(struct server *server, int fd, bool overloaded, atomic_size_t *unfinished);

#endif
