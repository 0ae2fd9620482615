/* request.h - one HTTP request as the web server passed it on: method, path, headers, body.
 *
 * Everything reachable from it (and from its arena) lives until request_done().  A request belongs
 * to the worker thread that serves it; only the callback of request_on_stop() runs on another. */
#ifndef AIRSTRIP_REQUEST_H
#define AIRSTRIP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "fcgi/admission.h"
#include "fcgi/board.h"
#include "fcgi/conn.h"
#include "fcgi/trace.h"
#include "fcgi/watcher.h"
#include "kernels/base/arena.h"
#include "kernels/base/buf.h"
#include "kernels/base/err.h"

enum { REQUEST_ID_MAX = 64 };

struct request {
    char id[REQUEST_ID_MAX + 1]; /* the client's x-request-id where it is sane, else a fresh one */
    const char *method;          /* as sent: "GET", "POST"; never NULL */
    const char *path;            /* percent-decoded, begins with '/', no query; never NULL */
    const char *query;           /* after the '?', still encoded; "" if none */
    const char *tail;            /* what matched the route's {name}; "" if it has none */
    const char *body;            /* NUL-terminated (may hold further NULs); "" if none */
    size_t body_len;
    struct arena arena; /* for the handler: JSON tree, messages, whatever dies with the request */
    double start_ms;    /* clock_ms() when it was accepted */
    time_t created;     /* wall clock, seconds: for `created` in answers */

    struct admission admission;
    struct trace trace;
    struct slot slot; /* on the server's board while it is served */

    /* What follows is request.c's own. */
    char *const *params;
    struct buf storage; /* of body */
    struct watcher *watcher;
    struct watch watch;
};

/* Takes method, path and request id from the FastCGI environment: "NAME=value" strings, NULL at the
 * end, borrowed until request_done().  The path comes from REQUEST_URI (the one variable that every
 * web server sets alike), else from SCRIPT_NAME and PATH_INFO.  No body is read. arena_bytes limits
 * the arena, 0 = no limit.  Call request_done() even when it fails: what was understood until then
 * (id, method) can be used in the error's answer. Errors: ERR_INVALID (FCGI_ROLE other than
 * RESPONDER, bad path), ERR_NOMEM. */
int request_init(struct request *r, char *const *params, size_t arena_bytes,
                 struct err *e) MUST_CHECK;

/* Reads the body to its end; limit_bytes is the most it may have.  CONTENT_LENGTH is a hint:
 * absent, empty or "-1" is fine (chunked uploads), but a number that differs from what came is an
 * error. Errors: ERR_LIMIT (body too large: 413), ERR_INVALID (broken or cut short: 400),
 * ERR_NOMEM. */
int request_read(struct request *r, struct conn *c, size_t limit_bytes, struct err *e) MUST_CHECK;

/* Whether the length that was declared is above limit_bytes: then its body need not come. */
bool request_is_too_large(const struct request *r, size_t limit_bytes);

/* Watches the connection from now on: right after request_read().  The worker calls it, not
 * handlers. */
void request_watch(struct request *r, struct watcher *w, int fd);

void request_done(struct request *r);

/* A header by its HTTP name, in any case ("Content-Type", "authorization"); NULL if it was not
 * sent. */
const char *request_header(const struct request *r, const char *name);

/* What the query says of a name, decoded, in the arena; "" for a name alone, NULL where it is not
 * there.  A '+' stays one.  Errors: ERR_INVALID, ERR_NOMEM. */
int request_query(struct request *r, const char *name, const char **value,
                  struct err *e) MUST_CHECK;

/* A FastCGI variable by its exact name ("REMOTE_ADDR"); NULL if absent. */
const char *request_param(const struct request *r, const char *name);

/* Whether work for it should go on: 0, or ERR_CANCELLED (the client left: free its slot, send
 * nothing more), or ERR_CLOSING (the server's drain deadline passed: answer with that error and
 * end). Cheap; call it whenever inbox_wait() comes back without an event, and before work starts.
 */
int request_stopped(const struct request *r);

/* From now on fn(arg) is called, on the watcher's thread, when request_stopped() turns non-zero (at
 * once, here, if it has already).  fn must be short and must not block: inbox_wake() is what it is
 * for. fn NULL ends it; after that call fn is not running and never will, so that arg may be freed.
 */
void request_on_stop(struct request *r, void (*fn)(void *arg), void *arg);

#endif
