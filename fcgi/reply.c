/* The body is collected and then sent in one go, so that its length is known: a web server that
 * loses us half way may end the reply cleanly, and only Content-Length then tells the client that
 * something is missing. */
#include "fcgi/reply.h"

#include <string.h>

#include "kernels/base/json.h"
#include "kernels/base/log.h"

enum { RETRY_AFTER_S = 2 }; /* clients take 1 to 120; above that they give up at once */

/* What an ERR_* code becomes on the wire (openai-api.md, table of errors). */
static const struct mapping {
    int err, status;
    const char *type, *code;
    int retry_after_s;
} mappings[] = {
    { ERR_FORMAT, 400, "invalid_request_error", NULL, 0 },
    { ERR_INVALID, 400, "invalid_request_error", NULL, 0 },
    { ERR_UNSUPPORTED, 400, "invalid_request_error", "unsupported_value", 0 },
    { ERR_CONTEXT, 400, "invalid_request_error", "context_length_exceeded", 0 },
    { ERR_LIMIT, 413, "invalid_request_error", "request_too_large", 0 },
    { ERR_NOTFOUND, 404, "invalid_request_error", "not_found", 0 },
    { ERR_BUSY, 503, "server_error", "server_overloaded", RETRY_AFTER_S },
    { ERR_LOADING, 503, "server_error", "model_loading", RETRY_AFTER_S },
    { ERR_CLOSING, 503, "server_error", "shutting_down", RETRY_AFTER_S },
    { ERR_STALLED, 503, "server_error", "engine_stalled", RETRY_AFTER_S },
    { ERR_DEADLINE, 504, "server_error", "deadline_exceeded", 0 },
    { ERR_FORBIDDEN, 403, "invalid_request_error", "permission_denied", 0 },
    { ERR_RATE, 429, "rate_limit_error", "rate_limit_exceeded", RETRY_AFTER_S },
};
static const struct mapping internal = { ERR_INTERNAL, 500, "server_error", "internal_error", 0 };

static const struct mapping *mapping_of(const struct err *e)
{
    for (size_t i = 0; i < sizeof mappings / sizeof *mappings; i++)
        if (mappings[i].err == e->code)
            return &mappings[i];
    return &internal;
}

static const char *code_of(const struct mapping *m, const struct err *e)
{
    if (m->err == ERR_NOTFOUND && !strcmp(e->param, "model"))
        return "model_not_found";
    return m->code;
}

/* What the client may read: our own faults may name files and addresses. */
static const char *message_of(const struct mapping *m, const struct err *e)
{
    return m == &internal ? "The server had an error while processing your request." : e->text;
}

const char *reply_err_message(const struct err *e)
{
    return message_of(mapping_of(e), e);
}

/* What is not in the table is an error of ours, and said so. */
const char *reply_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {
        { 200, "200 OK" },
        { 201, "201 Created" },
        { 204, "204 No Content" },
        { 400, "400 Bad Request" },
        { 401, "401 Unauthorized" },
        { 403, "403 Forbidden" },
        { 404, "404 Not Found" },
        { 405, "405 Method Not Allowed" },
        { 413, "413 Content Too Large" },
        { 415, "415 Unsupported Media Type" },
        { 429, "429 Too Many Requests" },
        { 503, "503 Service Unavailable" },
        { 504, "504 Gateway Timeout" },
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "500 Internal Server Error";
}

void reply_init(struct reply *p, struct conn *c, const char *id, bool head_only)
{
    *p = (struct reply){ .status = 200,
                         .content_type = "application/json",
                         .conn = c,
                         .id = id,
                         .head_only = head_only };
}

void reply_done(struct reply *p)
{
    buf_done(&p->body);
    buf_done(&p->headers);
}

/* No CR or LF, so that no value can begin a header of its own. */
static bool is_printable(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            return false;
    return true;
}

void reply_header(struct reply *p, const char *name, const char *value)
{
    if (is_printable(name) && is_printable(value))
        buf_printf(&p->headers, "%s: %s\r\n", name, value);
}

static void put_string_or_null(struct buf *b, const char *s)
{
    if (s)
        json_write_string(b, s, strlen(s));
    else
        buf_puts(b, "null");
}

static void put_error(struct buf *b, const char *type, const char *code, const char *param,
                      const char *message)
{
    buf_puts(b, "{\"error\":{\"message\":");
    put_string_or_null(b, message);
    buf_puts(b, ",\"type\":");
    put_string_or_null(b, type);
    buf_puts(b, ",\"param\":");
    put_string_or_null(b, param);
    buf_puts(b, ",\"code\":");
    put_string_or_null(b, code);
    buf_puts(b, "}}");
}

void reply_error(struct reply *p, int status, const char *type, const char *code, const char *param,
                 const char *message, int retry_after_s)
{
    p->status = status;
    p->note.code = code;
    p->content_type = "application/json";
    buf_reset(&p->body);
    put_error(&p->body, type, code, param, message);
    if (retry_after_s > 0)
        buf_printf(&p->headers, "Retry-After: %d\r\n", retry_after_s);
}

static void log_internal(const struct err *e, const char *id)
{
    struct log_line l;

    log_begin(&l, LOG_ERROR, "internal");
    log_str(&l, "id", id);
    log_int(&l, "code", e->code);
    log_str(&l, "msg", e->text);
    log_end(&l);
}

void reply_err(struct reply *p, const struct err *e)
{
    const struct mapping *m = mapping_of(e);

    if (m == &internal)
        log_internal(e, p->id);
    reply_error(p, m->status, m->type, code_of(m, e), *e->param ? e->param : NULL, message_of(m, e),
                e->retry_after_s ? e->retry_after_s : m->retry_after_s);
}

void reply_error_body(struct buf *b, const struct err *e)
{
    const struct mapping *m = mapping_of(e);

    if (m == &internal)
        log_internal(e, NULL);
    put_error(b, m->type, code_of(m, e), *e->param ? e->param : NULL, message_of(m, e));
}

/* A HEAD reply must have no body at all: HAProxy turns one into 502.  204 has neither body nor
 * type. */
bool reply_send(struct reply *p)
{
    static const char no_memory[] =
        "{\"error\":{\"message\":\"The answer does not fit in memory.\","
        "\"type\":\"server_error\",\"param\":null,"
        "\"code\":\"internal_error\"}}";
    const char *body = buf_str(&p->body);
    size_t len = p->body.len;
    struct buf head = { 0 };
    bool ok;

    if (p->sent)
        return true;
    p->sent = true;
    if (p->body.failed || p->headers.failed) {
        p->status = 500;
        body = no_memory;
        len = sizeof no_memory - 1;
        buf_reset(&p->headers);
    }
    buf_printf(&head, "Status: %s\r\n", reply_status_text(p->status));
    if (p->status != 204)
        buf_printf(&head, "Content-Type: %s\r\nContent-Length: %zu\r\n", p->content_type, len);
    buf_printf(&head, "x-request-id: %s\r\n%s\r\n", p->id, buf_str(&p->headers));
    ok = !head.failed && p->conn->write(p->conn, head.data, head.len);
    if (ok && len && !p->head_only && p->status != 204)
        ok = p->conn->write(p->conn, body, len);
    buf_done(&head);
    return ok && p->conn->flush(p->conn);
}
