/* answer.c - detok knows which text may be shown; here each token's logprob is tied to that text.
 *
 * Tokens are counted in bytes of their pieces: a token may go out when all bytes up to its end are
 * shown. */
#include "inference/answer.h"

#include <stdlib.h>
#include <string.h>

void answer_init(struct answer *a, const struct tokenizer *t, const struct str *stops,
                 size_t n_stops, int top_logprobs)
{
    *a = (struct answer){ .width = top_logprobs < 0 ? 0 : 1 + (size_t)top_logprobs };
    detok_init(&a->detok, t, stops, n_stops, true);
}

void answer_done(struct answer *a)
{
    detok_done(&a->detok);
    buf_done(&a->text);
    free(a->logprobs);
    *a = (struct answer){ 0 };
}

static bool hold(struct answer *a, const struct token_logprob *logprobs)
{
    if (a->n_held == a->cap) {
        size_t cap = a->cap ? a->cap * 2 : 8;
        struct token_logprob *p = realloc(a->logprobs, cap * a->width * sizeof *p);

        if (!p)
            return false;
        a->logprobs = p;
        a->cap = cap;
    }
    memcpy(a->logprobs + a->n_held++ * a->width, logprobs, a->width * sizeof *logprobs);
    return true;
}

/* Counts the held tokens whose bytes all lie within the first `shown` bytes of the answer; on a
 * stop, also one that lies there in part, and the others are forgotten. */
static void release(struct answer *a, size_t shown, bool stopped)
{
    size_t start = a->bytes_gone, i = 0;

    for (; i < a->n_held; i++) {
        size_t end = start + a->logprobs[i * a->width].n_bytes;

        if (stopped ? start >= shown : end > shown)
            break;
        start = end;
    }
    a->n_ready = i;
    if (stopped)
        a->n_held = i;
}

/* Bytes of the tokens so far that have been shown.  Held text counts a replaced byte as three, so
 * this can be a little low for a while, never high. */
static size_t bytes_shown(const struct answer *a)
{
    size_t held = a->detok.held.len + a->detok.n_partial;

    return held < a->bytes_pushed ? a->bytes_pushed - held : 0;
}

/* Says in the text that tokens' logprobs became ready since there were `ready`, and that a token
 * ends. */
static void mark(struct answer *a, size_t ready, bool token)
{
    if (!a->detok.show_control)
        return;
    for (; ready < a->n_ready; ready++)
        buf_putc(&a->text, (char)TEXT_LOGPROB);
    if (token)
        buf_putc(&a->text, (char)TEXT_TOKEN);
}

bool answer_push(struct answer *a, int32_t id, const struct token_logprob *logprobs, bool stops)
{
    size_t shown = bytes_shown(a), before = a->text.len, ready = a->n_ready;
    bool stopped;

    a->n_tokens++;
    a->bytes_pushed += tokenizer_piece(a->detok.tokenizer, id, false).len;
    if (a->width && !hold(a, logprobs))
        a->failed = true;
    a->detok.deaf = !stops;
    stopped = detok_push(&a->detok, id, &a->text);
    /* After a stop the held bytes are gone; what was shown of them has been appended. */
    release(a, stopped ? shown + (a->text.len - before) : bytes_shown(a), stopped);
    mark(a, ready, true);
    if (a->text.failed || a->detok.held.failed)
        a->failed = true;
    return stopped;
}

bool answer_finish(struct answer *a)
{
    size_t shown = bytes_shown(a), before = a->text.len, ready = a->n_ready;

    detok_finish(&a->detok, &a->text);
    if (a->detok.stopped)
        release(a, shown + (a->text.len - before), true);
    else
        a->n_ready = a->n_held;
    mark(a, ready, false);
    if (a->text.failed)
        a->failed = true;
    return a->detok.stopped;
}

/* Moves the logprobs that are ready into the event. */
static bool take_logprobs(struct answer *a, struct event *ev)
{
    size_t n = a->n_ready, count = n * a->width;

    if (!n)
        return true;
    ev->logprobs = malloc(count * sizeof *ev->logprobs);
    if (!ev->logprobs)
        return false;
    memcpy(ev->logprobs, a->logprobs, count * sizeof *ev->logprobs);
    for (size_t i = 0; i < n; i++)
        a->bytes_gone += a->logprobs[i * a->width].n_bytes;
    a->n_held -= n;
    memmove(a->logprobs, a->logprobs + count, a->n_held * a->width * sizeof *a->logprobs);
    ev->n_logprobs = n;
    a->n_ready = 0;
    return true;
}

struct event_node *answer_take(struct answer *a, size_t tag)
{
    struct event_node *n;

    if (!a->text.len && !a->n_ready)
        return NULL;
    buf_puts(&a->text, ""); /* an event's text is never NULL */
    n = event_node_new(EVENT_TEXT, tag);
    if (!n || a->text.failed || !take_logprobs(a, &n->event)) {
        event_node_free(n);
        a->failed = true;
        return NULL;
    }
    n->width = a->width;
    n->event.n_tokens = a->n_tokens;
    n->event.text = a->text.data;
    n->event.text_len = a->text.len;
    a->text = (struct buf){ 0 };
    a->n_tokens = 0;
    return n;
}
