/* management.c - GET /reader_groups, POST /reader, DELETE /reader/{id}, GET /config/{id} and
 * GET /status of the management API. */
#include <string.h>

#include "fcgi/api/params.h"
#include "fcgi/takeoff/handlers.h"
#include "fcgi/takeoff/reader_request.h"
#include "fcgi/takeoff/report.h"
#include "kernels/base/json.h"

static void put_reader(struct buf *b, const struct app_model *m)
{
    static const char *const states[] = { "live", "loading", "dead" };

    buf_putc(b, '{');
    pair_put(b, "reader_id", m->reader);
    buf_putc(b, ',');
    pair_put(b, "consumer_group", m->name);
    buf_printf(b, ",\"status\":\"%s\",", states[reader_state(m)]);
    reader_info_put(b, m);
}

/* Each group with its readers. */
void management_groups(struct app *app, struct request *r, struct reply *p)
{
    bool first = true;

    (void)r;
    buf_putc(&p->body, '{');
    for (size_t i = 0; i < app->n_models; i++) {
        const char *group = app->models[i].name;

        if (!app_is_first_of_group(app, i))
            continue;
        buf_puts(&p->body, first ? "" : ",");
        json_write_string(&p->body, group, strlen(group));
        first = false;
        for (size_t k = i; k < app->n_models; k++) {
            if (strcmp(app->models[k].name, group) != 0)
                continue;
            buf_puts(&p->body, k == i ? ":[" : ",");
            put_reader(&p->body, &app->models[k]);
            buf_putc(&p->body, '}');
        }
        buf_putc(&p->body, ']');
    }
    buf_putc(&p->body, '}');
}

/* What a file is called need not be what is wrong with the request. */
static int ask(struct app *app, struct change *c, struct err *e)
{
    int rc = changes_ask(&app->server->changes, c, e);

    if (rc == ERR_NOTFOUND && c->settings)
        rc = e->code = ERR_INVALID;
    return rc;
}

/* Answered when the model can answer. */
void management_add(struct app *app, struct request *r, struct reply *p)
{
    struct change c;
    struct value *body;
    struct err e = { 0 };

    if (params_body(r->body, r->body_len, &r->arena, &body, &e) ||
        reader_request_read(&c, body, &r->arena, &e) || ask(app, &c, &e)) {
        reply_err(p, &e);
        return;
    }
    p->status = 201;
    buf_putc(&p->body, '{');
    pair_put(&p->body, "reader_id", c.added);
    buf_putc(&p->body, ',');
    pair_put(&p->body, "consumer_group", c.group);
    for (size_t i = 0; i < c.n_settings; i++)
        if (!strcmp(c.settings[i].key->name, "model") ||
            !strcmp(c.settings[i].key->name, "device")) {
            buf_putc(&p->body, ',');
            pair_put(&p->body, *c.settings[i].key->name == 'm' ? "model_name" : "device",
                     c.settings[i].value);
        }
    buf_putc(&p->body, '}');
}

static const struct app_model *find(const struct app *app, const struct request *r, struct reply *p)
{
    const struct app_model *m = takeoff_reader_of_id(app, r->tail);
    struct err e;

    if (!m) {
        err_set(&e, ERR_NOTFOUND, "There is no reader `%.100s`; GET /reader_groups lists them.",
                r->tail);
        reply_err(p, &e);
    }
    return m;
}

/* Its requests are finished; new ones for its group find the other readers there, or none. */
void management_remove(struct app *app, struct request *r, struct reply *p)
{
    const struct app_model *m = find(app, r, p);
    struct change c = { .name = m ? m->reader : NULL };
    struct err e = { 0 };

    if (!m)
        return;
    if (ask(app, &c, &e)) {
        reply_err(p, &e);
        return;
    }
    buf_putc(&p->body, '{');
    pair_put(&p->body, "reader_id", m->reader);
    buf_putc(&p->body, '}');
}

/* What it was asked for and, under the names of a config.json, what the model is. */
void management_config(struct app *app, struct request *r, struct reply *p)
{
    const struct app_model *m = find(app, r, p);
    struct engine_status s = { .bos = -1, .eos = -1 };
    struct buf *b = &p->body;

    if (!m)
        return;
    if (m->engine)
        engine_status(m->engine, &s);
    put_reader(b, m);
    buf_printf(b, ",\"max_batch_size\":%zu,\"max_sequence_length\":%zu",
               s.max_batch ? s.max_batch : m->config->max_batch_size,
               s.n_ctx ? s.n_ctx : m->config->max_sequence_length);
    buf_printf(b, ",\"max_position_embeddings\":%zu,\"hidden_size\":%zu,\"vocab_size\":%zu",
               s.n_ctx, s.n_embd, s.n_vocab);
    if (s.bos >= 0)
        buf_printf(b, ",\"bos_token_id\":%d", (int)s.bos);
    if (s.eos >= 0)
        buf_printf(b, ",\"eos_token_id\":%d", (int)s.eos);
    buf_putc(b, ',');
    pair_put(b, "quantisation", s.quantisation);
    buf_putc(b, '}');
}

/* More than the inference API's: loading readers, and the limits that requests have. */
void management_status(struct app *app, struct request *r, struct reply *p)
{
    struct buf *b = &p->body;

    buf_printf(b,
               "{\"config\":{\"allow_remote_images\":false,\"body_size_limit_bytes\":%zu,"
               "\"echo\":false,\"enable_metrics\":true,\"max_prompt_string_bytes\":%zu,"
               "\"max_user_batch_size\":%zu},\"status\":{\"dead_readers\":",
               app->config->body_size_limit, app->config->max_prompt_string_bytes,
               app->config->max_user_batch_size);
    readers_put(b, app, r, READER_DEAD);
    buf_puts(b, ",\"live_readers\":");
    readers_put(b, app, r, READER_LIVE);
    buf_puts(b, ",\"loading_readers\":");
    readers_put(b, app, r, READER_LOADING);
    buf_puts(b, ",\"reserved_consumers\":[]},\"live_readers\":");
    readers_put(b, app, r, READER_LIVE);
    buf_putc(b, '}');
}
