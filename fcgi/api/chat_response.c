#include "fcgi/api/chat_response.h"

#include <string.h>

#include "fcgi/api/envelope.h"
#include "fcgi/api/logprobs.h"
#include "kernels/base/json.h"

static const char chunk[] = "chat.completion.chunk";

static void put_first(struct buf *b, struct generation *g, size_t index)
{
    envelope_chunk(b, g, chunk);
    buf_printf(
        b,
        "{\"index\":%zu,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},"
        "\"logprobs\":null,\"finish_reason\":null}",
        index);
    envelope_chunk_end(b, g);
}

/* After the delta: log-probabilities and the end of a chunk whose choice goes on. */
static void put_rest(struct buf *b, const struct generation *g, const struct event *ev)
{
    buf_puts(b, "},\"logprobs\":");
    if (g->top_logprobs >= 0 && ev) {
        buf_puts(b, "{\"content\":[");
        logprobs_tokens(b, ev, g->top_logprobs);
        buf_puts(b, "],\"refusal\":null}");
    } else {
        buf_puts(b, "null");
    }
    buf_puts(b, ",\"finish_reason\":null}");
    envelope_chunk_end(b, g);
}

static void put_delta(struct buf *b, struct generation *g, size_t index, const struct event *ev)
{
    envelope_chunk(b, g, chunk);
    buf_printf(b, "{\"index\":%zu,\"delta\":{\"content\":", index);
    json_write_string(b, ev->text ? ev->text : "", ev->text_len);
    put_rest(b, g, ev);
}

/* Where the calls of a choice are gathered, and its reasoning. */
enum { LIST_CALLS = 1, LIST_REASONING = 2 };

/* The template of some models insists on ids of nine letters and digits. */
static void put_call(struct buf *b, const struct generation *g, const struct part *part,
                     const char *name)
{
    char id[sizeof "call_" + 24];

    if (g->form->legacy) {
        buf_puts(b, "{\"name\":");
    } else {
        bool nine = g->form->short_id;

        envelope_id(id, nine ? 10 : sizeof id, nine ? "" : "call_");
        buf_printf(b, "\"id\":\"%s\",\"type\":\"function\",\"function\":{\"name\":", id);
    }
    json_write_string(b, name, part->len);
    buf_puts(b, ",\"arguments\":\"");
}

/* A piece of a JSON string without its quotes. */
static void put_inside(struct buf *b, const char *s, size_t len)
{
    size_t at = b->len;

    json_write_string(b, s, len);
    if (b->failed)
        return;
    memmove(b->data + at, b->data + at + 1, b->len - at - 1);
    b->len -= 2;
    b->data[b->len] = '\0';
}

static void put_part(struct buf *b, struct generation *g, size_t index, const struct part *part,
                     const struct event *ev)
{
    const char *text = buf_str(&g->choices[index].split.text) + part->start;

    envelope_chunk(b, g, chunk);
    buf_printf(b, "{\"index\":%zu,\"delta\":{", index);
    if (part->kind == PART_CONTENT || part->kind == PART_REASONING) {
        buf_puts(b, part->kind == PART_CONTENT ? "\"content\":" : "\"reasoning_content\":");
        json_write_string(b, text, part->len);
        put_rest(b, g, ev);
        return;
    }
    if (g->form->legacy)
        buf_puts(b, "\"function_call\":");
    else
        buf_printf(b, "\"tool_calls\":[{\"index\":%zu,", part->call);
    if (part->kind == PART_CALL) {
        put_call(b, g, part, text);
    } else {
        buf_puts(b, g->form->legacy ? "{\"arguments\":\"" : "\"function\":{\"arguments\":\"");
        put_inside(b, text, part->len);
    }
    buf_puts(b, g->form->legacy ? "\"}" : "\"}}]");
    put_rest(b, g, ev);
}

static void keep_part(struct generation *g, size_t index, const struct part *part)
{
    struct choice *c = &g->choices[index];
    const char *text = buf_str(&c->split.text) + part->start;
    struct buf *calls = &c->lists[LIST_CALLS];

    switch (part->kind) {
    case PART_CONTENT:
        buf_put(&c->text, text, part->len);
        break;
    case PART_REASONING:
        buf_put(&c->lists[LIST_REASONING], text, part->len);
        break;
    case PART_CALL:
        if (calls->len)
            buf_puts(calls, "\"}},");
        if (!g->form->legacy)
            buf_putc(calls, '{');
        put_call(calls, g, part, text);
        break;
    case PART_ARGUMENTS:
        put_inside(calls, text, part->len);
        break;
    }
}

/* content is null where there are calls only; tool_calls is there only where there are some. */
static void put_message(struct buf *b, const struct generation *g, const struct choice *c)
{
    const struct buf *calls = &c->lists[LIST_CALLS], *reasoning = &c->lists[LIST_REASONING];

    buf_puts(b, "{\"role\":\"assistant\",\"content\":");
    if (calls->len && !c->text.len)
        buf_puts(b, "null");
    else
        json_write_string(b, buf_str(&c->text), c->text.len);
    if (reasoning->len) {
        buf_puts(b, ",\"reasoning_content\":");
        json_write_string(b, reasoning->data, reasoning->len);
    }
    buf_puts(b, ",\"refusal\":null");
    if (calls->len) {
        buf_puts(b, g->form->legacy ? ",\"function_call\":" : ",\"tool_calls\":[");
        buf_put(b, calls->data, calls->len);
        buf_puts(b, g->form->legacy ? "\"}" : "\"}}]");
    }
    buf_putc(b, '}');
}

static void put_last(struct buf *b, struct generation *g, size_t index)
{
    envelope_chunk(b, g, chunk);
    buf_printf(b, "{\"index\":%zu,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"%s\"}", index,
               g->choices[index].finish_name);
    envelope_chunk_end(b, g);
}

static void put_end(struct buf *b, struct generation *g)
{
    envelope_end(b, g, chunk);
}

static void keep(struct generation *g, size_t index, const struct event *ev)
{
    struct choice *c = &g->choices[index];

    if (!ev->n_logprobs)
        return;
    if (c->lists[0].len)
        buf_putc(&c->lists[0], ',');
    logprobs_tokens(&c->lists[0], ev, g->top_logprobs);
}

static void put_choice(struct buf *b, const struct generation *g, size_t index)
{
    const struct choice *c = &g->choices[index];

    buf_printf(b, "{\"index\":%zu,\"message\":", index);
    put_message(b, g, c);
    buf_puts(b, ",\"logprobs\":");
    if (g->top_logprobs >= 0)
        buf_printf(b, "{\"content\":[%s],\"refusal\":null}", buf_str(&c->lists[0]));
    else
        buf_puts(b, "null");
    buf_printf(b, ",\"finish_reason\":\"%s\"}", c->finish_name);
}

static void put_whole(struct buf *b, struct generation *g)
{
    envelope_whole(b, g, "chat.completion", put_choice);
}

const struct dialect chat_dialect = {
    .id_prefix = "chatcmpl-",
    .first = put_first,
    .delta = put_delta,
    .last = put_last,
    .end = put_end,
    .whole = put_whole,
    .part = put_part,
    .keep_part = keep_part,
    .keep = keep,
};
