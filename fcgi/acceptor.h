/* acceptor.h - takes connections and hands each to a worker thread.
 *
 * One thread accepts; workers are made as they are needed, and each serves one connection at a
 * time. Beyond max_connections requests at once, probes are still answered, and others get
 * 503 (server_overloaded) at once rather than wait unseen. */
#ifndef AIRSTRIP_ACCEPTOR_H
#define AIRSTRIP_ACCEPTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "fcgi/listener.h"
#include "fcgi/server.h"
#include "kernels/base/err.h"

struct acceptor;

/* Starts to accept.  server and l are borrowed until acceptor_free(). Main only, as are the others.
 */
int acceptor_create(struct acceptor **out, struct server *server, const struct listener *l,
                    struct err *e) MUST_CHECK;

/* Requests that were begun before server->draining was set and are not finished yet. */
size_t acceptor_unfinished(const struct acceptor *a);

/* Accepts no more from now on: who comes waits for another process that has the socket too.  What
 * was accepted is served. */
void acceptor_pause(struct acceptor *a);

/* Connections that were accepted and have not had their answer. */
size_t acceptor_open(const struct acceptor *a);

/* Accepts no more, serves what was accepted, ends the workers.  False when some are still busy
 * after timeout_ms: then the process can only exit. */
bool acceptor_stop(struct acceptor *a, int timeout_ms);

/* After acceptor_stop() returned true. */
void acceptor_free(struct acceptor *a);

#endif
