/* listener.h - the socket that web servers connect to: handed to us, or made by us.
 *
 * Main makes it; the acceptor's thread then uses it. */
#ifndef AIRSTRIP_LISTENER_H
#define AIRSTRIP_LISTENER_H

#include <stdbool.h>
#include <stddef.h>

#include "fcgi/allow.h"
#include "kernels/base/err.h"

struct listener {
    int fd;         /* non-blocking, close-on-exec */
    bool is_unix;   /* else TCP */
    bool is_kept;   /* systemd holds it too, and gives it to the process that comes next */
    bool is_ours;   /* listener_done() removes path */
    char path[108]; /* of a Unix socket that was made by its name; else "" */
    char name[160]; /* for the log */
};

/* where NULL: descriptor 0 where that is a listening socket (spawn-fcgi, lighttpd, systemd's
 * StandardInput=socket), else descriptor 3 where LISTEN_PID and LISTEN_FDS speak of us
 * (sd_listen_fds(3)). Otherwise "/path" or "unix:/path" (made with mode; a stale one is replaced,
 * one that somebody listens on is an error), "HOST:PORT", "[ADDRESS]:PORT" or ":PORT" (127.0.0.1).
 * Errors: ERR_INVALID, ERR_IO. */
int listener_open(struct listener *l, const char *where, size_t mode, struct err *e) MUST_CHECK;

/* Takes over a listening socket from another process (handover.h), which goes on removing path.
 * Errors: ERR_INVALID, where fd is no such socket; then it is closed. */
int listener_adopt(struct listener *l, int fd, const char *path, struct err *e) MUST_CHECK;

/* Whether it is the socket that listener_open() would make for `where`. */
bool listener_is_at(const struct listener *l, const char *where);

/* Moves it to the highest descriptor that there may be.  Linux closes a killed process's
 * descriptors from the highest down, and who is told of a broken connection may come again at once:
 * it should be refused then, and know that nothing was begun, rather than be accepted and cut off.
 */
void listener_lift(struct listener *l);

/* Closes our descriptor; never shuts the socket down, since others may share it. */
void listener_done(struct listener *l);

/* Whether it may serve with this list (NULL: none), as allow_check(); wherever it came from. */
int listener_check(const struct listener *l, const struct allow *allow, const char *key,
                   struct err *e) MUST_CHECK;

/* The same for what listener_open() would make of `where`, which is not made.  Errors also:
 * ERR_INVALID, where it is no address.  With where NULL and no socket given it is 0. */
int listener_check_at(const char *where, const struct allow *allow, const char *key,
                      struct err *e) MUST_CHECK;

/* The next connection, close-on-exec, with a time-out for sending: its number, or -1 with errno of
 * accept4(2).  A TCP peer that is not on the list (NULL: there is none) is closed, and the log says
 * so; errno is EACCES. */
int listener_accept(const struct listener *l, const struct allow *allow, size_t write_timeout_ms);

#endif
