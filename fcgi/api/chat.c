/* chat.c - POST /v1/chat/completions. */
#include "fcgi/api/chat_request.h"
#include "fcgi/api/chat_response.h"
#include "fcgi/api/handlers.h"

void chat_handle(struct app *app, struct request *r, struct reply *p)
{
    const struct app_model *model;
    struct chat_request c;
    struct value *body;
    struct job_request job = { .kind = PROMPT_CHAT };
    struct err e = { 0 };

    if (params_body(r->body, r->body_len, &r->arena, &body, &e) ||
        chat_request_read(&c, body, app->config->max_choices, &r->arena, &e) ||
        !(model = app_find_model(app, c.params.model, &e))) {
        reply_err(p, &e);
        return;
    }
    p->note.model = model->name;
    job.context = c.context;
    job.max_tokens = c.max_tokens;
    generation_run(app, r, p, &chat_dialect, &c.params, model, &job, NULL, 1, c.top_logprobs);
}
