/* status.c - GET /status: what the process is doing, with the names that PHP-FPM's page has where
 * they mean the same ("accepted conn", "listen queue", "active processes": here requests).
 *
 * ?json for JSON, ?full for every request in flight; both can be given.  A page is a list of
 * fields, written once by either of two writers. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fcgi/api/handlers.h"
#include "kernels/base/clock.h"
#include "kernels/base/json.h"

/* One field at a time, as text or JSON. */
struct page {
    struct buf *b;
    bool json, first;
};

static void name(struct page *p, const char *key)
{
    if (p->json) {
        buf_puts(p->b, p->first ? "" : ",");
        json_write_string(p->b, key, strlen(key));
        buf_putc(p->b, ':');
    } else {
        buf_printf(p->b, "%s:%*s", key, (int)(21 - strlen(key)), "");
    }
    p->first = false;
}

static void put_number(struct page *p, const char *key, uint64_t n)
{
    name(p, key);
    buf_printf(p->b, "%" PRIu64 "%s", n, p->json ? "" : "\n");
}

static void put_text(struct page *p, const char *key, const char *value)
{
    name(p, key);
    if (!p->json)
        buf_printf(p->b, "%s\n", value ? value : "-");
    else if (value)
        json_write_string(p->b, value, strlen(value));
    else
        buf_puts(p->b, "null");
}

/* As PHP-FPM writes it: a date in text, seconds since 1970 in JSON. */
static void put_time(struct page *p, const char *key, time_t t)
{
    char text[64];
    struct tm tm;

    if (p->json) {
        put_number(p, key, (uint64_t)t);
        return;
    }
    gmtime_r(&t, &tm);
    strftime(text, sizeof text, "%d/%b/%Y:%H:%M:%S +0000", &tm);
    put_text(p, key, text);
}

static void put_server(struct page *p, const struct server *s)
{
    const struct server_counters *c = &s->counters;
    time_t now = time(NULL);

    put_text(p, "pool", "airstrip");
    put_number(p, "pid", (uint64_t)getpid());
    put_time(p, "start time", s->started);
    put_number(p, "start since", (uint64_t)(now - s->started));
    put_number(p, "accepted conn", c->accepted);
    put_number(p, "listen queue", c->waiting);
    put_number(p, "max listen queue", c->max_waiting);
    put_number(p, "active processes", c->active);
    put_number(p, "max active processes", c->max_active);
    put_number(p, "slow requests", c->slow);
    put_number(p, "requests", c->requests);
    put_number(p, "failed", c->failed);
    put_number(p, "refused", c->refused);
    put_number(p, "cancelled", c->cancelled);
    put_number(p, "rate limited", c->rate_limited);
    put_number(p, "overloaded", c->overloaded);
    put_number(p, "not allowed", c->not_allowed);
    put_text(p, "state", s->draining ? "draining" : s->leaving ? "leaving" : "serving");
}

static void begin_part(struct page *p, const char *text)
{
    if (p->json)
        buf_puts(p->b, p->first ? "{" : ",{");
    else
        buf_printf(p->b, "\n%s\n", text);
    p->first = true;
}

static void end_part(struct page *p)
{
    if (p->json)
        buf_putc(p->b, '}');
    p->first = false;
}

static const char *or_none(const char *text)
{
    return text && *text ? text : NULL;
}

/* What is not known while it loads is "-", or null. */
static void put_nature(struct page *p, const struct engine_status *s)
{
    put_number(p, "load percent", s->state == ENGINE_LOADING ? (uint64_t)s->load_percent : 100);
    put_text(p, "model title", or_none(s->model_name));
    put_text(p, "architecture", or_none(s->architecture));
    put_text(p, "quantisation", or_none(s->quantisation));
    put_number(p, "parameters", s->n_params);
    put_number(p, "context tokens", s->n_ctx);
    put_text(p, "processor", s->isa);
    put_number(p, "threads", s->n_threads);
}

static void put_model(struct page *p, const struct app_model *m)
{
    static const char *const states[] = { "loading", "ready", "failed", "closing" };
    struct engine_status s = { .state = ENGINE_FAILED };

    if (m->engine)
        engine_status(m->engine, &s);
    begin_part(p, "************************");
    put_text(p, "model", m->name);
    put_text(p, "model state", states[s.state]);
    put_nature(p, &s);
    put_number(p, "running", s.running);
    put_number(p, "waiting", s.waiting);
    put_number(p, "slots", s.max_batch);
    put_number(p, "kv pages", s.kv_pages);
    put_number(p, "kv pages used", s.kv_pages_used);
    put_number(p, "prompt tokens", s.prompt_tokens);
    put_number(p, "cached tokens", s.cached_tokens);
    put_number(p, "generated tokens", s.generated_tokens);
    end_part(p);
}

static void put_slot(void *arg, struct slot *s)
{
    struct page *p = arg;

    begin_part(p, "************************");
    put_text(p, "id", s->id);
    put_text(p, "state", board_state_name(s));
    put_time(p, "start time", s->started);
    put_number(p, "request duration", (uint64_t)((clock_ms() - s->start_ms) * 1000));
    put_text(p, "request method", s->method);
    put_text(p, "request uri", s->path);
    put_number(p, "content length", s->body_bytes);
    put_text(p, "address", *s->address ? s->address : NULL);
    put_text(p, "key", s->key);
    put_text(p, "model", s->model);
    put_number(p, "prompt tokens", s->prompt_tokens);
    put_number(p, "written tokens", s->written_tokens);
    end_part(p);
}

/* Whether the query has the word: "json", "full&json". */
static bool asks_for(const char *query, const char *word)
{
    size_t len = strlen(word), n;

    for (; *query; query += n + (query[n] == '&')) {
        n = strcspn(query, "&");
        if (n == len && !memcmp(query, word, n))
            return true;
    }
    return false;
}

void status_get(struct app *app, struct request *r, struct reply *rep)
{
    struct page p = { .b = &rep->body, .json = asks_for(r->query, "json"), .first = true };

    if (!p.json)
        rep->content_type = "text/plain; charset=utf-8";
    buf_puts(p.b, p.json ? "{" : "");
    put_server(&p, app->server);
    buf_puts(p.b, p.json ? ",\"models\":[" : "");
    p.first = true;
    for (size_t i = 0; i < app->n_models; i++)
        put_model(&p, &app->models[i]);
    buf_puts(p.b, p.json ? "]" : "");
    if (asks_for(r->query, "full")) {
        buf_puts(p.b, p.json ? ",\"processes\":[" : "");
        p.first = true;
        board_each(&app->server->board, put_slot, &p);
        buf_puts(p.b, p.json ? "]" : "");
    }
    buf_puts(p.b, p.json ? "}" : "");
}
