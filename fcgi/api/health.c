/* health.c - GET /livez (the process answers), /readyz and /health (the models do). */
#include <string.h>

#include "fcgi/api/handlers.h"
#include "kernels/base/json.h"

void health_live(struct app *app, struct request *r, struct reply *p)
{
    (void)app;
    (void)r;
    buf_puts(&p->body, "{\"status\":\"ok\"}");
}

static int load_percent(const struct app *app)
{
    int least = 100;

    for (size_t i = 0; i < app->n_models; i++) {
        struct engine_status s;

        if (!app->models[i].engine)
            continue;
        engine_status(app->models[i].engine, &s);
        if (s.state == ENGINE_LOADING && s.load_percent < least)
            least = s.load_percent;
    }
    return least;
}

/* The error body of reply_err() with how far loading is, for those who wait and show progress. */
void health_ready(struct app *app, struct request *r, struct reply *p)
{
    struct err e = { 0 };

    (void)r;
    if (!app_ready(app, &e)) {
        buf_puts(&p->body, "{\"status\":\"ok\"}");
        return;
    }
    reply_err(p, &e);
    if (p->body.len && p->body.data[p->body.len - 1] == '}') {
        p->body.len--;
        buf_printf(&p->body, ",\"load_percent\":%d}", load_percent(app));
    }
}

static void put_status(struct buf *b, const struct app_model *m)
{
    static const char *const states[] = { "loading", "ready", "failed", "closing" };
    struct engine_status s = { .state = ENGINE_FAILED };

    if (m->engine)
        engine_status(m->engine, &s);
    buf_puts(b, "{\"id\":");
    json_write_string(b, m->name, strlen(m->name));
    buf_printf(b, ",\"state\":\"%s\",\"running\":%zu,\"waiting\":%zu,\"max_batch\":%zu",
               states[s.state], s.running, s.waiting, s.max_batch);
    buf_printf(b, ",\"kv_pages\":%zu,\"kv_pages_used\":%zu,\"kv_pages_cached\":%zu", s.kv_pages,
               s.kv_pages_used, s.kv_pages_cached);
    buf_printf(b,
               ",\"prefix_lookups\":%llu,\"prefix_hits\":%llu,\"prefix_pages\":%zu,"
               "\"prefix_evicted\":%llu",
               (unsigned long long)s.prefix_lookups, (unsigned long long)s.prefix_hits,
               s.prefix_pages, (unsigned long long)s.prefix_evicted);
    buf_printf(b, ",\"done\":%llu,\"cancelled\":%llu,\"preempted\":%llu",
               (unsigned long long)s.done, (unsigned long long)s.cancelled,
               (unsigned long long)s.preempted);
    buf_printf(b, ",\"prompt_tokens\":%llu,\"cached_tokens\":%llu,\"generated_tokens\":%llu",
               (unsigned long long)s.prompt_tokens, (unsigned long long)s.cached_tokens,
               (unsigned long long)s.generated_tokens);
    buf_printf(b, ",\"drafted_tokens\":%llu,\"accepted_tokens\":%llu}",
               (unsigned long long)s.drafted_tokens, (unsigned long long)s.accepted_tokens);
}

/* Readiness, with what every model is doing.  Needs a key where keys are on. */
void health_report(struct app *app, struct request *r, struct reply *p)
{
    health_ready(app, r, p);
    if (!p->body.len || p->body.data[p->body.len - 1] != '}')
        return;
    p->body.len--;
    buf_puts(&p->body, ",\"models\":[");
    for (size_t i = 0; i < app->n_models; i++) {
        if (i)
            buf_putc(&p->body, ',');
        put_status(&p->body, &app->models[i]);
    }
    buf_puts(&p->body, "]}");
}
