/* chat.c - POST /v1/chat/completions. */
#include "fcgi/api/chat_request.h"
#include "fcgi/api/chat_response.h"
#include "fcgi/api/handlers.h"

void chat_handle(struct app *app, struct request *r, struct reply *p)
{
    struct params_rules rules;
    const struct app_model *model;
    const char *no_text = ""; /* the first event only tells the role */
    struct chat_request c;
    struct value *body;
    struct job_request job = { .kind = PROMPT_CHAT };
    struct err e = { 0 };

    model = generation_target(app, r, &body, &rules, &e);
    if (!model || chat_request_read(&c, body, &rules, &r->arena, &e)) {
        reply_err(p, &e);
        return;
    }
    p->note.model = model->name;
    job.context = c.context;
    job.max_tokens = c.max_tokens;
    if (c.prediction) {
        job.prediction = c.prediction->string.data;
        job.prediction_len = c.prediction->string.len;
    }
    generation_run(app, r, p, &chat_dialect, &c.params, model, &job, &no_text, 1, c.top_logprobs);
}
