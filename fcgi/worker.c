/* libfcgi reads and writes records and nothing else: its accept loop ends on signals, pins a thread
 * to a connection kept alive and waits for idle peers without limit, so connections are accepted by
 * ours and adopted here. */
#include "fcgi/worker.h"

#include <fcgiapp.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/app.h"
#include "fcgi/conn.h"
#include "fcgi/reply.h"
#include "fcgi/request.h"
#include "fcgi/router.h"
#include "kernels/base/clock.h"
#include "kernels/base/log.h"

enum { STATUS_CLIENT_LEFT = 499 }; /* in the log only, as nginx writes it */

struct fcgx_conn {
    struct conn conn; /* first, so that the one is the other */
    FCGX_Request fcgx;
};

static long conn_read(struct conn *c, void *to, size_t len)
{
    FCGX_Stream *in = ((struct fcgx_conn *)(void *)c)->fcgx.in;
    int n = FCGX_GetStr(to, len > INT_MAX ? INT_MAX : (int)len, in);

    return FCGX_GetError(in) ? -1 : n;
}

static bool conn_write(struct conn *c, const void *bytes, size_t len)
{
    FCGX_Stream *out = ((struct fcgx_conn *)(void *)c)->fcgx.out;

    for (const char *p = bytes; len;) {
        int part = len > INT_MAX ? INT_MAX : (int)len;

        if (FCGX_PutStr(p, part, out) < 0)
            return false;
        p += part;
        len -= (size_t)part;
    }
    return true;
}

static bool conn_flush(struct conn *c)
{
    return FCGX_FFlush(((struct fcgx_conn *)(void *)c)->fcgx.out) == 0;
}

int worker_init(void)
{
    /* After an answer libfcgi waits for the web server to close first, 2 s by default; what keeps
     * its side open (HAProxy, Apache with reuse) would hold the worker so long. */
    setenv("LIBFCGI_OS_CLOSE_POLL_TIMEOUT", "100", 0);
    if (FCGX_Init())
        return -1;
    /* libfcgi installs handlers of its own; here signals are blocked and main waits for them. */
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

/* Whether the key is right, or none is needed; otherwise the answer is 401. */
static bool is_allowed(const struct app *app, const struct request *r, struct reply *p)
{
    const char *authorization = request_header(r, "authorization");

    if (!app->auth || auth_check(app->auth, authorization))
        return true;
    reply_header(p, "WWW-Authenticate", "Bearer");
    reply_error(p, 401, "invalid_request_error", "invalid_api_key", NULL,
                authorization
                    ? "Incorrect API key provided."
                    : "No API key was provided: send it as \"Authorization: Bearer KEY\".",
                0);
    return false;
}

/* The body is read last: who may not ask, or asks for nothing there is, need not send it. */
static const struct route *respond(struct app *app, struct request *r, struct conn *c,
                                   bool overloaded, struct reply *p)
{
    const char *origin = app->config->cors_origin;
    const struct route *route;
    struct err e = { 0 };

    if (origin) {
        reply_header(p, "Access-Control-Allow-Origin", origin);
        reply_header(p, "Access-Control-Expose-Headers", "x-request-id");
    }
    route = router_find(api_routes, origin, r, p);
    /* A wrong path is told only to those who hold a key; a browser's OPTIONS never carries one. */
    if (route ? !route->open : p->status != 204)
        if (!is_allowed(app, r, p))
            return route;
    if (!route)
        return NULL;
    if (overloaded && !route->open) {
        err_set(&e, ERR_BUSY,
                "The server is answering as many requests as it can; try again soon.");
        reply_err(p, &e);
        return route;
    }
    if (request_read(r, c, app->config->body_size_limit, &e)) {
        reply_err(p, &e);
        return route;
    }
    request_watch(r, app->server->watcher, c->fd);
    if (request_stopped(r) == ERR_CANCELLED)
        return route; /* it waited in a queue, and its client has given up */
    route->handler(app, r, p);
    return route;
}

static void write_log(const struct request *r, const struct reply *p, const struct route *route)
{
    const struct reply_note *n = &p->note;
    struct log_line l;

    /* Probes come every second: they are worth a line only when the answer is no. */
    log_begin(&l, route && route->open && p->status < 400 ? LOG_DEBUG : LOG_INFO, "request");
    log_str(&l, "id", r->id);
    log_str(&l, "method", r->method);
    log_str(&l, "path", *r->path ? r->path : NULL);
    log_int(&l, "status", p->status);
    log_str(&l, "model", n->model);
    if (n->has_usage) {
        log_ms(&l, "queue_ms", n->queue_ms);
        log_ms(&l, "prompt_ms", n->prompt_ms);
        log_ms(&l, "generate_ms", n->generate_ms);
        log_int(&l, "prompt_tokens", (long long)n->prompt_tokens);
        log_int(&l, "completion_tokens", (long long)n->completion_tokens);
    }
    log_str(&l, "finish", n->finish);
    log_ms(&l, "total_ms", clock_ms() - r->start_ms);
    if (n->cancelled)
        log_int(&l, "cancelled", 1);
    log_str(&l, "retry", request_header(r, "x-stainless-retry-count"));
    log_end(&l);
}

static void serve_request(struct app *app, struct fcgx_conn *f, bool overloaded)
{
    struct request r;
    struct reply p;
    struct err e = { 0 };
    const struct route *route = NULL;
    int bad = request_init(&r, f->fcgx.envp, app->config->request_memory_limit, &e);

    reply_init(&p, &f->conn, r.id, !strcmp(r.method, "HEAD"));
    if (bad)
        reply_err(&p, &e);
    else
        route = respond(app, &r, &f->conn, overloaded, &p);
    /* A handler that streams knows itself whether the client saw the end: many hang up right after
     * it. */
    if (!p.sent && (request_stopped(&r) == ERR_CANCELLED || !reply_send(&p))) {
        p.note.cancelled = true;
        p.status = STATUS_CLIENT_LEFT;
    }
    write_log(&r, &p, route);
    server_count_answer(app->server, p.note.cancelled ? STATUS_CLIENT_LEFT : p.status, p.note.code);
    if (p.note.cancelled)
        app->server->counters.cancelled++;
    request_done(&r); /* ends the watching: only then may the connection be closed */
    reply_done(&p);
}

/* One more request; a highest number that two raise at once may lose one. */
static void count_begun(struct server_counters *c)
{
    unsigned long long now = ++c->active;

    if (now > c->max_active)
        c->max_active = now;
}

void worker_serve(struct server *server, int fd, bool overloaded, atomic_size_t *unfinished)
{
    struct fcgx_conn f = {
        .conn = { .fd = fd, .read = conn_read, .write = conn_write, .flush = conn_flush },
    };
    struct app *app;
    bool counted;

    FCGX_InitRequest(&f.fcgx, -1, 0);
    /* libfcgi takes a connection that is there already for one that was kept alive, and reads
     * the next request from it.  If that fails it closes it. */
    f.fcgx.ipcFd = fd;
    f.fcgx.keepConnection = 1;
    if (FCGX_Accept_r(&f.fcgx) < 0)
        return;
    ++*unfinished;
    counted = !server->draining; /* looked at after the increment: main reads in the other order */
    if (!counted)
        --*unfinished;
    count_begun(&server->counters);
    app = server_enter(server);
    serve_request(app, &f, overloaded);
    server->counters.active--;
    f.fcgx.keepConnection = 0; /* a connection kept alive would hold this worker */
    FCGX_Finish_r(&f.fcgx);
    server_leave(server, app); /* may close engines, which the peer need not wait for */
    if (counted)
        --*unfinished;
}
