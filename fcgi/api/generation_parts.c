/* generation_parts.c - answers whose text is more than content: each event's text goes through the
 * choice's split, and the parts that come out are sent or kept. */
#include "fcgi/api/generation_run.h"

#include <string.h>

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

/* The next token of an event's text from *at on, or what is behind the last one; *n_logprobs: that
 * became known with it. */
static bool push_token(struct choice *c, const struct event *ev, size_t *at, size_t *n_logprobs)
{
    const char *text = ev->text + *at, *end = memchr(text, TEXT_TOKEN, ev->text_len - *at);
    size_t len = end ? (size_t)(end - text) + 1 : ev->text_len - *at;

    *n_logprobs = 0;
    for (size_t i = 0; i < len; i++)
        *n_logprobs += (unsigned char)text[i] == TEXT_LOGPROB;
    split_push(&c->split, text, len);
    *at += len;
    return *at < ev->text_len;
}

/* The next n logprobs of an event are told with the parts that came out, or kept. */
static bool deal(struct run *u, struct event *ev, size_t n)
{
    struct choice *c = &u->g.choices[ev->tag];
    size_t width = 1 + (size_t)u->g.top_logprobs;
    struct event some = *ev;
    bool ok;

    if (n > ev->n_logprobs) /* by a control token whose name has such bytes */
        n = ev->n_logprobs;
    some.n_logprobs = n;
    if (n && !u->g.params->stream)
        u->d->keep(&u->g, ev->tag, &some);
    ok = deal_parts(u, ev->tag, &some);
    c->n_logprobs += n;
    ev->logprobs += n * width;
    ev->n_logprobs -= n;
    return ok;
}

/* Of an answer that ends with its only call: is that complete? */
static bool is_enough(const struct run *u, const struct choice *c)
{
    return u->g.form->one_call && c->split.n_calls &&
           (c->split.n_calls > 1 || !split_in_call(&c->split));
}

/* What the model wrote before it stopped is not told, and what it costs is not either. */
static void take_enough(struct run *u, size_t index)
{
    struct choice *c = &u->g.choices[index];

    c->enough = true;
    c->n_tokens = c->split.n_tokens;
    job_stop(u->jobs[index]);
}

/* Token by token, so that it does not matter which of them came in one event: neither which
 * logprobs go with which part, nor where the answer is enough. */
bool generation_take_split(struct run *u, const struct event *event)
{
    struct choice *c = &u->g.choices[event->tag];
    struct event ev = *event;
    size_t at = 0, n;
    bool more = ev.text_len > 0, ok = true;
    struct err e;

    while (ok && more && !c->enough) {
        more = push_token(c, &ev, &at, &n);
        if (u->g.top_logprobs >= 0)
            ok = deal(u, &ev, n);
        if (is_enough(u, c))
            take_enough(u, ev.tag);
    }
    if (c->split.failed) {
        err_set(&e, ERR_NOMEM, "out of memory while answering");
        generation_fail(u, &e);
        return false;
    }
    if (!ok || u->g.top_logprobs < 0)
        return ok && deal_parts(u, ev.tag, &ev);
    /* Those of its own tokens come later where a stop string could have begun in them. */
    return deal(u, &ev, c->enough ? c->n_tokens - c->n_logprobs : ev.n_logprobs);
}

/* A call that was cut (by a stop string, or for length) is not what the answer ended with. */
bool generation_end_split(struct run *u, size_t index)
{
    struct choice *c = &u->g.choices[index];
    bool cut = split_in_call(&c->split) && !c->enough;

    c->reasoning_tokens = c->split.n_reasoning;
    if (c->enough) {
        c->finish = FINISH_STOP;
        c->usage.generated_tokens = c->n_tokens;
    }
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
