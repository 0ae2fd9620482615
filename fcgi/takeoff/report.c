/* report.c - GET /healthz, and GET /status of the inference API. */
#include "fcgi/takeoff/report.h"

#include <stdlib.h>
#include <string.h>

#include "fcgi/api/handlers.h"
#include "fcgi/takeoff/handlers.h"
#include "kernels/base/json.h"

enum reader_state reader_state(const struct app_model *m)
{
    struct engine_status s;

    if (!m->engine)
        return READER_DEAD;
    engine_status(m->engine, &s);
    return s.state == ENGINE_LOADING  ? READER_LOADING
           : s.state == ENGINE_FAILED ? READER_DEAD
                                      : READER_LIVE;
}

void pair_put(struct buf *b, const char *name, const char *text)
{
    buf_printf(b, "\"%s\":", name);
    json_write_string(b, text, strlen(text));
}

/* What is not known while a model loads is what the configuration says, or "". */
void reader_info_put(struct buf *b, const struct app_model *m)
{
    struct engine_status s = { 0 };

    if (m->engine)
        engine_status(m->engine, &s);
    buf_puts(b, "\"consumer_groups\":[");
    json_write_string(b, m->name, strlen(m->name));
    buf_puts(b, "],");
    pair_put(b, "device", s.device ? s.device : m->config->device);
    buf_puts(b, ",\"loras\":null,");
    pair_put(b, "model_name", m->config->model);
    buf_putc(b, ',');
    pair_put(b, "model_type", s.architecture);
}

void readers_put(struct buf *b, const struct app *app, const struct request *r,
                 enum reader_state state)
{
    bool first = true;

    buf_putc(b, '{');
    for (size_t i = 0; i < app->n_models; i++) {
        const struct app_model *m = &app->models[i];

        if (reader_state(m) != state || !app_allows_model(r, m))
            continue;
        buf_puts(b, first ? "" : ",");
        json_write_string(b, m->reader, strlen(m->reader));
        buf_puts(b, ":{");
        reader_info_put(b, m);
        buf_putc(b, '}');
        first = false;
    }
    buf_putc(b, '}');
}

void takeoff_health(struct app *app, struct request *r, struct reply *p)
{
    health_ready(app, r, p);
}

/* Which ports there are only the web server knows: the one that was asked is told. */
void takeoff_status(struct app *app, struct request *r, struct reply *p)
{
    const char *port = request_param(r, "SERVER_PORT");
    long n = port ? strtol(port, NULL, 10) : 0;

    buf_puts(&p->body, "{\"dead_readers\":");
    readers_put(&p->body, app, r, READER_DEAD);
    buf_puts(&p->body, ",\"live_readers\":");
    readers_put(&p->body, app, r, READER_LIVE);
    buf_puts(&p->body, ",\"ports\":[");
    if (n > 0)
        buf_printf(&p->body, "%ld", n);
    buf_puts(&p->body, "]}");
}
