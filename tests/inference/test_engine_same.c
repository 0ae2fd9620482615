/* engine: a text depends on its prompt alone, bit for bit, on every instruction set: not on the
 * company, threads, chunks, cached prefixes or guesses; and prompts do not hold up streams. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernels/cpu/isa.h"
#include "tests/brief.h"
#include "tests/inference/asking.h"
#include "tests/inference/rig.h"

enum { N_JOBS = 16, N_NEW = 32, MAX_PROMPT = 300 };

/* The first stands for all where time is short.  Folders: F32, F16, BF16 (with windows, and with
 * experts), 8-bit floats. */
static const struct file {
    const char *name, *kv; /* NULL: what suits the model */
} MODELS[] = {
    { "llama-Q8_0.gguf", NULL },       { "llama_256-Q4_K.gguf", NULL },
    { "llama_256-Q4_K.gguf", "bf16" }, { "llama_256-Q4_K.gguf", "q8_0" },
    { "gemma3_text-Q8_0.gguf", NULL }, { "../models/falcon", NULL },
    { "../models/phi", NULL },         { "../models/qwen2_window", NULL },
    { "../models/qwen2_moe", NULL },   { "../models/fp8_block", NULL },
};

/* Prompts of all lengths that shapes of kernels care about; every other one repeats itself, so that
 * there is something to guess. */
static struct job_request request_of(size_t i, int32_t *ids)
{
    static const size_t LENGTHS[] = { 1, 7, 16, 33, 64, 65, 130, 300 };
    size_t n = LENGTHS[i % (sizeof LENGTHS / sizeof *LENGTHS)];
    struct job_request r = asking_request(ids, n, N_NEW);

    asking_prompt(ids, n, i, 500);
    r.top_logprobs = 0;
    return r;
}

/* All jobs at once. */
static void ask_all(struct engine *g, struct answered *a)
{
    struct inbox *in[N_JOBS];
    struct job *jobs[N_JOBS];
    int32_t ids[MAX_PROMPT];

    for (size_t i = 0; i < N_JOBS; i++) {
        struct job_request r = request_of(i, ids);

        assert_int_equal(inbox_create(&in[i], NULL), 0);
        assert_int_equal(engine_submit(g, &r, in[i], i, &jobs[i], NULL), 0);
    }
    for (size_t i = 0; i < N_JOBS; i++) {
        asking_collect(in[i], &a[i]);
        job_free(jobs[i]);
        inbox_free(in[i]);
    }
}

static void ask_alone(struct engine *g, struct answered *a)
{
    int32_t ids[MAX_PROMPT];

    for (size_t i = 0; i < N_JOBS; i++) {
        struct job_request r = request_of(i, ids);

        assert_int_equal(ask(g, &r, &a[i]), 0);
    }
}

static void assert_same(const struct answered *a, const struct answered *want, const char *what)
{
    for (size_t i = 0; i < N_JOBS; i++)
        if (a[i].failed || a[i].n_ids != N_NEW || want[i].n_ids != N_NEW ||
            memcmp(a[i].ids, want[i].ids, N_NEW * sizeof *a->ids) != 0 ||
            memcmp(a[i].logprobs, want[i].logprobs, N_NEW * sizeof *a->logprobs) != 0)
            fail_msg("job %zu has another text %s", i, what);
}

static void all_done(struct answered *a)
{
    for (size_t i = 0; i < N_JOBS; i++)
        answered_done(&a[i]);
}

struct way {
    const char *what;
    size_t threads, max_rows, max_batch; /* 0: the engine's own */
    bool alone, guessed;
    int times; /* asked; more than once: with the prompt's keys and values in the cache */
};

static const struct way WAYS[] = {
    { .what = "on two threads", .threads = 2, .alone = true },
    { .what = "on three threads", .threads = 3, .alone = true },
    { .what = "on seven threads", .threads = 7, .alone = true },
    { .what = "among sixteen", .threads = 1 },
    { .what = "among sixteen on three threads", .threads = 3 },
    { .what = "in chunks of 13", .threads = 2, .max_rows = 13, .max_batch = 5 },
    { .what = "behind a cached prefix", .threads = 2, .alone = true, .times = 2 },
    { .what = "guessed", .threads = 2, .alone = true, .guessed = true },
    { .what = "all together", .threads = 3, .max_rows = 50, .guessed = true, .times = 3 },
};

static struct engine *open_way(const struct way *w, const struct file *model, const char *isa)
{
    return asking_open((struct engine_config){
        .model_path = rig_path(model->name),
        .kv_type = model->kv,
        .isa = isa,
        .n_threads = w->threads,
        .max_step_rows = w->max_rows,
        .max_batch = w->max_batch,
        .prefix_cache = w->times > 1 ? PREFIX_CACHE_PROMPTS : PREFIX_CACHE_OFF,
        .speculation = w->guessed ? SPECULATION_ALWAYS : SPECULATION_OFF,
    });
}

static void every_way_gives_the_same(const struct file *model, const char *isa)
{
    static const struct way PLAIN = { .what = "alone", .threads = 1, .alone = true };
    static struct answered want[N_JOBS], got[N_JOBS];
    struct engine *g = open_way(&PLAIN, model, isa);

    ask_alone(g, want);
    engine_close(g);
    for (size_t i = 0; i < sizeof WAYS / sizeof *WAYS; i++) {
        const struct way *w = &WAYS[i];
        char what[128];

        snprintf(what, sizeof what, "%s (%s%s%s, %s)", w->what, model->name,
                 model->kv ? ", keys and values in " : "", model->kv ? model->kv : "", isa);
        g = open_way(w, model, isa);
        for (int k = 0; k == 0 || k < w->times; k++) {
            if (w->alone)
                ask_alone(g, got);
            else
                ask_all(g, got);
            assert_same(got, want, what);
            all_done(got);
        }
        engine_close(g);
    }
    all_done(want);
}

static void a_text_is_its_prompts_alone(void **state)
{
    size_t n_models = brief() ? 1 : sizeof MODELS / sizeof *MODELS;

    (void)state;
    for (const char *const *isa = isa_names(); *isa; isa++) {
        if (!isa_pick(*isa, NULL))
            continue;
        print_message("%s\n", *isa);
        for (size_t m = 0; m < n_models; m++)
            every_way_gives_the_same(&MODELS[m], *isa);
    }
}

/* --- fairness, in passes rather than times --- */

enum { STREAM, PROMPT };

/* While a prompt is evaluated in passes of 16 rows, whoever generates gets a token with each. */
static void streams_go_on_beside_a_prompt(void **state)
{
    enum { LONG = 900, ROWS = 16, PASSES = (LONG + ROWS - 1) / ROWS };
    struct engine *g = asking_open(
        (struct engine_config){ .max_step_rows = ROWS, .speculation = SPECULATION_OFF });
    size_t n_between = 0;
    bool prompt_begun = false, over = false;
    struct job *jobs[2] = { NULL, NULL };
    int32_t ids[LONG];
    struct job_request r;
    struct inbox *in;

    (void)state;
    assert_int_equal(inbox_create(&in, NULL), 0);
    asking_ids(ids, LONG, 9);
    r = asking_request(ids, 4, SIZE_MAX);
    assert_int_equal(engine_submit(g, &r, in, STREAM, &jobs[STREAM], NULL), 0);
    while (!over) {
        struct event ev;

        assert_true(inbox_wait(in, 60000, &ev));
        if (ev.tag == STREAM && ev.kind == EVENT_TEXT && !jobs[PROMPT]) {
            r = asking_request(ids, LONG, 1);
            assert_int_equal(engine_submit(g, &r, in, PROMPT, &jobs[PROMPT], NULL), 0);
        }
        prompt_begun = prompt_begun || (ev.tag == PROMPT && ev.kind == EVENT_STARTED);
        if (prompt_begun && ev.tag == STREAM && ev.kind == EVENT_TEXT)
            n_between += ev.n_tokens;
        assert_false(ev.tag == STREAM && ev.kind == EVENT_DONE);
        over = ev.tag == PROMPT && ev.kind == EVENT_DONE;
        event_done(&ev);
    }
    if (n_between < PASSES - 1)
        fail_msg("%zu tokens of the stream while a prompt took %d passes", n_between, (int)PASSES);
    job_free(jobs[STREAM]);
    job_free(jobs[PROMPT]);
    asking_settle(g);
    inbox_free(in);
    engine_close(g);
}

/* And a prompt gets on beside streams, however many there are. */
static void a_prompt_goes_on_beside_streams(void **state)
{
    enum { N = 12, LONG = 600 };
    struct engine *g = asking_open((struct engine_config){ .max_batch = N + 1 });
    struct job *jobs[N + 1];
    size_t running = 0;
    int32_t ids[LONG];
    struct job_request r;
    struct inbox *in;
    bool over = false;

    (void)state;
    assert_int_equal(inbox_create(&in, NULL), 0);
    asking_ids(ids, LONG, 3);
    for (size_t i = 0; i < N; i++) {
        r = asking_request(ids + i, 5, 900);
        assert_int_equal(engine_submit(g, &r, in, i, &jobs[i], NULL), 0);
    }
    r = asking_request(ids, LONG, 1);
    assert_int_equal(engine_submit(g, &r, in, N, &jobs[N], NULL), 0);
    while (!over) {
        struct event ev;

        assert_true(inbox_wait(in, 60000, &ev));
        running += ev.kind == EVENT_STARTED;
        assert_true(ev.tag == N || ev.kind != EVENT_DONE); /* none ends before it is answered */
        over = ev.tag == N && ev.kind == EVENT_DONE;
        event_done(&ev);
    }
    assert_int_equal(running, N + 1);
    for (size_t i = 0; i <= N; i++)
        job_free(jobs[i]);
    asking_settle(g);
    inbox_free(in);
    engine_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_its_prompts_alone),
        cmocka_unit_test(streams_go_on_beside_a_prompt),
        cmocka_unit_test(a_prompt_goes_on_beside_streams),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
