/* models.c - GET /v1/models and /v1/models/{id}: consumer groups as OpenAI's models. */
#include <string.h>

#include "fcgi/api/handlers.h"
#include "kernels/base/json.h"

/* max_model_len is what other servers add: the longest sequence, prompt and answer together. */
static void put_model(struct buf *b, const struct app_model *m)
{
    struct engine_status s = { 0 };

    buf_puts(b, "{\"id\":");
    json_write_string(b, m->name, strlen(m->name));
    buf_printf(b, ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"airstrip\"",
               (long long)m->created);
    if (m->engine)
        engine_status(m->engine, &s);
    if (s.n_ctx)
        buf_printf(b, ",\"max_model_len\":%zu", s.n_ctx);
    buf_putc(b, '}');
}

void models_list(struct app *app, struct request *r, struct reply *p)
{
    bool first = true;

    buf_puts(&p->body, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < app->n_models; i++) {
        if (!app_allows_model(r, &app->models[i]) || !app_is_first_of_group(app, i))
            continue;
        if (!first)
            buf_putc(&p->body, ',');
        first = false;
        put_model(&p->body, &app->models[i]);
    }
    buf_puts(&p->body, "]}");
}

void models_get(struct app *app, struct request *r, struct reply *p)
{
    struct err e = { 0 };
    const struct app_model *m = app_find_model(app, r, r->tail, &e);

    if (m)
        put_model(&p->body, m);
    else
        reply_err(p, &e);
}
