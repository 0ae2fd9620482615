/* batch.c - composing passes, and handing out what they gave.
 *
 * A prompt's keys and values do not depend on how it was cut into passes, nor a pass's on how it
 * was cut into slices, so both only shift time between those who wait for their first token and
 * those who wait for their next (inference/pace.h says how). */
#include "inference/batch.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/clock.h"

enum { DRAFTS_BESIDE_PROMPT = 3 }; /* rows */

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
    b->mask = calloc(n_vocab / 64 + 1, sizeof *b->mask);
    if (!b->jobs || !b->drafters || !b->drafter_jobs || !b->forced || !b->mask)
        rc = err_set(e, ERR_NOMEM, "no memory for a batch of %zu sequences", max_batch);
    if (rc == 0)
        rc = pass_open(&b->prompts, f->prompts, true, f->max_rows, max_batch, max_batch, e);
    if (rc == 0)
        rc = pass_open(&b->tokens, f->tokens, false, max_rows, max_batch, max_rows, e);
    if (rc == 0)
        rc = sampler_open(&b->sampler, n_vocab, e);
    if (rc == 0)
        rc = end_tokens_find(&b->ends, t, n_vocab, e);
    if (rc)
        batch_close(b);
    return rc;
}

void batch_close(struct batch *b)
{
    sampler_close(&b->sampler);
    pass_close(&b->prompts);
    pass_close(&b->tokens);
    free(b->jobs);
    free(b->drafters);
    free(b->drafter_jobs);
    free(b->forced);
    free(b->mask);
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
static void finish(struct job *j, enum finish why)
{
    struct event *ev = &j->last->event;

    ev->kind = EVENT_DONE;
    ev->finish = why;
    fill_usage(j, &ev->usage);
    j->over = true;
}

static void fail(struct job *j, const struct err *e)
{
    j->last->event.kind = EVENT_FAILED;
    j->last->event.err = *e;
    fill_usage(j, &j->last->event.usage);
    j->over = true;
}

/* Makes what was evaluated of it known to those to come. */
static void keep(struct batch *b, struct job *j)
{
    size_t n = j->n_done;

    if (b->prefix_cache == PREFIX_CACHE_PROMPTS && n > j->n_prompt)
        n = j->n_prompt;
    if (b->prefix_cache != PREFIX_CACHE_OFF && !j->far)
        kvcache_keep(b->cache, &j->table, j->ids, n);
}

/* Gives the job's pages back, with what was evaluated known to those to come, and tells its end. */
static void leave(struct batch *b, struct job *j)
{
    keep(b, j);
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

void batch_clear(struct batch *b)
{
    struct err e;

    give_up_prompts(b);
    err_set(&e, ERR_CLOSING, "the server is shutting down");
    for (size_t i = 0; i < b->n_jobs; i++)
        fail(b->jobs[i], &e);
    sweep(b);
}

/* --- composing passes --- */

/* Where a sequence becomes far, all of it is evaluated anew: its keys stand otherwise rotated in
 * the cache.  What is known of far ones is not kept for others, whose may be near. */
static void go_far(struct batch *b)
{
    for (size_t i = 0; b->near_tokens && i < b->n_jobs; i++) {
        struct job *j = b->jobs[i];

        if (j->far || j->over || j->in_prompts || j->n_ids <= b->near_tokens)
            continue;
        keep(b, j);
        kvcache_drop(b->cache, &j->table);
        j->n_done = 0;
        j->far = true;
    }
}

/* How many guesses may be evaluated beside what j has: one token comes for sure, what comes last is
 * never evaluated, and no guess may lie where the sequence would be far. */
static size_t most_drafts(const struct batch *b, const struct job *j)
{
    size_t most = job_max_tokens(j) - j->n_ids - 1;

    if (b->near_tokens && !j->far && most > b->near_tokens - j->n_ids)
        most = b->near_tokens - j->n_ids;
    return most;
}

/* Its prompt is in the cache: what waits for evaluation was generated. */
static bool is_generating(const struct job *j)
{
    return j->n_done >= j->n_prompt;
}

/* Gives up the pages of the last job behind j that has any.  What it has generated is kept; it
 * will be evaluated again.  False: there is none, or a pass under way needs them all. */
static bool preempt_behind(struct batch *b, const struct job *j)
{
    for (size_t k = b->n_jobs; b->jobs[--k] != j;) {
        struct job *last = b->jobs[k];

        if (!last->table.n_pages || last->in_prompts)
            continue;
        keep(b, last); /* as long as nobody takes the pages, they need not be evaluated again */
        kvcache_drop(b->cache, &last->table);
        last->n_done = 0;
        last->preempted = !last->over;
        return true;
    }
    return false;
}

/* n ids become the next rows of j in p, the last n_outputs of them with logits.  Where pages have
 * run out and nobody behind has any, the job sits this pass out: the first never does for long.
 */
static bool add_rows(struct batch *b, struct pass *p, struct job *j, const int32_t *ids, size_t n,
                     size_t n_outputs)
{
    struct err e;
    int rc;

    do
        rc = kvcache_grow(b->cache, &j->table, j->n_done + n, &e);
    while (rc == ERR_BUSY && preempt_behind(b, j));
    if (rc == 0)
        pass_add(p, j, ids, n, n_outputs);
    else if (rc != ERR_BUSY)
        fail(j, &e);
    return rc == 0;
}

/* Whoever is composed for the first time begins where the longest known prefix of its prompt ends;
 * one token at least is left to evaluate, for its logits. */
static void look_up_prefix(struct batch *b, struct job *j)
{
    bool again = j->n_ids > j->n_prompt; /* it was preempted, and has its first token */

    if (j->n_done || j->far || b->prefix_cache == PREFIX_CACHE_OFF)
        return;
    j->n_done = kvcache_reuse(b->cache, &j->table, j->ids, again ? j->n_prompt : j->n_prompt - 1);
    if (!again)
        j->n_cached = j->n_done;
    b->step.cached += j->n_done;
}

/* Prompts in order, as much of each as there is room for. */
static void compose_prompts(struct batch *b, bool others_generate)
{
    struct pass *p = &b->prompts;
    size_t max_rows = pace_rows(&b->pace, p->max_rows, others_generate);

    pass_clear(p);
    for (size_t i = 0; i < b->n_jobs && p->n_rows < max_rows; i++) {
        struct job *j = b->jobs[i];
        size_t n;

        if (is_generating(j) || j->over || j->preempted)
            continue;
        look_up_prefix(b, j);
        n = j->n_prompt - j->n_done;
        if (n > max_rows - p->n_rows)
            n = max_rows - p->n_rows;
        if (n && add_rows(b, p, j, j->ids + j->n_done, n,
                          j->n_done + n == j->n_ids && j->max_new ? 1 : 0))
            j->in_prompts = true;
    }
    if (p->n_rows)
        pass_begin(p, pace_attend_rows(&b->pace, p->n_rows, pass_positions(p), others_generate));
}

/* One row, and the guesses that were planned; or what waits of one that was preempted and catches
 * up, as much as there is room for. */
static void add_tokens(struct batch *b, struct job *j, const struct drafter *d,
                       const int32_t *forced, size_t *room)
{
    int32_t ids[1 + SPECULATE_MAX_DRAFT];
    size_t n_more = j->n_ids - j->n_done - 1, n_drafts;

    if (n_more) {
        if (n_more > *room)
            n_more = *room;
        *room -= n_more;
        (void)add_rows(b, &b->tokens, j, j->ids + j->n_done, 1 + n_more,
                       j->n_done + 1 + n_more == j->n_ids ? 1 : 0);
        return;
    }
    ids[0] = j->ids[j->n_done];
    for (size_t k = 0; k < d->n; k++)
        ids[1 + k] = d->n_forced ? forced[k] : speculate_guess(&j->speculate, k);
    n_drafts = guide_fits(&j->guide, b->tokenizer, ids + 1, d->n);
    if (add_rows(b, &b->tokens, j, ids, 1 + n_drafts, 1 + n_drafts))
        b->step.drafted += n_drafts;
}

/* A row for everybody who generates, and more where guesses pay; few more beside a prompt, so that
 * the gaps between tokens stay small. */
static void compose_tokens(struct batch *b, bool after_slice)
{
    size_t n = 0, max_rows = b->max_drafted_rows, room = b->tokens.max_rows;

    pass_clear(&b->tokens);
    for (size_t i = 0; i < b->n_jobs; i++) {
        struct job *j = b->jobs[i];
        bool catches_up = j->n_ids - j->n_done > 1;

        if (!is_generating(j) || j->over || j->preempted)
            continue;
        b->drafters[n] = (struct drafter){ .speculate = &j->speculate,
                                           .most = catches_up ? 0 : most_drafts(b, j) };
        if (b->drafters[n].most && !j->no_speculation && max_rows)
            b->drafters[n].n_forced = guide_forced(&j->guide, b->tokenizer, b->forced[n]);
        b->drafter_jobs[n++] = j;
    }
    if (after_slice && n + DRAFTS_BESIDE_PROMPT < max_rows)
        max_rows = n + DRAFTS_BESIDE_PROMPT;
    drafts_plan(&b->drafts, b->drafters, n, max_rows);
    for (size_t i = 0; i < n; i++)
        room -= 1 + b->drafters[i].n;
    for (size_t i = 0; i < n; i++)
        if (!b->drafter_jobs[i]->preempted) /* for the pages of one before it */
            add_tokens(b, b->drafter_jobs[i], &b->drafters[i], b->forced[i], &room);
}

/* Those whose pages were given up leave the batch for the queue. */
static void requeue_preempted(struct batch *b)
{
    size_t kept = b->n_jobs;

    for (size_t i = b->n_jobs; i-- > 0;) {
        struct job *j = b->jobs[i];

        if (!j->preempted)
            continue;
        j->preempted = false;
        if (!scheduler_requeue(b->scheduler, j))
            continue;
        memmove(b->jobs + i, b->jobs + i + 1, (--kept - i) * sizeof *b->jobs);
    }
    b->n_jobs = kept;
}

/* --- taking what a pass gave --- */

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
    struct err e;

    j->ids[j->n_ids++] = id;
    speculate_push(&j->speculate);
    b->step.generated++;
    if (j->first_ms <= 0)
        j->first_ms = clock_ms();
    if (tokenizer_is_end(b->tokenizer, id) && !j->ignore_end) {
        answer_finish(&j->answer);
        finish(j, FINISH_STOP);
    } else if (guide_take(&j->guide, tokenizer_piece(b->tokenizer, id, false), &e)) {
        fail(j, &e);
    } else if (answer_push(&j->answer, id, lp)) {
        finish(j, FINISH_STOP);
    } else if (guide_is_complete(&j->guide) ||
               atomic_load_explicit(&j->enough, memory_order_relaxed)) {
        answer_finish(&j->answer);
        finish(j, FINISH_STOP);
    } else if (j->n_ids == job_max_tokens(j)) {
        answer_finish(&j->answer);
        finish(j, FINISH_LENGTH);
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
        fail(j, &e);
    }
}

/* The logits of what j may go on with.  NULL: it failed. */
static const float *allowed_logits(struct batch *b, struct job *j, const float *logits)
{
    struct err e;

    if (!j->guide.shape)
        return logits;
    if (guide_allow(&j->guide, j->ignore_end ? NULL : &b->ends, b->mask, &e)) {
        fail(j, &e);
        return NULL;
    }
    return sampler_allow(&b->sampler, logits, b->mask);
}

/* Output i of a pass: its job's next token, chosen after all before it: by what was chosen, not by
 * what was guessed. */
static void take_output(struct batch *b, const struct pass *pass, size_t i)
{
    struct token_logprob lp[1 + SAMPLER_MAX_TOP];
    struct job *j = pass->out_jobs[i];
    const struct sampling *p = &j->sampling;
    const float *logits;
    size_t n_top;
    int32_t id;

    if (sampler_is_argmax(p) && !j->guide.shape) {
        id = forward_argmax(pass->forward, i);
    } else {
        logits = allowed_logits(b, j, forward_logits(pass->forward, i));
        if (!logits)
            return;
        id = sampler_pick(&b->sampler, logits, p, j->ids, j->n_prompt, j->n_ids, &j->rng);
    }
    if (j->top_logprobs >= 0) {
        logits = forward_logits(pass->forward, i);
        n_top = (size_t)j->top_logprobs;
        sampler_logprobs(logits, b->sampler.n_vocab, id, n_top, lp);
        fill_pieces(b, lp, 1 + n_top);
    }
    take_token(b, j, id, j->top_logprobs >= 0 ? lp : NULL);
}

static void harvest_prompts(struct batch *b)
{
    struct pass *p = &b->prompts;

    for (size_t i = 0; i < p->n_spans; i++) {
        struct job *j = p->span_jobs[i];

        j->in_prompts = false;
        j->n_done += p->spans[i].n;
        if (!is_generating(j))
            continue;
        /* Others with the same beginning need not wait for the end of the answer. */
        keep(b, j);
        if (!j->max_new)
            finish(j, FINISH_LENGTH);
        else if (j->n_ids == j->n_prompt && b->max_drafted_rows && !j->no_speculation)
            /* without memory for it, it does not speculate */
            (void)speculate_init(&j->speculate, j->ids, j->n_prompt, job_max_tokens(j),
                                 j->prediction, j->n_prediction);
    }
    for (size_t i = 0; i < p->n_outputs; i++) {
        take_output(b, p, i);
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

static void harvest_tokens(struct batch *b)
{
    struct pass *p = &b->tokens;
    size_t o = 0;

    for (size_t i = 0; i < p->n_spans; i++)
        o = harvest_span(b, &p->spans[i], p->span_jobs[i], o);
}

/* --- a step --- */

static bool anybody_generates(const struct batch *b)
{
    for (size_t i = 0; i < b->n_jobs; i++)
        if (is_generating(b->jobs[i]))
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
        compose_prompts(b, others_generate);
    if (!pass_under_way(p))
        return false;
    if (others_generate && pace_listens(&b->pace))
        return false;
    w = pass_slice(p, &b->pace, others_generate);
    start = clock_ms();
    pass_advance(p, w.n_stages);
    pace_sliced(&b->pace, &w, clock_ms() - start);
    if (!pass_under_way(p))
        harvest_prompts(b);
    return true;
}

static void generate(struct batch *b, bool after_slice)
{
    struct pass *p = &b->tokens;
    double start, ms;

    compose_tokens(b, after_slice);
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
    harvest_tokens(b);
}

void batch_step(struct batch *b)
{
    bool sliced;

    b->step = (struct token_counts){ 0 };
    sweep(b);
    go_far(b);
    sliced = slice_prompts(b);
    go_far(b); /* with its first token a prompt may be */
    generate(b, sliced);
    requeue_preempted(b);
    scheduler_stepped(b->scheduler, &b->step, kvcache_use(b->cache));
    sweep(b);
}
