/* generation_parts.c - answers whose text is more than content: each event's text goes through the
 * choice's split, and the parts that come out are sent or kept. */
#include "fcgi/api/generation_run.h"

enum { PROMPT_END_BYTES = 96 };

static bool send_part(struct run *u, size_t index, const struct part *part, const struct event *ev)
{
    buf_reset(&u->frame);
    u->d->part(&u->frame, &u->g, index, part, ev);
    return generation_send_frames(u);
}

/* Sends or keeps the parts that came out of a choice's split; ev: what they came of, or NULL. */
static bool deal_parts(struct run *u, size_t index, const struct event *ev)
{
    struct choice *c = &u->g.choices[index];
    bool stream = u->g.params->stream, ok = true;

    for (size_t i = 0; ok && i < c->split.n_parts; i++) {
        const struct part *part = &c->split.parts[i];

        /* What follows the only call is not told, however far the model came before it stopped. */
        if (u->g.form->one_call && c->n_calls && (part->kind != PART_ARGUMENTS || part->call > 0))
            continue;
        c->n_calls += part->kind == PART_CALL;
        if (!stream) {
            u->d->keep_part(&u->g, index, part);
            continue;
        }
        ok = send_part(u, index, part, ev);
        ev = NULL; /* its log-probabilities are told */
    }
    if (ok && stream && ev && ev->n_logprobs) {
        struct event bare = *ev;

        bare.text_len = 0;
        ok = generation_send_delta(u, index, &bare);
    }
    split_take(&c->split);
    return ok;
}

/* Of an event's tokens, those whose text is reasoning: all, none, or at its border their share. */
static void count_reasoning(struct choice *c, const struct event *ev, bool before)
{
    size_t bytes = 0;

    if (!before && !split_in_reasoning(&c->split))
        return;
    for (size_t i = 0; i < c->split.n_parts; i++)
        if (c->split.parts[i].kind != PART_REASONING)
            bytes += c->split.parts[i].len;
    c->reasoning_tokens +=
        ev->n_tokens - (ev->text_len ? ev->n_tokens * bytes / (ev->text_len + 1) : 0);
}

bool generation_take_split(struct run *u, const struct event *ev)
{
    struct choice *c = &u->g.choices[ev->tag];
    bool before = split_in_reasoning(&c->split);
    struct err e;

    split_push(&c->split, ev->text, ev->text_len);
    if (c->split.failed) {
        err_set(&e, ERR_NOMEM, "out of memory while answering");
        generation_fail(u, &e);
        return false;
    }
    count_reasoning(c, ev, before);
    if (!deal_parts(u, ev->tag, ev))
        return false;
    if (u->g.form->one_call && c->n_calls && (c->split.n_calls > 1 || !split_in_call(&c->split))) {
        c->enough = true;
        job_stop(u->jobs[ev->tag]);
    }
    return true;
}

/* A call that was cut (by a stop string, or for length) is not what the answer ended with. */
bool generation_end_split(struct run *u, size_t index)
{
    struct choice *c = &u->g.choices[index];
    bool cut = split_in_call(&c->split) && !c->enough;

    split_finish(&c->split);
    if (!deal_parts(u, index, NULL))
        return false;
    if (c->n_calls && !cut && c->finish == FINISH_STOP)
        c->finish_name = u->g.form->legacy ? "function_call" : "tool_calls";
    return true;
}

/* The prompt's end says whether the answer begins within reasoning. */
void generation_begin_split(struct run *u, size_t index)
{
    struct split_options o = u->g.form->split;
    char end[PROMPT_END_BYTES];

    job_prompt_end(u->jobs[index], end, sizeof end);
    o.prompt_end = end;
    split_init(&u->g.choices[index].split, &o);
    u->g.choices[index].split.o.prompt_end = NULL;
}
