/* sampling_fields: every name, its range, and what a request does not say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "fcgi/api/sampling_fields.h"
#include "kernels/base/json.h"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

static int read(struct sampling *s, const char *json, struct err *e)
{
    struct value *body;

    *e = (struct err){ 0 };
    sampling_default(s);
    assert_int_equal(json_parse(json, strlen(json), 8, &arena, &body, NULL), 0);
    return sampling_fields_read(s, body, &arena, e);
}

/* Both ends of each range are taken, what lies beyond is refused by name, null is as absent. */
static void ranges(void **state)
{
    static const struct {
        const char *name, *below, *least, *most, *above;
    } rows[] = {
        { "temperature", "-0.01", "0", "2", "2.01" },
        { "top_p", "-0.01", "0", "1", "1.01" },
        { "min_p", "-0.01", "0", "1", "1.01" },
        { "typical_p", "-0.01", "0", "1", "1.01" },
        { "top_n_sigma", "-1.1", "-1", "1000", "1001" },
        { "top_k", "-2", "-1", "2147483647", "2147483648" },
        { "xtc_probability", "-0.01", "0", "1", "1.01" },
        { "xtc_threshold", "-0.01", "0", "1", "1.01" },
        { "mirostat", "-1", "0", "2", "3" },
        { "mirostat_tau", "-0.1", "0", "100", "101" },
        { "mirostat_eta", "-0.1", "0", "1", "1.1" },
        { "frequency_penalty", "-2.01", "-2", "2", "2.01" },
        { "presence_penalty", "-2.01", "-2", "2", "2.01" },
        { "repetition_penalty", "0", "0.01", "100", "101" },
        { "repeat_penalty", "0", "0.01", "100", "101" },
        { "repeat_last_n", "-2", "-1", "2147483647", "2147483648" },
        { "dry_multiplier", "-0.1", "0", "100", "101" },
        { "dry_base", "0.9", "1", "100", "101" },
        { "dry_allowed_length", "-1", "0", "2147483647", "2147483648" },
        { "dry_penalty_last_n", "-2", "-1", "2147483647", "2147483648" },
        { "seed", "-9223372036854775809", "-9223372036854775808", "9223372036854775807",
          "9223372036854775808" },
        { "dry_sequence_breakers", "\"x\"", "[]", "[\"a\",\"bc\"]", "[\"\"]" },
        { "logit_bias", "{\"x\":1}", "{}", "{\"0\":-100,\"7\":100}", "{\"7\":101}" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *const values[] = { rows[i].below, rows[i].least, rows[i].most,
                                       rows[i].above, "null",        "\"1\"" };

        for (size_t k = 0; k < 6; k++) {
            bool good = k == 1 || k == 2 || k == 4;
            struct sampling s, unset;
            char json[128];
            struct err e;
            int rc;

            snprintf(json, sizeof json, "{\"%s\":%s}", rows[i].name, values[k]);
            rc = read(&s, json, &e);
            if (rc != (good ? 0 : ERR_INVALID))
                fail_msg("%s gives %d: %s", json, rc, e.text);
            if (!good)
                assert_string_equal(e.param, rows[i].name);
            sampling_default(&unset);
            if (k == 4)
                assert_memory_equal(&s, &unset, sizeof s);
        }
    }
}

static void what_they_mean(void **state)
{
    struct sampling s;
    struct err e;

    (void)state;
    assert_int_equal(read(&s, "{\"top_k\":-1,\"top_n_sigma\":-1,\"unknown\":[1]}", &e), 0);
    assert_int_equal(s.top_k, 0);
    assert_true(s.top_n_sigma == 0);
    assert_false(s.has_seed);
    assert_int_equal(read(&s, "{\"repetition_penalty\":1.2}", &e), 0);
    assert_true(s.repetition_penalty == 1.2f);
    assert_true(s.repetition_last_n == SIZE_MAX && s.frequency_last_n == SIZE_MAX);
    assert_int_equal(read(&s, "{\"repeat_penalty\":1.2}", &e), 0);
    assert_true(s.repetition_penalty == 1.2f);
    assert_true(s.repetition_last_n == 64 && s.frequency_last_n == SIZE_MAX);
    assert_int_equal(read(&s, "{\"repeat_penalty\":1.2,\"repeat_last_n\":-1}", &e), 0);
    assert_true(s.repetition_last_n == SIZE_MAX);
    assert_int_equal(read(&s, "{\"repetition_penalty\":1.2,\"repeat_last_n\":0}", &e), 0);
    assert_true(s.repetition_last_n == 0 && s.frequency_last_n == 0);
    assert_int_equal(read(&s, "{\"repetition_penalty\":1.2,\"repeat_penalty\":1.2}", &e), 0);
    assert_int_equal(read(&s, "{\"repetition_penalty\":1.2,\"repeat_penalty\":1.3}", &e),
                     ERR_INVALID);
    assert_string_equal(e.param, "repeat_penalty");
    assert_int_equal(read(&s, "{}", &e), 0);
    assert_int_equal(s.n_dry_breakers, 4);
    assert_string_equal(s.dry_breakers[2], "\"");
    assert_int_equal(read(&s, "{\"dry_sequence_breakers\":[\"a\",\"bc\"]}", &e), 0);
    assert_int_equal(s.n_dry_breakers, 2);
    assert_string_equal(s.dry_breakers[1], "bc");
}

static void the_configurations_text(void **state)
{
    static const char *const bad[] = { "", "{", "[]", "3", "{\"top_kk\":1}", "{\"top_p\":2}" };
    struct sampling s;
    struct err e;

    (void)state;
    sampling_default(&s);
    assert_int_equal(sampling_fields_parse(&s, "{\"top_p\":0.5,\"mirostat\":2}", &arena, &e), 0);
    assert_true(s.top_p == 0.5f && s.mirostat == 2);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        e = (struct err){ 0 };
        assert_int_equal(sampling_fields_parse(&s, bad[i], &arena, &e), ERR_INVALID);
        assert_true(e.text[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ranges, setup, teardown),
        cmocka_unit_test_setup_teardown(what_they_mean, setup, teardown),
        cmocka_unit_test_setup_teardown(the_configurations_text, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
