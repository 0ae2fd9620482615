/* batch.h - the sequences that run now, and the step that moves them on.
 *
 * A sequence is its ids: those past n_done wait for evaluation, and when the last of them is
 * evaluated its logits give the next one.  A step is a slice of a pass of prompts, oldest first,
 * where some wait, and then a pass of generated rows of all sequences that generate.  Given and
 * generated positions are never in one pass, so that which arithmetic evaluates a position does not
 * depend on the company. Owned by the engine thread. */
#ifndef AIRSTRIP_BATCH_H
#define AIRSTRIP_BATCH_H

#include "inference/drafts.h"
#include "inference/forward.h"
#include "inference/kvcache.h"
#include "inference/pace.h"
#include "inference/pass.h"
#include "inference/pooling.h"
#include "inference/sampler.h"
#include "inference/scheduler.h"

/* A token being chosen, and what is told of it. */
struct batch_choice {
    struct job *job;
    const float *logits; /* NULL: nothing is left to do */
    uint64_t *mask;      /* [n_vocab / 64 + 1] what it is chosen among, where it is masked */
    bool masked;
    int32_t id; /* -1: the job failed */
    struct token_logprob logprobs[1 + SAMPLER_MAX_TOP];
};

struct batch {
    struct scheduler *scheduler; /* borrowed, as the next two */
    struct kvcache *cache;
    const struct tokenizer *tokenizer;
    struct sampler sampler;        /* the engine thread's ... */
    struct sampler *more_samplers; /* ... and [n_more_samplers] those of threads 1, 2 ... */
    size_t n_more_samplers;
    struct batch_choice *choices; /* [max_batch] of the spans of the pass of tokens */
    struct end_tokens ends;
    uint64_t *masks;   /* those of all choices; outside of batch_choose_ahead() the first is free */
    struct job **jobs; /* [max_batch], n_jobs of them, as job_precedes() */
    size_t n_jobs, max_batch, max_drafted_rows;
    struct pass prompts; /* under way for as many steps as it has slices */
    struct pass tokens;  /* of this step */
    struct pace pace;
    enum prefix_cache prefix_cache; /* set after batch_open(), as the next four */
    size_t near_tokens;             /* struct model's */
    bool encoder;                   /* likewise: prompts are evaluated whole, and then forgotten */
    enum pooling pooling;
    const struct weights
        *weights; /* borrowed; where their file was cut short nothing more is told */
    struct drafts drafts;
    struct drafter *drafters;            /* [max_batch] of the pass of tokens being composed ... */
    struct job **drafter_jobs;           /* ... and whose they are, ... */
    int32_t (*forced)[GUIDE_MAX_FORCED]; /* ... and what must come */
    struct token_counts step;            /* this one */
};

/* What forwards a batch needs; both stay borrowed. */
struct batch_forwards {
    struct forward *prompts; /* for max_rows rows and max_batch outputs */
    struct forward *tokens;  /* for max_batch of both, or max_drafted_rows where that is more */
    size_t max_rows;
    size_t max_drafted_rows; /* of a pass of tokens with guesses among them; 0: no guesses */
};

int batch_open(struct batch *b, struct scheduler *s, struct kvcache *c,
               const struct batch_forwards *f, const struct tokenizer *t, size_t n_vocab,
               size_t max_batch, struct err *e) MUST_CHECK;
void batch_close(struct batch *b); /* no jobs in it; a zeroed one is fine */

/* Drops cancelled jobs, evaluates one step, hands out its tokens, drops what has ended.  A job
 * whose prompt is in a pass under way stays until that ends. */
void batch_step(struct batch *b);

/* Everything that runs ends with EVENT_FAILED(ERR_CLOSING). */
void batch_clear(struct batch *b, const struct err *why);

#endif
