/* scheduler.c - one lock, held for a few instructions at a time: never while a step, a render or a
 * tokenizer runs.
 *
 * Lock order: the scheduler's, then an inbox's.  A job's inbox pointer is read and cleared under
 * the scheduler's lock, so that after job_cancel() or job_free() nothing is put into it any more.
 */
#include "inference/scheduler.h"

#include <stdlib.h>

#include "kernels/base/clock.h"

int scheduler_create(struct scheduler **out, size_t max_batch, size_t max_queue, size_t n_pages,
                     size_t page_tokens, struct err *e)
{
    struct scheduler *s = calloc(1, sizeof *s);

    if (!s || !slots_init(&s->slots, max_batch) || pthread_mutex_init(&s->lock, NULL))
        goto fail;
    if (pthread_cond_init(&s->work, NULL)) {
        pthread_mutex_destroy(&s->lock);
        goto fail;
    }
    s->max_batch = max_batch;
    s->max_queue = max_queue;
    s->n_pages = n_pages;
    s->page_tokens = page_tokens;
    atomic_init(&s->refs, 1);
    s->state = ENGINE_LOADING;
    s->last_step_ms = clock_ms();
    *out = s;
    return 0;
fail:
    if (s)
        slots_done(&s->slots);
    free(s);
    return err_set(e, ERR_NOMEM, "no memory for the scheduler");
}

struct scheduler *scheduler_ref(struct scheduler *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void scheduler_unref(struct scheduler *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    shares_done(&s->shares);
    slots_done(&s->slots);
    free(s);
}

enum { RESERVE_TOKENS = 64 }; /* that a sequence may grow by before pages can run out */

/* What it needs now and soon; its ids are the engine thread's, unless it waits. */
static size_t pages_soon(const struct scheduler *s, const struct job *j)
{
    size_t most = job_max_tokens(j), n = j->n_ids + RESERVE_TOKENS;

    return ((n < most ? n : most) + s->page_tokens - 1) / s->page_tokens;
}

/* At worst: the whole prompt and all it may generate. */
static size_t pages_of(const struct scheduler *s, const struct job *j)
{
    return (job_max_tokens(j) + s->page_tokens - 1) / s->page_tokens;
}

static int accepts(const struct scheduler *s, struct err *e)
{
    switch (s->state) {
    case ENGINE_LOADING:
        return err_set(e, ERR_LOADING, "the model is still being loaded");
    case ENGINE_CLOSING:
        return err_set(e, ERR_CLOSING, "the server is shutting down");
    case ENGINE_FAILED:
        if (e)
            *e = s->failure;
        return s->failure.code;
    case ENGINE_READY:
        break;
    }
    if (s->n_waiting >= s->max_queue)
        return err_set(e, ERR_BUSY, "%zu requests are waiting already, the most that may",
                       s->n_waiting);
    return 0;
}

/* An owner may have as many in the queue as there are places left in it (dynamic thresholds;
 * Choudhury and Hahne 1998, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches"):
 * half of the queue where it is alone, a third where another fills it as well, and so on.  So
 * however much one asks for, who comes later finds a place, and nobody has to give one up. */
static int has_room_for(const struct scheduler *s, const struct share *owner, struct err *e)
{
    if (!owner || owner->n_waiting < s->max_queue - s->n_waiting)
        return 0;
    return err_set(e, ERR_BUSY,
                   "%zu requests of this API key are waiting already; the %zu places left are "
                   "for other keys",
                   owner->n_waiting, s->max_queue - s->n_waiting);
}

int scheduler_accepts(struct scheduler *s, struct err *e)
{
    int rc;

    pthread_mutex_lock(&s->lock);
    rc = accepts(s, e);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* Under the lock; from anywhere in the queue. */
static void unlink_waiting(struct scheduler *s, struct job *j)
{
    *(j->prev ? &j->prev->next : &s->head) = j->next;
    *(j->next ? &j->next->prev : &s->tail) = j->prev;
    j->prev = j->next = NULL;
    s->n_waiting--;
    if (j->share)
        j->share->n_waiting--;
}

/* Under the lock; most come last. */
static void link_waiting(struct scheduler *s, struct job *j)
{
    struct job *before = s->tail;

    while (before && job_precedes(j, before))
        before = before->prev;
    j->prev = before;
    j->next = before ? before->next : s->head;
    *(j->prev ? &j->prev->next : &s->head) = j;
    *(j->next ? &j->next->prev : &s->tail) = j;
    j->state = JOB_WAITING;
    s->n_waiting++;
    if (j->share)
        j->share->n_waiting++;
}

int scheduler_submit(struct scheduler *s, struct job *j, struct err *e)
{
    int rc;

    pthread_mutex_lock(&s->lock);
    rc = accepts(s, e);
    if (rc == 0 && pages_of(s, j) > s->n_pages)
        rc = err_set(e, ERR_CONTEXT,
                     "a sequence of %zu tokens needs %zu pages of keys and values, there are %zu",
                     job_max_tokens(j), pages_of(s, j), s->n_pages);
    if (rc == 0)
        rc = has_room_for(s, shares_find(&s->shares, j->owner), e);
    if (rc == 0) {
        j->refs++;
        j->queued_ms = clock_ms();
        j->number = s->n_submitted++;
        j->share = shares_join(&s->shares, j->owner);
        link_waiting(s, j);
        pthread_cond_signal(&s->work);
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

void scheduler_drain(struct scheduler *s)
{
    pthread_mutex_lock(&s->lock);
    if (s->state != ENGINE_FAILED) /* which keeps its reason */
        s->state = ENGINE_CLOSING;
    pthread_mutex_unlock(&s->lock);
}

void scheduler_stop(struct scheduler *s)
{
    scheduler_drain(s);
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
}

void scheduler_loaded(struct scheduler *s, const struct err *failure)
{
    pthread_mutex_lock(&s->lock);
    if (failure) {
        s->failure = *failure;
        s->state = ENGINE_FAILED;
    } else if (s->state == ENGINE_LOADING) {
        s->state = ENGINE_READY;
    }
    s->last_step_ms = clock_ms();
    pthread_mutex_unlock(&s->lock);
}

/* Under the lock.  Takes n. */
static void send(struct job *j, struct event_node *n)
{
    if (n && j->inbox)
        inbox_put(j->inbox, n);
    else
        event_node_free(n);
}

/* Whose turn it is: of those with the head's priority the one whose owner was served least, the
 * first of equals; but before all one that gave its pages up and whose client sees a pause.  Jobs
 * without an owner share one counter that stays 0. */
static struct job *next(const struct scheduler *s)
{
    struct job *best = s->head;
    double least = 0;

    for (struct job *j = s->head; j && j->priority == s->head->priority; j = j->next) {
        double served = j->share ? j->share->served : 0;

        if (!j->started)
            return j;
        if (j == s->head || served < least) {
            best = j;
            least = served;
        }
    }
    return best;
}

/* Lets one that waits into the batch of n. */
static void admit(struct scheduler *s, struct job *j, struct job **jobs, size_t n)
{
    for (; n > 0 && job_precedes(j, jobs[n - 1]); n--)
        jobs[n] = jobs[n - 1];
    jobs[n] = j;
    unlink_waiting(s, j);
    j->state = JOB_RUNNING;
    if (j->started) { /* not one that comes back */
        j->started_ms = clock_ms();
        shares_charge(j->share, j->n_prompt, 0);
    }
    s->n_running++;
    slots_take(&s->slots, j);
    send(j, j->started);
    j->started = NULL;
}

bool scheduler_turn(struct scheduler *s, struct job **jobs, size_t *n)
{
    size_t pages = 0;
    bool go;

    for (size_t i = 0; i < *n; i++)
        pages += pages_soon(s, jobs[i]);
    pthread_mutex_lock(&s->lock);
    if (*n == 0 && !s->head) {
        while (!s->head && !s->stop)
            pthread_cond_wait(&s->work, &s->lock);
        s->last_step_ms = clock_ms(); /* idleness is not a stall */
    }
    go = !s->stop;
    /* Strictly in turn: a large job is not overtaken for ever by small ones. */
    while (go && s->head && *n < s->max_batch) {
        struct job *j = next(s);

        if (pages + pages_soon(s, j) > s->n_pages)
            break;
        pages += pages_soon(s, j);
        admit(s, j, jobs, (*n)++);
    }
    pthread_mutex_unlock(&s->lock);
    return go;
}

bool scheduler_requeue(struct scheduler *s, struct job *j)
{
    bool queued;

    pthread_mutex_lock(&s->lock);
    queued = !j->cancelled;
    if (queued) {
        slots_leave(&s->slots, j);
        s->n_running--;
        s->n_preempted++;
        link_waiting(s, j);
    }
    pthread_mutex_unlock(&s->lock);
    return queued;
}

bool scheduler_cancelled(struct scheduler *s, const struct job *j)
{
    bool cancelled;

    pthread_mutex_lock(&s->lock);
    cancelled = j->cancelled;
    pthread_mutex_unlock(&s->lock);
    return cancelled;
}

void scheduler_post(struct scheduler *s, struct job *j, struct event_node *n)
{
    pthread_mutex_lock(&s->lock);
    send(j, n);
    pthread_mutex_unlock(&s->lock);
}

/* Under the lock: tells the end and gives up one reference.  True: it was the last one. */
static bool end(struct scheduler *s, struct job *j)
{
    j->state = JOB_ENDED;
    shares_leave(j->share);
    j->share = NULL;
    if (j->cancelled)
        s->n_cancelled++;
    else if (j->last->event.kind == EVENT_DONE)
        s->n_ended++;
    send(j, j->last);
    j->last = NULL; /* given away: an end cannot be told twice */
    j->inbox = NULL;
    return --j->refs == 0;
}

void scheduler_end(struct scheduler *s, struct job *j, struct kv_use use)
{
    bool gone;

    pthread_mutex_lock(&s->lock);
    slots_leave(&s->slots, j);
    s->n_running--;
    s->kv_use = use;
    gone = end(s, j);
    pthread_mutex_unlock(&s->lock);
    if (gone)
        job_destroy(j);
}

void scheduler_charge(struct scheduler *s, struct job **jobs, size_t n)
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < n; i++) {
        struct job *j = jobs[i];

        shares_charge(j->share, 0, j->n_ids - j->seen.n_ids);
        j->seen = (struct job_progress){ j->n_ids, j->n_done, j->n_cached };
    }
    pthread_mutex_unlock(&s->lock);
}

void scheduler_stepped(struct scheduler *s, const struct token_counts *step, struct kv_use use)
{
    pthread_mutex_lock(&s->lock);
    s->tokens.prompt += step->prompt;
    s->tokens.cached += step->cached;
    s->tokens.generated += step->generated;
    s->tokens.drafted += step->drafted;
    s->tokens.accepted += step->accepted;
    s->kv_use = use;
    s->last_step_ms = clock_ms();
    pthread_mutex_unlock(&s->lock);
}

void scheduler_clear(struct scheduler *s, const struct err *why)
{
    struct job *j;

    pthread_mutex_lock(&s->lock);
    while ((j = s->head)) {
        unlink_waiting(s, j);
        j->last->event.kind = EVENT_FAILED;
        j->last->event.err = *why;
        if (end(s, j)) { /* its caller has freed it already */
            pthread_mutex_unlock(&s->lock);
            job_destroy(j);
            pthread_mutex_lock(&s->lock);
        }
    }
    pthread_mutex_unlock(&s->lock);
}

/* --- the caller's side of a job --- */

void job_cancel(struct job *j)
{
    struct scheduler *s = j->scheduler;

    pthread_mutex_lock(&s->lock);
    j->inbox = NULL; /* nothing more is sent, whatever the engine thread is doing */
    if (j->state == JOB_WAITING || j->state == JOB_RUNNING)
        j->cancelled = true;
    if (j->state == JOB_WAITING) {
        unlink_waiting(s, j);
        (void)end(s, j); /* the caller still holds its own reference */
    }
    pthread_mutex_unlock(&s->lock);
}
