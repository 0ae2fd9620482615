/* sockets.h - the sockets that this process listens on, and from whom it has them.
 *
 * Main makes them; the acceptor's and the sidedoor's thread then use one each. */
#ifndef AIRSTRIP_SOCKETS_H
#define AIRSTRIP_SOCKETS_H

#include <sys/types.h>

#include "fcgi/config.h"
#include "fcgi/listener.h"
#include "kernels/base/err.h"

struct sockets {
    struct listener listen;
    struct listener status; /* .fd -1: there is none */
    int predecessor;        /* connection to the process that serves them now; -1: none does */
    pid_t predecessor_pid;
};

/* Takes them from the process that serves status_listen, where take_over is on and there is one;
 * else opens them.  Call sockets_done() also where it fails. */
int sockets_open(struct sockets *s, const struct config *c, struct err *e) MUST_CHECK;

/* Whether they may serve with the lists of c (listener_check()), which may be newer than they are.
 */
int sockets_check(const struct sockets *s, const struct config *c, struct err *e) MUST_CHECK;

/* The same for those that sockets_open() would open; nothing is opened. */
int sockets_check_config(const struct config *c, struct err *e) MUST_CHECK;

/* Who may connect to the status socket; NULL: there is no list. */
const struct allow *sockets_status_allow(const struct config *c);

/* This process serves them from now on, and the predecessor need not any more. */
void sockets_serve(struct sockets *s);

/* Another process has them: their paths are not ours to remove. */
void sockets_leave(struct sockets *s);

/* Closes them and removes the paths that are ours. */
void sockets_done(struct sockets *s);

#endif
