/* engine: vectors of texts are the same bits alone and in company, in one pass or many, with pages
 * that ran out and prefixes that were there; and encoders, which give nothing else. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/inference/asking.h"
#include "tests/inference/rig.h"

enum { N = 12, LONGEST = 300, N_NEW = 20, TINY = 8 * 64 * 384 };

static const char *const poolings[] = { "mean", "cls", "last" };

/* Text number i: 1 to LONGEST ids. */
static struct job_request text(size_t i, int32_t *ids, bool embed)
{
    size_t n = i == 0 ? 1 : (i * 97) % LONGEST + 1;
    struct job_request r;

    asking_ids(ids, n, i + 1);
    r = asking_request(ids, n, N_NEW);
    r.embed = embed;
    r.top_logprobs = embed ? -1 : 0;
    return r;
}

static void ask_one(struct engine *g, size_t i, bool embed, struct answered *a)
{
    int32_t ids[LONGEST];
    struct job_request r = text(i, ids, embed);

    assert_int_equal(ask(g, &r, a), 0);
    assert_false(a->failed);
    assert_int_equal(a->usage.prompt_tokens, r.n_ids);
    assert_int_equal(a->usage.generated_tokens, embed ? 0 : N_NEW);
    assert_int_equal(a->vector != NULL, embed);
}

static void assert_same(const struct answered *a, const struct answered *b)
{
    assert_int_equal(a->n_vector, b->n_vector);
    assert_memory_equal(a->vector, b->vector, a->n_vector * sizeof *a->vector);
}

/* All at once, every other one a chat where `mixed`; compared with those that were alone. */
static void ask_all(struct engine *g, const struct answered *alone, const struct answered *texts)
{
    struct inbox *in[N];
    struct job *jobs[N];
    int32_t ids[LONGEST];
    struct answered a;

    for (size_t i = 0; i < N; i++) {
        struct job_request r = text(i, ids, !texts || i % 2);

        assert_int_equal(inbox_create(&in[i], NULL), 0);
        assert_int_equal(engine_submit(g, &r, in[i], i, &jobs[i], NULL), 0);
    }
    for (size_t i = 0; i < N; i++) {
        asking_collect(in[i], &a);
        assert_false(a.failed);
        if (a.vector)
            assert_same(&a, &alone[i]);
        else
            assert_memory_equal(a.ids, texts[i].ids, N_NEW * sizeof *a.ids);
        answered_done(&a);
        job_free(jobs[i]);
        inbox_free(in[i]);
    }
}

static void company_changes_no_bit(void **state)
{
    static const struct engine_config others[] = {
        { .max_step_rows = 7 },
        { .max_step_rows = 64, .max_batch = 3 },
        { .n_threads = 5, .prefix_cache = PREFIX_CACHE_OFF },
        { .kv_bytes = TINY },
    };

    (void)state;
    for (size_t p = 0; p < 3; p++) {
        struct engine *g = asking_open(
            (struct engine_config){ .pooling = poolings[p], .prefix_cache = PREFIX_CACHE_OFF });
        struct answered alone[N], texts[N];

        for (size_t i = 0; i < N; i++) {
            ask_one(g, i, true, &alone[i]);
            ask_one(g, i, false, &texts[i]);
        }
        engine_close(g);
        for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
            struct engine_config c = others[k];

            c.pooling = poolings[p];
            g = asking_open(c);
            ask_all(g, alone, NULL);
            ask_all(g, alone, texts);
            engine_close(g);
        }
        for (size_t i = 0; i < N; i++) {
            answered_done(&alone[i]);
            answered_done(&texts[i]);
        }
    }
}

/* What was evaluated serves the next text where its last token counts, and only there. */
static void prefixes_are_shared_where_they_may_be(void **state)
{
    (void)state;
    for (size_t p = 0; p < 3; p++) {
        struct engine *g = asking_open((struct engine_config){ .pooling = poolings[p] });
        struct answered first, again;

        ask_one(g, 3, true, &first);
        ask_one(g, 3, true, &again);
        assert_same(&first, &again);
        assert_int_equal(first.usage.cached_tokens, 0);
        assert_int_equal(again.usage.cached_tokens,
                         strcmp(poolings[p], "last") == 0 ? first.usage.prompt_tokens - 1 : 0);
        answered_done(&first);
        answered_done(&again);
        engine_close(g);
    }
}

/* Two texts that have their first tokens in common differ by their last, and by their mean. */
static void poolings_differ(void **state)
{
    struct answered a[3];

    (void)state;
    for (size_t p = 0; p < 3; p++) {
        struct engine *g = asking_open((struct engine_config){ .pooling = poolings[p] });
        struct engine_status s;

        engine_status(g, &s);
        assert_string_equal(s.pooling, poolings[p]);
        assert_true(s.writes);
        ask_one(g, 5, true, &a[p]);
        assert_int_equal(s.n_embd, a[p].n_vector);
        engine_close(g);
    }
    for (size_t p = 0; p < 3; p++) {
        size_t q = (p + 1) % 3;

        assert_memory_not_equal(a[p].vector, a[q].vector, a[p].n_vector * sizeof(float));
    }
    for (size_t p = 0; p < 3; p++)
        answered_done(&a[p]);
}

static void cancelled_ones_leave_nothing(void **state)
{
    struct engine *g = asking_open((struct engine_config){ .max_step_rows = 16, .max_batch = 4 });
    struct inbox *in;
    struct job *jobs[N];
    int32_t ids[LONGEST];
    struct engine_status s;
    struct answered a;

    (void)state;
    assert_int_equal(inbox_create(&in, NULL), 0);
    for (size_t i = 0; i < N; i++) {
        struct job_request r = text(i + 2, ids, true);

        assert_int_equal(engine_submit(g, &r, in, i, &jobs[i], NULL), 0);
    }
    for (size_t i = 0; i < N; i++)
        job_free(jobs[i]);
    inbox_free(in);
    asking_settle(g);
    engine_status(g, &s);
    assert_int_equal(s.kv_pages_used, 0);
    ask_one(g, 1, true, &a);
    answered_done(&a);
    engine_close(g);
}

static const char *encoder(void)
{
    return rig_path("../encoders/bert");
}

/* A full context is a pass of its own; one more is too long. */
static void an_encoder_takes_its_whole_context(void **state)
{
    struct engine *g = asking_open((struct engine_config){ .model_path = encoder() });
    int32_t ids[513], *found;
    struct engine_status s;
    struct answered a;
    struct err e;
    size_t n;

    (void)state;
    for (size_t i = 0; i < 513; i++)
        ids[i] = 5 + (int32_t)(i * 7 % 100);
    engine_status(g, &s);
    assert_false(s.writes);
    assert_int_equal(s.n_ctx, 512);
    for (size_t len = 510; len <= 513; len++) {
        struct job_request r = { .kind = PROMPT_IDS, .ids = ids, .n_ids = len, .embed = true };
        int rc = ask(g, &r, &a);

        assert_int_equal(rc, len <= 512 ? 0 : ERR_CONTEXT);
        if (rc)
            assert_non_null(strstr(a.err.text, "513"));
        else
            assert_int_equal(a.n_vector, 48);
        answered_done(&a);
        assert_int_equal(engine_prompt_ids(g, &r, &found, &n, &e), rc);
        if (rc == 0)
            free(found);
    }
    engine_close(g);
}

static void an_encoder_does_not_write(void **state)
{
    struct engine *g = asking_open((struct engine_config){ .model_path = encoder() });
    int32_t id = 5;
    struct job_request r = asking_request(&id, 1, 3);
    struct answered a;

    (void)state;
    assert_int_equal(ask(g, &r, &a), ERR_UNSUPPORTED);
    assert_string_equal(a.err.param, "model");
    answered_done(&a);
    engine_close(g);
}

/* Texts of all lengths in passes of 512 rows, more than fit in one. */
static void many_of_an_encoder(void **state)
{
    enum { MANY = 90 };
    struct engine *g = asking_open((struct engine_config){ .model_path = encoder() });
    struct engine *tight = asking_open((struct engine_config){
        .model_path = encoder(), .max_batch = 5, .kv_bytes = 10 * 64 * 2 * 48 * 4 });
    struct inbox *in[MANY];
    struct job *jobs[MANY];
    struct answered a, b;
    int32_t ids[512];

    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        struct job_request r = { .kind = PROMPT_IDS, .ids = ids, .embed = true };

        r.n_ids = i % 9 == 0 ? 512 : i * 13 % 200 + 1;
        for (size_t k = 0; k < r.n_ids; k++)
            ids[k] = 5 + (int32_t)((k * 31 + i) % 200);
        assert_int_equal(inbox_create(&in[i], NULL), 0);
        assert_int_equal(engine_submit(tight, &r, in[i], i, &jobs[i], NULL), 0);
        if (i % 4)
            continue;
        assert_int_equal(ask(g, &r, &a), 0);
        asking_collect(in[i], &b);
        assert_same(&a, &b);
        answered_done(&a);
        answered_done(&b);
    }
    for (size_t i = 0; i < MANY; i++) {
        if (i % 4) {
            asking_collect(in[i], &a);
            assert_false(a.failed);
            for (size_t k = 0; k < a.n_vector; k++)
                assert_true(isfinite(a.vector[k]));
            answered_done(&a);
        }
        job_free(jobs[i]);
        inbox_free(in[i]);
    }
    engine_close(g);
    engine_close(tight);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(company_changes_no_bit),
        cmocka_unit_test(prefixes_are_shared_where_they_may_be),
        cmocka_unit_test(poolings_differ),
        cmocka_unit_test(cancelled_ones_leave_nothing),
        cmocka_unit_test(an_encoder_takes_its_whole_context),
        cmocka_unit_test(an_encoder_does_not_write),
        cmocka_unit_test(many_of_an_encoder),
    };

    return cmocka_run_group_tests_name("engine_embed", tests, NULL, NULL);
}
