/* embed.c - POST /embed: {"text": a string or an array of strings} to {"result": vectors}. */
#include "fcgi/api/embeddings.h"
#include "fcgi/api/fields.h"
#include "fcgi/api/vectors.h"
#include "fcgi/takeoff/generate_request.h"
#include "fcgi/takeoff/handlers.h"

static void put_vector(struct buf *b, const struct embeddings_ask *ask, size_t i, const float *x,
                       size_t n)
{
    (void)ask;
    buf_puts(b, i ? "," : "{\"result\":[");
    vector_put(b, x, n, false);
}

static void put_end(struct buf *b, const struct embeddings_ask *ask, size_t n_tokens)
{
    (void)ask;
    (void)n_tokens;
    buf_puts(b, "]}");
}

static int make_jobs(struct embedding_request *q, const struct value *const *texts, struct arena *a,
                     struct err *e)
{
    q->jobs = arena_array(a, q->n, sizeof *q->jobs);
    if (!q->jobs)
        return field_no_memory(e);
    for (size_t i = 0; i < q->n; i++)
        q->jobs[i] = (struct job_request){ .kind = PROMPT_TEXT,
                                           .text = texts[i]->string.data,
                                           .text_len = texts[i]->string.len,
                                           .embed = true };
    return 0;
}

void takeoff_embed(struct app *app, struct request *r, struct reply *p)
{
    struct embedding_request q = { .member = "text", .normalise = true };
    const struct app_model *model = NULL;
    struct takeoff_limits limits;
    const struct value **texts;
    const char *group;
    struct value *body;
    struct err e = { 0 };

    takeoff_limits_of(app, &limits);
    if (!params_body(r->body, r->body_len, &r->arena, &body, &e) &&
        !takeoff_group_read(body, &group, &e) &&
        !takeoff_texts_read(body, &limits, &r->arena, &texts, &q.n, &q.many, &e) &&
        !make_jobs(&q, texts, &r->arena, &e))
        model = takeoff_model(app, r, group, &e);
    if (!model) {
        reply_err(p, &e);
        return;
    }
    embeddings_run(app, r, p,
                   &(struct embeddings_ask){
                       .model = model, .q = &q, .put = put_vector, .end = put_end });
}
