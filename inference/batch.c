/* batch.c - composing passes, and handing out what they gave.
 *
 * A prompt's keys and values do not depend on how it was cut into passes, nor a pass's on how it
 * was cut into slices, so both only shift time between those who wait for their first token and
 * those who wait for their next (inference/pace.h says how). */
#include "inference/batch.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/clock.h"

int batch_open(struct batch *b, struct scheduler *s, struct kvcache *c,
               const struct batch_forwards *f, const struct tokenizer *t, size_t n_vocab,
               size_t max_batch, struct err *e)
{
    int rc;

    *b = (struct batch){ .scheduler = s, .cache = c, .tokenizer = t, .max_batch = max_batch };
    b->jobs = calloc(max_batch, sizeof *b->jobs);
    if (!b->jobs)
        return err_set(e, ERR_NOMEM, "no memory for a batch of %zu sequences", max_batch);
    rc = pass_open(&b->prompts, f->prompts, true, f->max_rows, max_batch, max_batch, e);
    if (rc == 0)
        rc = pass_open(&b->tokens, f->tokens, false, max_batch, max_batch, max_batch, e);
    if (rc == 0)
        rc = sampler_open(&b->sampler, n_vocab, e);
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
    if (b->prefix_cache != PREFIX_CACHE_OFF)
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

static void give_up_prompts(struct batch *b)
{
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

/* Its prompt is in the cache: what waits for evaluation was generated. */
static bool is_generating(const struct job *j)
{
    return j->n_done >= j->n_prompt;
}

/* The next n ids of j become rows of p, the last of all with logits.  Its pages were promised, so
 * only memory for their list can lack. */
static void add_rows(struct batch *b, struct pass *p, struct job *j, size_t n)
{
    bool last = j->n_done + n == j->n_ids;
    struct err e;

    if (kvcache_grow(b->cache, &j->table, j->n_done + n, &e))
        fail(j, &e);
    else
        pass_add(p, j, j->ids + j->n_done, n, last && j->max_new ? 1 : 0);
}

/* Whoever is composed for the first time begins where the longest known prefix of its prompt ends;
 * one token at least is left to evaluate, for its logits.
 * The scheduler has promised each the pages of all its tokens, shared ones as well: what is in
 * tables is within the promises, so what was promised can be had. */
static void look_up_prefix(struct batch *b, struct job *j)
{
    if (j->n_done || b->prefix_cache == PREFIX_CACHE_OFF)
        return;
    j->n_done = j->n_cached = kvcache_reuse(b->cache, &j->table, j->ids, j->n_prompt - 1);
    b->cached_tokens += j->n_cached;
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

        if (is_generating(j) || j->over)
            continue;
        look_up_prefix(b, j);
        n = j->n_prompt - j->n_done;
        if (n > max_rows - p->n_rows)
            n = max_rows - p->n_rows;
        add_rows(b, p, j, n);
        j->in_prompts = !j->over;
    }
    if (p->n_rows)
        pass_begin(p, pace_attend_rows(&b->pace, p->n_rows, pass_positions(p), others_generate));
}

static void compose_tokens(struct batch *b)
{
    pass_clear(&b->tokens);
    for (size_t i = 0; i < b->n_jobs; i++)
        if (is_generating(b->jobs[i]) && !b->jobs[i]->over)
            add_rows(b, &b->tokens, b->jobs[i], 1);
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

/* One more token of j: shows what may be shown, and sees whether that was the end. */
static void take_token(struct batch *b, struct job *j, int32_t id, const struct token_logprob *lp)
{
    struct event_node *n;
    struct err e;

    j->ids[j->n_ids++] = id;
    if (j->first_ms <= 0)
        j->first_ms = clock_ms();
    if (tokenizer_is_end(b->tokenizer, id) && !j->ignore_end) {
        answer_finish(&j->answer);
        finish(j, FINISH_STOP);
    } else if (answer_push(&j->answer, id, lp)) {
        finish(j, FINISH_STOP);
    } else if (j->n_ids == job_max_tokens(j)) {
        answer_finish(&j->answer);
        finish(j, FINISH_LENGTH);
    }
    n = answer_take(&j->answer, j->tag);
    if (n)
        scheduler_post(b->scheduler, j, n);
    if (j->answer.failed) {
        err_set(&e, ERR_NOMEM, "out of memory while answering");
        fail(j, &e);
    }
}

/* Output i of a pass: the job's next token. */
static void take_output(struct batch *b, const struct pass *pass, size_t i)
{
    struct token_logprob lp[1 + SAMPLER_MAX_TOP];
    struct job *j = pass->out_jobs[i];
    const struct sampling *p = &j->sampling;
    const float *logits;
    size_t n_top;
    int32_t id;

    if (sampler_is_argmax(p))
        id = forward_argmax(pass->forward, i);
    else
        id = sampler_pick(&b->sampler, forward_logits(pass->forward, i), p, j->ids, j->n_prompt,
                          j->n_ids, &j->rng);
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
    }
    for (size_t i = 0; i < p->n_outputs; i++)
        take_output(b, p, i);
    b->prompt_tokens += p->n_rows;
    b->generated_tokens += p->n_outputs;
}

static void harvest_tokens(struct batch *b)
{
    struct pass *p = &b->tokens;

    for (size_t i = 0; i < p->n_spans; i++)
        p->span_jobs[i]->n_done += p->spans[i].n;
    for (size_t i = 0; i < p->n_outputs; i++)
        take_output(b, p, i);
    b->generated_tokens += p->n_outputs;
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
 * none waits. */
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
    double start;

    compose_tokens(b);
    if (!p->n_rows)
        return;
    pass_begin(p, 0);
    start = clock_ms();
    pass_advance(p, p->n_left);
    pace_generated(&b->pace, p->n_rows, after_slice, clock_ms() - start);
    harvest_tokens(b);
}

void batch_step(struct batch *b)
{
    b->prompt_tokens = b->cached_tokens = b->generated_tokens = 0;
    sweep(b);
    generate(b, slice_prompts(b));
    scheduler_stepped(b->scheduler, b->prompt_tokens, b->cached_tokens, b->generated_tokens,
                      kvcache_use(b->cache));
    sweep(b);
}
