/* bench_engine.c - what a client of the engine sees: time to the first token, in a first and a
 * second turn, and the gaps of a stream. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/base/clock.h"
#include "tools/bench_client.h"

enum {
    QUESTION = 24,   /* new tokens of a second turn */
    OPENING = 16,    /* tokens of the stream's own prompt */
    MAX_GAPS = 8192, /* more than a context of tokens */
    QUOTED = 1024,   /* context enough for bench_quote() */
    ASKED = 32,      /* at most, tokens of a prompt of bench_guided() */
};

static int wait_ready(struct bench_client *c, struct err *e)
{
    static const struct timespec TICK = { .tv_nsec = 2000000 };
    struct engine_status s;

    for (;;) {
        engine_status(c->engine, &s);
        c->n_vocab = s.n_vocab;
        if (s.state == ENGINE_READY)
            return 0;
        if (s.state == ENGINE_FAILED) {
            *e = s.failure;
            return e->code;
        }
        nanosleep(&TICK, NULL);
    }
}

static int submit(struct bench_client *c, size_t n_ids, size_t max_tokens, size_t tag,
                  struct job **j, struct err *e)
{
    struct job_request q = { .kind = PROMPT_IDS,
                             .ids = c->ids,
                             .n_ids = n_ids,
                             .max_tokens = max_tokens,
                             .top_logprobs = 0, /* so that each token is an event of its own */
                             .ignore_end = true,
                             .no_speculation = true };

    sampling_default(&q.sampling);
    q.sampling.temperature = 0;
    return engine_submit(c->engine, &q, c->inbox, tag, j, e);
}

/* A prompt that shares no beginning with the one before. */
static void another_prompt(struct bench_client *c)
{
    c->ids[0] = (int32_t)(((size_t)c->ids[0] + 1) % c->n_vocab);
}

/* One request for one token. */
static int time_first_token(struct bench_client *c, size_t n_ids, double *ms, struct err *e)
{
    double start = clock_ms();
    struct event ev = { 0 };
    struct job *j;
    int rc = submit(c, n_ids, 1, 0, &j, e);

    if (rc)
        return rc;
    while (ev.kind != EVENT_DONE && ev.kind != EVENT_FAILED)
        if (inbox_wait(c->inbox, -1, &ev))
            event_done(&ev);
    *ms = clock_ms() - start;
    job_free(j);
    if (ev.kind == EVENT_FAILED)
        *e = ev.err;
    return ev.kind == EVENT_FAILED ? e->code : 0;
}

/* Whether nothing of the prompt is in the cache is up to the first token: it is another each time.
 */
static int first_tokens(struct bench_client *c, const struct bench_options *o, double *median,
                        struct err *e)
{
    double ms[BENCH_MAX_REPEATS + 1];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i <= o->n_repeats; i++) {
        another_prompt(c);
        rc = time_first_token(c, o->n_prompt, &ms[i], e);
    }
    if (rc == 0)
        *median = bench_median(ms + 1, o->n_repeats); /* without the first, which warms up */
    return rc;
}

/* The second turn begins with the first and asks QUESTION tokens more. */
static int turns(struct bench_client *c, const struct bench_options *o, struct bench_result *r,
                 struct err *e)
{
    double first[BENCH_MAX_REPEATS + 1], second[BENCH_MAX_REPEATS + 1];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i <= o->n_repeats; i++) {
        another_prompt(c);
        rc = time_first_token(c, o->n_turn, &first[i], e);
        if (rc == 0)
            rc = time_first_token(c, o->n_turn + QUESTION, &second[i], e);
    }
    if (rc == 0) {
        r->first_turn_ms = bench_median(first + 1, o->n_repeats);
        r->second_turn_ms = bench_median(second + 1, o->n_repeats);
    }
    return rc;
}

/* The stream's gaps until `n` of them are there, or it or the job `other` ends; none once it has.
 */
static size_t listen(struct bench_client *c, double *gaps, size_t n, size_t other)
{
    double last = clock_ms();
    size_t found = 0;

    for (bool over = c->stream_over; !over && found < n;) {
        struct event ev;

        if (!inbox_wait(c->inbox, -1, &ev))
            continue;
        if (ev.tag == 0 && ev.kind == EVENT_TEXT) {
            gaps[found++] = clock_ms() - last;
            last = clock_ms();
        }
        over = ev.kind == EVENT_FAILED || ev.kind == EVENT_DONE;
        if (over && ev.tag == 0)
            c->stream_over = true;
        over = over && (ev.tag == 0 || ev.tag == other);
        event_done(&ev);
    }
    return found;
}

static void put_gaps(double to[2], double *gaps, size_t n)
{
    if (n > 1) { /* the first began before the stream or the prompt did */
        to[0] = bench_quantile(gaps + 1, n - 1, 0.5);
        to[1] = bench_quantile(gaps + 1, n - 1, 0.99);
    }
}

/* The stream sees more positions with each token, so what is quiet for it grows: from the median
 * before the prompt to that after it, by a straight line in between. */
static double worst_of_quiet(double *gaps, size_t n, double before, double after)
{
    if (after <= 0) /* the context was full before the prompt was done */
        after = before;
    for (size_t i = 1; i < n; i++)
        gaps[i] /= before + (after - before) * (double)i / (double)n;
    return n > 1 ? bench_quantile(gaps + 1, n - 1, 0.99) : 0;
}

/* Two sequences of keys and values are all that the engine has room for: without the first writes,
 * where the system clears memory (0.25 ms for 2 MB; in a virtual machine that never had it, 5). */
static int touch_pages(struct bench_client *c, size_t n, struct err *e)
{
    double ms;
    int rc = 0;

    for (int i = 0; rc == 0 && i < 2; i++) {
        another_prompt(c);
        rc = time_first_token(c, n, &ms, e);
    }
    return rc;
}

static int gaps(struct bench_client *c, const struct bench_options *o, struct bench_result *r,
                struct err *e)
{
    enum { QUIET = 256 };
    double *ms = calloc(2 * MAX_GAPS + 2 * QUIET, sizeof *ms);
    double *of_quiet = ms ? ms + MAX_GAPS : NULL, *alone = ms ? of_quiet + MAX_GAPS : NULL;
    struct job *stream = NULL, *prompt = NULL;
    size_t n = 0;
    int rc = ms ? touch_pages(c, o->n_long, e)
                : err_set(e, ERR_NOMEM, "no memory for %d gaps", MAX_GAPS);

    if (rc == 0)
        rc = submit(c, OPENING, SIZE_MAX, 0, &stream, e);
    if (rc == 0) {
        put_gaps(r->gap_ms[0], alone, listen(c, alone, QUIET, 1));
        another_prompt(c);
        rc = submit(c, o->n_long, 1, 1, &prompt, e);
    }
    if (rc == 0) {
        double start = clock_ms();

        n = listen(c, ms, MAX_GAPS, 1);
        r->beside_ms = clock_ms() - start;
        put_gaps(r->gap_ms[2], alone + QUIET, listen(c, alone + QUIET, QUIET, 1));
        memcpy(of_quiet, ms, n * sizeof *ms); /* quantiles sort */
        put_gaps(r->gap_ms[1], ms, n);
        r->gap_of_quiet = worst_of_quiet(of_quiet, n, r->gap_ms[0][0], r->gap_ms[2][0]);
    }
    job_free(stream);
    job_free(prompt);
    free(ms);
    return rc;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static int connect(struct bench_client *c, const struct bench_options *o, struct err *e)
{
    size_t n = larger(larger(o->n_prompt, o->n_long), larger(o->n_turn + QUESTION, OPENING));
    size_t most = larger(larger(n, o->quote ? QUOTED : 0), o->n_guided ? ASKED + o->n_gen : 0);
    struct engine_config config = bench_config(o, most + 1);
    int rc;

    if (o->n_long && config.max_batch < 2)
        config.max_batch = 2;
    if (config.max_batch < o->n_guided)
        config.max_batch = o->n_guided;
    *c = (struct bench_client){ .ids = calloc(n, sizeof *c->ids), .n_ids = n };
    if (!c->ids)
        return err_set(e, ERR_NOMEM, "no memory for a prompt of %zu tokens", n);
    rc = engine_open(&c->engine, &config, e);
    if (rc == 0)
        rc = wait_ready(c, e);
    if (rc == 0)
        rc = inbox_create(&c->inbox, e);
    if (rc == 0)
        bench_random_ids(c->ids, n, c->n_vocab, 43);
    return rc;
}

int bench_engine(const struct bench_options *o, struct bench_result *r, struct err *e)
{
    struct bench_client c;
    int rc = connect(&c, o, e);

    if (rc == 0)
        rc = first_tokens(&c, o, &r->ttft_ms, e);
    if (rc == 0 && o->n_turn)
        rc = turns(&c, o, r, e);
    if (rc == 0 && o->n_long)
        rc = gaps(&c, o, r, e);
    if (rc == 0 && o->quote)
        rc = bench_quote(&c, o, r, e);
    if (rc == 0 && o->n_guided)
        rc = bench_guided(&c, o, r, e);
    inbox_free(c.inbox);
    engine_close(c.engine);
    free(c.ids);
    return rc;
}
