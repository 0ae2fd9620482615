/* bench_quote.c - guessed tokens: what they gain where a text repeats its prompt, and what they
 * cost where it does not. */
#include <stdlib.h>
#include <string.h>

#include "kernels/base/buf.h"
#include "tools/bench.h"
#include "tools/bench_client.h"

enum { TOKENS = 200, RECORDS = 8 };

/* A list of records twice, and the beginning of a third copy: what any model goes on with. */
static void quoting_prompt(struct buf *b)
{
    static const char *const names[RECORDS] = { "Alice Moreau", "Bob Tanaka",   "Carla Jensen",
                                                "Deniz Aydin",  "Elena Petrov", "Farid Haddad",
                                                "Grace Kim",    "Hugo Silva" };
    static const char *const cities[RECORDS] = { "Lyon",  "Osaka",  "Aarhus", "Izmir",
                                                 "Kazan", "Beirut", "Busan",  "Porto" };

    for (int copy = 0; copy < 2; copy++) {
        buf_puts(b, "[\n");
        for (int i = 0; i < RECORDS; i++)
            buf_printf(b,
                       "  {\"id\": %d, \"name\": \"%s\", \"city\": \"%s\", \"age\": %d, "
                       "\"active\": %s},\n",
                       117 + i * 31, names[i], cities[i], 23 + i * 7 % 40,
                       i % 3 ? "true" : "false");
        buf_puts(b, "]\n");
    }
    buf_puts(b, "[\n  {\"id\": 117, \"name\": \"Alice");
}

/* Tokens per second of one text, after its prompt. */
static int generate(struct bench_client *c, const char *text, float temperature, bool guess,
                    double *tps, struct err *e)
{
    struct job_request q = { .kind = PROMPT_TEXT,
                             .text = text,
                             .text_len = strlen(text),
                             .max_tokens = TOKENS,
                             .top_logprobs = -1,
                             .ignore_end = true,
                             .no_speculation = !guess };
    struct event ev = { 0 };
    struct job *j;
    int rc;

    sampling_default(&q.sampling);
    q.sampling.temperature = temperature;
    q.sampling.has_seed = true;
    q.sampling.seed = 5;
    rc = engine_submit(c->engine, &q, c->inbox, 0, &j, e);
    if (rc)
        return rc;
    while (ev.kind != EVENT_DONE && ev.kind != EVENT_FAILED)
        if (inbox_wait(c->inbox, -1, &ev)) {
            if (ev.kind == EVENT_DONE)
                *tps = 1000.0 * (double)ev.usage.generated_tokens / ev.usage.generate_ms;
            event_done(&ev);
        }
    job_free(j);
    if (ev.kind == EVENT_FAILED)
        *e = ev.err;
    return ev.kind == EVENT_FAILED ? e->code : 0;
}

/* On and off in turn, the first pair not counted; the same seed gives both the same text. */
static int both(struct bench_client *c, const struct bench_options *o, const char *text,
                float temperature, double medians[2], struct err *e)
{
    double tps[2][BENCH_MAX_REPEATS + 1];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i <= o->n_repeats; i++)
        for (int guess = 0; rc == 0 && guess < 2; guess++)
            rc = generate(c, text, temperature, guess, &tps[guess][i], e);
    for (int guess = 0; rc == 0 && guess < 2; guess++)
        medians[guess] = bench_median(tps[guess] + 1, o->n_repeats);
    return rc;
}

int bench_quote(struct bench_client *c, const struct bench_options *o, struct bench_result *r,
                struct err *e)
{
    static const char prose[] =
        "The old lighthouse keeper had not spoken to anyone for three weeks "
        "when, on a grey morning in November,";
    struct buf json = { 0 };
    int rc;

    quoting_prompt(&json);
    if (json.failed)
        rc = err_set(e, ERR_NOMEM, "no memory for a prompt");
    else
        rc = both(c, o, buf_str(&json), 0, r->quote_tps, e);
    if (rc == 0)
        rc = both(c, o, prose, 1, r->plain_tps, e);
    buf_done(&json);
    return rc;
}
