/* job.c - making a job copies all it needs: the caller's request may be gone before the first step.
 *
 * Everything that could fail later for lack of memory is allocated here where its size is known:
 * ids for the whole answer (pages that are never written cost nothing), and the first and last
 * event. */
#include "inference/job.h"

#include <stdlib.h>
#include <string.h>

#include "inference/scheduler.h"

/* One block: the array of strings, then their bytes. */
static int copy_stops(struct job *j, const struct job_request *r)
{
    size_t bytes = r->n_stops * sizeof *j->stops;
    char *p;

    if (!r->n_stops)
        return 0;
    for (size_t i = 0; i < r->n_stops; i++)
        bytes += strlen(r->stops[i]);
    j->stops = malloc(bytes);
    if (!j->stops)
        return ERR_NOMEM;
    p = (char *)(j->stops + r->n_stops);
    for (size_t i = 0; i < r->n_stops; i++) {
        size_t len = strlen(r->stops[i]);

        memcpy(p, r->stops[i], len);
        j->stops[i] = (struct str){ .data = p, .len = len };
        p += len;
    }
    j->n_stops = r->n_stops;
    return 0;
}

/* Another n * size bytes in *to; NULL where there are none. */
static int copy_array(void **to, const void *from, size_t n, size_t size)
{
    *to = NULL;
    if (!n)
        return 0;
    *to = malloc(n * size);
    if (!*to)
        return ERR_NOMEM;
    memcpy(*to, from, n * size);
    return 0;
}

/* One block: the array of strings, then their bytes. */
static int copy_breakers(struct sampling *to, const struct sampling *p)
{
    size_t n = dry_wanted(p) ? p->n_dry_breakers : 0, bytes = n * sizeof(char *);
    const char **list;
    char *at;

    to->dry_breakers = NULL;
    to->n_dry_breakers = n;
    for (size_t i = 0; i < n; i++)
        bytes += strlen(p->dry_breakers[i]) + 1;
    if (!n)
        return 0;
    list = malloc(bytes);
    if (!list)
        return ERR_NOMEM;
    at = (char *)(list + n);
    for (size_t i = 0; i < n; i++) {
        list[i] = at;
        at = stpcpy(at, p->dry_breakers[i]) + 1;
    }
    to->dry_breakers = list;
    return 0;
}

static int copy_sampling(struct job *j, const struct sampling *p)
{
    void *bias;

    if (copy_array(&bias, p->bias, p->n_bias, sizeof *p->bias))
        return ERR_NOMEM;
    j->sampling = *p;
    j->sampling.bias = bias;
    return copy_breakers(&j->sampling, p);
}

static int copy_stop_ids(struct job *j, const struct job_request *r)
{
    void *ids;

    if (copy_array(&ids, r->stop_ids, r->n_stop_ids, sizeof *r->stop_ids))
        return ERR_NOMEM;
    j->stop_ids = ids;
    j->n_stop_ids = r->n_stop_ids;
    return 0;
}

static int take_ids(struct job *j, struct ids *ids, size_t max_new)
{
    size_t n = ids->len + max_new;
    int32_t *p = realloc(ids->data, n * sizeof *p);

    if (!p)
        return ERR_NOMEM;
    j->ids = p;
    j->n_ids = j->n_prompt = j->seen.n_ids = ids->len;
    j->max_new = max_new;
    *ids = (struct ids){ 0 };
    return 0;
}

/* The sum of its hidden states, and what they become. */
static int make_vector(struct job *j, size_t n)
{
    struct event *ev = &j->last->event;

    if (!n)
        return 0;
    ev->vector = calloc(n, sizeof *ev->vector);
    ev->n_vector = n;
    return ev->vector ? pooled_init(&j->pooled, n, NULL) : ERR_NOMEM;
}

int job_create(struct job **out, struct scheduler *s, const struct tokenizer *t,
               const struct job_request *r, struct ids *ids, struct ids *prediction, size_t max_new,
               size_t n_vector, struct inbox *in, size_t tag, struct err *e)
{
    struct job *j = calloc(1, sizeof *j);
    int rc = ERR_NOMEM;

    if (!j)
        goto out;
    j->scheduler = scheduler_ref(s);
    j->inbox = in;
    j->tag = tag;
    j->refs = 1;
    j->top_logprobs = r->top_logprobs;
    j->ignore_end = r->ignore_end;
    j->priority = r->priority;
    j->no_speculation = r->no_speculation;
    j->min_tokens = r->min_tokens;
    j->started = event_node_new(EVENT_STARTED, tag);
    j->last = event_node_new(EVENT_DONE, tag);
    j->id = r->id ? strdup(r->id) : NULL;
    j->owner = r->owner ? strdup(r->owner) : NULL;
    if (!j->started || !j->last || (r->id && !j->id) || (r->owner && !j->owner))
        goto out;
    if (copy_stops(j, r) || copy_stop_ids(j, r) || copy_sampling(j, &r->sampling) ||
        take_ids(j, ids, max_new) || make_vector(j, n_vector))
        goto out;
    if (!n_vector && sampler_begin(&j->sampler, &j->sampling, job_max_tokens(j), NULL))
        goto out;
    j->prediction = prediction->data;
    j->n_prediction = prediction->len;
    *prediction = (struct ids){ 0 };
    answer_init(&j->answer, t, j->stops, j->n_stops, j->top_logprobs);
    j->answer.detok.show_control = r->show_control;
    if (r->prompt_logprobs && j->top_logprobs >= 0 &&
        scored_init(&j->scored, j->ids, j->n_prompt, (size_t)j->top_logprobs, NULL))
        goto out;
    j->scored.show_control = r->kind == PROMPT_IDS;
    rc = 0;
    *out = j;
out:
    ids_done(ids);
    ids_done(prediction);
    if (rc) {
        job_destroy(j);
        return err_set(e, rc, "no memory for another request");
    }
    return 0;
}

void job_destroy(struct job *j)
{
    if (!j)
        return;
    answer_done(&j->answer);
    guide_done(&j->guide);
    pooled_done(&j->pooled);
    speculate_done(&j->speculate);
    event_node_free(j->started);
    event_node_free(j->last);
    sampler_end(&j->sampler);
    scored_done(&j->scored);
    free((void *)(uintptr_t)j->sampling.bias);
    free((void *)(uintptr_t)j->sampling.dry_breakers);
    free(j->stop_ids);
    free(j->stops);
    free(j->ids);
    free(j->prediction);
    free(j->id);
    free(j->owner);
    scheduler_unref(j->scheduler);
    free(j);
}

void job_free(struct job *j)
{
    struct scheduler *s;
    bool gone;

    if (!j)
        return;
    s = j->scheduler; /* still there: the job holds a reference */
    job_cancel(j);
    pthread_mutex_lock(&s->lock);
    gone = --j->refs == 0;
    pthread_mutex_unlock(&s->lock);
    if (gone)
        job_destroy(j);
}

size_t job_prompt_tokens(const struct job *j)
{
    return j->n_prompt;
}

void job_stop(struct job *j)
{
    atomic_store(&j->enough, true);
}

/* The prompt's ids never change, so that it does not matter what the engine's thread is doing. */
void job_prompt_end(const struct job *j, char *out, size_t size)
{
    const struct tokenizer *t = j->answer.detok.tokenizer;
    size_t from = j->n_prompt, len = 0, at = 0;

    out[0] = '\0';
    while (from > 0) {
        size_t n = tokenizer_piece(t, j->ids[from - 1], true).len;

        if (len + n >= size)
            break;
        len += n;
        from--;
    }
    for (; from < j->n_prompt; from++) {
        struct str piece = tokenizer_piece(t, j->ids[from], true);

        memcpy(out + at, piece.data, piece.len);
        at += piece.len;
        out[at] = '\0';
    }
}
