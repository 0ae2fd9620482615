/* watcher.h - one thread that notices clients who leave.
 *
 * Every tested web server closes the FastCGI connection when its client is gone (HAProxy first
 * sends FCGI_ABORT_REQUEST), so a hang-up on the socket of a request in flight cancels that
 * request: queued, in prompt evaluation or streaming.  A socket may be watched only after the
 * request's body was read to its end, since until then its input is ordinary.
 *
 * Any thread may call; a callback runs with the watcher's lock held, so it must be short and must
 * not call back in here. */
#ifndef AIRSTRIP_WATCHER_H
#define AIRSTRIP_WATCHER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/err.h"

struct watcher;

/* One watched socket, in its owner's storage; zeroed means not watched. */
struct watch {
    atomic_int stopped; /* 0, ERR_CANCELLED: the client left, ERR_CLOSING: watcher_stop_all() */
    int fd;
    uint64_t id; /* never used twice, so that a late event finds nothing; 0: not watched */
    void (*fn)(void *arg); /* guarded by the watcher's lock, as is all below */
    void *arg;
    struct watch *prev, *next;
};

int watcher_create(struct watcher **out, struct err *e) MUST_CHECK;

/* Ends the thread.  Nothing may be watched any more.  NULL is fine. */
void watcher_free(struct watcher *w);

/* Starts to watch fd (which stays the caller's; -1: only watcher_stop_all() reaches it).  A client
 * that has left already is noticed before this returns. */
void watcher_add(struct watcher *w, struct watch *one, int fd);

/* Sets the callback; see request_on_stop(), which is how handlers reach this. */
void watcher_set(struct watcher *w, struct watch *one, void (*fn)(void *arg), void *arg);

/* After this the callback is not running and never will; only then may fd be closed. */
void watcher_remove(struct watcher *w, struct watch *one);

/* Stops every watched request, present and future, with ERR_CLOSING: the drain deadline passed. */
void watcher_stop_all(struct watcher *w);

#endif
