/* batch_compose.c - which rows the next passes have, and pages for them. */
#include "inference/batch_parts.h"

#include <string.h>

enum { DRAFTS_BESIDE_PROMPT = 3 }; /* rows */

/* Where a sequence becomes far, all of it is evaluated anew: its keys stand otherwise rotated in
 * the cache.  What is known of far ones is not kept for others, whose may be near. */
void batch_go_far(struct batch *b)
{
    for (size_t i = 0; b->near_tokens && i < b->n_jobs; i++) {
        struct job *j = b->jobs[i];

        if (j->far || j->over || j->in_prompts || j->n_ids <= b->near_tokens)
            continue;
        batch_keep(b, j);
        kvcache_drop(b->cache, &j->table);
        batch_forget(j);
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

/* Gives up the pages of the last job behind j that has any.  What it has generated is kept; it
 * will be evaluated again.  False: there is none, or a pass under way needs them all. */
static bool preempt_behind(struct batch *b, const struct job *j)
{
    for (size_t k = b->n_jobs; b->jobs[--k] != j;) {
        struct job *last = b->jobs[k];

        if (!last->table.n_pages || last->in_prompts)
            continue;
        batch_keep(b,
                   last); /* as long as nobody takes the pages, they need not be evaluated again */
        kvcache_drop(b->cache, &last->table);
        batch_forget(last);
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
        batch_fail(j, &e);
    return rc == 0;
}

/* Whoever is composed for the first time begins where the longest known prefix of its prompt ends;
 * one token at least is left to evaluate, for its logits. */
static void look_up_prefix(struct batch *b, struct job *j)
{
    bool again = j->n_ids > j->n_prompt; /* it was preempted, and has its first token */

    if (j->n_done || !batch_shares(b, j) || scored_wanted(&j->scored))
        return;
    j->n_done = kvcache_reuse(b->cache, &j->table, j->ids, again ? j->n_prompt : j->n_prompt - 1);
    if (!again)
        j->n_cached = j->n_done;
    b->step.cached += j->n_done;
}

/* The rows of j that were just added, and become part of its vector. */
static void want_hidden(struct batch *b, const struct job *j, size_t n)
{
    size_t first, n_hidden = pooling_rows(b->pooling, j->n_done, n, j->n_prompt, &first);

    pass_add_hidden(&b->prompts, first, n_hidden);
}

/* Rows of j that want logits, the last of n that are given. */
static size_t n_outputs(const struct job *j, size_t n)
{
    if (scored_wanted(&j->scored))
        return n;
    return j->n_done + n == j->n_ids && j->max_new ? 1 : 0;
}

/* Prompts in order, as much of each as there is room for; an encoder's only whole, and one that is
 * scored has a pass to itself. */
void batch_compose_prompts(struct batch *b, bool others_generate)
{
    struct pass *p = &b->prompts;
    size_t max_rows = b->encoder ? p->max_rows : pace_rows(&b->pace, p->max_rows, others_generate);

    pass_clear(p);
    for (size_t i = 0; i < b->n_jobs && p->n_rows < max_rows; i++) {
        struct job *j = b->jobs[i];
        size_t n;

        if (batch_is_generating(j) || j->over || j->preempted)
            continue;
        if (scored_wanted(&j->scored)) {
            if (p->n_rows)
                continue;
            max_rows = max_rows < p->max_outputs ? max_rows : p->max_outputs;
        }
        look_up_prefix(b, j);
        n = j->n_prompt - j->n_done;
        if (n > max_rows - p->n_rows && b->encoder)
            continue;
        if (n > max_rows - p->n_rows)
            n = max_rows - p->n_rows;
        if (!n || !add_rows(b, p, j, j->ids + j->n_done, n, n_outputs(j, n)))
            continue;
        j->in_prompts = true;
        if (batch_embeds(j))
            want_hidden(b, j, n);
        if (scored_wanted(&j->scored))
            break;
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
void batch_compose_tokens(struct batch *b, bool after_slice)
{
    size_t n = 0, max_rows = b->max_drafted_rows, room = b->tokens.max_rows;

    pass_clear(&b->tokens);
    for (size_t i = 0; i < b->n_jobs; i++) {
        struct job *j = b->jobs[i];
        bool catches_up = j->n_ids - j->n_done > 1;

        if (!batch_is_generating(j) || j->over || j->preempted)
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
void batch_requeue_preempted(struct batch *b)
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
