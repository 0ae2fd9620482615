/* completions.c - POST /v1/completions: the legacy endpoint, and the only one for models without a
 * chat template.  Source: OpenAI's CreateCompletionResponse; chunks have the same shape. */
#include <string.h>

#include "fcgi/api/completion_logprobs.h"
#include "fcgi/api/completion_request.h"
#include "fcgi/api/envelope.h"
#include "fcgi/api/fields.h"
#include "fcgi/api/generation.h"
#include "fcgi/api/handlers.h"
#include "kernels/base/json.h"

static const char object[] = "text_completion";

/* One event of a stream; lists: its log-probabilities, or NULL. */
static void put_event(struct buf *b, struct generation *g, size_t index, const char *text,
                      size_t len, const struct buf *lists)
{
    envelope_chunk(b, g, object);
    buf_printf(b, "{\"index\":%zu,\"text\":", index);
    json_write_string(b, text, len);
    buf_puts(b, ",\"logprobs\":");
    if (lists)
        completion_lists_put(b, lists);
    else
        buf_puts(b, "null");
    buf_puts(b, ",\"finish_reason\":null}");
    envelope_chunk_end(b, g);
}

/* echo: the prompt comes as the first event. */
static void put_first(struct buf *b, struct generation *g, size_t index)
{
    const char *echo = g->choices[index].echo;

    put_event(b, g, index, echo, strlen(echo), NULL);
}

/* With its log-probabilities: they are told, or kept, when the prompt has been evaluated. */
static void put_prompt(struct buf *b, struct generation *g, size_t index, const struct event *ev)
{
    struct choice *c = &g->choices[index];

    (void)completion_lists_add(c->lists, ev, g->top_logprobs, 0);
    c->text_chars = count_chars(c->echo, strlen(c->echo));
    if (!b)
        return;
    put_event(b, g, index, c->echo, strlen(c->echo), c->lists);
    for (int k = 0; k < COMPLETION_LISTS; k++)
        buf_done(&c->lists[k]);
}

/* Offsets follow the tokens, whose bytes joined are the text, however it is cut into events. */
static void put_delta(struct buf *b, struct generation *g, size_t index, const struct event *ev)
{
    struct choice *c = &g->choices[index];
    struct buf lists[COMPLETION_LISTS] = { 0 };

    if (g->top_logprobs >= 0)
        c->text_chars = completion_lists_add(lists, ev, g->top_logprobs, c->text_chars);
    put_event(b, g, index, ev->text ? ev->text : "", ev->text_len,
              g->top_logprobs >= 0 ? lists : NULL);
    for (int k = 0; k < COMPLETION_LISTS; k++)
        buf_done(&lists[k]);
}

static void put_last(struct buf *b, struct generation *g, size_t index)
{
    envelope_chunk(b, g, object);
    buf_printf(b, "{\"index\":%zu,\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"%s\"}", index,
               finish_name(g->choices[index].finish));
    envelope_chunk_end(b, g);
}

static void put_end(struct buf *b, struct generation *g)
{
    envelope_end(b, g, object);
}

static void keep(struct generation *g, size_t index, const struct event *ev)
{
    struct choice *c = &g->choices[index];

    c->text_chars = completion_lists_add(c->lists, ev, g->top_logprobs, c->text_chars);
}

static void put_choice(struct buf *b, const struct generation *g, size_t index)
{
    const struct choice *c = &g->choices[index];
    struct buf text = { 0 };

    if (c->echo)
        buf_puts(&text, c->echo);
    buf_put(&text, buf_str(&c->text), c->text.len);
    buf_printf(b, "{\"index\":%zu,\"text\":", index);
    json_write_string(b, buf_str(&text), text.len);
    b->failed |= text.failed;
    buf_done(&text);
    buf_puts(b, ",\"logprobs\":");
    if (g->top_logprobs >= 0)
        completion_lists_put(b, c->lists);
    else
        buf_puts(b, "null");
    buf_printf(b, ",\"finish_reason\":\"%s\"}", finish_name(c->finish));
}

static void put_whole(struct buf *b, struct generation *g)
{
    envelope_whole(b, g, object, put_choice);
}

static const struct dialect completions_dialect = {
    .id_prefix = "cmpl-",
    .prompt = put_prompt,
    .first = put_first,
    .delta = put_delta,
    .last = put_last,
    .end = put_end,
    .whole = put_whole,
    .keep = keep,
};

/* A prompt of ids goes before its answer as the text that they stand for. */
static int read_echoes(struct completion_request *c, struct engine *engine, struct arena *a,
                       struct err *e)
{
    for (size_t i = 0; c->echoes && i < c->n_prompts; i++) {
        struct buf text = { 0 };
        int rc = 0;

        if (c->jobs[i].kind == PROMPT_IDS) {
            rc = engine_detokenize(engine, c->jobs[i].ids, c->jobs[i].n_ids, &text, e);
            if (rc == 0) {
                c->echoes[i] = arena_strndup(a, buf_str(&text), text.len);
                rc = c->echoes[i] ? 0 : field_no_memory(e);
            }
        }
        buf_done(&text);
        if (rc)
            return rc;
    }
    return 0;
}

void completions_handle(struct app *app, struct request *r, struct reply *p)
{
    struct params_rules rules;
    const struct app_model *model;
    struct completion_request c;
    struct value *body;
    struct err e = { 0 };

    model = generation_target(app, r, &body, &rules, &e);
    if (!model || completion_request_read(&c, body, &rules, &r->arena, &e) ||
        read_echoes(&c, model->engine, &r->arena, &e)) {
        reply_err(p, &e);
        return;
    }
    p->note.model = model->name;
    generation_run(app, r, p,
                   &(struct generation_ask){ .dialect = &completions_dialect,
                                             .params = &c.params,
                                             .model = model,
                                             .jobs = c.jobs,
                                             .echoes = c.echoes,
                                             .n_prompts = c.n_prompts,
                                             .best_of = c.best_of,
                                             .prompt_logprobs = c.echoes && c.top_logprobs >= 0,
                                             .top_logprobs = c.top_logprobs });
}
