/* engine: ranks give one rank's answers, bit for bit the same in any company; and a rank that is
 * lost, or never fit, fails the engine and not its callers. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "inference/ranks_follow.h"
#include "kernels/base/log.h"
#include "kernels/ranks_threads.h"
#include "tests/brief.h"
#include "tests/inference/asking.h"
#include "tests/inference/rig.h"

enum { N_JOBS = 6, N_NEW = 24, MAX_PROMPT = 200 };

/* Quantised ones, whose activations are rounded to 8 bits, so that a last bit may become more; and
 * folders, computed as floats: with kv heads that all queries share, with experts, with biases and
 * parts beside each other. */
static const struct file {
    const char *name;
    bool floats;
} MODELS[] = {
    { "llama-Q8_0.gguf", false },       { "gemma3_text-Q8_0.gguf", false },
    { "llama_256-Q4_K.gguf", false },   { "../models/falcon", true },
    { "../models/qwen2_moe", true },    { "../models/phi", true },
    { "../models/phi3_longrope", true } /* grows far on the way */
};

struct way {
    const char *what;
    size_t max_rows, max_batch;
    bool alone, guessed;
    int times; /* asked: more than once with prefixes in the cache, that are copied in part */
};

static const struct way ALONE = { .what = "alone", .alone = true }, WAYS[] = {
    { .what = "together, in chunks of 13", .max_rows = 13, .max_batch = 4 },
    { .what = "guessed, behind cached prefixes", .guessed = true, .times = 2 },
};

static struct job_request request_of(size_t i, int32_t *ids)
{
    static const size_t LENGTHS[N_JOBS] = { 1, 17, 64, 70, 140, 200 };
    size_t n = LENGTHS[i];
    struct job_request r = asking_request(ids, n, N_NEW);

    asking_prompt(ids, n, i, 300);
    r.top_logprobs = 0;
    return r;
}

static void ask_all(struct engine *g, struct answered *a, bool alone)
{
    struct inbox *in[N_JOBS];
    struct job *jobs[N_JOBS];
    int32_t ids[MAX_PROMPT];

    for (size_t i = 0; i < N_JOBS; i++) {
        struct job_request r = request_of(i, ids);

        assert_int_equal(inbox_create(&in[i], NULL), 0);
        assert_int_equal(engine_submit(g, &r, in[i], i, &jobs[i], NULL), 0);
        if (alone)
            asking_collect(in[i], &a[i]);
    }
    for (size_t i = 0; i < N_JOBS; i++) {
        if (!alone)
            asking_collect(in[i], &a[i]);
        job_free(jobs[i]);
        inbox_free(in[i]);
        assert_false(a[i].failed);
        assert_int_equal(a[i].n_ids, N_NEW);
    }
}

static void all_done(struct answered *a)
{
    for (size_t i = 0; i < N_JOBS; i++)
        answered_done(&a[i]);
}

static struct engine *open_way(const struct way *w, const struct file *model, size_t n_ranks)
{
    return asking_open((struct engine_config){
        .model_path = rig_path(model->name),
        .n_threads = n_ranks == 2 ? 4 : 3, /* of two ranks two each: sums beside products */
        .n_ranks = n_ranks,
        .max_step_rows = w->max_rows,
        .max_batch = w->max_batch,
        .prefix_cache = w->times > 1 ? PREFIX_CACHE_PROMPTS : PREFIX_CACHE_OFF,
        .speculation = w->guessed ? SPECULATION_ALWAYS : SPECULATION_OFF,
    });
}

/* The same tokens with the same probabilities up to one whose choice was that near. */
static void assert_near(const struct answered *a, const struct answered *one,
                        const struct file *model, size_t n)
{
    float off = model->floats ? 1e-3f : 0.5f;

    for (size_t i = 0; i < N_JOBS; i++)
        for (size_t k = 0; k < N_NEW; k++) {
            float d = fabsf(a[i].logprobs[k] - one[i].logprobs[k]);

            if (a[i].ids[k] != one[i].ids[k] && d <= off)
                break;
            if (!(d <= off))
                fail_msg("%s, %zu ranks, job %zu: token %zu is %d at %g; expected %d at %g",
                         model->name, n, i, k, (int)a[i].ids[k], (double)a[i].logprobs[k],
                         (int)one[i].ids[k], (double)one[i].logprobs[k]);
        }
}

static void assert_same(const struct answered *a, const struct answered *want,
                        const struct file *model, size_t n, const char *what)
{
    for (size_t i = 0; i < N_JOBS; i++)
        if (memcmp(a[i].ids, want[i].ids, N_NEW * sizeof *a->ids) != 0 ||
            memcmp(a[i].logprobs, want[i].logprobs, N_NEW * sizeof *a->logprobs) != 0)
            fail_msg("%s, %zu ranks: job %zu has another text %s", model->name, n, i, what);
}

static void ranks_agree(const struct file *model)
{
    static struct answered one[N_JOBS], want[N_JOBS], got[N_JOBS];

    for (size_t n = 1; n <= 4; n++) {
        struct engine *g = open_way(&ALONE, model, n);

        ask_all(g, n == 1 ? one : want, true);
        engine_close(g);
        if (n == 1)
            continue;
        assert_near(want, one, model, n);
        for (size_t i = 0; i < sizeof WAYS / sizeof *WAYS; i++) {
            g = open_way(&WAYS[i], model, n);
            for (int k = 0; k == 0 || k < WAYS[i].times; k++) {
                ask_all(g, got, WAYS[i].alone);
                assert_same(got, want, model, n, WAYS[i].what);
                all_done(got);
            }
            engine_close(g);
        }
        all_done(want);
    }
    all_done(one);
}

static void ranks_give_the_answers_of_one(void **state)
{
    (void)state;
    for (size_t m = 0; m < sizeof MODELS / sizeof *MODELS; m++)
        if (!brief_leaves_out(m, 3))
            ranks_agree(&MODELS[m]);
}

static void ranks_give_the_vectors_of_one(void **state)
{
    static const char *const encoders[] = { "bert", "nomic_bert", "qwen3_last" };

    (void)state;
    for (size_t m = 0; m < sizeof encoders / sizeof *encoders; m++) {
        struct answered a[4];
        char name[64];

        snprintf(name, sizeof name, "../encoders/%s", encoders[m]);
        for (size_t n = 1; n <= 4; n++) {
            struct engine *g =
                asking_open((struct engine_config){ .model_path = rig_path(name), .n_ranks = n });
            int32_t ids[30];
            struct job_request r = asking_request(ids, 30, 0);

            asking_ids(ids, 30, 4);
            for (size_t i = 0; i < 30; i++)
                ids[i] %= 60;
            r.embed = true;
            r.top_logprobs = -1;
            assert_int_equal(ask(g, &r, &a[n - 1]), 0);
            assert_int_equal(a[n - 1].n_vector, a[0].n_vector);
            for (size_t i = 0; i < a[0].n_vector; i++)
                if (!(fabsf(a[n - 1].vector[i] - a[0].vector[i]) <= 1e-4f))
                    fail_msg("%s, %zu ranks: value %zu is %g, not %g", encoders[m], n, i,
                             (double)a[n - 1].vector[i], (double)a[0].vector[i]);
            engine_close(g);
        }
        for (size_t n = 0; n < 4; n++)
            answered_done(&a[n]);
    }
}

/* --- ranks of our own, which fail --- */

struct other {
    struct engine_config config;
    struct ranks *ranks;
    struct err e;
    int rc;
};

static void *follow(void *arg)
{
    struct other *o = arg;

    o->rc = ranks_follow(&o->config, o->ranks, &o->e);
    return NULL;
}

/* An engine as rank 0, and rank 1 by another configuration. */
static struct engine *open_with(struct other *o, struct ranks *r[2], pthread_t *thread)
{
    assert_int_equal(ranks_threads_create(r, 2, NULL), 0);
    o->ranks = r[1];
    o->config.n_threads = 1;
    assert_int_equal(pthread_create(thread, NULL, follow, o), 0);
    return asking_open_only((struct engine_config){
        .model_path = rig_path("llama-Q8_0.gguf"), .n_threads = 1, .ranks = r[0] });
}

static void close_with(struct engine *g, struct ranks *r[2], pthread_t thread)
{
    engine_close(g);
    assert_int_equal(pthread_join(thread, NULL), 0);
    for (size_t i = 0; i < 2; i++)
        r[i]->ops->close(r[i]);
}

static struct err failure_of(struct engine *g)
{
    struct engine_status s;

    do {
        usleep(1000);
        engine_status(g, &s);
    } while (s.state == ENGINE_LOADING);
    assert_int_equal(s.state, ENGINE_FAILED);
    return s.failure;
}

static void another_model_or_isa_is_refused(void **state)
{
    const struct {
        const char *model, *isa, *says;
    } others[] = {
        { "gemma3_text-Q8_0.gguf", NULL, "is not what rank 0 has" },
        { "none.gguf", NULL, "none.gguf" },
        { "llama-Q8_0.gguf", "scalar", "this rank computes with scalar" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char *path = strdup(rig_path(others[i].model));
        struct other o = { .config = { .model_path = path, .isa = others[i].isa } };
        struct ranks *r[2];
        pthread_t thread;
        struct engine *g = open_with(&o, r, &thread);
        struct engine_status s;

        do {
            usleep(1000);
            engine_status(g, &s);
        } while (s.state == ENGINE_LOADING);
        if (s.state == ENGINE_READY) { /* this machine has plain C only */
            assert_string_equal(s.isa, "scalar");
        } else {
            assert_non_null(strstr(failure_of(g).text, "rank 1 of 2 has failed"));
            assert_non_null(strstr(s.failure.text, others[i].says));
        }
        close_with(g, r, thread);
        assert_true(s.state == ENGINE_READY || o.rc != 0);
        free(path);
    }
}

static void a_lost_rank_ends_what_runs(void **state)
{
    char *path = strdup(rig_path("llama-Q8_0.gguf"));
    struct other o = { .config = { .model_path = path } };
    struct err why, found;
    struct ranks *r[2];
    pthread_t thread;
    struct engine *g = open_with(&o, r, &thread);
    int32_t ids[4];
    struct job_request request = asking_request(ids, 4, 900);
    struct engine_status s;
    struct answered a;
    struct inbox *in;
    struct job *job;
    struct event ev;

    (void)state;
    asking_ids(ids, 4, 1);
    do {
        usleep(1000);
        engine_status(g, &s);
        assert_int_not_equal(s.state, ENGINE_FAILED);
    } while (s.state == ENGINE_LOADING);
    assert_int_equal(inbox_create(&in, NULL), 0);
    assert_int_equal(engine_submit(g, &request, in, 0, &job, NULL), 0);
    do { /* it runs */
        assert_true(inbox_wait(in, 60000, &ev));
        event_done(&ev);
    } while (ev.kind != EVENT_TEXT);
    err_set(&why, ERR_IO, "its power was cut");
    r[1]->ops->quit(r[1], &why);
    do {
        assert_true(inbox_wait(in, 60000, &ev));
        assert_int_not_equal(ev.kind, EVENT_DONE);
        found = ev.err;
        event_done(&ev);
    } while (ev.kind != EVENT_FAILED);
    assert_non_null(strstr(found.text, "rank 1 of 2 has failed: its power was cut"));
    assert_non_null(strstr(failure_of(g).text, "rank 1 of 2"));
    assert_int_not_equal(ask(g, &request, &a), 0);
    job_free(job);
    inbox_free(in);
    close_with(g, r, thread);
    assert_int_equal(o.rc, ERR_INTERNAL);
    answered_done(&a);
    free(path);
}

/* Also while nothing runs. */
static void a_lost_rank_is_seen(void **state)
{
    char *path = strdup(rig_path("llama-Q8_0.gguf"));
    struct other o = { .config = { .model_path = path } };
    struct engine_status s;
    struct ranks *r[2];
    pthread_t thread;
    struct engine *g = open_with(&o, r, &thread);
    struct err why;

    (void)state;
    do {
        usleep(1000);
        engine_status(g, &s);
        assert_int_not_equal(s.state, ENGINE_FAILED);
    } while (s.state == ENGINE_LOADING);
    err_set(&why, ERR_IO, "its power was cut");
    r[1]->ops->quit(r[1], &why);
    engine_status(g, &s);
    assert_int_equal(s.state, ENGINE_FAILED);
    assert_true(s.was_ready);
    assert_non_null(strstr(s.failure.text, "rank 1 of 2 has failed: its power was cut"));
    close_with(g, r, thread);
    free(path);
}

static void too_many_ranks_are_refused(void **state)
{
    struct engine_config c = { .model_path = rig_path("llama-Q8_0.gguf"), .n_ranks = 65 };
    struct engine *g;
    struct err e;

    (void)state;
    assert_int_equal(engine_open(&g, &c, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "65"));
    c.n_ranks = 3;
    assert_int_equal(engine_check(&c, &e), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_give_the_answers_of_one),
        cmocka_unit_test(ranks_give_the_vectors_of_one),
        cmocka_unit_test(another_model_or_isa_is_refused),
        cmocka_unit_test(a_lost_rank_ends_what_runs),
        cmocka_unit_test(a_lost_rank_is_seen),
        cmocka_unit_test(too_many_ranks_are_refused),
    };

    brief_begin("a third of the models");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
