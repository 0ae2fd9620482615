/* responses.c - POST /v1/responses, and /v1/responses/input_tokens. */
#include "fcgi/api/responses_request.h"

#include <stdlib.h>

#include "fcgi/api/chat.h"
#include "fcgi/api/handlers.h"
#include "fcgi/api/responses_output.h"

static const struct app_model *read_request(struct app *app, struct request *r,
                                            struct responses_request *q,
                                            const struct format **format, struct err *e)
{
    struct params_rules rules;
    struct value *body;
    const struct app_model *model = generation_target(app, r, &body, &rules, e);

    if (!model || responses_request_read(q, body, &rules, &r->arena, e) ||
        chat_prepare(model, &q->chat, format, &r->arena, e))
        return NULL;
    return model;
}

void responses_handle(struct app *app, struct request *r, struct reply *p)
{
    struct responses_output output = { 0 };
    struct responses_request q;
    const struct format *format;
    struct err e = { 0 };
    const struct app_model *model = read_request(app, r, &q, &format, &e);

    if (!model) {
        reply_err(p, &e);
        return;
    }
    output.settings = q.settings;
    chat_answer(app, r, p, model, &q.chat, format, &responses_dialect, &output);
    responses_output_done(&output);
}

/* {"input_tokens": how many the prompt has} */
void responses_count(struct app *app, struct request *r, struct reply *p)
{
    struct responses_request q;
    const struct format *format;
    int32_t *ids = NULL;
    size_t n = 0;
    struct err e = { 0 };
    const struct app_model *model = read_request(app, r, &q, &format, &e);

    if (!model || engine_chat_ids(model->engine, q.chat.context, &ids, &n, &e))
        reply_err(p, &e);
    else
        buf_printf(&p->body, "{\"object\":\"response.input_tokens\",\"input_tokens\":%zu}", n);
    free(ids);
}
