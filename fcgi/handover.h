/* handover.h - a process gives its listening sockets to the one that is to take its place.
 *
 *   new process                              old one (its sidedoor)
 *   handover_ask()  ----- question ----->    handover_give()
 *                   <---- two sockets ---
 *   loads its models, serves nobody yet      serves as ever
 *   handover_tell() ------- ready ------>    handover_hear(): it accepts no more, and drains
 *
 * Both processes hold the sockets in between, so there is no moment in which nobody listens; and
 * the connection stays open, so that the old one learns when the new one has given up.  It goes
 * over the Unix socket of status_listen, and only to a process of the same user. */
#ifndef AIRSTRIP_HANDOVER_H
#define AIRSTRIP_HANDOVER_H

#include <sys/types.h>

#include "fcgi/listener.h"
#include "kernels/base/err.h"

/* The question's first byte: FastCGI begins with 1, HTTP with a letter. */
enum { HANDOVER_BYTE = 0 };

enum handover_news { HANDOVER_NOTHING, HANDOVER_READY, HANDOVER_OVER };

/* --- the new process; main only --- */

/* Asks whoever listens on the Unix socket `where`.  *channel: the connection, to be kept open; -1
 * where nobody listens there: then listen and status are untouched. Otherwise they are those of
 * process *pid, which goes on removing their paths until handover_tell() (listener.is_ours is
 * false).
 * Errors: ERR_INVALID (no Unix socket), ERR_IO (it gives nothing: the sentence says why). */
int handover_ask(const char *where, struct listener *listen, struct listener *status, int *channel,
                 pid_t *pid, struct err *e) MUST_CHECK;

/* This process serves from now on. */
void handover_tell(int channel);

/* --- the old process; the sidedoor's thread --- */

/* Reads the question from fd, which has a time-out, and sends both sockets.  *pid: who asked.
 * Errors: ERR_INVALID (another question), ERR_FORBIDDEN (another user), ERR_IO. */
int handover_give(int fd, const struct listener *listen, const struct listener *status, pid_t *pid,
                  struct err *e) MUST_CHECK;

/* Sends a reason in their place. */
void handover_refuse(int fd, const char *why);

/* What the new process has said meanwhile; does not wait. */
enum handover_news handover_hear(int fd);

#endif
