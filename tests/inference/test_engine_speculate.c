/* engine: guessed tokens change how fast an answer comes, never a bit of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/brief.h"
#include "tests/inference/asking.h"
#include "tests/inference/rig.h"

/* For answers of few kinds of tokens, which repeat themselves. */
static const struct token_bias FEW[] = { { 68, 40 }, { 69, 40 }, { 70, 40 } };

enum { N_PROMPT = 150, N_NEW = 60, MANY = 4, N_SAMPLINGS = 13 };

/* A text that comes again and again, from another point and with another mistake by seed. */
static void repeat_ids(int32_t *ids, size_t n, uint64_t seed)
{
    int32_t unit[40];

    asking_ids(unit, 40, 5);
    for (size_t i = 0; i < n; i++)
        ids[i] = unit[(i + 7 * (size_t)seed) % 40];
    ids[n / 2] = (int32_t)(100 + seed);
}

/* Greedy and drawn, with everything that looks at what came before. */
static void set_sampling(struct job_request *r, size_t kind)
{
    static const struct token_bias BIAS[] = { { 11, 3 }, { 12, -100 } };
    struct sampling *p = &r->sampling;

    r->top_logprobs = 0;
    p->has_seed = true;
    p->seed = 1234 + kind;
    p->temperature = kind < 2 ? 0 : 0.4f;
    switch (kind) {
    case 1:
        p->repetition_penalty = 1.05f;
        break;
    case 3:
        p->top_p = 0.9f;
        p->top_k = 40;
        break;
    case 4:
        p->frequency_penalty = 0.3f;
        p->presence_penalty = 0.2f;
        break;
    case 5:
        p->bias = BIAS;
        p->n_bias = 2;
        p->min_p = 0.05f;
        break;
    case 6:
        p->temperature = 1.2f;
        break;
    case 7:
        p->typical_p = 0.6f;
        p->repetition_penalty = 1.02f;
        p->repetition_last_n = 20;
        break;
    case 8:
        p->xtc_probability = 0.2f;
        p->xtc_threshold = 0.05f;
        break;
    case 9:
    case 10:
        p->mirostat = (unsigned)kind - 8;
        p->mirostat_tau = 2;
        break;
    case 11:
        p->dry_multiplier = 0.05f;
        p->dry_base = 1.1f;
        break;
    case 12:
        p->top_n_sigma = 1.5f;
        r->min_tokens = 30;
        break;
    }
}

static void assert_same(const struct answered *a, const struct answered *b)
{
    assert_false(a->failed || b->failed);
    assert_int_equal(a->finish, b->finish);
    assert_int_equal(a->usage.generated_tokens, b->usage.generated_tokens);
    assert_int_equal(a->n_ids, b->n_ids);
    assert_memory_equal(a->ids, b->ids, a->n_ids * sizeof *a->ids);
    assert_memory_equal(a->logprobs, b->logprobs, a->n_ids * sizeof *a->logprobs);
    assert_int_equal(a->text.len, b->text.len);
    assert_memory_equal(a->text.data, b->text.data, a->text.len);
}

/* All of them at the same time. */
static void ask_many(struct engine *g, const struct job_request *r, struct answered *got)
{
    struct inbox *in[MANY];
    struct job *jobs[MANY];

    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(inbox_create(&in[i], NULL), 0);
        assert_int_equal(engine_submit(g, &r[i], in[i], 0, &jobs[i], NULL), 0);
    }
    for (size_t i = 0; i < MANY; i++) {
        asking_collect(in[i], &got[i]);
        job_free(jobs[i]);
        inbox_free(in[i]);
    }
}

static void fill(struct job_request *r, int32_t (*ids)[N_PROMPT], size_t n_vocab, size_t kind,
                 size_t n_new)
{
    for (size_t i = 0; i < MANY; i++) {
        repeat_ids(ids[i], N_PROMPT, i);
        for (size_t k = 0; k < N_PROMPT; k++)
            ids[i][k] %= (int32_t)n_vocab;
        r[i] = asking_request(ids[i], N_PROMPT - i, n_new);
        set_sampling(&r[i], (kind + i) % N_SAMPLINGS);
    }
}

/* Without guesses, then with them. */
static void compare_one(struct engine *g, struct job_request r, struct answered *want)
{
    struct answered got;

    r.no_speculation = true;
    assert_int_equal(ask(g, &r, want), 0);
    r.no_speculation = false;
    assert_int_equal(ask(g, &r, &got), 0);
    assert_same(&got, want);
    answered_done(&got);
}

/* Each kind of sampling alone, and with three others beside it. */
static void compare(struct engine *g, size_t n_new, bool beside_others)
{
    static int32_t ids[MANY][N_PROMPT];
    struct answered *want = calloc(MANY, sizeof *want), *got = calloc(MANY, sizeof *got);
    struct job_request r[MANY];
    struct engine_status s;
    size_t n_kinds = 0;

    assert_true(want && got);
    engine_status(g, &s);
    for (size_t i = 0; i < MANY; i++) { /* what is cached is so for all */
        fill(r, ids, s.n_vocab, i, 1);
        assert_int_equal(ask(g, &r[i], got), 0);
        answered_done(got);
    }
    for (size_t kind = 0; kind < N_SAMPLINGS; kind++) {
        if (brief_leaves_out(kind, 4))
            continue;
        n_kinds++;
        fill(r, ids, s.n_vocab, kind, n_new);
        for (size_t i = 0; i < MANY; i++)
            compare_one(g, r[i], &want[i]);
        r[3].no_speculation = true; /* one does not, beside those who do */
        for (size_t i = 0; i < MANY && beside_others; i++) {
            if (i == 0)
                ask_many(g, r, got);
            assert_same(&got[i], &want[i]);
            answered_done(&got[i]);
        }
        for (size_t i = 0; i < MANY; i++)
            answered_done(&want[i]);
    }
    asking_settle(g);
    engine_status(g, &s);
    print_message("# %s: %zu of %zu guesses right, %zu tokens\n", s.quantisation,
                  (size_t)s.accepted_tokens, (size_t)s.drafted_tokens, (size_t)s.generated_tokens);
    assert_int_equal(s.kv_pages_used, 0);
    assert_int_equal(s.generated_tokens,
                     MANY + n_kinds * (size_t)(beside_others ? 3 : 2) * MANY * n_new);
    assert_true(s.accepted_tokens > 0 && s.accepted_tokens <= s.drafted_tokens);
    free(want);
    free(got);
}

static void answers_are_the_same(void **state)
{
    static const char *const FILES[] = { "llama-Q8_0.gguf", "llama_256-Q4_K.gguf",
                                         "gemma3_text-Q8_0.gguf" };

    (void)state;
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        struct engine *g = asking_open((struct engine_config){ .model_path = rig_path(FILES[i]),
                                                               .max_batch = MANY,
                                                               .max_step_rows = 40,
                                                               .speculation = SPECULATION_ALWAYS });

        compare(g, N_NEW, true);
        engine_close(g);
    }
}

static void of_real_models_too(void **state)
{
    static const char *const MODELS[] = { "AIRSTRIP_SMOLLM2", "AIRSTRIP_GEMMA3" };
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const char *path = getenv(MODELS[i]);
        struct engine *g;

        if (!path)
            continue;
        g = asking_open((struct engine_config){
            .model_path = path, .n_ctx = 1024, .speculation = SPECULATION_ALWAYS });
        compare(g, 24, true);
        engine_close(g);
        n++;
    }
    if (!n)
        skip();
}

/* Sums over float matrices of many rows have another order: guesses stay below that.  (What others
 * add to a pass may not.) */
static void of_float_models_too(void **state)
{
    const char *shared = getenv("AIRSTRIP_SHARED");
    struct engine *g;
    char path[600];
    FILE *f;

    (void)state;
    snprintf(path, sizeof path, "%s/golden/gguf/llama/llama-F32.gguf",
             shared ? shared : "../shared");
    f = fopen(path, "re");
    if (!f)
        skip();
    fclose(f);
    g = asking_open(
        (struct engine_config){ .model_path = path, .speculation = SPECULATION_ALWAYS });
    compare(g, N_NEW, false);
    engine_close(g);
}

/* Ends wherever they fall: within what was guessed as well, of an answer of few kinds of tokens. */
static void ends_fall_anywhere(void **state)
{
    struct engine *g = asking_open(
        (struct engine_config){ .n_ctx = N_PROMPT + 30, .speculation = SPECULATION_ALWAYS });
    int32_t ids[N_PROMPT];
    struct engine_status s;

    (void)state;
    repeat_ids(ids, N_PROMPT, 1);
    for (size_t n = 1; n <= 40; n++) { /* from 31 on the context is full before */
        struct job_request r = asking_request(ids, N_PROMPT, n);
        struct answered want, got;
        char stop[16];
        const char *stops[] = { stop };

        r.sampling.bias = FEW;
        r.sampling.n_bias = 3;
        r.no_speculation = true;
        assert_int_equal(ask(g, &r, &want), 0);
        r.no_speculation = false;
        assert_int_equal(ask(g, &r, &got), 0);
        assert_same(&got, &want);
        assert_int_equal(got.usage.generated_tokens, n < 30 ? n : 30);
        answered_done(&got);
        /* the end of this answer as a stop string */
        if (want.text.len >= 3) {
            snprintf(stop, sizeof stop, "%s", want.text.data + want.text.len - 3);
            answered_done(&want);
            r.max_tokens = 30;
            r.stops = stops;
            r.n_stops = 1;
            r.no_speculation = true;
            if (!stop[0] || ask(g, &r, &want)) /* began within a character */
                continue;
            r.no_speculation = false;
            assert_int_equal(ask(g, &r, &got), 0);
            assert_same(&got, &want);
            answered_done(&got);
        }
        answered_done(&want);
    }
    asking_settle(g);
    engine_status(g, &s);
    assert_int_equal(s.kv_pages_used, 0);
    assert_true(s.accepted_tokens > 0);
    engine_close(g);
}

/* A second turn begins with the pages of the first: only what was chosen may be in them. */
static void only_what_was_chosen_is_cached(void **state)
{
    struct engine *g = asking_open((struct engine_config){ .speculation = SPECULATION_ALWAYS });
    struct engine *cold = asking_open((struct engine_config){ .speculation = SPECULATION_OFF });
    int32_t ids[1000];
    struct engine_status s;
    size_t n = N_PROMPT;

    (void)state;
    repeat_ids(ids, 1000, 2);
    for (int turn = 0; turn < 4; turn++) {
        struct job_request r = asking_request(ids, n, 100);
        struct answered want, got;

        r.top_logprobs = 0;
        r.sampling.bias = FEW;
        r.sampling.n_bias = 3;
        assert_int_equal(ask(cold, &r, &want), 0);
        assert_int_equal(ask(g, &r, &got), 0);
        assert_same(&got, &want);
        if (turn)
            /* all but ten new ones, and the last token drawn, which never was evaluated */
            assert_int_equal(got.usage.cached_tokens, n - 11);
        memcpy(ids + n, got.ids, 100 * sizeof *ids);
        n += 110;
        answered_done(&want);
        answered_done(&got);
    }
    engine_status(cold, &s);
    assert_int_equal(s.drafted_tokens, 0);
    engine_status(g, &s);
    assert_true(s.accepted_tokens > 0);
    engine_close(cold);
    engine_close(g);
}

/* Told its own answer in advance, the engine finds all of it there. */
static void predictions_are_counted(void **state)
{
    struct engine *g = asking_open((struct engine_config){ .speculation = SPECULATION_ALWAYS });
    struct engine *off = asking_open((struct engine_config){ .speculation = SPECULATION_OFF });
    const char *path = getenv("AIRSTRIP_SMOLLM2");
    struct job_request r = {
        .kind = PROMPT_TEXT, .text = "One, two", .text_len = 8, .max_tokens = 24, .ignore_end = true
    };
    struct answered plain, told;
    char *prediction;
    int32_t *ids;
    size_t n;

    (void)state;
    if (path) {
        engine_close(g);
        g = asking_open((struct engine_config){
            .model_path = path, .n_ctx = 512, .speculation = SPECULATION_ALWAYS });
    }
    sampling_default(&r.sampling);
    r.sampling.temperature = 0;
    r.top_logprobs = -1;
    assert_int_equal(ask(g, &r, &plain), 0);
    assert_int_equal(plain.usage.predicted_tokens + plain.usage.mispredicted_tokens, 0);
    prediction = strdup(buf_str(&plain.text));
    r.prediction = prediction;
    r.prediction_len = strlen(prediction);
    assert_int_equal(engine_tokenize(g, prediction, strlen(prediction), false, false, &ids, &n,
                                     NULL),
                     0);
    assert_int_equal(ask(g, &r, &told), 0);
    assert_same(&told, &plain);
    assert_int_equal(told.usage.predicted_tokens + told.usage.mispredicted_tokens, n);
    print_message("# %zu of %zu tokens came as predicted\n", told.usage.predicted_tokens, n);
    if (path)
        assert_true(told.usage.predicted_tokens + 2 >= n);
    answered_done(&told);

    r.prediction = "nothing of the kind, and more of it";
    r.prediction_len = strlen(r.prediction);
    assert_int_equal(ask(g, &r, &told), 0);
    assert_same(&told, &plain);
    assert_true(told.usage.mispredicted_tokens > told.usage.predicted_tokens);
    answered_done(&told);
    answered_done(&plain);

    assert_int_equal(ask(off, &r, &told), 0); /* taken, and of no use */
    assert_int_equal(told.usage.predicted_tokens + told.usage.mispredicted_tokens, 0);
    answered_done(&told);
    free(ids);
    free(prediction);
    engine_close(off);
    engine_close(g);
}

static void long_predictions_are_refused(void **state)
{
    struct engine *g = asking_open((struct engine_config){ .n_ctx = 64 });
    struct job_request r = asking_request((int32_t[]){ 5 }, 1, 4);
    struct answered a;
    char text[4000];

    (void)state;
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < sizeof text; i += 2)
        text[i] = (char)('a' + i % 23);
    r.prediction = text;
    r.prediction_len = sizeof text;
    assert_int_equal(ask(g, &r, &a), ERR_CONTEXT);
    assert_string_equal(a.err.param, "prediction");
    engine_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_the_same),
        cmocka_unit_test(of_real_models_too),
        cmocka_unit_test(of_float_models_too),
        cmocka_unit_test(ends_fall_anywhere),
        cmocka_unit_test(only_what_was_chosen_is_cached),
        cmocka_unit_test(predictions_are_counted),
        cmocka_unit_test(long_predictions_are_refused),
    };

    return cmocka_run_group_tests_name("engine_speculate", tests, NULL, NULL);
}
