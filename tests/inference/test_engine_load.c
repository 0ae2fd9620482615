/* engine: many jobs at once; the same answers as alone, and nothing lost, leaked or told twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "inference/sampler.h"
#include "tests/inference/asking.h"

enum { N_JOBS = 16, N_NEW = 24, MAX_PROMPT = 300 };

static size_t prompt_len(size_t i)
{
    static const size_t LENGTHS[] = { 1, 2, 7, 8, 9, 31, 33, 64, 65, 100, 129, 300 };

    return LENGTHS[i % (sizeof LENGTHS / sizeof *LENGTHS)];
}

/* Job i of the experiment: greedy or drawn with a seed of its own. */
static struct job_request request_of(size_t i, int32_t *ids, float temperature)
{
    struct job_request r = asking_request(ids, prompt_len(i), N_NEW);

    asking_ids(ids, prompt_len(i), 100 + i);
    r.sampling.temperature = temperature;
    r.sampling.top_p = 0.95f;
    r.sampling.has_seed = true;
    r.sampling.seed = i;
    return r;
}

/* All at once, in one inbox each; steps mix prompts of all lengths with generation. */
static void together_equals_alone(struct engine_config c, float temperature)
{
    struct engine *g = asking_open(c);
    struct answered alone[N_JOBS], together;
    struct inbox *in[N_JOBS];
    struct job *jobs[N_JOBS];
    int32_t ids[MAX_PROMPT] = { 0 };

    for (size_t i = 0; i < N_JOBS; i++) {
        struct job_request r = request_of(i, ids, temperature);

        assert_int_equal(ask(g, &r, &alone[i]), 0);
        assert_int_equal(alone[i].n_ids, N_NEW);
    }
    engine_close(g);
    g = asking_open(c); /* which has no prompt in its cache */
    for (size_t i = 0; i < N_JOBS; i++) {
        struct job_request r = request_of(i, ids, temperature);

        assert_int_equal(inbox_create(&in[i], NULL), 0);
        assert_int_equal(engine_submit(g, &r, in[i], i, &jobs[i], NULL), 0);
    }
    for (size_t i = 0; i < N_JOBS; i++) {
        asking_collect(in[i], &together);
        assert_int_equal(together.n_ids, N_NEW);
        assert_memory_equal(together.ids, alone[i].ids, N_NEW * sizeof *alone[i].ids);
        assert_int_equal(together.text.len, alone[i].text.len);
        assert_memory_equal(buf_str(&together.text), buf_str(&alone[i].text), alone[i].text.len);
        answered_done(&together);
        answered_done(&alone[i]);
        job_free(jobs[i]);
        inbox_free(in[i]);
    }
    engine_close(g);
}

static void sixteen_together_answer_as_alone(void **state)
{
    (void)state;
    together_equals_alone((struct engine_config){ 0 }, 0);
}

static void small_steps_change_nothing(void **state)
{
    (void)state;
    together_equals_alone((struct engine_config){ .max_step_rows = 13, .max_batch = 5 }, 0);
}

static void seeds_give_the_same_text_in_a_batch(void **state)
{
    (void)state;
    together_equals_alone((struct engine_config){ 0 }, 0.8f);
}

static void one_inbox_serves_many_jobs(void **state)
{
    struct engine *g = asking_open((struct engine_config){ .max_batch = 3 });
    size_t started[N_JOBS] = { 0 }, done[N_JOBS] = { 0 }, left = N_JOBS;
    struct job *jobs[N_JOBS];
    int32_t ids[MAX_PROMPT] = { 0 };
    struct inbox *in;

    (void)state;
    assert_int_equal(inbox_create(&in, NULL), 0);
    for (size_t i = 0; i < N_JOBS; i++) {
        struct job_request r = request_of(i, ids, 0);

        assert_int_equal(engine_submit(g, &r, in, i, &jobs[i], NULL), 0);
    }
    while (left) {
        struct event ev;

        assert_true(inbox_wait(in, 60000, &ev));
        assert_int_equal(done[ev.tag], 0);
        if (ev.kind == EVENT_STARTED)
            assert_int_equal(started[ev.tag]++, 0);
        if (ev.kind == EVENT_DONE) {
            assert_int_equal(started[ev.tag], 1);
            assert_int_equal(ev.usage.generated_tokens, N_NEW);
            done[ev.tag]++;
            left--;
        }
        event_done(&ev);
    }
    for (size_t i = 0; i < N_JOBS; i++)
        job_free(jobs[i]);
    inbox_free(in);
    engine_close(g);
}

static void a_full_queue_refuses_and_recovers(void **state)
{
    struct engine *g = asking_open((struct engine_config){ .max_batch = 1, .max_queue = 3 });
    struct job *jobs[64];
    int32_t ids[MAX_PROMPT] = { 0 };
    struct job_request r;
    struct answered got;
    struct inbox *in;
    struct err e = { 0 };
    size_t n = 0;

    (void)state;
    asking_ids(ids, MAX_PROMPT, 1);
    r = asking_request(ids, MAX_PROMPT, 200);
    assert_int_equal(inbox_create(&in, NULL), 0);
    while (n < 64 && engine_submit(g, &r, in, n, &jobs[n], &e) == 0)
        n++;
    assert_int_equal(e.code, ERR_BUSY);
    assert_true(n >= 3);
    while (n)
        job_free(jobs[--n]);
    asking_settle(g);
    r.max_tokens = 2;
    assert_int_equal(ask(g, &r, &got), 0);
    assert_int_equal(got.usage.generated_tokens, 2);
    answered_done(&got);
    inbox_free(in);
    engine_close(g);
}

/* Slots and pages come back when clients leave: queued, in their prompts, generating. */
static void cancelling_frees_the_slot(void **state)
{
    struct engine *g = asking_open((struct engine_config){ .max_batch = 2, .max_step_rows = 8 });
    struct job *jobs[6];
    int32_t ids[MAX_PROMPT] = { 0 };
    struct engine_status s;
    struct job_request r;
    struct inbox *in;
    struct event ev;
    size_t texts = 0, started = 0;

    (void)state;
    asking_ids(ids, MAX_PROMPT, 1);
    r = asking_request(ids, MAX_PROMPT, SIZE_MAX);
    assert_int_equal(inbox_create(&in, NULL), 0);
    for (size_t i = 0; i < 6; i++) {
        r.n_ids = i ? MAX_PROMPT : 4;
        assert_int_equal(engine_submit(g, &r, in, i, &jobs[i], NULL), 0);
    }
    /* Until job 0 generates and job 1 is in its prompt or beyond; the others wait. */
    while (!texts || started < 2) {
        assert_true(inbox_wait(in, 60000, &ev));
        texts += ev.kind == EVENT_TEXT;
        started += ev.kind == EVENT_STARTED;
        event_done(&ev);
    }
    engine_status(g, &s);
    assert_int_equal(s.waiting, 4);
    job_cancel(jobs[5]);
    engine_status(g, &s);
    assert_int_equal(s.waiting, 3); /* at once */
    for (size_t i = 0; i < 5; i++)
        job_cancel(jobs[i]);
    asking_settle(g);
    engine_status(g, &s);
    assert_int_equal(s.cancelled, 6);
    assert_int_equal(s.done, 0);
    assert_int_equal(s.kv_pages_used, 0);
    while (inbox_wait(in, 0, &ev)) { /* sent before; no end is told */
        assert_int_not_equal(ev.kind, EVENT_DONE);
        assert_int_not_equal(ev.kind, EVENT_FAILED);
        event_done(&ev);
    }
    for (size_t i = 0; i < 6; i++)
        job_free(jobs[i]);
    inbox_free(in);
    engine_close(g);
}

static void a_tight_cache_loses_nobody(void **state)
{
    /* llama-Q8_0.gguf: 2 x 3 layers x 2 heads x 16 values of 2 or 4 bytes are 384 or 768 bytes a
     * token. */
    struct engine *g = asking_open((struct engine_config){ .kv_bytes = 8 * 64 * 384 });
    struct answered got[N_JOBS];
    struct inbox *in[N_JOBS];
    struct job *jobs[N_JOBS];
    int32_t ids[MAX_PROMPT] = { 0 };
    struct engine_status s;

    (void)state;
    engine_status(g, &s);
    assert_in_range(s.kv_pages, 4, 8);
    assert_int_equal(s.n_ctx, s.kv_pages * 64); /* no longer sequence could ever run */
    for (size_t i = 0; i < N_JOBS; i++) {
        struct job_request r = request_of(i, ids, 0);

        r.n_ids = r.n_ids > 200 ? 200 : r.n_ids;
        assert_int_equal(inbox_create(&in[i], NULL), 0);
        assert_int_equal(engine_submit(g, &r, in[i], i, &jobs[i], NULL), 0);
    }
    for (size_t i = 0; i < N_JOBS; i++) {
        asking_collect(in[i], &got[i]);
        assert_false(got[i].failed);
        assert_int_equal(got[i].usage.generated_tokens, N_NEW);
        answered_done(&got[i]);
        job_free(jobs[i]);
        inbox_free(in[i]);
    }
    engine_close(g);
}

/* Long answers in a cache that holds two of them: the others are sent back again and again, and
 * nobody's text shows it. */
static void the_preempted_answer_as_if_alone(void **state)
{
    enum { N = 8, LONG = 180 };
    struct engine_config c = { .kv_bytes = 8 * 64 * 384, .prefix_cache = PREFIX_CACHE_PROMPTS };
    struct engine *g = asking_open((struct engine_config){ .prefix_cache = PREFIX_CACHE_OFF });
    struct answered alone[N], got;
    struct inbox *in[N];
    struct job *jobs[N];
    int32_t ids[MAX_PROMPT] = { 0 };
    struct engine_status s;

    (void)state;
    for (size_t i = 0; i < N; i++) {
        struct job_request r = request_of(i, ids, i % 2 ? 0.7f : 0);

        r.n_ids = r.n_ids > 70 ? 70 : r.n_ids;
        r.max_tokens = LONG;
        assert_int_equal(ask(g, &r, &alone[i]), 0);
    }
    engine_close(g);
    g = asking_open(c);
    for (size_t i = 0; i < N; i++) {
        struct job_request r = request_of(i, ids, i % 2 ? 0.7f : 0);

        r.n_ids = r.n_ids > 70 ? 70 : r.n_ids;
        r.max_tokens = LONG;
        assert_int_equal(inbox_create(&in[i], NULL), 0);
        assert_int_equal(engine_submit(g, &r, in[i], i, &jobs[i], NULL), 0);
    }
    for (size_t i = 0; i < N; i++) {
        asking_collect(in[i], &got);
        assert_false(got.failed);
        assert_int_equal(got.usage.generated_tokens, LONG);
        assert_int_equal(got.n_ids, alone[i].n_ids);
        assert_memory_equal(got.ids, alone[i].ids, got.n_ids * sizeof *got.ids);
        assert_string_equal(buf_str(&got.text), buf_str(&alone[i].text));
        answered_done(&got);
        answered_done(&alone[i]);
        job_free(jobs[i]);
        inbox_free(in[i]);
    }
    asking_settle(g);
    engine_status(g, &s);
    assert_true(s.preempted > 0);
    assert_int_equal(s.done, N);
    assert_int_equal(s.kv_pages_used, 0);
    engine_close(g);
}

static void draining_finishes_what_is_there(void **state)
{
    struct engine *g = asking_open((struct engine_config){ .max_batch = 2 });
    struct answered got;
    struct inbox *in[6];
    struct job *jobs[6], *late;
    int32_t ids[MAX_PROMPT] = { 0 };
    struct engine_status s;
    struct job_request r;
    struct err e;

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        r = request_of(i, ids, 0);
        assert_int_equal(inbox_create(&in[i], NULL), 0);
        assert_int_equal(engine_submit(g, &r, in[i], i, &jobs[i], NULL), 0);
    }
    engine_drain(g);
    assert_int_equal(engine_submit(g, &r, in[0], 9, &late, &e), ERR_CLOSING);
    engine_status(g, &s);
    assert_int_equal(s.state, ENGINE_CLOSING);
    for (size_t i = 0; i < 6; i++) {
        asking_collect(in[i], &got);
        assert_false(got.failed);
        assert_int_equal(got.usage.generated_tokens, N_NEW);
        answered_done(&got);
        job_free(jobs[i]);
        inbox_free(in[i]);
    }
    engine_close(g);
}

static void closing_tells_everybody_once(void **state)
{
    struct engine *g = asking_open((struct engine_config){ .max_batch = 2 });
    struct answered got;
    struct inbox *in[6];
    struct job *jobs[6];
    int32_t ids[MAX_PROMPT] = { 0 };
    struct job_request r;
    struct event ev;

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        r = request_of(i, ids, 0);
        r.max_tokens = SIZE_MAX;
        r.top_logprobs = -1; /* their bytes would be gone with the engine (engine.h) */
        assert_int_equal(inbox_create(&in[i], NULL), 0);
        assert_int_equal(engine_submit(g, &r, in[i], i, &jobs[i], NULL), 0);
    }
    engine_close(g);
    for (size_t i = 0; i < 6; i++) {
        asking_collect(in[i], &got);
        assert_true(got.failed);
        assert_int_equal(got.err.code, ERR_CLOSING);
        assert_false(inbox_wait(in[i], 0, &ev));
        answered_done(&got);
        job_free(jobs[i]); /* the engine is gone; its jobs are still sound */
        inbox_free(in[i]);
    }
    engine_close(NULL);
}

static void closing_while_loading(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct engine_config c = { .n_threads = 2 };
        struct engine *g = i % 2 ? asking_open(c) : asking_open_only(c);

        usleep((useconds_t)(i * 100));
        engine_close(g);
    }
}

/* --- the storm --- */

enum { N_CLIENTS = 12, N_ROUNDS = 12 };

struct client {
    pthread_t thread;
    struct engine *g;
    struct rng rng;
    size_t submitted, refused, done, failed;
};

static size_t below(struct client *c, size_t n)
{
    return (size_t)(rng_uniform(&c->rng) * (double)n);
}

/* One request, left at a random moment: at once, after some events, by waking, or at its end. */
static void storm_round(struct client *c)
{
    size_t patience = below(c, 8), seen = 0;
    int32_t ids[MAX_PROMPT] = { 0 };
    struct job_request r;
    struct inbox *in;
    struct event ev;
    struct job *j;
    bool over = false;

    asking_ids(ids, MAX_PROMPT, below(c, 1000));
    r = asking_request(ids, 1 + below(c, MAX_PROMPT - 1), below(c, 40));
    r.sampling.temperature = below(c, 2) ? 1.0f : 0.0f;
    r.sampling.frequency_penalty = below(c, 2) ? 0.5f : 0.0f;
    r.sampling.top_k = below(c, 3) * 20;
    r.top_logprobs = (int)below(c, 4) - 1;
    if (inbox_create(&in, NULL))
        return;
    if (engine_submit(c->g, &r, in, 0, &j, NULL)) {
        c->refused++;
        inbox_free(in);
        return;
    }
    c->submitted++;
    if (below(c, 4) == 0)
        inbox_wake(in);
    while (!over && (patience >= 6 || seen < patience)) {
        if (!inbox_wait(in, 1 + (int)below(c, 20), &ev))
            continue;
        seen++;
        over = ev.kind == EVENT_DONE || ev.kind == EVENT_FAILED;
        c->done += ev.kind == EVENT_DONE;
        c->failed += ev.kind == EVENT_FAILED;
        event_done(&ev);
    }
    if (below(c, 2))
        job_cancel(j);
    job_free(j);
    inbox_free(in);
}

static void *storm(void *arg)
{
    struct client *c = arg;

    for (int i = 0; i < N_ROUNDS; i++)
        storm_round(c);
    return NULL;
}

static void clients_come_and_go(void **state)
{
    struct engine *g =
        asking_open((struct engine_config){ .max_batch = 4, .max_queue = 6, .max_step_rows = 48 });
    struct client clients[N_CLIENTS];
    struct engine_status s;
    size_t submitted = 0;

    (void)state;
    for (size_t i = 0; i < N_CLIENTS; i++) {
        clients[i] = (struct client){ .g = g, .rng = { i * 77 } };
        assert_int_equal(pthread_create(&clients[i].thread, NULL, storm, &clients[i]), 0);
    }
    for (size_t i = 0; i < N_CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        submitted += clients[i].submitted;
        assert_int_equal(clients[i].failed, 0);
        assert_int_equal(clients[i].submitted + clients[i].refused, N_ROUNDS);
    }
    asking_settle(g);
    engine_status(g, &s);
    assert_int_equal(s.done + s.cancelled, submitted);
    assert_int_equal(s.kv_pages_used, 0);
    assert_true(s.done > 0 && s.cancelled > 0);
    engine_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sixteen_together_answer_as_alone),
        cmocka_unit_test(small_steps_change_nothing),
        cmocka_unit_test(seeds_give_the_same_text_in_a_batch),
        cmocka_unit_test(one_inbox_serves_many_jobs),
        cmocka_unit_test(a_full_queue_refuses_and_recovers),
        cmocka_unit_test(cancelling_frees_the_slot),
        cmocka_unit_test(a_tight_cache_loses_nobody),
        cmocka_unit_test(the_preempted_answer_as_if_alone),
        cmocka_unit_test(draining_finishes_what_is_there),
        cmocka_unit_test(closing_tells_everybody_once),
        cmocka_unit_test(closing_while_loading),
        cmocka_unit_test(clients_come_and_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
