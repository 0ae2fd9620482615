#include "fcgi/api/responses_output.h"

#include <string.h>

#include "fcgi/api/envelope.h"
#include "fcgi/api/logprobs.h"
#include "kernels/base/json.h"

void responses_output_done(struct responses_output *o)
{
    buf_done(&o->items);
    buf_done(&o->logprobs);
    buf_done(&o->name);
    buf_done(&o->text);
    buf_done(&o->probs);
}

static void put_string(struct buf *b, const struct buf *s)
{
    json_write_string(b, buf_str(s), s->len);
    b->failed |= s->failed;
}

/* --- events: b is NULL while an answer is buffered, and nothing is told --- */

static void begin_event(struct buf *b, struct responses_output *o, const char *type)
{
    buf_printf(b, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%zu", type, type,
               o->sequence++);
}

static void end_event(struct buf *b)
{
    buf_puts(b, "}\n\n");
}

/* An event about the item that grows; part: about its content, of which there is one. */
static void begin_item_event(struct buf *b, struct responses_output *o, const char *type, bool part)
{
    begin_event(b, o, type);
    buf_printf(b, ",\"item_id\":\"%s\",\"output_index\":%zu", o->id, o->n_items);
    if (part)
        buf_puts(b, ",\"content_index\":0");
}

/* --- the item that grows --- */

/* Its only part; whole: with the text so far. */
static void put_content(struct buf *b, const struct responses_output *o, bool whole)
{
    bool message = o->open == OUTPUT_MESSAGE;

    buf_printf(b, "{\"type\":\"%s\",\"text\":", message ? "output_text" : "reasoning_text");
    if (whole)
        put_string(b, &o->text);
    else
        buf_puts(b, "\"\"");
    if (message) {
        buf_puts(b, ",\"annotations\":[],\"logprobs\":[");
        buf_put(b, whole ? buf_str(&o->probs) : "", whole ? o->probs.len : 0);
        buf_putc(b, ']');
        b->failed |= o->probs.failed;
    }
    buf_putc(b, '}');
}

/* status: "in_progress" has nothing in it yet. */
static void put_item(struct buf *b, const struct responses_output *o, const char *status)
{
    static const char *const types[] = { "", "message", "reasoning", "function_call" };
    bool whole = strcmp(status, "in_progress") != 0;

    buf_printf(b, "{\"id\":\"%s\",\"type\":\"%s\",\"status\":\"%s\"", o->id, types[o->open],
               status);
    if (o->open == OUTPUT_CALL) {
        buf_printf(b, ",\"call_id\":\"%s\",\"name\":", o->call_id);
        put_string(b, &o->name);
        buf_puts(b, ",\"arguments\":");
        if (whole)
            put_string(b, &o->text);
        else
            buf_puts(b, "\"\"");
    } else {
        buf_puts(b, o->open == OUTPUT_MESSAGE ? ",\"role\":\"assistant\"" : ",\"summary\":[]");
        buf_puts(b, ",\"content\":[");
        if (whole)
            put_content(b, o, true);
        buf_putc(b, ']');
    }
    buf_putc(b, '}');
}

static void open_item(struct responses_output *o, const struct generation *g, enum output_kind kind,
                      struct buf *b)
{
    static const char *const prefixes[] = { "", "msg_", "rs_", "fc_" };
    bool nine = g->form && g->form->short_id;

    o->open = kind;
    envelope_id(o->id, sizeof o->id, prefixes[kind]);
    envelope_id(o->call_id, nine ? 10 : sizeof o->call_id, nine ? "" : "call_");
    buf_reset(&o->text);
    buf_reset(&o->probs);
    if (!b)
        return;
    begin_event(b, o, "response.output_item.added");
    buf_printf(b, ",\"output_index\":%zu,\"item\":", o->n_items);
    put_item(b, o, "in_progress");
    end_event(b);
    if (kind == OUTPUT_CALL)
        return;
    begin_item_event(b, o, "response.content_part.added", true);
    buf_puts(b, ",\"part\":");
    put_content(b, o, false);
    end_event(b);
}

/* What is told when an item is complete, before the item itself. */
static void tell_done(struct responses_output *o, struct buf *b)
{
    static const char *const types[] = { "", "response.output_text.done",
                                         "response.reasoning_text.done",
                                         "response.function_call_arguments.done" };
    bool call = o->open == OUTPUT_CALL;

    begin_item_event(b, o, types[o->open], !call);
    if (call) {
        buf_puts(b, ",\"name\":");
        put_string(b, &o->name);
    }
    buf_puts(b, call ? ",\"arguments\":" : ",\"text\":");
    put_string(b, &o->text);
    if (o->open == OUTPUT_MESSAGE)
        buf_printf(b, ",\"logprobs\":[%s]", buf_str(&o->probs));
    end_event(b);
    if (call)
        return;
    begin_item_event(b, o, "response.content_part.done", true);
    buf_puts(b, ",\"part\":");
    put_content(b, o, true);
    end_event(b);
}

static void close_item(struct responses_output *o, const char *status, struct buf *b)
{
    if (o->open == OUTPUT_NONE)
        return;
    if (b) {
        tell_done(o, b);
        begin_event(b, o, "response.output_item.done");
        buf_printf(b, ",\"output_index\":%zu,\"item\":", o->n_items);
        put_item(b, o, status);
        end_event(b);
    }
    if (o->n_items++)
        buf_putc(&o->items, ',');
    put_item(&o->items, o, status);
    o->open = OUTPUT_NONE;
}

/* More of the item: a message takes the log-probabilities that have come since it took some. */
static void grow(struct responses_output *o, const char *bytes, size_t len, struct buf *b)
{
    static const char *const types[] = { "", "response.output_text.delta",
                                         "response.reasoning_text.delta",
                                         "response.function_call_arguments.delta" };
    bool message = o->open == OUTPUT_MESSAGE;

    buf_put(&o->text, bytes, len);
    if (b && len) {
        begin_item_event(b, o, types[o->open], o->open != OUTPUT_CALL);
        buf_puts(b, ",\"delta\":");
        json_write_string(b, bytes, len);
        if (message)
            buf_printf(b, ",\"logprobs\":[%s]", buf_str(&o->logprobs));
        end_event(b);
    }
    if (!message || !o->logprobs.len)
        return;
    if (o->probs.len)
        buf_putc(&o->probs, ',');
    buf_put(&o->probs, o->logprobs.data, o->logprobs.len);
    buf_reset(&o->logprobs);
}

/* --- the parts of an answer --- */

static void add_text(struct generation *g, enum output_kind kind, const char *text, size_t len,
                     struct buf *b)
{
    struct responses_output *o = g->own;

    if (o->open != kind) {
        close_item(o, "completed", b);
        open_item(o, g, kind, b);
    }
    grow(o, text, len, b);
}

static void add_part(struct generation *g, const struct part *part, struct buf *b)
{
    struct responses_output *o = g->own;
    const char *text = buf_str(&g->choices[0].split.text) + part->start;

    switch (part->kind) {
    case PART_CONTENT:
        add_text(g, OUTPUT_MESSAGE, text, part->len, b);
        break;
    case PART_REASONING:
        add_text(g, OUTPUT_REASONING, text, part->len, b);
        break;
    case PART_CALL:
        close_item(o, "completed", b);
        buf_reset(&o->name);
        buf_put(&o->name, text, part->len);
        open_item(o, g, OUTPUT_CALL, b);
        break;
    case PART_ARGUMENTS:
        grow(o, text, part->len, b);
        break;
    }
}

/* The answer is over: what was cut is incomplete, and there is at least an empty message. */
static void finish(struct generation *g, struct buf *b)
{
    struct responses_output *o = g->own;

    if (!o->n_items && o->open == OUTPUT_NONE)
        open_item(o, g, OUTPUT_MESSAGE, b);
    close_item(o, g->choices[0].finish == FINISH_LENGTH ? "incomplete" : "completed", b);
}

/* --- the response --- */

static void put_usage(struct buf *b, const struct generation *g)
{
    struct envelope_usage u = envelope_usage(g);

    buf_printf(b,
               ",\"usage\":{\"input_tokens\":%zu,\"input_tokens_details\":{\"cached_tokens\":%zu,"
               "\"cache_write_tokens\":0},\"output_tokens\":%zu,\"output_tokens_details\":"
               "{\"reasoning_tokens\":%zu},\"total_tokens\":%zu}",
               u.prompt, u.cached, u.completion, u.reasoning, u.prompt + u.completion);
}

/* failure: the sentence that says why, or NULL. */
static void put_response(struct buf *b, const struct generation *g, const char *status,
                         const char *failure)
{
    const struct responses_output *o = g->own;
    bool cut = !strcmp(status, "incomplete");

    buf_printf(b, "{\"id\":\"%s\",\"object\":\"response\",\"created_at\":%lld,\"status\":\"%s\"",
               g->id, g->created, status);
    buf_puts(b, ",\"error\":");
    if (failure) {
        buf_puts(b, "{\"code\":\"server_error\",\"message\":");
        json_write_string(b, failure, strlen(failure));
        buf_putc(b, '}');
    } else {
        buf_puts(b, "null");
    }
    buf_printf(b, ",\"incomplete_details\":%s,\"model\":",
               cut ? "{\"reason\":\"max_output_tokens\"}" : "null");
    json_write_string(b, g->model, strlen(g->model));
    buf_puts(b, ",\"output\":[");
    buf_put(b, buf_str(&o->items), o->items.len);
    b->failed |= o->items.failed;
    buf_putc(b, ']');
    if (g->choices[0].over)
        put_usage(b, g);
    else
        buf_puts(b, ",\"usage\":null");
    buf_puts(b, o->settings);
    buf_putc(b, '}');
}

static void tell_response(struct buf *b, struct generation *g, const char *type, const char *status,
                          const char *failure)
{
    begin_event(b, g->own, type);
    buf_puts(b, ",\"response\":");
    put_response(b, g, status, failure);
    end_event(b);
}

static const char *status_of(const struct generation *g)
{
    return g->choices[0].finish == FINISH_LENGTH ? "incomplete" : "completed";
}

/* --- the dialect --- */

static void keep(struct generation *g, size_t index, const struct event *ev)
{
    struct responses_output *o = g->own;

    (void)index;
    if (!ev->n_logprobs)
        return;
    if (o->logprobs.len)
        buf_putc(&o->logprobs, ',');
    logprobs_tokens(&o->logprobs, ev, g->top_logprobs);
}

static void put_first(struct buf *b, struct generation *g, size_t index)
{
    (void)index;
    tell_response(b, g, "response.created", "in_progress", NULL);
    tell_response(b, g, "response.in_progress", "in_progress", NULL);
}

/* An event without text only has log-probabilities, which the next text takes along. */
static void put_delta(struct buf *b, struct generation *g, size_t index, const struct event *ev)
{
    keep(g, index, ev);
    if (ev->text_len)
        add_text(g, OUTPUT_MESSAGE, ev->text, ev->text_len, b);
}

static void put_part(struct buf *b, struct generation *g, size_t index, const struct part *part,
                     const struct event *ev)
{
    if (ev)
        keep(g, index, ev);
    add_part(g, part, b);
}

static void keep_part(struct generation *g, size_t index, const struct part *part)
{
    (void)index;
    add_part(g, part, NULL);
}

static void put_last(struct buf *b, struct generation *g, size_t index)
{
    (void)index;
    finish(g, b);
}

static void put_end(struct buf *b, struct generation *g)
{
    const char *status = status_of(g);

    tell_response(b, g, *status == 'c' ? "response.completed" : "response.incomplete", status,
                  NULL);
}

/* The event as it is documented; with the error's body in it, by which clients raise it; and the
 * response's own end. */
static void put_fail(struct buf *b, struct generation *g, const struct err *e)
{
    const char *message = reply_err_message(e);
    struct buf body = { 0 };

    reply_error_body(&body, e); /* {"error":{..}} */
    begin_event(b, g->own, "error");
    buf_puts(b, ",\"code\":\"server_error\",\"param\":null,\"message\":");
    json_write_string(b, message, strlen(message));
    buf_printf(b, ",%.*s", body.len > 2 ? (int)body.len - 2 : 0, buf_str(&body) + 1);
    end_event(b);
    b->failed |= body.failed;
    buf_done(&body);
    tell_response(b, g, "response.failed", "failed", message);
}

static void put_whole(struct buf *b, struct generation *g)
{
    const struct choice *c = &g->choices[0];

    if (!g->form && c->text.len)
        add_text(g, OUTPUT_MESSAGE, c->text.data, c->text.len, NULL);
    finish(g, NULL);
    put_response(b, g, status_of(g), NULL);
}

const struct dialect responses_dialect = {
    .id_prefix = "resp_",
    .first = put_first,
    .delta = put_delta,
    .last = put_last,
    .end = put_end,
    .fail = put_fail,
    .keep = keep,
    .whole = put_whole,
    .part = put_part,
    .keep_part = keep_part,
};
