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

static bool is_stop_id(const struct job *j, int32_t id)
{
    for (size_t i = 0; i < j->n_stop_ids; i++)
        if (j->stop_ids[i] == id)
            return true;
    return false;
}

/* Does the text end before this token? */
static bool is_end(const struct batch *b, const struct job *j, int32_t id)
{
    return (tokenizer_is_end(b->tokenizer, id) && !j->ignore_end) || is_stop_id(j, id);
}

static bool is_too_early(const struct job *j)
{
    return j->n_ids - j->n_prompt < j->min_tokens;
}

/* One more token of j; sees whether that was the end. */
static void take_token(struct batch *b, struct job *j, int32_t id, const struct token_logprob *lp)
{
    bool stops = !is_too_early(j);
    struct err e;

    j->ids[j->n_ids++] = id;
    speculate_push(&j->speculate);
    b->step.generated++;
    if (j->first_ms <= 0)
        j->first_ms = clock_ms();
    if (is_end(b, j, id)) {
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

/* Before so many tokens (struct job_request's min_tokens) what ends the text is not chosen.  False:
 * nothing else would be left. */
static bool forbid_ends(const struct batch *b, const struct job *j, uint64_t *mask)
{
    uint64_t left = 0;

    for (size_t i = 0; !j->ignore_end && i < b->ends.n; i++)
        mask[b->ends.ids[i] / 64] &= ~(1ull << b->ends.ids[i] % 64);
    for (size_t i = 0; i < j->n_stop_ids; i++)
        mask[j->stop_ids[i] / 64] &= ~(1ull << j->stop_ids[i] % 64);
    for (size_t i = 0; i <= b->sampler.n_vocab / 64; i++)
        left |= mask[i];
    return left != 0;
}

static int guide_mask(struct batch *b, struct job *j)
{
    struct err e;
    int rc = guide_allow(&j->guide, j->ignore_end ? NULL : &b->ends, b->mask, &e);

    if (rc)
        batch_fail(j, &e);
    return rc;
}

/* The logits of what j may go on with.  NULL: it failed. */
static const float *allowed_logits(struct batch *b, struct job *j, const float *logits)
{
    bool too_early = is_too_early(j);

    if (!j->guide.shape && !too_early)
        return logits;
    if (!j->guide.shape)
        memset(b->mask, 0xff, (b->sampler.n_vocab / 64 + 1) * sizeof *b->mask);
    else if (guide_mask(b, j))
        return NULL;
    if (too_early && !forbid_ends(b, j, b->mask) && j->guide.shape && guide_mask(b, j))
        return NULL;
    return sampler_allow(&b->sampler, logits, b->mask);
}

/* The next token of j by these logits, or -1: it failed. */
static int32_t choose(struct batch *b, struct job *j, const float *logits)
{
    const struct sampling *p = &j->sampling;
    struct dry *dry = &j->sampler.dry;

    logits = allowed_logits(b, j, logits);
    if (!logits)
        return -1;
    while (dry_wanted(p) && dry->n_seen < j->n_ids)
        dry_push(dry, p, tokenizer_piece(b->tokenizer, j->ids[dry->n_seen], true));
    return sampler_pick(&b->sampler, logits, p, j->ids, j->n_prompt, j->n_ids, &j->sampler);
}

/* Output i of a pass: its job's next token, chosen after all before it: by what was chosen, not by
 * what was guessed. */
static void take_output(struct batch *b, const struct pass *pass, size_t i)
{
    struct token_logprob lp[1 + SAMPLER_MAX_TOP];
    struct job *j = pass->out_jobs[i];
    int32_t id = -1;

    if (sampler_is_argmax(&j->sampling) && !j->guide.shape) {
        id = forward_argmax(pass->forward, i);
        if (is_too_early(j) && is_end(b, j, id))
            id = -1;
    }
    if (id < 0)
        id = choose(b, j, forward_logits(pass->forward, i));
    if (id < 0)
        return;
    if (j->top_logprobs >= 0) {
        size_t n_top = (size_t)j->top_logprobs;

        sampler_logprobs(&b->sampler, forward_logits(pass->forward, i), id, n_top, lp);
        fill_pieces(b, lp, 1 + n_top);
    }
    take_token(b, j, id, j->top_logprobs >= 0 ? lp : NULL);
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
        take_output(b, p, i);
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
static size_t harvest_span(struct batch *b, const struct seq_span *span, struct job *j, size_t o)
{
    const struct pass *p = &b->tokens;
    size_t end = o;

    while (end < p->n_outputs && p->out_jobs[end] == j)
        end++;
    j->n_done += span->n - (end - o);
    for (size_t i = o; i < end; i++) {
        take_output(b, p, i);
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
    size_t o = 0;

    for (size_t i = 0; i < p->n_spans; i++)
        o = harvest_span(b, &p->spans[i], p->span_jobs[i], o);
}
