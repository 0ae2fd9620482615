/* engine: answers that must fit a schema, a regular expression or a choice, alone and together,
 * with guesses and without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "inference/constrain/constraint.h"
#include "inference/constrain/spec.h"
#include "kernels/base/json.h"
#include "tests/inference/asking.h"

enum { MANY = 6, N_PROMPT = 20, N_NEW = 200 };

static const char SCHEMA[] =
    "{\"type\":\"object\",\"properties\":{\"a_long_name\":{\"type\":\"integer\",\"minimum\":10,"
    "\"maximum\":99},\"kind\":{\"enum\":[\"first\",\"second\"]},\"text\":{\"type\":\"string\","
    "\"maxLength\":12},\"list\":{\"type\":\"array\",\"items\":{\"type\":\"boolean\"},"
    "\"maxItems\":3}},\"required\":[\"a_long_name\",\"kind\",\"text\",\"list\"],"
    "\"additionalProperties\":false}";

static struct arena arena;

static struct spec schema_spec(const char *text)
{
    struct spec s = { .kind = SPEC_SCHEMA, .param = "response_format" };
    struct value *v;

    assert_int_equal(json_parse(text, strlen(text), 50, &arena, &v, NULL), 0);
    s.value = v;
    return s;
}

/* Is it a whole text of the spec?  By a constraint of its own. */
static bool fits(const struct spec *s, const struct buf *text)
{
    static const struct trie_token token = { "a", 1 };
    struct constraint *c;
    struct grammar g;
    struct trie trie;
    int32_t root, at;
    struct err e;
    bool ok;

    assert_int_equal(trie_init(&trie, &token, 1, &e), 0);
    grammar_init(&g, 1000000);
    assert_int_equal(spec_grammar(&g, s, &root, &e), 0);
    assert_int_equal(constraint_create(&c, &g, root, &trie, &e), 0);
    at = constraint_accept(c, constraint_start(c), text->data, text->len);
    ok = at >= 0 && constraint_may_end(c, at);
    constraint_free(c);
    grammar_done(&g);
    trie_done(&trie);
    return ok;
}

static struct job_request request(const struct spec *s, const int32_t *ids, float temperature,
                                  uint64_t seed)
{
    struct job_request r = asking_request(ids, N_PROMPT, N_NEW);

    r.spec = *s;
    r.top_logprobs = 0;
    r.sampling.temperature = temperature;
    r.sampling.has_seed = true;
    r.sampling.seed = seed;
    return r;
}

static void answers_fit(void **state)
{
    struct engine *g = asking_open((struct engine_config){ .speculation = SPECULATION_ALWAYS });
    const struct spec specs[] = {
        schema_spec(SCHEMA),
        { .kind = SPEC_REGEX, .text = "[a-f]{3}-(x|yy)+z", .len = 17 },
        { .kind = SPEC_OBJECT },
    };
    int32_t ids[N_PROMPT];
    size_t n_complete = 0, n_drafted = 0;

    (void)state;
    asking_ids(ids, N_PROMPT, 3);
    for (size_t i = 0; i < 3; i++)
        for (uint64_t seed = 0; seed < 8; seed++) {
            struct answered with = { 0 }, without = { 0 };
            struct job_request r = request(&specs[i], ids, seed ? 1.5f : 0, seed);

            assert_int_equal(ask(g, &r, &with), 0);
            r.no_speculation = true;
            assert_int_equal(ask(g, &r, &without), 0);
            assert_false(with.failed);
            if (with.finish == FINISH_STOP) {
                n_complete++;
                assert_true(fits(&specs[i], &with.text));
            } else {
                assert_int_equal(with.usage.generated_tokens, N_NEW);
            }
            assert_int_equal(with.n_ids, without.n_ids);
            assert_memory_equal(with.ids, without.ids, with.n_ids * sizeof *with.ids);
            answered_done(&with);
            answered_done(&without);
        }
    {
        struct engine_status s;

        engine_status(g, &s);
        n_drafted = s.drafted_tokens;
    }
    assert_true(n_complete >= 12);
    assert_true(n_drafted > 20); /* what must come was guessed, if cut otherwise */
    engine_close(g);
}

/* Several at the same time, some of them without a grammar: each as it is alone. */
static void company_changes_nothing(void **state)
{
    struct engine *g = asking_open((struct engine_config){ 0 });
    struct spec specs[] = { schema_spec(SCHEMA), { .kind = SPEC_NONE } };
    struct answered alone[MANY] = { 0 }, together[MANY] = { 0 };
    struct job_request r[MANY];
    struct inbox *in[MANY];
    struct job *jobs[MANY];
    int32_t ids[MANY][N_PROMPT];
    struct err e;

    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        asking_ids(ids[i], N_PROMPT, i);
        r[i] = request(&specs[i % 2], ids[i], 0.8f, i);
        assert_int_equal(ask(g, &r[i], &alone[i]), 0);
    }
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(inbox_create(&in[i], &e), 0);
        assert_int_equal(engine_submit(g, &r[i], in[i], 0, &jobs[i], &e), 0);
    }
    for (size_t i = 0; i < MANY; i++) {
        asking_collect(in[i], &together[i]);
        job_free(jobs[i]);
        inbox_free(in[i]);
        assert_int_equal(alone[i].n_ids, together[i].n_ids);
        assert_memory_equal(alone[i].ids, together[i].ids, alone[i].n_ids * sizeof(int32_t));
        answered_done(&alone[i]);
        answered_done(&together[i]);
    }
    engine_close(g);
}

static void choices_end_by_themselves(void **state)
{
    struct engine *g = asking_open((struct engine_config){ 0 });
    struct spec s = schema_spec("[\"left\",\"right\",\"left over\"]");
    int32_t ids[N_PROMPT];

    (void)state;
    s.kind = SPEC_CHOICE;
    asking_ids(ids, N_PROMPT, 1);
    for (uint64_t seed = 0; seed < 6; seed++) {
        struct job_request r = request(&s, ids, 1.5f, seed);
        struct answered a = { 0 };

        r.ignore_end = seed & 1; /* then as long as it can be */
        assert_int_equal(ask(g, &r, &a), 0);
        assert_int_equal(a.finish, FINISH_STOP);
        assert_true(fits(&s, &a.text));
        if (r.ignore_end)
            assert_string_not_equal(a.text.data, "left");
        answered_done(&a);
    }
    engine_close(g);
}

static void bad_ones_are_refused(void **state)
{
    struct engine *g = asking_open((struct engine_config){ 0 });
    struct spec s = schema_spec("{\"properties\":{\"a\":{\"uniqueItems\":true}}}");
    struct inbox *in;
    struct job *j;
    int32_t ids[N_PROMPT];
    struct job_request r;
    struct err e;

    (void)state;
    asking_ids(ids, N_PROMPT, 1);
    r = request(&s, ids, 0, 1);
    assert_int_equal(inbox_create(&in, &e), 0);
    assert_int_equal(engine_submit(g, &r, in, 0, &j, &e), ERR_UNSUPPORTED);
    assert_string_equal(e.param, "response_format");
    assert_non_null(strstr(e.text, "response_format: #/properties/a: \"uniqueItems\""));
    r.spec = (struct spec){ .kind = SPEC_REGEX, .text = "(", .len = 1, .param = "regex" };
    assert_int_equal(engine_submit(g, &r, in, 0, &j, &e), ERR_INVALID);
    assert_string_equal(e.param, "regex");
    inbox_free(in);
    engine_close(g);
}

static int open_arena(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int close_arena(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_fit),
        cmocka_unit_test(company_changes_nothing),
        cmocka_unit_test(choices_end_by_themselves),
        cmocka_unit_test(bad_ones_are_refused),
    };

    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
