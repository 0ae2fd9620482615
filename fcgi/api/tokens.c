/* tokens.c - what a prompt becomes: POST /apply-template, /tokenize, /detokenize and
 * /v1/chat/completions/input_tokens, in the shapes that llama-server gave them. */
#include <stdlib.h>
#include <string.h>

#include "fcgi/api/chat.h"
#include "fcgi/api/fields.h"
#include "fcgi/api/generation.h"
#include "fcgi/api/handlers.h"
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

/* {"content": text, "add_special": false, "parse_special": true, "with_pieces": false} to
 * {"tokens": ids, or objects of id and piece}. */
void tokens_tokenize(struct app *app, struct request *r, struct reply *p)
{
    bool add_special = false, parse_special = true, pieces = false;
    const struct value *content;
    struct value *body;
    int32_t *ids = NULL;
    size_t n = 0;
    struct err e = { 0 };
    const struct app_model *model = target(app, r, &body, &e);
    int rc = model ? 0 : e.code;

    if (!rc)
        rc = field_bool(body, "add_special", &add_special, &e);
    if (!rc)
        rc = field_bool(body, "parse_special", &parse_special, &e);
    if (!rc)
        rc = field_bool(body, "with_pieces", &pieces, &e);
    content = rc ? NULL : field_get(body, "content");
    if (!rc && (!content || content->kind != VALUE_STRING))
        rc = field_wrong(&e, "content", "a string", content);
    if (!rc)
        rc = engine_tokenize(model->engine, content->string.data, content->string.len, add_special,
                             parse_special, &ids, &n, &e);
    buf_puts(&p->body, "{\"tokens\":[");
    for (size_t i = 0; i < n && !rc; i++) {
        if (i)
            buf_putc(&p->body, ',');
        if (pieces)
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

/* {"tokens": ids} to {"content": text} */
void tokens_detokenize(struct app *app, struct request *r, struct reply *p)
{
    const struct value *list = NULL;
    struct value *body;
    struct buf text = { 0 };
    int32_t *ids = NULL;
    struct err e = { 0 };
    const struct app_model *model = target(app, r, &body, &e);
    int rc = model ? 0 : e.code;

    if (!rc) {
        list = field_get(body, "tokens");
        if (!list || list->kind != VALUE_LIST)
            rc = field_wrong(&e, "tokens", "an array of token ids", list);
        else if (!(ids = arena_array(&r->arena, list->list.len + 1, sizeof *ids)))
            rc = field_no_memory(&e);
    }
    for (size_t i = 0; !rc && i < list->list.len; i++) {
        const struct value *v = list->list.items[i];

        if (v->kind != VALUE_INT || v->integer < 0 || v->integer > INT32_MAX)
            rc = field_wrong(&e, "tokens", "an array of token ids", v);
        else
            ids[i] = (int32_t)v->integer;
    }
    if (!rc)
        rc = engine_detokenize(model->engine, ids, list->list.len, &text, &e);
    if (rc) {
        reply_err(p, &e);
    } else {
        buf_puts(&p->body, "{\"content\":");
        json_write_string(&p->body, buf_str(&text), text.len);
        buf_putc(&p->body, '}');
    }
    buf_done(&text);
}
