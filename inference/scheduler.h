/* scheduler.h - what callers and the engine thread share: the queue, the counters, and one lock.
 *
 * Within each priority owners take turns (shares.h), and of one owner's jobs, or of those that have
 * none, the first to come is the first served.  A job is let into the batch when there is a slot
 * and when there are pages for its prompt and some more tokens, beside those that run and some more
 * of theirs.  Where they all grow longer than the pages reach, the batch sends the last back to the
 * queue, with what it has generated; its client sees a pause.  Callers submit, cancel and look; the
 * engine thread takes turns.  Lives as long as the engine or any of its jobs (counted references).
 */
#ifndef AIRSTRIP_SCHEDULER_H
#define AIRSTRIP_SCHEDULER_H

#include <pthread.h>
#include <stdatomic.h>

#include "inference/job.h"
#include "inference/shares.h"
#include "inference/slots.h"

/* Of a step or of many: see struct engine_status. */
struct token_counts {
    uint64_t prompt, cached, generated, drafted, accepted;
};

struct scheduler {
    size_t max_batch, max_queue; /* fixed */
    size_t n_pages, page_tokens; /* fixed: the size of the cache */
    atomic_uint refs;

    pthread_mutex_t lock; /* guards all below, and the jobs' fields that say so */
    pthread_cond_t work;  /* something to do for the engine thread */
    enum engine_state state;
    struct err failure;
    bool stop;               /* engine_close() waits for the thread */
    struct job *head, *tail; /* as job_precedes() */
    struct shares shares;
    uint64_t n_submitted;
    size_t n_waiting, n_running;
    struct slots slots; /* max_batch */
    struct kv_use kv_use;
    uint64_t n_ended, n_cancelled, n_preempted;
    struct token_counts tokens; /* of all steps */
    double last_step_ms;        /* clock_ms() of the last step's end, or when idleness ended */
};

int scheduler_create(struct scheduler **out, size_t max_batch, size_t max_queue, size_t n_pages,
                     size_t page_tokens, struct err *e) MUST_CHECK;
struct scheduler *scheduler_ref(struct scheduler *s);
void scheduler_unref(struct scheduler *s); /* NULL is fine */

/* --- any thread --- */

/* Would a job be taken now?  ERR_LOADING, ERR_CLOSING, ERR_BUSY, or what the loading failed of. */
int scheduler_accepts(struct scheduler *s, struct err *e) MUST_CHECK;

/* Queues j with a reference of the engine's own; errors as above, ERR_BUSY also where its owner has
 * its part of the queue, and nothing has changed then. */
int scheduler_submit(struct scheduler *s, struct job *j, struct err *e) MUST_CHECK;

void scheduler_drain(struct scheduler *s);
void scheduler_stop(struct scheduler *s);

/* --- the engine thread --- */

/* LOADING to READY (failure NULL) or FAILED; a drain that came in between stays. */
void scheduler_loaded(struct scheduler *s, const struct err *failure);

/* Sleeps while nothing runs (*n is 0) and nothing waits; then puts the jobs that may join to those
 * of jobs[*n], in order (job_precedes), which has room for max_batch.  False: stop. */
bool scheduler_turn(struct scheduler *s, struct job **jobs, size_t *n);

bool scheduler_cancelled(struct scheduler *s, const struct job *j);

/* Sends an event of a running job, or frees it where nobody listens any more. */
void scheduler_post(struct scheduler *s, struct job *j, struct event_node *n);

/* The job leaves the batch, without pages, to wait where it stood in the order.  False: it stays,
 * and is over, since its client has left. */
bool scheduler_requeue(struct scheduler *s, struct job *j);

/* The job leaves the batch: j->last is filled by the caller and sent, and the engine's reference
 * given up. */
void scheduler_end(struct scheduler *s, struct job *j, struct kv_use use);

/* The owners of jobs[n] pay for the tokens that came, and how far they are can be seen. */
void scheduler_charge(struct scheduler *s, struct job **jobs, size_t n);

/* A step is done. */
void scheduler_stepped(struct scheduler *s, const struct token_counts *step, struct kv_use use);

/* Everything that still waits fails with *why. */
void scheduler_clear(struct scheduler *s, const struct err *why);

#endif
