/* tokens.c - POST /tokenize/{reader}, /detokenize/{reader} and /chat_template/{reader}. */
#include <stdlib.h>
#include <string.h>

#include "fcgi/api/fields.h"
#include "fcgi/api/params.h"
#include "fcgi/takeoff/handlers.h"
#include "fcgi/takeoff/tokens_request.h"
#include "kernels/base/json.h"

static const struct app_model *target(struct app *app, struct request *r, struct value **body,
                                      struct err *e)
{
    const struct app_model *m = takeoff_reader(app, r, e);

    return m && !params_body(r->body, r->body_len, &r->arena, body, e) ? m : NULL;
}

static int encode(const struct app_model *m, const struct tokenize_ask *t, struct arena *a,
                  int32_t **ids, size_t *n, struct err *e)
{
    struct value *context;

    if (!t->chat || !engine_chat_template(m->engine))
        return engine_tokenize(m->engine, t->text->string.data, t->text->string.len, !t->bare,
                               false, ids, n, e);
    context = takeoff_chat_context(t->text, a);
    return context ? engine_chat_ids(m->engine, context, ids, n, e) : field_no_memory(e);
}

/* {"tokens": as the vocabulary spells them, "tokens_count": how many} */
void takeoff_tokenize(struct app *app, struct request *r, struct reply *p)
{
    struct tokenize_ask t;
    struct value *body;
    int32_t *ids = NULL;
    size_t n = 0, len;
    struct err e = { 0 };
    const struct app_model *m = target(app, r, &body, &e);

    if (!m || tokenize_ask_read(&t, body, &e) || encode(m, &t, &r->arena, &ids, &n, &e)) {
        reply_err(p, &e);
        free(ids);
        return;
    }
    buf_puts(&p->body, "{\"tokens\":[");
    for (size_t i = 0; i < n; i++) {
        const char *text = engine_token_text(m->engine, ids[i], &len);

        if (i)
            buf_putc(&p->body, ',');
        json_write_string(&p->body, text, len);
    }
    buf_printf(&p->body, "],\"tokens_count\":%zu}", n);
    free(ids);
}

static int find_ids(const struct app_model *m, const struct detokenize_ask *t, int32_t *ids,
                    struct err *e)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct value *v = t->tokens[i];

        if (v->kind != VALUE_STRING) {
            (void)field_token_id(v, &ids[i]);
            continue;
        }
        ids[i] = engine_token_find(m->engine, v->string.data, v->string.len);
        if (ids[i] < 0)
            return err_param(e, "tokens", ERR_INVALID,
                             "tokens: \"%.80s\" is no token of this reader's vocabulary",
                             v->string.data);
    }
    return 0;
}

/* {"text": what they stand for} */
void takeoff_detokenize(struct app *app, struct request *r, struct reply *p)
{
    struct detokenize_ask t;
    struct buf text = { 0 };
    struct value *body;
    int32_t *ids = NULL;
    struct err e = { 0 };
    const struct app_model *m = target(app, r, &body, &e);
    int rc = m ? detokenize_ask_read(&t, body, &e) : e.code;

    if (!rc) {
        ids = arena_array(&r->arena, t.n + 1, sizeof *ids);
        rc = ids ? find_ids(m, &t, ids, &e) : field_no_memory(&e);
    }
    if (!rc)
        rc = t.bare ? engine_plain_text(m->engine, ids, t.n, &text, &e)
                    : engine_detokenize(m->engine, ids, t.n, &text, &e);
    if (rc) {
        reply_err(p, &e);
    } else {
        buf_puts(&p->body, "{\"text\":");
        json_write_string(&p->body, buf_str(&text), text.len);
        buf_putc(&p->body, '}');
    }
    buf_done(&text);
}

/* {"messages": each conversation as the text that its prompt would be} */
void takeoff_chat_template(struct app *app, struct request *r, struct reply *p)
{
    struct template_ask t;
    struct value *body;
    struct err e = { 0 };
    const struct app_model *m = target(app, r, &body, &e);
    int rc =
        m ? template_ask_read(&t, body, app->config->max_user_batch_size, &r->arena, &e) : e.code;

    buf_puts(&p->body, "{\"messages\":[");
    for (size_t i = 0; !rc && i < t.n; i++) {
        struct buf text = { 0 };

        rc = engine_render(m->engine, t.contexts[i], &text, &e);
        if (i)
            buf_putc(&p->body, ',');
        json_write_string(&p->body, buf_str(&text), text.len);
        buf_done(&text);
    }
    buf_puts(&p->body, "]}");
    if (rc) {
        buf_reset(&p->body);
        reply_err(p, &e);
    }
}
