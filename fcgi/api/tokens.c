/* tokens.c - what a prompt becomes: POST /apply-template, /tokenize, /detokenize and
 * /v1/chat/completions/input_tokens, in the shapes that llama-server gave them. */
#include <stdlib.h>
#include <string.h>

#include "fcgi/api/chat.h"
#include "fcgi/api/generation.h"
#include "fcgi/api/handlers.h"
#include "fcgi/api/tokens_request.h"
#include "kernels/base/json.h"
#include "kernels/base/utf8.h"

/* {"prompt": the text of the chat} */
void tokens_apply_template(struct app *app, struct request *r, struct reply *p)
{
    struct chat_request c;
    const struct format *format;
    struct buf text = { 0 };
    struct err e = { 0 };
    const struct app_model *model = chat_read(app, r, &c, &format, &e);

    if (!model || engine_render(model->engine, c.context, &text, &e)) {
        reply_err(p, &e);
    } else {
        buf_puts(&p->body, "{\"prompt\":");
        json_write_string(&p->body, buf_str(&text), text.len);
        buf_putc(&p->body, '}');
    }
    buf_done(&text);
}

/* {"input_tokens": how many the chat's prompt has} */
void tokens_count(struct app *app, struct request *r, struct reply *p)
{
    struct chat_request c;
    const struct format *format;
    int32_t *ids = NULL;
    size_t n = 0;
    struct err e = { 0 };
    const struct app_model *model = chat_read(app, r, &c, &format, &e);

    if (!model || engine_chat_ids(model->engine, c.context, &ids, &n, &e))
        reply_err(p, &e);
    else
        buf_printf(&p->body, "{\"object\":\"response.input_tokens\",\"input_tokens\":%zu}", n);
    free(ids);
}

static const struct app_model *target(struct app *app, struct request *r, struct value **body,
                                      struct err *e)
{
    struct params_rules rules;

    return generation_target(app, r, body, &rules, e);
}

static bool is_utf8(const char *s, size_t len)
{
    size_t n;
    uint32_t cp;

    for (; len; s += n, len -= n)
        if (!(n = utf8_decode(s, len, &cp)))
            return false;
    return true;
}

/* A piece as a string, or as an array of bytes where it is no whole characters. */
static int put_piece(struct buf *b, struct engine *g, int32_t id, struct err *e)
{
    struct buf piece = { 0 };
    int rc = engine_detokenize(g, &id, 1, &piece, e);

    buf_printf(b, "{\"id\":%d,\"piece\":", (int)id);
    if (is_utf8(buf_str(&piece), piece.len)) {
        json_write_string(b, buf_str(&piece), piece.len);
    } else {
        for (size_t i = 0; i < piece.len; i++)
            buf_printf(b, "%c%d", i ? ',' : '[', (unsigned char)piece.data[i]);
        buf_putc(b, ']');
    }
    buf_putc(b, '}');
    buf_done(&piece);
    return rc;
}

/* A text to {"tokens": ids, or objects of id and piece}. */
void tokens_tokenize(struct app *app, struct request *r, struct reply *p)
{
    struct tokenize_request t;
    struct value *body;
    int32_t *ids = NULL;
    size_t n = 0;
    struct err e = { 0 };
    const struct app_model *model = target(app, r, &body, &e);
    int rc = model ? tokenize_request_read(&t, body, &e) : e.code;

    if (!rc)
        rc = engine_tokenize(model->engine, t.content->string.data, t.content->string.len,
                             t.add_special, t.parse_special, &ids, &n, &e);
    buf_puts(&p->body, "{\"tokens\":[");
    for (size_t i = 0; i < n && !rc; i++) {
        if (i)
            buf_putc(&p->body, ',');
        if (t.pieces)
            rc = put_piece(&p->body, model->engine, ids[i], &e);
        else
            buf_printf(&p->body, "%d", (int)ids[i]);
    }
    buf_puts(&p->body, "]}");
    free(ids);
    if (rc) {
        buf_reset(&p->body);
        reply_err(p, &e);
    }
}

/* Ids to {"content": text}. */
void tokens_detokenize(struct app *app, struct request *r, struct reply *p)
{
    struct detokenize_request t;
    struct value *body;
    struct buf text = { 0 };
    struct err e = { 0 };
    const struct app_model *model = target(app, r, &body, &e);

    if (!model || detokenize_request_read(&t, body, &r->arena, &e) ||
        engine_detokenize(model->engine, t.ids, t.n_ids, &text, &e)) {
        reply_err(p, &e);
    } else {
        buf_puts(&p->body, "{\"content\":");
        json_write_string(&p->body, buf_str(&text), text.len);
        buf_putc(&p->body, '}');
    }
    buf_done(&text);
}
