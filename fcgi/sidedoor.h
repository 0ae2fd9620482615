/* sidedoor.h - a second socket for status, metrics and probes, with a thread of its own.
 *
 * It answers while all workers are busy and all connections taken, one request after the other, and
 * asks for no key: who may connect is the socket's permissions' affair.  It speaks FastCGI, for a
 * web server, and plain HTTP, for Prometheus and curl:
 *   curl --unix-socket /run/airstrip/status.sock http://x/status?full
 * and gives the sockets to another process of the same user that asks for them (handover.h). */
#ifndef AIRSTRIP_SIDEDOOR_H
#define AIRSTRIP_SIDEDOOR_H

#include "fcgi/server.h"
#include "fcgi/sockets.h"
#include "kernels/base/err.h"

struct sidedoor;

/* Serves s->status.  s is borrowed until sidedoor_close(), as is server, whose `succession` it
 * keeps; when that is done, main is woken.  Main only. */
int sidedoor_open(struct sidedoor **out, struct server *server, const struct sockets *s,
                  struct err *e) MUST_CHECK;
void sidedoor_close(struct sidedoor *d); /* NULL is fine */

#endif
