/* bench_guided.c - what it costs to hold a batch of answers to a schema. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kernels/base/json.h"
#include "tools/bench.h"
#include "tools/bench_client.h"

enum { PROMPT_BYTES = 80, MAX_SEQUENCES = 256 };

enum way { FREE, HELD, HELD_WITH_GUESSES };

/* Strings, numbers, choices and lists; too many items for an answer to end before its tokens do. */
static const char SCHEMA[] =
    "{\"type\":\"array\",\"minItems\":4000,\"items\":{\"type\":\"object\",\"properties\":{"
    "\"name\":{\"type\":\"string\",\"maxLength\":40},\"kind\":{\"enum\":[\"red\",\"green\","
    "\"blue\"]},"
    "\"size\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":999},"
    "\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":12},\"maxItems\":3}}"
    ","
    "\"required\":[\"name\",\"kind\",\"size\",\"tags\"],\"additionalProperties\":false}}";

static int submit(struct bench_client *c, const struct bench_options *o, size_t i, enum way way,
                  const struct value *schema, struct job **j, struct err *e)
{
    char text[PROMPT_BYTES];
    struct job_request q = { .kind = PROMPT_TEXT,
                             .text = text,
                             .max_tokens = o->n_gen,
                             .top_logprobs = -1,
                             .ignore_end = true,
                             .no_speculation = way != HELD_WITH_GUESSES };

    snprintf(text, sizeof text, "%zu. Some things, as a list of JSON objects:\n", i);
    q.text_len = strlen(text);
    if (way != FREE)
        q.spec = (struct spec){ .kind = SPEC_SCHEMA, .value = schema };
    sampling_default(&q.sampling);
    q.sampling.has_seed = true;
    q.sampling.seed = i;
    return engine_submit(c->engine, &q, c->inbox, i, j, e);
}

/* Of all threads, in ms. */
static double processor_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* n sequences at once, each of n_gen tokens: tokens a second of all together, and processor time.
 */
static int generate(struct bench_client *c, const struct bench_options *o, enum way way,
                    const struct value *schema, double *tps, double *ms, struct err *e)
{
    struct job *jobs[MAX_SEQUENCES] = { NULL };
    size_t left = 0;
    int rc = 0;

    *tps = 0;
    *ms = processor_ms();
    for (; rc == 0 && left < o->n_guided; left += rc == 0)
        rc = submit(c, o, left, way, schema, &jobs[left], e);
    while (left) {
        struct event ev = { 0 };

        if (!inbox_wait(c->inbox, -1, &ev))
            continue;
        if (ev.kind == EVENT_DONE)
            *tps += 1000.0 * (double)(ev.usage.generated_tokens - 1) / ev.usage.generate_ms;
        else if (ev.kind == EVENT_FAILED && rc == 0)
            rc = (*e = ev.err).code;
        left -= ev.kind == EVENT_DONE || ev.kind == EVENT_FAILED;
        event_done(&ev);
    }
    *ms = processor_ms() - *ms;
    for (size_t i = 0; i < o->n_guided; i++)
        job_free(jobs[i]);
    return rc;
}

/* All ways in turn, the first round not counted; of each the median, and of the rounds' shares of
 * what is free. */
static int rounds(struct bench_client *c, const struct bench_options *o, const struct value *schema,
                  struct bench_result *r, struct err *e)
{
    double tps[3][BENCH_MAX_REPEATS + 1], ms[3][BENCH_MAX_REPEATS + 1];
    double shares[3][BENCH_MAX_REPEATS + 1];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i <= o->n_repeats; i++)
        for (enum way way = FREE; rc == 0 && way <= HELD_WITH_GUESSES; way++)
            rc = generate(c, o, way, schema, &tps[way][i], &ms[way][i], e);
    for (int way = 0; rc == 0 && way < 3; way++) {
        for (size_t i = 0; i <= o->n_repeats; i++)
            shares[way][i] = tps[way][i] / tps[FREE][i];
        r->guided_share[way] = bench_median(shares[way] + 1, o->n_repeats);
        for (size_t i = 0; i <= o->n_repeats; i++)
            shares[way][i] = ms[way][i] / ms[FREE][i];
        r->guided_ms[way] = bench_median(shares[way] + 1, o->n_repeats);
    }
    for (int way = 0; rc == 0 && way < 3; way++)
        r->guided_tps[way] = bench_median(tps[way] + 1, o->n_repeats);
    return rc;
}

int bench_guided(struct bench_client *c, const struct bench_options *o, struct bench_result *r,
                 struct err *e)
{
    struct value *schema = NULL;
    struct arena arena;
    int rc;

    arena_init(&arena, 0);
    rc = json_parse(SCHEMA, strlen(SCHEMA), 100, &arena, &schema, e);
    if (rc == 0)
        rc = rounds(c, o, schema, r, e);
    arena_done(&arena);
    return rc;
}
