#include "inference/ranks_message.h"

#include <stdlib.h>
#include <string.h>

/* --- writing --- */

static void put(struct buf *b, uint64_t v)
{
    buf_put(b, &v, sizeof v);
}

static void put_record(struct buf *b, uint64_t kind, const void *record, size_t size)
{
    put(b, kind);
    buf_put(b, record, size);
}

static void put_ids(struct buf *b, const int32_t *ids, size_t n)
{
    if (n)
        buf_put(b, ids, n * sizeof *ids);
}

void message_hello(struct buf *b, const struct ranks_model *m)
{
    put_record(b, RANKS_HELLO, m, sizeof *m);
}

void message_cache(struct buf *b, const struct kv_shape *s)
{
    put_record(b, RANKS_CACHE, s, sizeof *s);
}

void message_forward(struct buf *b, const struct ranks_forward *f)
{
    put_record(b, RANKS_FORWARD, f, sizeof *f);
}

void message_copy(struct buf *b, const struct ranks_copy *c)
{
    put_record(b, RANKS_COPY, c, sizeof *c);
}

void message_end(struct buf *b)
{
    put(b, RANKS_END);
}

/* Pages of all positions that a span's rows see. */
static size_t n_pages(const struct seq_span *s, size_t page_tokens)
{
    size_t end = s->pos + s->n > s->reach ? s->pos + s->n : s->reach;

    return (end + page_tokens - 1) / page_tokens;
}

enum { STEP_NUMBERS = 9, SPAN_NUMBERS = 6 };

/* Numbers first, then lists of ids and pages. */
void message_step(struct buf *b, const struct ranks_step *s, size_t page_tokens)
{
    const struct step *of = &s->step;

    put(b, RANKS_STEP);
    put(b, s->forward);
    put(b, s->n);
    put(b, s->begins);
    if (!s->begins)
        return;
    put(b, of->prompt);
    put(b, of->attend_rows);
    put(b, of->n_rows);
    put(b, of->n_spans);
    put(b, of->n_outputs);
    put(b, of->n_hidden);
    for (size_t i = 0; i < of->n_spans; i++) {
        const struct seq_span *span = &of->spans[i];
        const uint64_t numbers[SPAN_NUMBERS] = {
            span->row, span->n, span->pos, span->reach, span->far, n_pages(span, page_tokens)
        };

        buf_put(b, numbers, sizeof numbers);
    }
    put_ids(b, of->ids, of->n_rows);
    put_ids(b, of->out_rows, of->n_outputs);
    put_ids(b, of->hidden_rows, of->n_hidden);
    for (size_t i = 0; i < of->n_spans; i++)
        put_ids(b, of->spans[i].pages, n_pages(&of->spans[i], page_tokens));
}

/* --- reading --- */

struct reader {
    const char *at;
    size_t left;
    bool bad; /* it was too short: what was read since is zeros */
};

static struct reader reader_of(const struct buf *b)
{
    bool bad = b->len < sizeof(uint64_t);

    return (struct reader){ .at = bad ? NULL : b->data + sizeof(uint64_t),
                            .left = bad ? 0 : b->len - sizeof(uint64_t),
                            .bad = bad };
}

static void take(struct reader *r, void *to, size_t bytes)
{
    if (r->bad || bytes > r->left) {
        r->bad = true;
        memset(to, 0, bytes);
        return;
    }
    memcpy(to, r->at, bytes);
    r->at += bytes;
    r->left -= bytes;
}

static size_t take_number(struct reader *r)
{
    uint64_t v;

    take(r, &v, sizeof v);
    return (size_t)v;
}

/* Lists begin at multiples of 4 bytes, as numbers of 8 and ids of 4 are all there is. */
static const int32_t *take_ids(struct reader *r, size_t n)
{
    const char *at = r->at;

    if (r->bad || n > r->left / sizeof(int32_t)) {
        r->bad = true;
        return NULL;
    }
    r->at += n * sizeof(int32_t);
    r->left -= n * sizeof(int32_t);
    return (const int32_t *)(const void *)at;
}

static int end(const struct reader *r, const char *what, struct err *e)
{
    if (r->bad || r->left)
        return err_set(e, ERR_FORMAT, "a message from rank 0 about %s is of another length", what);
    return 0;
}

int message_kind(const struct buf *b, enum ranks_message *kind, struct err *e)
{
    uint64_t v;

    if (b->len < sizeof v)
        return err_set(e, ERR_FORMAT, "a message from rank 0 of %zu bytes; expected at least %zu",
                       b->len, sizeof v);
    memcpy(&v, b->data, sizeof v);
    if (v > RANKS_END)
        return err_set(e, ERR_FORMAT, "a message from rank 0 of kind %llu; expected at most %d",
                       (unsigned long long)v, RANKS_END);
    *kind = (enum ranks_message)v;
    return 0;
}

int message_read_hello(const struct buf *b, struct ranks_model *m, struct err *e)
{
    struct reader r = reader_of(b);

    take(&r, m, sizeof *m);
    m->isa[sizeof m->isa - 1] = '\0';
    return end(&r, "its model", e);
}

int message_read_cache(const struct buf *b, struct kv_shape *s, struct err *e)
{
    struct reader r = reader_of(b);

    take(&r, s, sizeof *s);
    return end(&r, "its cache", e);
}

int message_read_forward(const struct buf *b, struct ranks_forward *f, struct err *e)
{
    struct reader r = reader_of(b);

    take(&r, f, sizeof *f);
    return end(&r, "its forward passes", e);
}

int message_read_copy(const struct buf *b, struct ranks_copy *c, struct err *e)
{
    struct reader r = reader_of(b);

    take(&r, c, sizeof *c);
    return end(&r, "a page", e);
}

/* Numbers of the spans; their pages come last in the message: *n_pages says how many. */
static int read_spans(struct reader *r, size_t n, struct seq_span **spans, size_t **n_pages_of,
                      struct err *e)
{
    struct seq_span *room;

    if (n > r->left / (SPAN_NUMBERS * sizeof(uint64_t))) {
        r->bad = true;
        return 0;
    }
    room = realloc(*spans, (n ? n : 1) * sizeof *room);
    if (room)
        *spans = room;
    *n_pages_of = calloc(n ? n : 1, sizeof **n_pages_of);
    if (!room || !*n_pages_of)
        return err_set(e, ERR_NOMEM, "no memory for a step of %zu spans", n);
    for (size_t i = 0; i < n; i++) {
        room[i] = (struct seq_span){ .row = take_number(r) };
        room[i].n = take_number(r);
        room[i].pos = take_number(r);
        room[i].reach = take_number(r);
        room[i].far = take_number(r) != 0;
        (*n_pages_of)[i] = take_number(r);
    }
    return 0;
}

int message_read_which(const struct buf *b, size_t *forward, bool *begins, struct err *e)
{
    struct reader r = reader_of(b);

    *forward = take_number(&r);
    (void)take_number(&r);
    *begins = take_number(&r) != 0;
    return r.bad ? end(&r, "a step", e) : 0;
}

int message_read_step(const struct buf *b, struct ranks_step *s, struct seq_span **spans,
                      struct err *e)
{
    struct reader r = reader_of(b);
    size_t *pages = NULL;
    int rc;

    *s = (struct ranks_step){ .forward = take_number(&r) };
    s->n = take_number(&r);
    s->begins = take_number(&r) != 0;
    if (!s->begins)
        return end(&r, "a step", e);
    s->step.prompt = take_number(&r) != 0;
    s->step.attend_rows = take_number(&r);
    s->step.n_rows = take_number(&r);
    s->step.n_spans = take_number(&r);
    s->step.n_outputs = take_number(&r);
    s->step.n_hidden = take_number(&r);
    rc = read_spans(&r, s->step.n_spans, spans, &pages, e);
    s->step.spans = *spans;
    s->step.ids = take_ids(&r, s->step.n_rows);
    s->step.out_rows = take_ids(&r, s->step.n_outputs);
    s->step.hidden_rows = take_ids(&r, s->step.n_hidden);
    for (size_t i = 0; rc == 0 && !r.bad && i < s->step.n_spans; i++)
        (*spans)[i].pages = take_ids(&r, pages[i]);
    free(pages);
    return rc ? rc : end(&r, "a step", e);
}
