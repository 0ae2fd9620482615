#include "fcgi/api/generation_run.h"

#include <stdio.h>
#include <string.h>

#include "fcgi/api/envelope.h"
#include "fcgi/api/fields.h"

enum { MAX_BODY_BYTES = 256 << 20 };

const char *finish_name(enum finish f)
{
    return f == FINISH_STOP ? "stop" : "length";
}

bool generation_send_frames(struct run *u)
{
    return !u->frame.failed && (!u->frame.len || sse_frames(&u->sse, u->frame.data, u->frame.len));
}

static bool send_choice(struct run *u, size_t index,
                        void (*put)(struct buf *, struct generation *, size_t))
{
    buf_reset(&u->frame);
    put(&u->frame, &u->g, index);
    return generation_send_frames(u);
}

bool generation_send_delta(struct run *u, size_t index, const struct event *ev)
{
    buf_reset(&u->frame);
    u->d->delta(&u->frame, &u->g, index, ev);
    return generation_send_frames(u);
}

static bool begin_stream(struct run *u)
{
    bool ok = sse_begin(&u->sse, u->p);

    for (size_t i = 0; ok && i < u->g.n_choices; i++)
        if (u->g.choices[i].echo && !u->ask->prompt_logprobs)
            ok = send_choice(u, i, u->d->first);
    return ok;
}

static void end_stream(struct run *u)
{
    buf_reset(&u->frame);
    u->d->end(&u->frame, &u->g);
    (void)generation_send_frames(u); /* who has left does not miss it */
}

/* For the log line: the first choice's times, all choices' tokens. */
static void note_usage(struct run *u)
{
    struct reply_note *note = &u->p->note;
    size_t n = u->g.n_choices / u->g.n_prompts;

    note->completion_tokens = u->g.spare_tokens;
    note->has_usage = true;
    for (size_t i = 0; i < u->g.n_choices; i++) {
        const struct choice *c = &u->g.choices[i];

        if (i % n == 0)
            note->prompt_tokens += c->usage.prompt_tokens;
        note->completion_tokens += c->usage.generated_tokens;
    }
    note->queue_ms = u->g.choices[0].usage.queue_ms;
    note->prompt_ms = u->g.choices[0].usage.prompt_ms;
    note->generate_ms = u->g.choices[0].usage.generate_ms;
    note->finish = u->g.choices[0].finish_name;
    tally_done(&u->tally, &u->g.choices[0].usage, note->completion_tokens);
}

void generation_fail(struct run *u, const struct err *e)
{
    if (!u->sse.reply) {
        reply_err(u->p, e);
    } else if (!u->d->fail) {
        sse_error(&u->sse, e);
    } else {
        buf_reset(&u->frame);
        u->d->fail(&u->frame, &u->g, e);
        (void)generation_send_frames(u);
    }
}

static bool take_prompt(struct run *u, const struct event *ev)
{
    bool stream = u->g.params->stream;

    buf_reset(&u->frame);
    u->d->prompt(stream ? &u->frame : NULL, &u->g, ev->tag, ev);
    return !stream || generation_send_frames(u);
}

/* Handles one event; false ends the run. */
static bool take(struct run *u, struct event *ev)
{
    bool stream = u->g.params->stream;
    struct choice *c = &u->g.choices[ev->tag];

    switch (ev->kind) {
    case EVENT_STARTED:
        if (stream)
            deadline_heard(&u->deadline);
        return true;
    case EVENT_PROMPT:
        return take_prompt(u, ev);
    case EVENT_TEXT:
        if (u->ask->best_of)
            generation_weigh(&u->g, ev);
        if (u->g.form)
            return generation_take_split(u, ev);
        if (stream)
            return generation_send_delta(u, ev->tag, ev);
        if (u->g.top_logprobs >= 0)
            u->d->keep(&u->g, ev->tag, ev);
        buf_put(&c->text, ev->text, ev->text_len);
        return true;
    case EVENT_DONE:
        c->over = true;
        c->finish = ev->finish;
        c->finish_name = finish_name(c->finish);
        c->usage = ev->usage;
        u->open--;
        if (u->g.form && !generation_end_split(u, ev->tag))
            return false;
        return !stream || send_choice(u, ev->tag, u->d->last);
    case EVENT_FAILED:
        generation_fail(u, &ev->err);
        return false;
    }
    return true;
}

static void wake(void *inbox)
{
    inbox_wake(inbox);
}

/* How long to wait for an event: until the next ping or the deadline is due. */
static int wait_ms(const struct run *u)
{
    double ms = 60000;

    if (u->sse.reply && u->app->config->ping_ms)
        ms = (double)u->app->config->ping_ms - sse_idle_ms(&u->sse);
    ms = deadline_left_ms(&u->deadline, ms);
    return ms < 1 ? 1 : (int)ms;
}

/* Nothing came: has the client left, is a ping due, is time over?  False ends the run. */
static bool look_around(struct run *u)
{
    int stopped = request_stopped(u->r);
    struct err e;

    if (stopped == ERR_CANCELLED) {
        u->p->note.cancelled = true;
        return false;
    }
    if (stopped) {
        err_set(&e, ERR_CLOSING, "the server is shutting down and could not finish this answer");
        generation_fail(u, &e);
        return false;
    }
    if (deadline_check(&u->deadline, &e)) {
        generation_fail(u, &e);
        return false;
    }
    if (u->sse.reply && u->app->config->ping_ms &&
        sse_idle_ms(&u->sse) >= (double)u->app->config->ping_ms)
        return sse_ping(&u->sse);
    return true;
}

/* What its key or address pays for: each prompt once, and tokens as they come. */
static void charge(struct run *u, const struct event *ev)
{
    struct slot *slot = &u->r->slot;
    size_t n = 0;

    if (ev->kind == EVENT_TEXT) {
        n = ev->n_tokens;
        slot->state = SLOT_WRITING;
        slot->written_tokens += n;
    } else if (ev->kind == EVENT_STARTED) {
        n = ev->tag % u->n_each ? 0 : job_prompt_tokens(u->jobs[ev->tag]);
        slot->state = SLOT_PROMPT;
        slot->prompt_tokens += n;
    }
    admission_charge(u->r, n);
}

static void follow(struct run *u)
{
    bool go_on = true;

    if (u->g.params->stream)
        go_on = begin_stream(u);
    while (go_on && u->open) {
        struct event ev;

        /* Events that come without a pause must not keep it from being looked at. */
        if (request_stopped(u->r) || deadline_left_ms(&u->deadline, 1) <= 0 ||
            !inbox_wait(u->inbox, wait_ms(u), &ev)) {
            go_on = look_around(u);
            continue;
        }
        tally_event(&u->tally, &ev, &u->g.choices[ev.tag].last_ms);
        charge(u, &ev);
        go_on = take(u, &ev);
        event_done(&ev);
    }
    if (go_on && u->g.params->stream)
        end_stream(u);
    else if (go_on && u->ask->best_of)
        generation_keep_best(&u->g, u->g.params->n);
    if (go_on && !u->g.params->stream)
        u->d->whole(&u->p->body, &u->g);
    else if (!go_on && u->sse.reply && u->sse.gone)
        u->p->note.cancelled = true;
    if (u->open)
        tally_broken(&u->tally, u->p->note.cancelled);
    else
        note_usage(u);
}

static int submit(struct run *u, const struct generation_ask *ask, struct err *e)
{
    const struct params *params = ask->params;
    int rc = 0;

    for (size_t i = 0; i < u->g.n_choices && !rc; i++) {
        struct job_request *j = &ask->jobs[i / u->n_each];

        j->id = u->g.id;
        j->owner = admission_name(u->r);
        params_fill(params, i % u->n_each, j);
        j->top_logprobs = ask->best_of && ask->top_logprobs < 0 ? 0 : ask->top_logprobs;
        j->prompt_logprobs = ask->prompt_logprobs;
        u->g.choices[i].text.limit = MAX_BODY_BYTES;
        u->g.choices[i].echo = ask->echoes ? ask->echoes[i / u->n_each] : NULL;
        rc = request_stopped(u->r);
        if (rc)
            return err_set(e, rc, "the client left before its request was started");
        j->show_control = u->g.form != NULL;
        rc = engine_submit(ask->model->engine, j, u->inbox, i, &u->jobs[i], e);
        if (!rc && u->g.form)
            generation_begin_split(u, i);
    }
    u->open = u->g.n_choices;
    u->r->slot.state = SLOT_QUEUED;
    return rc;
}

void generation_run(struct app *app, struct request *r, struct reply *p,
                    const struct generation_ask *ask)
{
    size_t each = ask->best_of ? ask->best_of : ask->params->n, n = ask->n_prompts * each;
    struct run u = { .app = app, .r = r, .p = p, .ask = ask, .d = ask->dialect, .n_each = each };
    struct err e = { 0 };

    u.g = (struct generation){ .params = ask->params,
                               .form = ask->form,
                               .model = ask->model->name,
                               .n_choices = n,
                               .n_prompts = ask->n_prompts,
                               .top_logprobs = ask->top_logprobs,
                               .created = (long long)r->created,
                               .own = ask->own };
    u.tally = (struct tally){ .metrics = ask->model->metrics, .start_ms = r->start_ms };
    envelope_id(u.g.id, sizeof u.g.id, ask->dialect->id_prefix);
    envelope_fingerprint(u.g.fingerprint, sizeof u.g.fingerprint, ask->model->engine);
    r->slot.model = ask->model->name;
    deadline_init(&u.deadline, app->config, r);
    u.g.choices = arena_array(&r->arena, n, sizeof *u.g.choices);
    u.jobs = arena_array(&r->arena, n, sizeof *u.jobs);
    if (!u.g.choices || !u.jobs) {
        field_no_memory(&e);
        reply_err(p, &e);
        return;
    }
    if (inbox_create(&u.inbox, &e)) {
        reply_err(p, &e);
        return;
    }
    request_on_stop(r, wake, u.inbox);
    if (submit(&u, ask, &e)) {
        p->note.cancelled = e.code == ERR_CANCELLED;
        reply_err(p, &e);
    } else {
        follow(&u);
    }
    request_on_stop(r, NULL, NULL);
    for (size_t i = 0; i < n; i++) {
        job_free(u.jobs[i]);
        split_done(&u.g.choices[i].split);
        buf_done(&u.g.choices[i].text);
        for (size_t k = 0; k < 4; k++)
            buf_done(&u.g.choices[i].lists[k]);
    }
    inbox_free(u.inbox);
    buf_done(&u.frame);
}
