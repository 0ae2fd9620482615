/* chat.c - POST /v1/chat/completions. */
#include "fcgi/api/chat.h"

#include "fcgi/api/chat_adapt.h"
#include "fcgi/api/chat_response.h"
#include "fcgi/api/handlers.h"

/* What the answer's text will be made of; false: of content only. */
static bool answer_form(struct answer_form *form, const struct chat_request *c,
                        const struct format *format, const struct app_model *model)
{
    const char *chat_template = engine_chat_template(model->engine);
    bool channels = format && format->body == BODY_CHANNELS;

    *form = (struct answer_form){ .one_call = c->tools.one_call, .legacy = c->tools.legacy };
    form->split.tools = c->tools.list;
    form->split.format = c->tools.list || channels ? format : NULL;
    form->split.reasoning_is_content = !model->config->split_reasoning || c->raw_reasoning;
    if (!form->split.reasoning_is_content)
        form->split.thinking = format_thinking(chat_template);
    form->short_id = form->split.format && form->split.format->short_id;
    if (c->tools.required) { /* chat_tools_spec() says what comes */
        form->split.format = format_find("generic");
        form->split.thinking = NULL;
        form->split.only_calls = true;
    }
    return form->split.format || form->split.thinking;
}

int chat_prepare(const struct app_model *model, struct chat_request *c,
                 const struct format **format, struct arena *a, struct err *e)
{
    *format = model->config->tool_format ? format_find(model->config->tool_format) : NULL;
    return chat_adapt(model->engine, c->context, &c->tools, format, a, e);
}

const struct app_model *chat_read(struct app *app, struct request *r, struct chat_request *c,
                                  const struct format **format, struct err *e)
{
    struct params_rules rules;
    struct value *body;
    const struct app_model *model = generation_target(app, r, &body, &rules, e);

    if (!model || chat_request_read(c, body, &rules, &r->arena, e) ||
        chat_prepare(model, c, format, &r->arena, e))
        return NULL;
    return model;
}

void chat_answer(struct app *app, struct request *r, struct reply *p, const struct app_model *model,
                 const struct chat_request *c, const struct format *format,
                 const struct dialect *dialect, void *own)
{
    const char *no_text = ""; /* the first event only tells the role */
    struct answer_form form;
    struct job_request job = { .kind = PROMPT_CHAT, .context = c->context };

    p->note.model = model->name;
    job.max_tokens = c->max_tokens;
    if (c->prediction) {
        job.prediction = c->prediction->string.data;
        job.prediction_len = c->prediction->string.len;
    }
    generation_run(app, r, p,
                   &(struct generation_ask){ .dialect = dialect,
                                             .own = own,
                                             .params = &c->params,
                                             .model = model,
                                             .form = answer_form(&form, c, format, model) ? &form
                                                                                          : NULL,
                                             .jobs = &job,
                                             .echoes = &no_text,
                                             .n_prompts = 1,
                                             .top_logprobs = c->top_logprobs });
}

void chat_handle(struct app *app, struct request *r, struct reply *p)
{
    const struct format *format;
    struct chat_request c;
    struct err e = { 0 };
    const struct app_model *model = chat_read(app, r, &c, &format, &e);

    if (model)
        chat_answer(app, r, p, model, &c, format, &chat_dialect, NULL);
    else
        reply_err(p, &e);
}
