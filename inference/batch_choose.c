/* batch_choose.c - from the logits of an output to its token.
 *
 * What a sequence may go on with is found on the engine's thread, since sequences of one schema
 * share what is known of it; the walks over the vocabulary, which cost more, are those of any
 * thread that evaluates: each with a scratch of its own, each sequence with its own generator, so
 * that a token does not depend on who chose it. */
#include "inference/batch_parts.h"

#include <string.h>

static bool is_stop_id(const struct job *j, int32_t id)
{
    for (size_t i = 0; i < j->n_stop_ids; i++)
        if (j->stop_ids[i] == id)
            return true;
    return false;
}

bool batch_is_end(const struct batch *b, const struct job *j, int32_t id)
{
    return (tokenizer_is_end(b->tokenizer, id) && !j->ignore_end) || is_stop_id(j, id);
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
    for (size_t i = 0; i < (b->sampler.n_vocab + 63) / 64; i++)
        left |= mask[i];
    return left != 0;
}

static int guide_mask(struct batch *b, struct job *j, uint64_t *mask)
{
    struct err e;
    int rc = guide_allow(&j->guide, j->ignore_end ? NULL : &b->ends, mask, &e);

    if (rc)
        batch_fail(j, &e);
    return rc;
}

/* What c's job may go on with.  Not 0: it failed. */
static int allow(struct batch *b, struct batch_choice *c)
{
    struct job *j = c->job;
    bool too_early = batch_is_too_early(j);
    int rc = 0;

    c->masked = j->guide.shape || too_early;
    if (!c->masked)
        return 0;
    if (j->guide.shape)
        rc = guide_mask(b, j, c->mask);
    else
        memset(c->mask, 0xff, (b->sampler.n_vocab / 64 + 1) * sizeof *c->mask);
    if (rc == 0 && too_early && !forbid_ends(b, j, c->mask) && j->guide.shape)
        rc = guide_mask(b, j, c->mask);
    return rc;
}

/* The engine thread's part.  Where it leaves logits there is work for finish(). */
static void begin(struct batch *b, const struct pass *p, size_t output, struct batch_choice *c)
{
    struct job *j = p->out_jobs[output];
    struct top_logits top;

    c->job = j;
    c->logits = NULL;
    c->id = -1;
    if (job_takes_argmax(j)) {
        c->id = forward_argmax(p->forward, output);
        if (batch_is_too_early(j) && batch_is_end(b, j, c->id))
            c->id = -1;
    }
    if (c->id >= 0 && j->top_logprobs >= 0 && forward_top(p->forward, output, &top))
        sampler_logprobs_of_top(top.ids, top.logits, top.log_sum, c->id, (size_t)j->top_logprobs,
                                c->logprobs);
    else if (c->id >= 0 ? j->top_logprobs >= 0 : allow(b, c) == 0)
        c->logits = forward_logits(p->forward, output);
}

/* Any thread's. */
static void finish(const struct batch *b, struct sampler *s, struct batch_choice *c)
{
    struct job *j = c->job;
    const struct sampling *p = &j->sampling;
    struct dry *dry = &j->sampler.dry;

    if (!c->logits)
        return;
    if (c->id < 0) {
        const float *x = c->masked ? sampler_allow(s, c->logits, c->mask) : c->logits;

        while (dry_wanted(p) && dry->n_seen < j->n_ids)
            dry_push(dry, p, tokenizer_piece(b->tokenizer, j->ids[dry->n_seen], true));
        c->id = sampler_pick(s, x, p, j->ids, j->n_prompt, j->n_ids, &j->sampler);
    }
    if (j->top_logprobs >= 0)
        sampler_logprobs(s, c->logits, c->id, (size_t)j->top_logprobs, c->logprobs);
}

void batch_choose(struct batch *b, const struct pass *p, size_t output, struct batch_choice *c)
{
    c->mask = b->masks;
    begin(b, p, output, c);
    finish(b, &b->sampler, c);
}

static void finish_one(void *arg, size_t i, size_t thread)
{
    struct batch *b = arg;

    finish(b, thread ? &b->more_samplers[thread - 1] : &b->sampler, &b->choices[i]);
}

bool batch_choose_ahead(struct batch *b)
{
    const struct pass *p = &b->tokens;
    size_t o = 0;

    if (!b->n_more_samplers || p->n_spans < 2)
        return false;
    for (size_t i = 0; i < p->n_spans; i++) {
        struct batch_choice *c = &b->choices[i];

        c->job = p->span_jobs[i];
        c->logits = NULL;
        if (o < p->n_outputs && p->out_jobs[o] == c->job)
            begin(b, p, o, c);
        while (o < p->n_outputs && p->out_jobs[o] == c->job)
            o++;
    }
    forward_each(p->forward, finish_one, b, p->n_spans, 1 + b->n_more_samplers);
    return true;
}
