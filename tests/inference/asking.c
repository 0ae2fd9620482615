#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/inference/asking.h"
#include "inference/sampler.h"
#include "kernels/base/log.h"
#include "tests/inference/rig.h"

void answered_done(struct answered *a)
{
    buf_done(&a->text);
    free(a->vector);
    a->vector = NULL;
    buf_done(&a->bytes);
}

struct engine *asking_open_only(struct engine_config c)
{
    struct engine *g;
    struct err e = { 0 };

    if (!c.model_path)
        c.model_path = rig_path("llama-Q8_0.gguf");
    if (!c.n_threads)
        c.n_threads = 2;
    if (!c.isa)
        c.isa = getenv("AIRSTRIP_ISA");
    if (engine_open(&g, &c, &e))
        fail_msg("%s", e.text);
    return g;
}

struct engine *asking_open(struct engine_config c)
{
    struct engine *g = asking_open_only(c);
    struct engine_status s;

    log_set_level(LOG_WARN);
    do {
        engine_status(g, &s);
        if (s.state == ENGINE_FAILED)
            fail_msg("%s", s.failure.text);
        usleep(500);
    } while (s.state == ENGINE_LOADING);
    return g;
}

struct job_request asking_request(const int32_t *ids, size_t n, size_t max_tokens)
{
    struct job_request r = {
        .kind = PROMPT_IDS, .ids = ids, .n_ids = n, .max_tokens = max_tokens, .ignore_end = true
    };

    sampling_default(&r.sampling);
    r.sampling.temperature = 0;
    return r;
}

void asking_ids(int32_t *ids, size_t n, uint64_t seed)
{
    struct rng r = { seed };

    for (size_t i = 0; i < n; i++)
        ids[i] = 3 + (int32_t)(rng_uniform(&r) * 700);
}

void asking_prompt(int32_t *ids, size_t n, size_t i, uint64_t seed)
{
    enum { PERIOD = 20, LEAST_VOCAB = 320 };

    asking_ids(ids, n, seed + i);
    for (size_t k = 0; k < n; k++)
        ids[k] = i % 2 && k >= PERIOD ? ids[k - PERIOD] : ids[k] % LEAST_VOCAB;
}

static void take_text(struct answered *a, const struct event *ev)
{
    size_t width = ev->n_logprobs ? 1 : 0;

    assert_non_null(ev->text);
    assert_int_equal(ev->text[ev->text_len], '\0'); /* NULs may stand inside */
    buf_put(&a->text, ev->text, ev->text_len);
    a->n_texts++;
    a->n_tokens += ev->n_tokens;
    for (size_t i = 0; i < ev->n_logprobs * width && a->n_ids < ASKING_MAX_IDS; i++) {
        a->ids[a->n_ids] = ev->logprobs[i].id;
        a->logprobs[a->n_ids++] = ev->logprobs[i].logprob;
        buf_put(&a->bytes, ev->logprobs[i].bytes, ev->logprobs[i].n_bytes);
    }
}

void asking_collect(struct inbox *in, struct answered *a)
{
    bool over = false;

    *a = (struct answered){ 0 };
    buf_puts(&a->text, "");
    while (!over) {
        struct event ev;

        if (!inbox_wait(in, 60000, &ev))
            fail_msg("no event within a minute");
        switch (ev.kind) {
        case EVENT_STARTED:
            assert_false(a->started);
            a->started = true;
            break;
        case EVENT_PROMPT: /* nobody asks for it here */
            fail();
            break;
        case EVENT_TEXT:
            assert_true(a->started);
            take_text(a, &ev);
            break;
        case EVENT_DONE:
            a->finish = ev.finish;
            a->usage = ev.usage;
            a->vector = ev.vector;
            a->n_vector = ev.n_vector;
            ev.vector = NULL;
            over = true;
            break;
        case EVENT_FAILED:
            a->failed = over = true;
            a->err = ev.err;
            break;
        }
        event_done(&ev);
    }
}

int ask(struct engine *g, const struct job_request *r, struct answered *a)
{
    struct inbox *in;
    struct event ev;
    struct job *j;
    int rc;

    *a = (struct answered){ 0 };
    assert_int_equal(inbox_create(&in, NULL), 0);
    rc = engine_submit(g, r, in, 0, &j, &a->err);
    if (rc == 0) {
        asking_collect(in, a);
        assert_false(inbox_wait(in, 0, &ev)); /* the last event was the last */
        assert_int_equal(job_prompt_tokens(j), a->usage.prompt_tokens);
        job_free(j);
    }
    inbox_free(in);
    return rc;
}

void asking_settle(struct engine *g)
{
    struct engine_status s;

    do {
        usleep(1000);
        engine_status(g, &s);
    } while (s.running || s.waiting);
}
