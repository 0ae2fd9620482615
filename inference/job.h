/* job.h - one prompt and its answer, from engine_submit() to the last event.
 *
 * A job has two owners, the caller and the engine; it is freed when both have let go.  Which thread
 * may touch what is said at each group of fields. */
#ifndef AIRSTRIP_JOB_H
#define AIRSTRIP_JOB_H

#include <stdatomic.h>

#include "inference/answer.h"
#include "inference/engine.h"
#include "inference/guide.h"
#include "inference/kvcache.h"
#include "inference/pooling.h"
#include "inference/sampler.h"
#include "inference/scored.h"
#include "inference/speculate.h"

struct scheduler;

enum job_state { JOB_NEW, JOB_WAITING, JOB_RUNNING, JOB_ENDED };

/* How far it is, for those who look from other threads; ids: the prompt's and those generated. */
struct job_progress {
    size_t n_ids, n_done, n_cached;
};

struct job {
    /* Fixed when the job is made. */
    struct scheduler *scheduler; /* holds a reference */
    char *id, *owner;            /* NULL if none */
    size_t tag;
    struct sampling sampling; /* what it points to is the job's own copy */
    struct str *stops;        /* [n_stops], the job's own copies */
    size_t n_stops;
    int top_logprobs;
    bool ignore_end, no_speculation;
    int32_t *stop_ids; /* [n_stop_ids] its own copy */
    size_t n_stop_ids, min_tokens;
    int32_t *prediction; /* [n_prediction] ids; NULL: none */
    size_t n_prediction;
    int priority;             /* lower comes earlier */
    size_t n_prompt, max_new; /* n_prompt + max_new <= n_ctx */

    /* Under the scheduler's lock. */
    struct inbox *inbox; /* NULL once nobody listens */
    enum job_state state;
    bool cancelled;
    unsigned refs;
    struct share *share;               /* its owner's, while it waits or runs; or NULL */
    size_t slot;                       /* while it runs: see slots.h */
    struct job_progress seen;          /* as the last step left it */
    uint64_t number;                   /* of the submission: first come, first served */
    struct job *prev, *next;           /* neighbours in the queue */
    struct event_node *started, *last; /* made in advance, so that the end is always told */

    /* The engine thread's alone once the job is queued. */
    int32_t *ids;    /* [n_prompt + max_new]: the prompt, then what was generated */
    size_t n_ids;    /* known */
    size_t n_done;   /* their keys and values are in the cache */
    bool far;        /* its spans are (struct model's near_tokens) */
    size_t n_cached; /* of the prompt, found there and not evaluated */
    struct kv_table table;
    struct sampler_state sampler;
    struct pooled pooled; /* of a job that wants a vector; so far */
    struct answer answer;
    struct scored scored;
    struct guide guide;
    struct speculate speculate; /* from the end of the prompt on; zeroed: does not speculate */
    bool over;                  /* its end was posted; leaves the batch after this step */
    atomic_bool enough;         /* any thread: see job_stop() */
    bool preempted;  /* its pages were given up; goes back to the queue when the step ends */
    bool in_prompts; /* in the pass of prompts under way, which needs its pages */
    double queued_ms, started_ms, first_ms; /* clock_ms() at those moments */
};

/* Copies what it needs of r; takes ids and prediction (ids not empty; freed by the job or, on
 * error, here).  max_new: what r->max_tokens comes to within the context, or 0 where a vector of
 * n_vector values is wanted.  One reference, the caller's. */
int job_create(struct job **out, struct scheduler *s, const struct tokenizer *t,
               const struct job_request *r, struct ids *ids, struct ids *prediction, size_t max_new,
               size_t n_vector, struct inbox *in, size_t tag, struct err *e) MUST_CHECK;

/* After the last reference is gone. */
void job_destroy(struct job *j);

/* Is a served before b?  By priority, then in order of submission; no two are alike. */
static inline bool job_precedes(const struct job *a, const struct job *b)
{
    return a->priority < b->priority || (a->priority == b->priority && a->number < b->number);
}

/* The likeliest token is taken whatever the others' logits are. */
static inline bool job_takes_argmax(const struct job *j)
{
    return sampler_is_argmax(&j->sampling) && !j->guide.shape;
}

/* The tokens it may have in the cache at most. */
static inline size_t job_max_tokens(const struct job *j)
{
    return j->n_prompt + j->max_new;
}

#endif
