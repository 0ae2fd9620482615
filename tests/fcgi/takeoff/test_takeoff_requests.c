/* Requests of Takeoff's doors: defaults that are Takeoff's, every field's range, and what a
 * reader's settings become. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "fcgi/takeoff/generate_request.h"
#include "fcgi/takeoff/reader_request.h"
#include "fcgi/takeoff/tokens_request.h"
#include "kernels/base/json.h"

enum { MAX_TEXTS = 100, MAX_BYTES = 2000 };

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 8 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

static struct value *parse(const char *json)
{
    struct value *body;

    assert_int_equal(json_parse(json, strlen(json), 64, &arena, &body, NULL), 0);
    return body;
}

static int generate(struct generate_request *g, const char *json, struct err *e)
{
    const struct takeoff_limits limits = { MAX_TEXTS, MAX_BYTES };

    *e = (struct err){ 0 };
    return generate_request_read(g, parse(json), &limits, &arena, e);
}

/* What is null is what is not there: the client sends all it knows. */
static void defaults(void **state)
{
    static const char *const bodies[] = {
        "{\"text\":\"a\"}",
        "{\"text\":\"a\",\"sampling_temperature\":null,\"sampling_topp\":null,\"sampling_topk\":"
        "null,\"repetition_penalty\":null,\"no_repeat_ngram_size\":null,\"max_new_tokens\":null,"
        "\"min_new_tokens\":null,\"regex_string\":null,\"json_schema\":null,"
        "\"constrained_decoding_backend\":null,\"return_metadata\":null,\"prompt_max_tokens\":null,"
        "\"consumer_group\":null,\"lora_id\":null,\"use_chat_template\":null}",
    };
    struct generate_request g;
    struct sampling s;
    struct err e;

    (void)state;
    sampling_default(&s);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(generate(&g, bodies[i], &e), 0);
        assert_string_equal(g.group, "primary");
        assert_int_equal(g.max_tokens, 128);
        assert_int_equal(g.params.min_tokens, 0);
        assert_true(g.prompt_max_tokens == SIZE_MAX);
        assert_int_equal(g.params.sampling.top_k, 1);
        assert_true(g.params.sampling.temperature == 1 && g.params.sampling.top_p == 1);
        assert_true(g.params.sampling.repetition_penalty == 1);
        assert_int_equal(g.params.sampling.no_repeat_ngram, 0);
        assert_int_equal(g.params.spec.kind, SPEC_NONE);
        assert_int_equal(g.n, 1);
        assert_false(g.many || g.chat || g.metadata);
    }
}

static void everything(void **state)
{
    struct generate_request g;
    struct err e;

    (void)state;
    assert_int_equal(
        generate(
            &g,
            "{\"text\":[\"a\",\"bc\"],\"sampling_temperature\":0.5,\"sampling_topp\":0.25,"
            "\"sampling_topk\":40,\"repetition_penalty\":1.5,\"no_repeat_ngram_size\":3,"
            "\"max_new_tokens\":7,\"min_new_tokens\":2,\"regex_string\":\"a+\",\"json_schema\":"
            "{},\"constrained_decoding_backend\":\"lmfe\",\"return_metadata\":true,"
            "\"prompt_max_tokens\":9,\"consumer_group\":\"g\",\"use_chat_template\":true}",
            &e),
        0);
    assert_string_equal(g.group, "g");
    assert_true(g.params.sampling.temperature == 0.5f && g.params.sampling.top_p == 0.25f);
    assert_true(g.params.sampling.repetition_penalty == 1.5f);
    assert_int_equal(g.params.sampling.top_k, 40);
    assert_int_equal(g.params.sampling.no_repeat_ngram, 3);
    assert_int_equal(g.max_tokens, 7);
    assert_int_equal(g.params.min_tokens, 2);
    assert_int_equal(g.prompt_max_tokens, 9);
    assert_int_equal(g.params.spec.kind, SPEC_REGEX); /* the schema is disregarded */
    assert_int_equal(g.params.spec.len, 2);
    assert_int_equal(g.n, 2);
    assert_string_equal(g.texts[1]->string.data, "bc");
    assert_true(g.many && g.chat && g.metadata);
    for (int as_text = 0; as_text < 2; as_text++) {
        assert_int_equal(generate(&g,
                                  as_text
                                      ? "{\"text\":\"a\",\"regex_string\":\"\","
                                        "\"json_schema\":\"{\\\"type\\\":\\\"object\\\"}\"}"
                                      : "{\"text\":\"a\",\"json_schema\":{\"type\":\"object\"}}",
                                  &e),
                         0);
        assert_int_equal(g.params.spec.kind, SPEC_SCHEMA);
        assert_string_equal(value_get(g.params.spec.value, "type")->string.data, "object");
    }
}

/* Both ends of each range are taken, what lies beyond is refused by name. */
static void ranges(void **state)
{
    static const struct {
        const char *name, *below, *least, *most, *above;
    } rows[] = {
        { "sampling_temperature", "-0.01", "0", "2", "2.01" },
        { "sampling_topp", "-0.01", "0", "1", "1.01" },
        { "sampling_topk", "-1", "0", "2147483647", "2147483648" },
        { "repetition_penalty", "0", "0.01", "100", "101" },
        { "no_repeat_ngram_size", "-1", "0", "2147483647", "2147483648" },
        { "max_new_tokens", "0", "1", "9223372036854775807", "1e30" },
        { "min_new_tokens", "-1", "0", "128", "129" },
        { "prompt_max_tokens", "0", "1", "9223372036854775807", "1e30" },
        { "regex_string", "5", "\"\"", "\"a\"", "[]" },
        { "json_schema", "5", "true", "{}", "[]" },
        { "lora_id", "5", "\"\"", "null", "\"a\"" },
        { "consumer_group", "5", "\"a\"", "\"b\"", "\"\\u0000\"" },
        { "use_chat_template", "0", "true", "false", "\"x\"" },
        { "return_metadata", "0", "true", "false", "\"x\"" },
        { "constrained_decoding_backend", "0", "\"lmfe\"", "\"outlines\"", "true" },
    };
    struct generate_request g;
    char json[160];
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *const values[] = { rows[i].below, rows[i].least, rows[i].most, rows[i].above };

        for (size_t k = 0; k < 4; k++) {
            snprintf(json, sizeof json, "{\"text\":\"a\",\"%s\":%s}", rows[i].name, values[k]);
            if (k == 1 || k == 2) {
                if (generate(&g, json, &e))
                    fail_msg("%s: %s", json, e.text);
                continue;
            }
            if (!generate(&g, json, &e))
                fail_msg("accepted: %s", json);
            assert_string_equal(e.param, rows[i].name);
            assert_true(e.code == ERR_INVALID || e.code == ERR_UNSUPPORTED);
        }
    }
}

static void texts(void **state)
{
    static char json[MAX_BYTES + 64];
    struct generate_request g;
    struct err e;

    (void)state;
    for (size_t over = 0; over < 2; over++) {
        size_t n = (size_t)sprintf(json, "{\"text\":\"");

        memset(json + n, 'a', MAX_BYTES + over);
        strcpy(json + n + MAX_BYTES + over, "\"}");
        assert_int_equal(generate(&g, json, &e), over ? ERR_INVALID : 0);
        n = (size_t)sprintf(json, "{\"text\":[\"a\"");
        for (size_t i = 1; i < MAX_TEXTS + over; i++)
            n += (size_t)sprintf(json + n, ",\"a\"");
        strcpy(json + n, "]}");
        assert_int_equal(generate(&g, json, &e), over ? ERR_INVALID : 0);
        assert_true(over || g.n == MAX_TEXTS);
    }
    assert_int_equal(generate(&g, "{\"text\":[\"a\",\"\"]}", &e), ERR_INVALID);
    assert_string_equal(e.param, "text[1]");
}

static void tokens(void **state)
{
    struct detokenize_ask d;
    struct tokenize_ask t;
    struct template_ask c;
    struct err e;

    (void)state;
    assert_int_equal(tokenize_ask_read(&t, parse("{\"text\":\"\"}"), &e), 0);
    assert_true(t.bare && !t.chat);
    assert_int_equal(detokenize_ask_read(&d, parse("{\"tokens\":[1,\"a\",7.0]}"), &e), 0);
    assert_true(d.bare && d.n == 3);
    assert_int_equal(detokenize_ask_read(&d, parse("{\"tokens\":[1,true]}"), &e), ERR_INVALID);
    assert_int_equal(template_ask_read(&c,
                                       parse("{\"inputs\":[[{\"role\":\"user\",\"content\":\"a\"}],"
                                             "[{\"role\":\"user\",\"content\":\"b\"}]]}"),
                                       2, &arena, &e),
                     0);
    assert_int_equal(c.n, 2);
    assert_false(value_get(c.contexts[1], "add_generation_prompt")->boolean);
    assert_int_equal(template_ask_read(&c, parse("{\"inputs\":[{\"role\":\"user\"}]}"), 2, &arena,
                                       &e),
                     ERR_INVALID);
    assert_string_equal(e.param, "inputs[0]");
}

static int reader(struct change *c, const char *json, struct err *e)
{
    *e = (struct err){ 0 };
    return reader_request_read(c, parse(json), &arena, e);
}

static void readers(void **state)
{
    static const struct {
        const char *json, *words;
    } wrong[] = {
        { "{}", "missing field model_name" },
        { "{\"model_name\":\"\",\"device\":\"cpu\"}", "model_name: expected" },
        { "{\"model_name\":\"m\"}", "missing field device" },
        { "{\"model_name\":\"m\",\"device\":\"tpu\"}", "device: expected cpu or cuda" },
        { "{\"model_name\":\"m\",\"device\":\"api\"}", "device: api (a remote model)" },
        { "{\"model_name\":\"m\",\"device\":\"cuda\",\"tensor_parallel\":3}", "an even number" },
        { "{\"model_name\":\"m\",\"device\":\"cpu\",\"tensor_parallel\":2}", "tensor_parallel: " },
        { "{\"model_name\":\"m\",\"device\":\"cpu\",\"colour\":1}", "\"colour\" is no setting" },
        { "{\"model_name\":\"m\",\"device\":\"cpu\",\"max_batch_size\":[]}", "max_batch_size: " },
        { "{\"model_name\":\"m\",\"device\":\"cpu\",\"max_batch_size\":\"\\u0000\"}", "max_batch" },
    };
    struct change c;
    struct err e;

    (void)state;
    assert_int_equal(
        reader(&c,
               "{\"model_name\":\"org/m\",\"device\":\"cpu\",\"consumer_group\":\"g\","
               "\"max_batch_size\":4,\"max_sequence_length\":null,\"page_cache_size\":"
               "\"1GB\",\"reader_id\":\"r\",\"backend\":\"fast\",\"quantize_cache_bits\":8}",
               &e),
        0);
    assert_string_equal(c.name, "r");
    assert_string_equal(c.group, "g");
    for (size_t i = 0; i < c.n_settings; i++) {
        const char *key = c.settings[i].key->name, *value = c.settings[i].value;
        bool known = false;

        known |= !strcmp(key, "model") && !strcmp(value, "org/m");
        known |= !strcmp(key, "device") && !strcmp(value, "cpu");
        known |= !strcmp(key, "max_batch_size") && !strcmp(value, "4");
        known |= !strcmp(key, "kv_cache_size") && !strcmp(value, "1GB");
        known |= !strcmp(key, "kv_cache_type") && !strcmp(value, "q8_0");
        assert_true(known);
    }
    assert_int_equal(c.n_settings, 5);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_true(reader(&c, wrong[i].json, &e) != 0);
        if (!strstr(e.text, wrong[i].words))
            fail_msg("%s: %s", wrong[i].json, e.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults), cmocka_unit_test(everything), cmocka_unit_test(ranges),
        cmocka_unit_test(texts),    cmocka_unit_test(tokens),     cmocka_unit_test(readers),
    };

    return cmocka_run_group_tests_name("takeoff_requests", tests, setup, teardown);
}
