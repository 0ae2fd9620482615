#include "fcgi/api/chat_response.h"

#include "fcgi/api/logprobs.h"
#include "kernels/base/json.h"

static void put_first(struct buf *b, const struct generation *g, size_t index)
{
    (void)g;
    buf_printf(
        b,
        "{\"index\":%zu,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},"
        "\"logprobs\":null,\"finish_reason\":null}",
        index);
}

/* Appends [{token...},...] for one event's tokens. */
static void put_tokens(struct buf *b, const struct event *ev, int top)
{
    size_t stride = 1 + (size_t)top;

    for (size_t i = 0; i < ev->n_logprobs; i++) {
        const struct token_logprob *t = ev->logprobs + i * stride;

        if (i)
            buf_putc(b, ',');
        buf_putc(b, '{');
        logprobs_token(b, t);
        buf_puts(b, ",\"top_logprobs\":[");
        for (size_t k = 1; k < stride && t[k].id >= 0; k++) {
            buf_puts(b, k > 1 ? ",{" : "{");
            logprobs_token(b, &t[k]);
            buf_putc(b, '}');
        }
        buf_puts(b, "]}");
    }
}

static void put_delta(struct buf *b, struct generation *g, size_t index, const struct event *ev)
{
    buf_printf(b, "{\"index\":%zu,\"delta\":{\"content\":", index);
    json_write_string(b, ev->text ? ev->text : "", ev->text_len);
    buf_puts(b, "},\"logprobs\":");
    if (g->top_logprobs >= 0) {
        buf_puts(b, "{\"content\":[");
        put_tokens(b, ev, g->top_logprobs);
        buf_puts(b, "],\"refusal\":null}");
    } else {
        buf_puts(b, "null");
    }
    buf_puts(b, ",\"finish_reason\":null}");
}

static void put_last(struct buf *b, const struct generation *g, size_t index)
{
    buf_printf(b, "{\"index\":%zu,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"%s\"}", index,
               finish_name(g->choices[index].finish));
}

static void keep(struct generation *g, size_t index, const struct event *ev)
{
    struct choice *c = &g->choices[index];

    if (!ev->n_logprobs)
        return;
    if (c->lists[0].len)
        buf_putc(&c->lists[0], ',');
    put_tokens(&c->lists[0], ev, g->top_logprobs);
}

static void put_whole(struct buf *b, const struct generation *g, size_t index)
{
    const struct choice *c = &g->choices[index];

    buf_printf(b, "{\"index\":%zu,\"message\":{\"role\":\"assistant\",\"content\":", index);
    json_write_string(b, buf_str(&c->text), c->text.len);
    buf_puts(b, ",\"refusal\":null},\"logprobs\":");
    if (g->top_logprobs >= 0)
        buf_printf(b, "{\"content\":[%s],\"refusal\":null}", buf_str(&c->lists[0]));
    else
        buf_puts(b, "null");
    buf_printf(b, ",\"finish_reason\":\"%s\"}", finish_name(c->finish));
}

const struct dialect chat_dialect = {
    .id_prefix = "chatcmpl-",
    .object = "chat.completion",
    .chunk_object = "chat.completion.chunk",
    .first = put_first,
    .delta = put_delta,
    .last = put_last,
    .whole = put_whole,
    .keep = keep,
};
