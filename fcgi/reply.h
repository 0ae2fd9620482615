/* reply.h - one buffered answer: status, headers, body; and OpenAI's error bodies.
 *
 * A handler fills it (status, body through buf_put(), headers) and returns; the worker then sends
 * it with Content-Length.  A handler that streams gives it to sse_begin() instead.
 * Belongs to the worker thread that serves the request. */
#ifndef AIRSTRIP_REPLY_H
#define AIRSTRIP_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "fcgi/conn.h"
#include "kernels/base/buf.h"
#include "kernels/base/err.h"

/* What the request's log line tells beyond method, path, status and time; handlers fill in what
 * they know. */
struct reply_note {
    const char *model;  /* served name; NULL: left out of the log.  Lives as long as the request */
    const char *code;   /* of an error answer, such as "server_overloaded"; static; NULL: none */
    const char *finish; /* "stop", "length", ...; static; NULL: left out */
    bool has_usage;     /* the fields below are set */
    size_t prompt_tokens, completion_tokens;
    double queue_ms, prompt_ms, generate_ms;
    bool cancelled; /* the client left before the answer was complete */
};

struct reply {
    int status;               /* starts as 200 */
    const char *content_type; /* static; starts as "application/json" */
    struct buf body;
    struct reply_note note;

    /* What follows is reply.c's and sse.c's own. */
    struct conn *conn;
    struct buf headers; /* "Name: value\r\n" lines */
    const char *id;
    bool head_only; /* the request was HEAD: headers and Content-Length, no body */
    bool sent;      /* headers are out: nothing but the body can change any more */
};

/* conn and id (the request's) are borrowed until reply_done(). */
void reply_init(struct reply *p, struct conn *c, const char *id, bool head_only);
void reply_done(struct reply *p);

/* Adds a header.  A name or value with control characters is dropped: no client text can add lines.
 */
void reply_header(struct reply *p, const char *name, const char *value);

/* Replaces the body by {"error":{"message","type","param","code"}}, all four keys present, and sets
 * the status.  param and code may be NULL (written as null).  retry_after_s > 0 adds Retry-After
 * (clients honour 1 to 120). */
void reply_error(struct reply *p, int status, const char *type, const char *code, const char *param,
                 const char *message, int retry_after_s);

/* The same from an error value; e->param becomes param.
 *   ERR_FORMAT, ERR_INVALID  400 invalid_request_error / null
 *   ERR_UNSUPPORTED          400 invalid_request_error / unsupported_value
 *   ERR_CONTEXT              400 invalid_request_error / context_length_exceeded
 *   ERR_LIMIT                413 invalid_request_error / request_too_large
 *   ERR_NOTFOUND             404 invalid_request_error / model_not_found if param is "model", else
 *                            not_found
 *   ERR_FORBIDDEN            403 invalid_request_error / permission_denied
 *   ERR_RATE                 429 rate_limit_error / rate_limit_exceeded, Retry-After
 *   ERR_BUSY                 503 server_error / server_overloaded, Retry-After
 *   ERR_LOADING              503 server_error / model_loading, Retry-After
 *   ERR_CLOSING              503 server_error / shutting_down, Retry-After
 *   ERR_STALLED              503 server_error / engine_stalled, Retry-After
 *   ERR_DEADLINE             504 server_error / deadline_exceeded
 *   anything else            500 server_error / internal_error; the sentence goes to the log
 *                            instead */
void reply_err(struct reply *p, const struct err *e);

/* The sentence that reply_err() would send: one of ours, or e's, borrowed. */
const char *reply_err_message(const struct err *e);

/* Appends the error body that reply_err() would send: for an error inside a stream. */
void reply_error_body(struct buf *b, const struct err *e);

/* Sends status, headers and body, and flushes.  False if the other side is gone.  Does nothing
 * (true) when headers are out already.  A body that ran out of memory becomes a 500.  Handlers need
 * not call it. */
bool reply_send(struct reply *p);

/* "404 Not Found": the Status line's value; static. */
const char *reply_status_text(int status);

#endif
