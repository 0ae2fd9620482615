/* generate.c - POST /generate and /generate_stream.
 *
 * {"text": answer}, or an array of answers to an array of texts.  Streamed, an event's data is the
 * text itself as it comes, a line of it a data line; with an array of texts it is
 * {"text", "batch_id"} instead.  What return_metadata asks for comes last, as an event of its own.
 */
#include <string.h>

#include "fcgi/api/fields.h"
#include "fcgi/api/generation.h"
#include "fcgi/takeoff/generate_request.h"
#include "fcgi/takeoff/handlers.h"
#include "kernels/base/json.h"

static const struct generate_request *asked(const struct generation *g)
{
    return g->own;
}

/* A line end of any kind ends a data line (HTML standard, 9.2.6), and reads as \n: so a \r that
 * was in the text comes out as one. */
static void put_lines(struct buf *b, const char *text, size_t len)
{
    buf_puts(b, "data: ");
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\r' && i + 1 < len && text[i + 1] == '\n')
            continue;
        if (text[i] == '\n' || text[i] == '\r')
            buf_puts(b, "\ndata: ");
        else
            buf_putc(b, text[i]);
    }
    buf_puts(b, "\n\n");
}

static void put_delta(struct buf *b, struct generation *g, size_t index, const struct event *ev)
{
    if (!ev->text_len)
        return;
    if (!asked(g)->many) {
        put_lines(b, ev->text, ev->text_len);
        return;
    }
    buf_puts(b, "data: {\"text\":");
    json_write_string(b, ev->text, ev->text_len);
    buf_printf(b, ",\"batch_id\":%zu}\n\n", index);
}

static void put_nothing(struct buf *b, struct generation *g, size_t index)
{
    (void)b;
    (void)g;
    (void)index;
}

/* An object, or an array of one for each text. */
static void put_metadata(struct buf *b, const struct generation *g)
{
    bool many = asked(g)->many;

    buf_puts(b, many ? "[" : "");
    for (size_t i = 0; i < g->n_choices; i++) {
        const struct choice *c = &g->choices[i];

        buf_printf(b, "%s{\"prompt_tokens\":%zu,\"generated_tokens\":%zu,\"finish_reason\":\"%s\"}",
                   i ? "," : "", c->usage.prompt_tokens, c->usage.generated_tokens, c->finish_name);
    }
    buf_puts(b, many ? "]" : "");
}

static void put_end(struct buf *b, struct generation *g)
{
    if (!asked(g)->metadata)
        return;
    buf_puts(b, "event: metadata\ndata: {\"metadata\":");
    put_metadata(b, g);
    buf_puts(b, "}\n\n");
}

/* Under a name of its own, so that nobody takes it for text. */
static void put_fail(struct buf *b, struct generation *g, const struct err *e)
{
    (void)g;
    buf_puts(b, "event: error\ndata: ");
    reply_error_body(b, e);
    buf_puts(b, "\n\n");
}

static void put_whole(struct buf *b, struct generation *g)
{
    bool many = asked(g)->many;

    buf_puts(b, many ? "{\"text\":[" : "{\"text\":");
    for (size_t i = 0; i < g->n_choices; i++) {
        const struct buf *text = &g->choices[i].text;

        if (i)
            buf_putc(b, ',');
        json_write_string(b, buf_str(text), text->len);
        b->failed |= text->failed;
    }
    buf_puts(b, many ? "]" : "");
    if (asked(g)->metadata) {
        buf_puts(b, ",\"metadata\":");
        put_metadata(b, g);
    }
    buf_putc(b, '}');
}

static const struct dialect takeoff_dialect = {
    .id_prefix = "gen-",
    .delta = put_delta,
    .last = put_nothing,
    .end = put_end,
    .fail = put_fail,
    .whole = put_whole,
};

/* A text as what the user of a chat says; NULL: the arena is full. */
struct value *takeoff_chat_context(const struct value *text, struct arena *a)
{
    struct value *context = value_map(a), *list = value_list(a), *m = value_map(a);

    if (!context || !list || !m || !value_set(a, m, "role", 4, value_string(a, "user", 4)) ||
        !value_set(a, m, "content", 7, value_string(a, text->string.data, text->string.len)) ||
        !value_append(a, list, m) || !value_set(a, context, "messages", 8, list) ||
        !value_set(a, context, "add_generation_prompt", 21, value_bool(a, true)))
        return NULL;
    return context;
}

/* use_chat_template does nothing where the model has none. */
static int make_jobs(const struct generate_request *q, const struct app_model *model,
                     struct arena *a, struct job_request **out, struct err *e)
{
    bool chat = q->chat && engine_chat_template(model->engine);
    struct job_request *jobs = arena_array(a, q->n, sizeof *jobs);

    if (!jobs)
        return field_no_memory(e);
    for (size_t i = 0; i < q->n; i++) {
        jobs[i] = (struct job_request){
            .kind = chat ? PROMPT_CHAT : PROMPT_TEXT,
            .text = q->texts[i]->string.data,
            .text_len = q->texts[i]->string.len,
            .max_tokens = q->max_tokens,
            .prompt_most = q->prompt_max_tokens == SIZE_MAX ? 0 : q->prompt_max_tokens,
        };
        if (chat && !(jobs[i].context = takeoff_chat_context(q->texts[i], a)))
            return field_no_memory(e);
    }
    *out = jobs;
    return 0;
}

static void generate(struct app *app, struct request *r, struct reply *p, bool stream)
{
    const struct app_model *model = NULL;
    struct takeoff_limits limits;
    struct generate_request q;
    struct job_request *jobs = NULL;
    struct value *body;
    struct err e = { 0 };

    takeoff_limits_of(app, &limits);
    if (!params_body(r->body, r->body_len, &r->arena, &body, &e) &&
        !generate_request_read(&q, body, &limits, &r->arena, &e))
        model = takeoff_model(app, r, q.group, &e);
    if (!model || make_jobs(&q, model, &r->arena, &jobs, &e)) {
        reply_err(p, &e);
        return;
    }
    q.params.stream = stream;
    p->note.model = model->name;
    generation_run(app, r, p,
                   &(struct generation_ask){ .dialect = &takeoff_dialect,
                                             .own = &q,
                                             .params = &q.params,
                                             .model = model,
                                             .jobs = jobs,
                                             .n_prompts = q.n,
                                             .top_logprobs = -1 });
}

void takeoff_generate(struct app *app, struct request *r, struct reply *p)
{
    generate(app, r, p, false);
}

void takeoff_generate_stream(struct app *app, struct request *r, struct reply *p)
{
    generate(app, r, p, true);
}

static void refuse(struct reply *p, const char *what)
{
    struct err e;

    err_set(&e, ERR_UNSUPPORTED, "%s", what);
    reply_err(p, &e);
}

void takeoff_classify(struct app *app, struct request *r, struct reply *p)
{
    (void)app;
    (void)r;
    refuse(p, "classification and reranking are not supported: models here write text or give "
              "embeddings");
}

void takeoff_images(struct app *app, struct request *r, struct reply *p)
{
    (void)app;
    (void)r;
    refuse(p, "images are not supported: models here read text only");
}
