/* completions.c - POST /v1/completions: the legacy endpoint, and the only one for models without a
 * chat template.  Source: OpenAI's CreateCompletionResponse; chunks have the same shape. */
#include <string.h>

#include "fcgi/api/completion_request.h"
#include "fcgi/api/envelope.h"
#include "fcgi/api/generation.h"
#include "fcgi/api/handlers.h"
#include "fcgi/api/logprobs.h"
#include "kernels/base/json.h"

static const char object[] = "text_completion";

/* The four parallel lists of the legacy form, as they grow. */
enum { TOKENS, LOGPROBS, TOPS, OFFSETS, N_LISTS };

static size_t count_chars(const char *s, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)s[i] & 0xc0) != 0x80;
    return n;
}

/* Appends an event's tokens to the lists; offset: characters of text before them. */
static void put_event(struct buf *lists, const struct event *ev, int top, size_t offset)
{
    size_t stride = 1 + (size_t)top;

    for (size_t i = 0; i < ev->n_logprobs; i++) {
        const struct token_logprob *t = ev->logprobs + i * stride;

        for (int k = 0; lists[TOKENS].len && k < N_LISTS; k++)
            buf_putc(&lists[k], ',');
        buf_printf(&lists[OFFSETS], "%zu", offset);
        logprobs_number(&lists[LOGPROBS], t->logprob);
        buf_putc(&lists[TOPS], '{');
        for (size_t k = 1; k < stride && t[k].id >= 0; k++) {
            if (k > 1)
                buf_putc(&lists[TOPS], ',');
            json_write_string(&lists[TOPS], t[k].bytes ? t[k].bytes : "", t[k].n_bytes);
            buf_putc(&lists[TOPS], ':');
            logprobs_number(&lists[TOPS], t[k].logprob);
        }
        buf_putc(&lists[TOPS], '}');
        json_write_string(&lists[TOKENS], t->bytes ? t->bytes : "", t->n_bytes);
        offset += count_chars(t->bytes, t->n_bytes);
    }
}

static void put_lists(struct buf *b, const struct buf *lists)
{
    buf_printf(b, "{\"tokens\":[%s],", buf_str(&lists[TOKENS]));
    buf_printf(b, "\"token_logprobs\":[%s],", buf_str(&lists[LOGPROBS]));
    buf_printf(b, "\"top_logprobs\":[%s],", buf_str(&lists[TOPS]));
    buf_printf(b, "\"text_offset\":[%s]}", buf_str(&lists[OFFSETS]));
}

/* echo: the prompt comes as the first event. */
static void put_first(struct buf *b, struct generation *g, size_t index)
{
    const char *echo = g->choices[index].echo;

    envelope_chunk(b, g, object);
    buf_printf(b, "{\"index\":%zu,\"text\":", index);
    json_write_string(b, echo, strlen(echo));
    buf_puts(b, ",\"logprobs\":null,\"finish_reason\":null}");
    envelope_chunk_end(b, g);
}

static void put_delta(struct buf *b, struct generation *g, size_t index, const struct event *ev)
{
    struct choice *c = &g->choices[index];

    envelope_chunk(b, g, object);
    buf_printf(b, "{\"index\":%zu,\"text\":", index);
    json_write_string(b, ev->text ? ev->text : "", ev->text_len);
    buf_puts(b, ",\"logprobs\":");
    if (g->top_logprobs >= 0) {
        struct buf lists[N_LISTS] = { 0 };

        put_event(lists, ev, g->top_logprobs, c->text_chars);
        put_lists(b, lists);
        for (int k = 0; k < N_LISTS; k++)
            buf_done(&lists[k]);
    } else {
        buf_puts(b, "null");
    }
    buf_puts(b, ",\"finish_reason\":null}");
    envelope_chunk_end(b, g);
    c->text_chars += count_chars(ev->text, ev->text_len);
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

    put_event(c->lists, ev, g->top_logprobs, c->text_chars);
    c->text_chars += count_chars(ev->text, ev->text_len);
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
        put_lists(b, c->lists);
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
    .first = put_first,
    .delta = put_delta,
    .last = put_last,
    .end = put_end,
    .whole = put_whole,
    .keep = keep,
};

void completions_handle(struct app *app, struct request *r, struct reply *p)
{
    struct params_rules rules;
    const struct app_model *model;
    struct completion_request c;
    struct value *body;
    struct err e = { 0 };

    model = generation_target(app, r, &body, &rules, &e);
    if (!model || completion_request_read(&c, body, &rules, &r->arena, &e)) {
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
                                             .top_logprobs = c.top_logprobs });
}
