/* batch.c - the step: passes are composed (batch_compose.c), evaluated, and what they gave handed
 * out (batch_harvest.c); and how jobs end.
 *
 * A prompt's keys and values do not depend on how it was cut into passes, nor a pass's on how it
 * was cut into slices, so both only shift time between those who wait for their first token and
 * those who wait for their next (inference/pace.h says how). */
#include "inference/batch_parts.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/clock.h"

enum { MAX_SAMPLERS = 8 }; /* each has several numbers for each token of the vocabulary */

static int open_choices(struct batch *b, size_t n_vocab, struct err *e)
{
    size_t n = forward_threads(b->tokens.forward), words = n_vocab / 64 + 1;
    int rc = 0;

    n = n < b->max_batch ? n : b->max_batch;
    n = n < MAX_SAMPLERS ? n : MAX_SAMPLERS;
    b->choices = calloc(b->max_batch, sizeof *b->choices);
    b->masks = calloc(b->max_batch, words * sizeof *b->masks);
    b->more_samplers = calloc(n, sizeof *b->more_samplers);
    if (!b->choices || !b->masks || !b->more_samplers)
        return err_set(e, ERR_NOMEM, "no memory for a batch of %zu sequences", b->max_batch);
    for (size_t i = 0; i < b->max_batch; i++)
        b->choices[i].mask = b->masks + i * words;
    for (; rc == 0 && b->n_more_samplers + 1 < n; b->n_more_samplers += rc == 0)
        rc = sampler_open(&b->more_samplers[b->n_more_samplers], n_vocab, e);
    return rc;
}

int batch_open(struct batch *b, struct scheduler *s, struct kvcache *c,
               const struct batch_forwards *f, const struct tokenizer *t, size_t n_vocab,
               size_t max_batch, struct err *e)
{
    size_t max_rows = f->max_drafted_rows > max_batch ? f->max_drafted_rows : max_batch;
    int rc = 0;

    *b = (struct batch){ .scheduler = s,
                         .cache = c,
                         .tokenizer = t,
                         .max_batch = max_batch,
                         .max_drafted_rows = f->max_drafted_rows };
    drafts_init(&b->drafts);
    b->jobs = calloc(max_batch, sizeof *b->jobs);
    b->drafters = calloc(max_batch, sizeof *b->drafters);
    b->drafter_jobs = calloc(max_batch, sizeof *b->drafter_jobs);
    b->forced = calloc(max_batch, sizeof *b->forced);
    if (!b->jobs || !b->drafters || !b->drafter_jobs || !b->forced)
        rc = err_set(e, ERR_NOMEM, "no memory for a batch of %zu sequences", max_batch);
    if (rc == 0)
        rc = pass_open(&b->prompts, f->prompts, true, f->max_rows, max_batch, max_batch, e);
    if (rc == 0)
        rc = pass_open(&b->tokens, f->tokens, false, max_rows, max_batch, max_rows, e);
    if (rc == 0)
        rc = sampler_open(&b->sampler, n_vocab, e);
    if (rc == 0)
        rc = open_choices(b, n_vocab, e);
    if (rc == 0)
        rc = end_tokens_find(&b->ends, t, n_vocab, e);
    if (rc)
        batch_close(b);
    return rc;
}

void batch_close(struct batch *b)
{
    for (size_t i = 0; i < b->n_more_samplers; i++)
        sampler_close(&b->more_samplers[i]);
    free(b->more_samplers);
    free(b->choices);
    free(b->masks);
    sampler_close(&b->sampler);
    pass_close(&b->prompts);
    pass_close(&b->tokens);
    free(b->jobs);
    free(b->drafters);
    free(b->drafter_jobs);
    free(b->forced);
    end_tokens_done(&b->ends);
    *b = (struct batch){ 0 };
}

/* --- endings --- */

/* Times are those of clock_ms(); a job that never came to its first token spent all on its prompt.
 */
static void fill_usage(const struct job *j, struct usage *u)
{
    double now = clock_ms(), first = j->first_ms > 0 ? j->first_ms : now;

    u->prompt_tokens = j->n_prompt;
    u->generated_tokens = j->n_ids - j->n_prompt;
    u->cached_tokens = j->n_cached;
    u->queue_ms = j->started_ms - j->queued_ms;
    u->prompt_ms = first - j->started_ms;
    u->generate_ms = now - first;
    u->predicted_tokens = j->speculate.n_predicted;
    if (j->n_prediction > u->predicted_tokens)
        u->mispredicted_tokens = j->n_prediction - u->predicted_tokens;
}

/* The end is told by sweep(), after the step's counters: a client that saw it sees them too. */
void batch_finish(struct job *j, enum finish why)
{
    struct event *ev = &j->last->event;

    ev->kind = EVENT_DONE;
    ev->finish = why;
    fill_usage(j, &ev->usage);
    j->over = true;
}

void batch_fail(struct job *j, const struct err *e)
{
    j->last->event.kind = EVENT_FAILED;
    j->last->event.err = *e;
    fill_usage(j, &j->last->event.usage);
    j->over = true;
}

/* Makes what was evaluated of it known to those to come. */
void batch_keep(struct batch *b, struct job *j)
{
    size_t n = j->n_done;

    if (b->prefix_cache == PREFIX_CACHE_PROMPTS && n > j->n_prompt)
        n = j->n_prompt;
    if (batch_shares(b, j))
        kvcache_keep(b->cache, &j->table, j->ids, n);
}

/* Gives the job's pages back, with what was evaluated known to those to come, and tells its end. */
static void leave(struct batch *b, struct job *j)
{
    batch_keep(b, j);
    kvcache_drop(b->cache, &j->table);
    scheduler_end(b->scheduler, j, kvcache_use(b->cache));
}

/* Is there nobody left who waits for the pass of prompts under way? */
static bool prompts_are_vain(const struct batch *b)
{
    const struct pass *p = &b->prompts;

    if (!pass_under_way(p))
        return false;
    for (size_t i = 0; i < p->n_spans; i++)
        if (!scheduler_cancelled(b->scheduler, p->span_jobs[i]))
            return false;
    return true;
}

/* Between passes its jobs may be gone. */
static void give_up_prompts(struct batch *b)
{
    if (!pass_under_way(&b->prompts))
        return;
    for (size_t i = 0; i < b->prompts.n_spans; i++)
        b->prompts.span_jobs[i]->in_prompts = false;
    pass_clear(&b->prompts);
}

static void sweep(struct batch *b)
{
    size_t kept = 0;

    if (prompts_are_vain(b))
        give_up_prompts(b);
    for (size_t i = 0; i < b->n_jobs; i++) {
        struct job *j = b->jobs[i];

        if (!j->in_prompts && (j->over || scheduler_cancelled(b->scheduler, j)))
            leave(b, j);
        else
            b->jobs[kept++] = j;
    }
    b->n_jobs = kept;
}

void batch_clear(struct batch *b, const struct err *why)
{
    give_up_prompts(b);
    for (size_t i = 0; i < b->n_jobs; i++) {
        b->jobs[i]->in_prompts = false; /* of a pass that has ended and was not harvested */
        batch_fail(b->jobs[i], why);
    }
    sweep(b);
}
/* --- a step --- */

/* What was computed with zeros in place of weights, or by a device that has failed, is not told. */
static bool is_damaged(const struct batch *b)
{
    return (b->weights && weights_lost(b->weights)) || forward_check(b->tokens.forward, NULL);
}

static bool anybody_generates(const struct batch *b)
{
    for (size_t i = 0; i < b->n_jobs; i++)
        if (batch_is_generating(b->jobs[i]))
            return true;
    return false;
}

/* As much of the waiting prompts as the pace allows; a new pass where none is under way.  False:
 * none waits, or it is for once only listened to those who generate. */
static bool slice_prompts(struct batch *b)
{
    bool others_generate = anybody_generates(b);
    struct pass *p = &b->prompts;
    struct pace_work w;
    double start;

    if (!pass_under_way(p))
        batch_compose_prompts(b, others_generate);
    if (!pass_under_way(p))
        return false;
    if (others_generate && pace_listens(&b->pace))
        return false;
    w = pass_slice(p, &b->pace, others_generate);
    start = clock_ms();
    pass_advance(p, w.n_stages);
    pace_sliced(&b->pace, &w, clock_ms() - start);
    if (!pass_under_way(p) && !is_damaged(b))
        batch_harvest_prompts(b);
    return true;
}

static void generate(struct batch *b, bool after_slice)
{
    struct pass *p = &b->tokens;
    double start, ms;

    batch_compose_tokens(b, after_slice);
    if (!p->n_rows)
        return;
    pass_begin(p, 0);
    start = clock_ms();
    pass_advance(p, p->n_left);
    ms = clock_ms() - start;
    if (!after_slice) /* which leaves the caches full of other things */
        drafts_took(&b->drafts, p->n_rows, ms);
    pace_generated(&b->pace, p->n_spans, after_slice,
                   drafts_ms_of(&b->drafts, p->n_rows, ms, p->n_spans));
    if (!is_damaged(b))
        batch_harvest_tokens(b);
}

void batch_step(struct batch *b)
{
    bool sliced;

    b->step = (struct token_counts){ 0 };
    sweep(b);
    batch_go_far(b);
    sliced = slice_prompts(b);
    batch_go_far(b); /* with its first token a prompt may be */
    generate(b, sliced);
    scheduler_charge(b->scheduler, b->jobs, b->n_jobs);
    batch_requeue_preempted(b);
    scheduler_stepped(b->scheduler, &b->step, kvcache_use(b->cache));
    sweep(b);
}
