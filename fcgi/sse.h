/* sse.h - an answer as server-sent events: each event is flushed as it comes.
 *
 * Begin only when nothing can fail with a status any more: sse_begin() sends 200.  Every function
 * returns false once the client is gone, and from then on does nothing; they may block while the
 * web server reads slowly, so never call one with a lock held.  Belongs to the worker thread of the
 * request.
 *
 * Frames are `data: <json>\n\n` and the comments `: ok`, `: ping`; never retry:, id: or empty data
 * lines, which break OpenAI's Python client. */
#ifndef AIRSTRIP_SSE_H
#define AIRSTRIP_SSE_H

#include <stdbool.h>
#include <stddef.h>

#include "fcgi/reply.h"
#include "kernels/base/err.h"

struct sse {
    struct reply *reply;
    bool gone;      /* a write failed: the client left */
    double last_ms; /* clock_ms() of the last flush */
};

/* Sends the headers (text/event-stream, no-cache, X-Accel-Buffering: no, reply's own headers) and
 * the comment
 * `: ok`, so that the client and every proxy see the first bytes before the prompt is evaluated. */
bool sse_begin(struct sse *s, struct reply *p);

/* Whole frames as they stand, in one flush: `data: ..\n\n`, or with an `event: ..\n` before it.
 * Their JSON has no newline in it. */
bool sse_frames(struct sse *s, const char *bytes, size_t len);

/* The comment `: ping`.  Send one whenever sse_idle_ms() reaches the configuration's ping_ms. */
bool sse_ping(struct sse *s);

/* Milliseconds since something was last sent. */
double sse_idle_ms(const struct sse *s);

/* `data: {"error":{...}}`: ends the stream, without [DONE]. */
bool sse_error(struct sse *s, const struct err *e);

#endif
