/* gate.h - connections whose request is still on its way, and those that are being seen off.
 *
 * All are read by one thread, the acceptor's, so that no worker ever waits for a web server to
 * speak: who is silent, trickles or stalls costs a descriptor and some memory until its time is
 * over, however many there are.
 *
 *   accepted -> gate_add() -> ready() with the whole request -> worker -> closed, or gate_linger()
 *                          -> ready() before a large body is read: may it be sent at all?
 *                             worker -> gate_resume() -> ready() with the whole request
 *
 * The acceptor's thread calls, except where a function says any. */
#ifndef AIRSTRIP_GATE_H
#define AIRSTRIP_GATE_H

#include <stdbool.h>
#include <stddef.h>

#include "fcgi/config.h"
#include "fcgi/peer.h"
#include "kernels/base/err.h"

struct gate;

enum { GATE_MAX = 4096 }; /* connections in it; then the oldest makes room */

/* Call gate_configure() before anything else.  ready(arg, p) gives p away; p->intake.state is BODY
 * when it is only asked whether the body is wanted, else WHOLE (or BODY with .broken, where it
 * ended too soon). */
int gate_create(struct gate **out, void (*ready)(void *arg, struct peer *p), void *arg,
                struct err *e) MUST_CHECK;

/* Goes by the limits and times of c from now on; c is not kept. */
void gate_configure(struct gate *g, const struct config *c);

/* Closes whatever is still in it.  NULL is fine. */
void gate_free(struct gate *g);

/* Takes a connection, and reads what is there. */
void gate_add(struct gate *g, int fd);

/* Connections that were added and have not had their answer, wherever they are now.  Any thread. */
size_t gate_open(const struct gate *g);

/* Gives up the oldest connection that has no request yet; false if there is none. */
bool gate_evict(struct gate *g);

/* poll() this for reading ... */
int gate_fd(const struct gate *g);

/* ... for at most so many milliseconds, -1: without limit ... */
int gate_wait_ms(const struct gate *g);

/* ... and call this. */
void gate_run(struct gate *g);

/* Back from a worker, any thread: the body is wanted. */
void gate_resume(struct gate *g, struct peer *p);

/* Back from a worker, any thread: the answer is sent, but the web server may still be sending, and
 * would lose the answer if the connection were closed under it. */
void gate_linger(struct gate *g, struct peer *p);

#endif
