/* batch_harvest.c - what a pass gave becomes tokens, and tokens what is told. */
#include "inference/batch_parts.h"

#include <string.h>

#include "kernels/base/clock.h"

/* n alternatives; an id of -1 stands for nothing. */
static void fill_pieces(const struct batch *b, struct token_logprob *l, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct str piece = tokenizer_piece(b->tokenizer, l[i].id, false);

        l[i].bytes = piece.data;
        l[i].n_bytes = piece.len;
    }
}

/* One more token of j; sees whether that was the end. */
static void take_token(struct batch *b, struct job *j, int32_t id, const struct token_logprob *lp)
{
    bool stops = !batch_is_too_early(j);
    struct err e;

    j->ids[j->n_ids++] = id;
    speculate_push(&j->speculate);
    b->step.generated++;
    if (j->first_ms <= 0)
        j->first_ms = clock_ms();
    if (batch_is_end(b, j, id)) {
        (void)answer_finish(&j->answer);
        batch_finish(j, FINISH_STOP);
    } else if (guide_take(&j->guide, tokenizer_piece(b->tokenizer, id, false), &e)) {
        batch_fail(j, &e);
    } else if (answer_push(&j->answer, id, lp, stops)) {
        batch_finish(j, FINISH_STOP);
    } else if (guide_is_complete(&j->guide) ||
               atomic_load_explicit(&j->enough, memory_order_relaxed)) {
        (void)answer_finish(&j->answer);
        batch_finish(j, FINISH_STOP);
    } else if (j->n_ids == job_max_tokens(j)) {
        batch_finish(j, answer_finish(&j->answer) ? FINISH_STOP : FINISH_LENGTH);
    }
}

/* Sends what may be shown of the tokens taken. */
static void tell(struct batch *b, struct job *j)
{
    struct event_node *n = answer_take(&j->answer, j->tag);
    struct err e;

    if (n)
        scheduler_post(b->scheduler, j, n);
    if (j->answer.failed) {
        err_set(&e, ERR_NOMEM, "out of memory while answering");
        batch_fail(j, &e);
    }
}

/* Output i of a pass: its job's next token, chosen after all before it: by what was chosen, not by
 * what was guessed.  ahead: NULL, or the choice that was made already. */
static void take_output(struct batch *b, const struct pass *pass, size_t i,
                        struct batch_choice *ahead)
{
    struct job *j = pass->out_jobs[i];
    struct batch_choice here;

    if (!ahead) {
        batch_choose(b, pass, i, &here);
        ahead = &here;
    }
    if (ahead->id < 0)
        return;
    if (j->top_logprobs >= 0)
        fill_pieces(b, ahead->logprobs, 1 + (size_t)j->top_logprobs);
    take_token(b, j, ahead->id, j->top_logprobs >= 0 ? ahead->logprobs : NULL);
}

/* Hidden states of a pass that j gets, from number `at` on; the end, where they are all there. */
static void take_hidden(struct batch *b, struct job *j, size_t at, size_t n)
{
    struct event *ev = &j->last->event;

    for (size_t i = at; i < at + n; i++)
        pooled_add(&j->pooled, forward_hidden(b->prompts.forward, i));
    if (!batch_is_generating(j))
        return;
    pooled_mean(&j->pooled, ev->vector);
    j->first_ms = clock_ms();
    batch_finish(j, FINISH_STOP);
}

/* Output i of a pass of prompts.  One that is scored has the pass to itself. */
static void take_prompt_output(struct batch *b, size_t i)
{
    const struct pass *p = &b->prompts;
    struct job *j = p->out_jobs[i];
    size_t next = p->spans[0].pos + (size_t)p->out_rows[i] + 1;
    struct event_node *n;

    if (scored_wanted(&j->scored) && next < j->n_prompt) {
        scored_put(&j->scored, &b->sampler, forward_logits(p->forward, i), j->ids, next);
        return;
    }
    if (scored_wanted(&j->scored)) {
        n = scored_take(&j->scored, b->tokenizer, j->tag);
        if (n)
            scheduler_post(b->scheduler, j, n);
        j->answer.failed |= !n;
    }
    if (j->max_new)
        take_output(b, p, i, NULL);
}

void batch_harvest_prompts(struct batch *b)
{
    struct pass *p = &b->prompts;
    size_t hidden = 0;

    for (size_t i = 0; i < p->n_spans; i++) {
        struct job *j = p->span_jobs[i];

        j->in_prompts = false;
        j->n_done += p->spans[i].n;
        if (batch_embeds(j))
            take_hidden(b, j, hidden, p->span_hidden[i]);
        hidden += p->span_hidden[i];
        if (!batch_is_generating(j))
            continue;
        /* Others with the same beginning need not wait for the end of the answer. */
        batch_keep(b, j);
        if (batch_embeds(j))
            continue;
        if (!j->max_new)
            batch_finish(j, FINISH_LENGTH);
        else if (j->n_ids == j->n_prompt && b->max_drafted_rows && !j->no_speculation)
            /* without memory for it, it does not speculate */
            (void)speculate_init(&j->speculate, j->ids, j->n_prompt, job_max_tokens(j),
                                 j->prediction, j->n_prediction);
    }
    for (size_t i = 0; i < p->n_outputs; i++) {
        take_prompt_output(b, i);
        tell(b, p->out_jobs[i]);
    }
    b->step.prompt += p->n_rows;
}

/* Rows that want logits give the token after their own; o is the first such output of the span.
 * Rows behind a guess that was not chosen are void: their positions come again in the next pass. */
static size_t harvest_span(struct batch *b, const struct seq_span *span, struct job *j, size_t o,
                           struct batch_choice *ahead)
{
    const struct pass *p = &b->tokens;
    size_t end = o;

    while (end < p->n_outputs && p->out_jobs[end] == j)
        end++;
    j->n_done += span->n - (end - o);
    for (size_t i = o; i < end; i++) {
        take_output(b, p, i, i == o ? ahead : NULL);
        j->n_done++;
        if (j->over || i + 1 == end || j->ids[j->n_ids - 1] != p->ids[p->out_rows[i] + 1])
            break;
        b->step.accepted++;
    }
    tell(b, j);
    return end;
}

void batch_harvest_tokens(struct batch *b)
{
    struct pass *p = &b->tokens;
    bool ahead = batch_choose_ahead(b);
    size_t o = 0;

    for (size_t i = 0; i < p->n_spans; i++)
        o = harvest_span(b, &p->spans[i], p->span_jobs[i], o, ahead ? &b->choices[i] : NULL);
}
