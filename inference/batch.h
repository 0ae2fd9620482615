/* batch.h - the sequences that run now, and the step that moves all of them on.
 *
 * A step holds one row for every sequence that is generating, and as many rows of prompts, oldest
 * first, as its budget allows.  A sequence is its ids: those past n_done wait for evaluation, and
 * when the last of them is evaluated its logits give the next one. Owned by the engine thread. */
#ifndef AIRSTRIP_BATCH_H
#define AIRSTRIP_BATCH_H

#include "inference/forward.h"
#include "inference/kvcache.h"
#include "inference/sampler.h"
#include "inference/scheduler.h"

struct batch {
    struct scheduler *scheduler; /* borrowed, as the next three */
    struct kvcache *cache;
    struct forward *forward;
    const struct tokenizer *tokenizer;
    struct sampler sampler;
    struct job **jobs; /* [max_batch], n_jobs of them, oldest first */
    size_t n_jobs, max_batch;
    size_t n_joined;   /* of n_jobs; the others were let in since the last step */
    size_t max_rows;   /* rows of prompts per step */
    double ms_per_row; /* of late, in steps that evaluated prompts; 0 = not known yet */

    /* The step being made; see struct step. */
    int32_t *ids, *out_rows;
    struct seq_span *spans;
    struct job **span_jobs; /* [n_spans] */
    struct job **out_jobs;  /* [n_outputs] */
    size_t n_rows, n_spans, n_outputs;
};

/* For a forward opened with max_rows + max_batch rows and max_batch outputs. */
int batch_open(struct batch *b, struct scheduler *s, struct kvcache *c, struct forward *f,
               const struct tokenizer *t, size_t n_vocab, size_t max_batch, size_t max_rows,
               struct err *e) MUST_CHECK;
void batch_close(struct batch *b); /* no jobs in it; a zeroed one is fine */

/* Drops cancelled jobs, evaluates one step, hands out its tokens, drops what has ended. */
void batch_step(struct batch *b);

/* Everything that runs ends with EVENT_FAILED(ERR_CLOSING). */
void batch_clear(struct batch *b);

/* How many rows of prompts a step may hold, when n_generating sequences wait for their next token.
 */
size_t batch_prompt_budget(const struct batch *b, size_t n_generating);

#endif
