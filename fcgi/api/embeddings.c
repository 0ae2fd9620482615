/* embeddings.c - POST /v1/embeddings.  Source: OpenAI's CreateEmbeddingResponse.
 *
 * All inputs become ids before any is evaluated, so that a wrong one costs nothing.  Then some are
 * in the engine's hands at a time, so that 2048 of one client do not fill the queue of others. */
#include <stdlib.h>
#include <string.h>

#include "fcgi/api/deadline.h"
#include "fcgi/api/embeddings.h"
#include "fcgi/api/envelope.h"
#include "fcgi/api/fields.h"
#include "fcgi/api/handlers.h"
#include "fcgi/api/vectors.h"
#include "fcgi/tally.h"
#include "kernels/base/clock.h"
#include "kernels/base/json.h"

/* One input on its way. */
struct input {
    int32_t *ids; /* freed with free(), as the vector */
    size_t n_ids;
    struct job *job;
    float *vector;
};

struct run {
    struct app *app;
    struct request *r;
    struct reply *p;
    const struct embeddings_ask *ask;
    const struct app_model *model; /* the ask's, as q */
    const struct embedding_request *q;
    struct inbox *inbox;
    struct input *inputs;     /* [q->n] */
    size_t next, open, width; /* to submit next; in the engine's hands, and how many may be */
    size_t n_embd, n_tokens;
    struct tally tally;
    double last_ms; /* tally's own */
    char id[48];
    struct deadline deadline;
};

static int blame(const struct run *u, size_t i, struct err *e)
{
    struct embedding_param p = embedding_param(u->q, i);

    if (strcmp(e->param, "model") == 0)
        return e->code;
    (void)err_prefix(e, "%s: ", p.text);
    memcpy(e->param, p.text, sizeof p.text);
    return e->code;
}

static int encode(struct run *u, struct err *e)
{
    for (size_t i = 0; i < u->q->n; i++) {
        struct input *in = &u->inputs[i];

        if (engine_prompt_ids(u->model->engine, &u->q->jobs[i], &in->ids, &in->n_ids, e))
            return blame(u, i, e);
        u->n_tokens += in->n_ids;
    }
    return 0;
}

/* Hands on as many as may be; where the queue is full, later ones wait for earlier ones. */
static int submit(struct run *u, struct err *e)
{
    while (u->next < u->q->n && u->open < u->width) {
        struct input *in = &u->inputs[u->next];
        const struct job_request job = { .id = u->id,
                                         .owner = admission_name(u->r),
                                         .kind = PROMPT_IDS,
                                         .ids = in->ids,
                                         .n_ids = in->n_ids,
                                         .embed = true };
        int rc = request_stopped(u->r);

        if (rc)
            return err_set(e, rc, "the request was given up before all of it was evaluated");
        rc = engine_submit(u->model->engine, &job, u->inbox, u->next, &in->job, e);
        if (rc == ERR_BUSY && u->open)
            return 0;
        if (rc)
            return rc;
        u->next++;
        u->open++;
    }
    return 0;
}

static int take(struct run *u, struct event *ev, struct err *e)
{
    struct input *in = &u->inputs[ev->tag];

    if (ev->kind == EVENT_FAILED) {
        *e = ev->err;
        return e->code;
    }
    tally_event(&u->tally, ev, &u->last_ms);
    if (ev->kind == EVENT_STARTED)
        admission_charge(u->r, in->n_ids);
    if (ev->kind != EVENT_DONE)
        return 0;
    metrics_observe(u->model->metrics, METRIC_QUEUE, ev->usage.queue_ms / 1e3, 1);
    metrics_observe(u->model->metrics, METRIC_PROMPT, ev->usage.prompt_ms / 1e3, 1);
    metrics_observe(u->model->metrics, METRIC_GIVEN, (double)in->n_ids, 1);
    if (ev->n_vector != u->n_embd)
        return err_set(e, ERR_INTERNAL, "a vector has %zu values, expected %zu", ev->n_vector,
                       u->n_embd);
    in->vector = ev->vector;
    ev->vector = NULL;
    job_free(in->job);
    in->job = NULL;
    free(in->ids);
    in->ids = NULL;
    u->open--;
    if (ev->tag == 0) {
        u->p->note.queue_ms = ev->usage.queue_ms;
        u->p->note.prompt_ms = ev->usage.prompt_ms;
    }
    return submit(u, e);
}

static void wake(void *inbox)
{
    inbox_wake(inbox);
}

/* How long to wait for an event. */
static int wait_ms(const struct run *u)
{
    double ms = deadline_left_ms(&u->deadline, 60000);

    return ms < 1 ? 1 : (int)ms;
}

/* Nothing came: has the client left, is time over? */
static int look_around(const struct run *u, struct err *e)
{
    int stopped = request_stopped(u->r);

    if (stopped == ERR_CANCELLED)
        return err_set(e, stopped, "the client left");
    if (stopped)
        return err_set(e, ERR_CLOSING,
                       "the server is shutting down and could not finish this answer");
    return deadline_check(&u->deadline, e);
}

static int follow(struct run *u, struct err *e)
{
    int rc = submit(u, e);

    while (!rc && u->open) {
        struct event ev;

        if (request_stopped(u->r) || deadline_left_ms(&u->deadline, 1) <= 0 ||
            !inbox_wait(u->inbox, wait_ms(u), &ev)) {
            rc = look_around(u, e);
            continue;
        }
        rc = take(u, &ev, e);
        event_done(&ev);
    }
    return rc;
}

static void answer(struct run *u)
{
    size_t n = u->q->dimensions ? u->q->dimensions : u->n_embd;

    for (size_t i = 0; i < u->q->n; i++) {
        if (u->q->normalise)
            vector_to_unit(u->inputs[i].vector, n);
        u->ask->put(&u->p->body, u->ask, i, u->inputs[i].vector, n);
        free(u->inputs[i].vector); /* the text of many is large enough */
        u->inputs[i].vector = NULL;
    }
    u->ask->end(&u->p->body, u->ask, u->n_tokens);
    metrics_observe(u->model->metrics, METRIC_TOTAL, (clock_ms() - u->r->start_ms) / 1e3, 1);
    u->p->note.has_usage = true;
    u->p->note.prompt_tokens = u->n_tokens;
}

static int open_run(struct run *u, struct err *e)
{
    struct engine_status s;
    int rc;

    u->p->note.model = u->model->name;
    u->tally = (struct tally){ .metrics = u->model->metrics, .start_ms = u->r->start_ms };
    engine_status(u->model->engine, &s);
    u->n_embd = s.n_embd;
    u->width = 2 * s.max_batch;
    deadline_init(&u->deadline, u->app->config, u->r);
    envelope_id(u->id, sizeof u->id, "embd-");
    u->inputs = calloc(u->q->n, sizeof *u->inputs);
    if (!u->inputs)
        return err_set(e, ERR_NOMEM, "no memory for %zu inputs", u->q->n);
    rc = encode(u, e);
    return rc ? rc : inbox_create(&u->inbox, e);
}

void embeddings_run(struct app *app, struct request *r, struct reply *p,
                    const struct embeddings_ask *ask)
{
    struct run u = { .app = app, .r = r, .p = p, .ask = ask, .model = ask->model, .q = ask->q };
    struct err e = { 0 };
    int rc = open_run(&u, &e);

    if (!rc) {
        request_on_stop(r, wake, u.inbox);
        rc = follow(&u, &e);
        request_on_stop(r, NULL, NULL);
        if (rc)
            tally_broken(&u.tally, rc == ERR_CANCELLED);
    }
    p->note.cancelled = rc == ERR_CANCELLED;
    if (rc)
        reply_err(p, &e);
    else
        answer(&u);
    for (size_t i = 0; u.inputs && i < u.q->n; i++) {
        job_free(u.inputs[i].job);
        free(u.inputs[i].ids);
        free(u.inputs[i].vector);
    }
    free(u.inputs);
    inbox_free(u.inbox);
}

static void put_vector(struct buf *b, const struct embeddings_ask *ask, size_t i, const float *x,
                       size_t n)
{
    buf_puts(b, i ? "," : "{\"object\":\"list\",\"data\":[");
    buf_printf(b, "{\"object\":\"embedding\",\"index\":%zu,\"embedding\":", i);
    vector_put(b, x, n, ask->q->base64);
    buf_putc(b, '}');
}

static void put_end(struct buf *b, const struct embeddings_ask *ask, size_t n_tokens)
{
    buf_puts(b, "],\"model\":");
    json_write_string(b, ask->model->name, strlen(ask->model->name));
    buf_printf(b, ",\"usage\":{\"prompt_tokens\":%zu,\"total_tokens\":%zu}}", n_tokens, n_tokens);
}

void embeddings_handle(struct app *app, struct request *r, struct reply *p)
{
    struct params_rules rules;
    struct embedding_request q;
    struct engine_status s;
    struct value *body;
    struct err e = { 0 };
    const struct app_model *model = generation_target(app, r, &body, &rules, &e);

    if (model)
        engine_status(model->engine, &s);
    if (!model || embedding_request_read(&q, body, s.n_embd, &r->arena, &e)) {
        p->note.model = model ? model->name : NULL;
        reply_err(p, &e);
        return;
    }
    embeddings_run(app, r, p,
                   &(struct embeddings_ask){
                       .model = model, .q = &q, .put = put_vector, .end = put_end });
}
