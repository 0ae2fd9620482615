/* batch.c - composing a step, and handing out what it gave.
 *
 * Order within a step: sequences that generate, one row each, then chunks of prompts, oldest first,
 * until the budget is used up.  A prompt's keys and values do not depend on how it was cut, so
 * chunks only shift time between those who wait for their first token and those who wait for their
 * next. */
#include "inference/batch.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/clock.h"

enum {
    /* Beside sequences that generate, prompts get this part of max_rows, so that streams do not
       stutter. */
    SHARE_OF_ROWS = 8,
    MIN_SHARED_ROWS = 64,
    /* A client that leaves during a long prompt is noticed between steps: keep them short on slow
       machines. */
    MAX_STEP_MS = 400,
    MIN_ROWS = 32,
};

int batch_open(struct batch *b, struct scheduler *s, struct kvcache *c, struct forward *f,
               const struct tokenizer *t, size_t n_vocab, size_t max_batch, size_t max_rows,
               struct err *e)
{
    *b = (struct batch){ .scheduler = s,
                         .cache = c,
                         .forward = f,
                         .tokenizer = t,
                         .max_batch = max_batch,
                         .max_rows = max_rows };
    b->jobs = calloc(max_batch, sizeof *b->jobs);
    b->ids = calloc(max_rows + max_batch, sizeof *b->ids);
    b->out_rows = calloc(max_batch, sizeof *b->out_rows);
    b->spans = calloc(max_batch, sizeof *b->spans);
    b->span_jobs = calloc(max_batch, sizeof *b->span_jobs);
    b->out_jobs = calloc(max_batch, sizeof *b->out_jobs);
    if (b->jobs && b->ids && b->out_rows && b->spans && b->span_jobs && b->out_jobs &&
        sampler_open(&b->sampler, n_vocab, e) == 0)
        return 0;
    batch_close(b);
    return err_set(e, ERR_NOMEM, "no memory for a batch of %zu sequences", max_batch);
}

void batch_close(struct batch *b)
{
    sampler_close(&b->sampler);
    free(b->jobs);
    free(b->ids);
    free(b->out_rows);
    free(b->spans);
    free(b->span_jobs);
    free(b->out_jobs);
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

/* Gives the job's pages back, with what was evaluated known to those to come, and tells its end. */
static void leave(struct batch *b, struct job *j)
{
    kvcache_keep(b->cache, &j->table, j->ids, j->n_done);
    kvcache_drop(b->cache, &j->table);
    scheduler_end(b->scheduler, j, kvcache_use(b->cache));
}

static void sweep(struct batch *b)
{
    size_t kept = 0;

    for (size_t i = 0; i < b->n_jobs; i++) {
        struct job *j = b->jobs[i];

        if (j->over || scheduler_cancelled(b->scheduler, j))
            leave(b, j);
        else
            b->jobs[kept++] = j;
    }
    b->n_jobs = b->n_joined = kept;
}

void batch_clear(struct batch *b)
{
    struct err e;

    err_set(&e, ERR_CLOSING, "the server is shutting down");
    for (size_t i = 0; i < b->n_jobs; i++)
        fail(b->jobs[i], &e);
    sweep(b);
}

/* --- making a step --- */

/* Newcomers begin where the longest known prefix of their prompts ends; one token at least is left
 * to evaluate, for its logits.  Returns how many tokens that saves.
 * The scheduler has promised each the pages of all its tokens, shared ones as well: what is in
 * tables is within the promises, so what was promised can be had. */
static size_t join(struct batch *b)
{
    size_t n_cached = 0;

    for (; b->n_joined < b->n_jobs; b->n_joined++) {
        struct job *j = b->jobs[b->n_joined];

        j->n_done = j->n_cached = kvcache_reuse(b->cache, &j->table, j->ids, j->n_prompt - 1);
        n_cached += j->n_cached;
    }
    return n_cached;
}

size_t batch_prompt_budget(const struct batch *b, size_t n_generating)
{
    size_t rows = b->max_rows, fast;

    if (n_generating) {
        rows = b->max_rows / SHARE_OF_ROWS;
        if (rows < MIN_SHARED_ROWS)
            rows = MIN_SHARED_ROWS;
    }
    if (b->ms_per_row > 0 && (double)rows * b->ms_per_row > MAX_STEP_MS) {
        fast = (size_t)(MAX_STEP_MS / b->ms_per_row) / MIN_ROWS * MIN_ROWS;
        rows = fast > MIN_ROWS ? fast : MIN_ROWS;
    }
    return rows < b->max_rows ? rows : b->max_rows;
}

/* Its prompt is in the cache: exactly one id waits, the one drawn last. */
static bool is_generating(const struct job *j)
{
    return j->n_done >= j->n_prompt;
}

/* The next n ids of j become rows.  Its pages were promised, so only memory for their list can
 * lack. */
static void add_rows(struct batch *b, struct job *j, size_t n)
{
    struct err e;

    if (kvcache_grow(b->cache, &j->table, j->n_done + n, &e)) {
        fail(j, &e);
        return;
    }
    memcpy(b->ids + b->n_rows, j->ids + j->n_done, n * sizeof *b->ids);
    b->spans[b->n_spans] =
        (struct seq_span){ .row = b->n_rows, .n = n, .pos = j->n_done, .pages = j->table.pages };
    b->span_jobs[b->n_spans++] = j;
    b->n_rows += n;
    if (j->n_done + n == j->n_ids && j->max_new) {
        b->out_rows[b->n_outputs] = (int32_t)(b->n_rows - 1);
        b->out_jobs[b->n_outputs++] = j;
    }
}

/* Returns how many of the rows are of prompts. */
static size_t compose(struct batch *b)
{
    size_t n_generating = 0, budget, n_prompt = 0;

    b->n_rows = b->n_spans = b->n_outputs = 0;
    for (size_t i = 0; i < b->n_jobs; i++)
        if (is_generating(b->jobs[i])) {
            n_generating++;
            add_rows(b, b->jobs[i], 1);
        }
    budget = batch_prompt_budget(b, n_generating);
    for (size_t i = 0; i < b->n_jobs && n_prompt < budget; i++) {
        struct job *j = b->jobs[i];
        size_t n = j->n_prompt - j->n_done;

        if (is_generating(j))
            continue;
        if (n > budget - n_prompt)
            n = budget - n_prompt;
        add_rows(b, j, n);
        if (!j->over)
            n_prompt += n;
    }
    return n_prompt;
}

/* --- taking what a step gave --- */

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

static void take_output(struct batch *b, size_t i)
{
    struct token_logprob lp[1 + SAMPLER_MAX_TOP];
    struct job *j = b->out_jobs[i];
    const struct sampling *p = &j->sampling;
    const float *logits;
    size_t n_top;
    int32_t id;

    if (sampler_is_argmax(p))
        id = forward_argmax(b->forward, i);
    else
        id = sampler_pick(&b->sampler, forward_logits(b->forward, i), p, j->ids, j->n_prompt,
                          j->n_ids, &j->rng);
    if (j->top_logprobs >= 0) {
        logits = forward_logits(b->forward, i);
        n_top = (size_t)j->top_logprobs;
        sampler_logprobs(logits, b->sampler.n_vocab, id, n_top, lp);
        fill_pieces(b, lp, 1 + n_top);
    }
    take_token(b, j, id, j->top_logprobs >= 0 ? lp : NULL);
}

static void harvest(struct batch *b)
{
    for (size_t i = 0; i < b->n_spans; i++) {
        struct job *j = b->span_jobs[i];
        bool had_prompt = is_generating(j);

        j->n_done += b->spans[i].n;
        /* Others with the same beginning need not wait for the end of the answer. */
        if (is_generating(j) && !had_prompt)
            kvcache_keep(b->cache, &j->table, j->ids, j->n_done);
        if (is_generating(j) && !j->max_new)
            finish(j, FINISH_LENGTH);
    }
    for (size_t i = 0; i < b->n_outputs; i++)
        take_output(b, i);
}

void batch_step(struct batch *b)
{
    struct step step = { .ids = b->ids, .spans = b->spans, .out_rows = b->out_rows };
    size_t n_prompt, n_cached;
    double start;

    n_cached = join(b);
    sweep(b);
    n_prompt = compose(b);
    if (b->n_rows) {
        step.n_rows = b->n_rows;
        step.n_spans = b->n_spans;
        step.n_outputs = b->n_outputs;
        start = clock_ms();
        forward_run(b->forward, &step);
        if (n_prompt >= MIN_ROWS) { /* fewer rows say little of what many cost */
            double ms = (clock_ms() - start) / (double)b->n_rows;

            b->ms_per_row = b->ms_per_row > 0 ? 0.7 * b->ms_per_row + 0.3 * ms : ms;
        }
        harvest(b);
    }
    scheduler_stepped(b->scheduler, n_prompt, n_cached, b->n_outputs, kvcache_use(b->cache));
    sweep(b);
}
