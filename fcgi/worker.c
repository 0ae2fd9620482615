/* In the order in which a request can be refused: by its head, before its body. */
#include "fcgi/worker.h"

#include <string.h>

#include "fcgi/access_log.h"
#include "fcgi/admission.h"
#include "fcgi/app.h"
#include "fcgi/conn.h"
#include "fcgi/cors.h"
#include "fcgi/reply.h"
#include "fcgi/request.h"
#include "fcgi/responder.h"
#include "fcgi/router.h"
#include "fcgi/slow_log.h"
#include "fcgi/takeoff/door.h"
#include "kernels/base/clock.h"
#include "kernels/base/log.h"

enum { STATUS_CLIENT_LEFT = 499 }; /* in the log only, as nginx writes it */

/* What is being served. */
struct service {
    struct app *app;
    struct intake *intake;
    bool overloaded;
    bool wants_body; /* it can be answered, but its body is not here yet */
};

/* A body may hold what nobody else is to read: only where the operator asked for it. */
static void log_prompt(const struct request *r)
{
    struct log_line l;

    log_begin(&l, LOG_INFO, "prompt");
    log_str(&l, "id", r->id);
    log_str(&l, "body", r->body);
    log_end(&l);
}

/* The body is read last: who may not ask, or asks for nothing there is, need not send it. */
static const struct route *respond(struct service *s, struct request *r, struct conn *c,
                                   struct reply *p)
{
    struct app *app = s->app;
    struct door door = door_of(app, r);
    const char *sites = door.manages ? NULL : app->config->cors_origin;
    const char *origin = cors_begin(sites, r, p);
    const struct route *route = router_find(door.routes, origin, r, p);
    struct err e = { 0 };

    /* A wrong path is told only to those who hold a key; a browser's OPTIONS never carries one. */
    if (route ? !route->open : p->status != 204)
        if (!admission_key(app, r, p) || !door_admits(app, &door, r, p))
            return route;
    if (!route)
        return NULL;
    if (s->overloaded && !route->open) {
        err_set(&e, ERR_BUSY,
                "The server is answering as many requests as it can; try again soon.");
        reply_err(p, &e);
        return route;
    }
    s->wants_body = !route->open && s->intake->state == INTAKE_BODY && !s->intake->broken &&
                    !request_is_too_large(r, app->config->body_size_limit);
    if (s->wants_body)
        return route;
    if (!route->open && !strcmp(route->method, "POST") && !admission_limits(app, r, p))
        return route;
    if (request_read(r, c, app->config->body_size_limit, &e)) {
        reply_err(p, &e);
        return route;
    }
    r->slot.body_bytes = r->body_len;
    r->slot.key = admission_name(r);
    if (app->config->log_prompts && r->body_len)
        log_prompt(r);
    request_watch(r, app->server->watcher, c->fd);
    if (request_stopped(r) == ERR_CANCELLED)
        return route; /* it waited in a queue, and its client has given up */
    route->handler(app, r, p);
    return route;
}

static void enter_board(struct server *s, struct request *r)
{
    const char *address = request_param(r, "REMOTE_ADDR");

    r->slot.id = r->id;
    r->slot.method = r->method;
    r->slot.path = r->path;
    r->slot.address = address ? address : "";
    r->slot.start_ms = r->start_ms;
    r->slot.started = r->created;
    board_enter(&s->board, &r->slot);
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
    log_str(&l, "key", admission_name(r));
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
    if (*r->trace.id) {
        log_str(&l, "trace_id", r->trace.id);
        log_str(&l, "parent_id", r->trace.parent);
    }
    log_str(&l, "retry", request_header(r, "x-stainless-retry-count"));
    log_end(&l);
}

static void serve_request(struct service *s, struct responder *f)
{
    struct app *app = s->app;
    struct request r;
    struct reply p;
    struct err e = { 0 };
    const struct route *route = NULL;
    int bad = request_init(&r, responder_params(f), app->config->request_memory_limit, &e);

    reply_init(&p, &f->conn, r.id, !strcmp(r.method, "HEAD"));
    enter_board(app->server, &r);
    if (bad)
        reply_err(&p, &e);
    else
        route = respond(s, &r, &f->conn, &p);
    if (s->wants_body)
        goto out;
    /* A handler that streams knows itself whether the client saw the end: many hang up right after
     * it. */
    if (!p.sent && (request_stopped(&r) == ERR_CANCELLED || !reply_send(&p))) {
        p.note.cancelled = true;
        p.status = STATUS_CLIENT_LEFT;
    }
    write_log(&r, &p, route);
    access_log_write(app->config->access_format, &r, &p);
    server_count_answer(app->server, p.note.cancelled ? STATUS_CLIENT_LEFT : p.status, p.note.code);
    if (p.note.cancelled)
        app->server->counters.cancelled++;
    admission_end(&r, p.note.prompt_tokens + p.note.completion_tokens);
out:
    board_leave(&app->server->board, &r.slot);
    if (!s->wants_body)
        slow_log_end(app->server, app->config->slow_ms, &r.slot);
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

enum worker_result worker_serve(struct server *server, struct intake *in, int fd, bool overloaded,
                                atomic_size_t *unfinished)
{
    struct service s = { .intake = in, .overloaded = overloaded };
    struct responder f;
    struct err e;
    bool counted;

    if (responder_open(&f, in, fd, &e)) {
        log_msg(LOG_ERROR, "responder", "%s", e.text);
        return WORKER_DONE;
    }
    ++*unfinished;
    counted = !server->draining; /* looked at after the increment: main reads in the other order */
    if (!counted)
        --*unfinished;
    count_begun(&server->counters);
    s.app = server_enter(server);
    serve_request(&s, &f);
    server->counters.active--;
    responder_close(&f, !s.wants_body);
    server_leave(server, s.app); /* may close engines, which the peer need not wait for */
    if (counted)
        --*unfinished;
    return s.wants_body ? WORKER_WANTS_BODY : WORKER_DONE;
}
