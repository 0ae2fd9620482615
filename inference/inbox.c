/* inbox.c - a list under a lock.
 *
 * The engine thread serves every client and must wait for none: the list has no limit of its own.
 * It cannot grow without bound, since unread text of a job is one event, as long as the answer at
 * most. */
#include "inference/inbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/base/clock.h"

struct inbox {
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    struct event_node *head, *tail;
    bool woken;
};

/* Allocated when there is something to say; a job's first and last are made when it is submitted.
 */
struct event_node *event_node_new(enum event_kind kind, size_t tag)
{
    struct event_node *n = calloc(1, sizeof *n);

    if (n) {
        n->event.kind = kind;
        n->event.tag = tag;
    }
    return n;
}

void event_done(struct event *ev)
{
    free(ev->text);
    free(ev->logprobs);
    free(ev->vector);
    ev->text = NULL;
    ev->logprobs = NULL;
    ev->vector = NULL;
    ev->text_len = ev->n_logprobs = 0;
}

void event_node_free(struct event_node *n)
{
    if (n)
        event_done(&n->event);
    free(n);
}

int inbox_create(struct inbox **out, struct err *e)
{
    struct inbox *in = calloc(1, sizeof *in);
    pthread_condattr_t attr;

    if (!in || pthread_condattr_init(&attr))
        goto fail;
    /* The wall clock may jump; waiting must not. */
    if (pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) ||
        pthread_cond_init(&in->changed, &attr)) {
        pthread_condattr_destroy(&attr);
        goto fail;
    }
    pthread_condattr_destroy(&attr);
    if (pthread_mutex_init(&in->lock, NULL)) {
        pthread_cond_destroy(&in->changed);
        goto fail;
    }
    *out = in;
    return 0;
fail:
    free(in);
    return err_set(e, ERR_NOMEM, "no memory for an inbox");
}

void inbox_free(struct inbox *in)
{
    if (!in)
        return;
    while (in->head) {
        struct event_node *n = in->head;

        in->head = n->next;
        event_node_free(n);
    }
    pthread_cond_destroy(&in->changed);
    pthread_mutex_destroy(&in->lock);
    free(in);
}

/* Appends the text and logprobs of *from to *to; false, and *to is as it was, without memory. */
static bool join(struct event *to, const struct event *from, size_t width)
{
    size_t old = to->n_logprobs * width, more = from->n_logprobs * width;

    if (from->text_len) {
        char *text = realloc(to->text, to->text_len + from->text_len + 1);

        if (!text)
            return false;
        to->text = text;
        text[to->text_len] = '\0';
    }
    if (more) {
        struct token_logprob *l = realloc(to->logprobs, (old + more) * sizeof *l);

        if (!l)
            return false;
        to->logprobs = l;
        memcpy(l + old, from->logprobs, more * sizeof *l);
        to->n_logprobs += from->n_logprobs;
    }
    if (from->text_len) {
        memcpy(to->text + to->text_len, from->text, from->text_len + 1);
        to->text_len += from->text_len;
    }
    to->n_tokens += from->n_tokens;
    to->at_ms = from->at_ms;
    return true;
}

/* The newest unread event of this tag.  Since texts are joined there are at most three of a tag. */
static struct event_node *newest(const struct inbox *in, size_t tag)
{
    struct event_node *found = NULL;

    for (struct event_node *n = in->head; n; n = n->next)
        if (n->event.tag == tag)
            found = n;
    return found;
}

void inbox_put(struct inbox *in, struct event_node *n)
{
    struct event_node *last;

    n->next = NULL;
    n->event.at_ms = clock_ms();
    pthread_mutex_lock(&in->lock);
    last = n->event.kind == EVENT_TEXT ? newest(in, n->event.tag) : NULL;
    if (last && last->event.kind == EVENT_TEXT && join(&last->event, &n->event, n->width)) {
        event_node_free(n);
    } else {
        if (in->head)
            in->tail->next = n;
        else
            in->head = n;
        in->tail = n;
    }
    pthread_cond_signal(&in->changed);
    pthread_mutex_unlock(&in->lock);
}

void inbox_wake(struct inbox *in)
{
    pthread_mutex_lock(&in->lock);
    in->woken = true;
    pthread_cond_signal(&in->changed);
    pthread_mutex_unlock(&in->lock);
}

static struct timespec deadline(int timeout_ms)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += timeout_ms / 1000;
    t.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (t.tv_nsec >= 1000000000L) {
        t.tv_nsec -= 1000000000L;
        t.tv_sec++;
    }
    return t;
}

bool inbox_wait(struct inbox *in, int timeout_ms, struct event *ev)
{
    struct timespec until = deadline(timeout_ms < 0 ? 0 : timeout_ms);
    struct event_node *n = NULL;
    int rc = 0;

    pthread_mutex_lock(&in->lock);
    while (!in->head && !in->woken && rc != ETIMEDOUT) {
        if (timeout_ms < 0)
            pthread_cond_wait(&in->changed, &in->lock);
        else
            rc = pthread_cond_timedwait(&in->changed, &in->lock, &until);
    }
    if (in->woken) { /* before any event: in a fast stream the caller would not look around
                        otherwise */
        in->woken = false;
    } else if (in->head) {
        n = in->head;
        in->head = n->next;
        *ev = n->event;
    }
    pthread_mutex_unlock(&in->lock);
    if (!n)
        return false;
    free(n); /* its text and logprobs now belong to *ev */
    return true;
}
