/* Each event is flushed by itself: libfcgi turns a flush into one record and one write, and the web
 * servers, set up as conf/ shows, pass it on at once. */
#include "fcgi/sse.h"

#include <string.h>

#include "kernels/base/buf.h"
#include "kernels/base/clock.h"

/* After the first failure nothing is tried again: on TCP a later write can even seem to succeed. */
static bool put(struct sse *s, const void *bytes, size_t len)
{
    if (!s->gone && !s->reply->conn->write(s->reply->conn, bytes, len))
        s->gone = true;
    return !s->gone;
}

static bool flush(struct sse *s)
{
    if (!s->gone && !s->reply->conn->flush(s->reply->conn))
        s->gone = true;
    s->last_ms = clock_ms();
    return !s->gone;
}

static bool put_text(struct sse *s, const char *text)
{
    return put(s, text, strlen(text)) && flush(s);
}

/* X-Accel-Buffering turns nginx's buffering off; the others need their own directive. */
bool sse_begin(struct sse *s, struct reply *p)
{
    struct buf head = { 0 };
    bool ok;

    *s = (struct sse){ .reply = p, .last_ms = clock_ms() };
    p->status = 200;
    p->content_type = "text/event-stream";
    p->sent = true;
    buf_printf(&head,
               "Status: 200 OK\r\n"
               "Content-Type: text/event-stream\r\n"
               "Cache-Control: no-cache\r\n"
               "X-Accel-Buffering: no\r\n"
               "x-request-id: %s\r\n%s\r\n",
               p->id, buf_str(&p->headers));
    buf_puts(&head, ": ok\n\n");
    ok = !head.failed && put(s, head.data, head.len) && flush(s);
    buf_done(&head);
    s->gone = !ok;
    return ok;
}

bool sse_frames(struct sse *s, const char *bytes, size_t len)
{
    return put(s, bytes, len) && flush(s);
}

bool sse_ping(struct sse *s)
{
    return put_text(s, ": ping\n\n");
}

double sse_idle_ms(const struct sse *s)
{
    return clock_ms() - s->last_ms;
}

bool sse_error(struct sse *s, const struct err *e)
{
    struct buf body = { 0 };
    bool ok;

    buf_puts(&body, "data: ");
    reply_error_body(&body, e);
    buf_puts(&body, "\n\n");
    ok = !body.failed && sse_frames(s, body.data, body.len);
    buf_done(&body);
    return ok;
}
