/* chat_request, completion_request: what is read, what is refused, and with which field named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "fcgi/api/chat_request.h"
#include "fcgi/api/completion_request.h"
#include "kernels/base/json.h"

#define MSG "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

#define TOOLS                                                                                  \
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}},{\"type\":\"function\"," \
    "\"function\":{\"name\":\"g\"}}]"

static struct params_rules rules(void)
{
    struct params_rules r = { .max_choices = 8 };

    sampling_default(&r.sampling);
    return r;
}

static int read_chat(const char *json, struct chat_request *c, struct arena *a, struct err *e)
{
    struct params_rules r = rules();
    struct value *body;
    int rc = params_body(json, strlen(json), a, &body, e);

    return rc ? rc : chat_request_read(c, body, &r, a, e);
}

static void bad_chats_name_their_field(void **state)
{
    static const struct {
        const char *json, *param, *says;
        int code;
    } cases[] = {
        { "", "", "found nothing", ERR_INVALID },
        { "[]", "", "an array of 0", ERR_INVALID },
        { "{", "", "not valid JSON", ERR_INVALID },
        { "{}", "messages", "at least one message", ERR_INVALID },
        { "{\"messages\":null}", "messages", "found nothing", ERR_INVALID },
        { "{\"messages\":[]}", "messages", "an array of 0", ERR_INVALID },
        { "{\"messages\":{}}", "messages", "an object", ERR_INVALID },
        { "{\"messages\":[3]}", "messages[0]", "the number 3", ERR_INVALID },
        { "{\"messages\":[{}]}", "messages[0].role", "a string", ERR_INVALID },
        { "{\"messages\":[{\"role\":\"king\"}]}", "messages[0].role", "\"king\"", ERR_INVALID },
        { "{\"messages\":[{\"role\":\"user\"}]}", "messages[0].content", "nothing", ERR_INVALID },
        { "{\"messages\":[{\"role\":\"user\",\"content\":null}]}", "messages[0].content", "",
          ERR_INVALID },
        { "{\"messages\":[{\"role\":\"user\",\"content\":5}]}", "messages[0].content", "",
          ERR_INVALID },
        { "{\"messages\":[{\"role\":\"user\",\"content\":[7]}]}", "messages[0].content[0]", "",
          ERR_INVALID },
        { "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}",
          "messages[0].content[0].text", "", ERR_INVALID },
        { "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
          "{\"type\":\"image_url\",\"image_url\":{\"url\":\"x\"}}]}]}",
          "messages[0].content[1]", "image_url", ERR_UNSUPPORTED },
        { "{" MSG ",\"temperature\":2.1}", "temperature", "between 0 and 2", ERR_INVALID },
        { "{" MSG ",\"temperature\":\"1\"}", "temperature", "a string", ERR_INVALID },
        { "{" MSG ",\"temperature\":true}", "temperature", "true", ERR_INVALID },
        { "{" MSG ",\"top_p\":-0.1}", "top_p", "", ERR_INVALID },
        { "{" MSG ",\"max_tokens\":0}", "max_tokens", "at least 1", ERR_INVALID },
        { "{" MSG ",\"max_tokens\":1.5}", "max_tokens", "1.5", ERR_INVALID },
        { "{" MSG ",\"max_completion_tokens\":-1}", "max_completion_tokens", "", ERR_INVALID },
        { "{" MSG ",\"stream\":\"yes\"}", "stream", "", ERR_INVALID },
        { "{" MSG ",\"stream_options\":{}}", "stream_options", "stream is true", ERR_INVALID },
        { "{" MSG ",\"stream\":true,\"stream_options\":{\"include_usage\":1}}",
          "stream_options.include_usage", "", ERR_INVALID },
        { "{" MSG ",\"stop\":\"\"}", "stop", "", ERR_INVALID },
        { "{" MSG ",\"stop\":[\"a\",\"\"]}", "stop[1]", "", ERR_INVALID },
        { "{" MSG ",\"stop\":[1]}", "stop[0]", "", ERR_INVALID },
        { "{" MSG ",\"stop\":{}}", "stop", "", ERR_INVALID },
        { "{" MSG ",\"n\":9}", "n", "between 1 and 8", ERR_INVALID },
        { "{" MSG ",\"n\":0}", "n", "", ERR_INVALID },
        { "{" MSG ",\"seed\":1e30}", "seed", "", ERR_INVALID },
        { "{" MSG ",\"logit_bias\":{\"x\":1}}", "logit_bias", "\"x\"", ERR_INVALID },
        { "{" MSG ",\"logit_bias\":{\"5\":101}}", "logit_bias", "101", ERR_INVALID },
        { "{" MSG ",\"logit_bias\":[]}", "logit_bias", "", ERR_INVALID },
        { "{" MSG ",\"top_logprobs\":2}", "top_logprobs", "logprobs is true", ERR_INVALID },
        { "{" MSG ",\"prediction\":\"x\"}", "prediction", "an object", ERR_INVALID },
        { "{" MSG ",\"prediction\":{\"content\":\"x\"}}", "prediction.type", "content",
          ERR_INVALID },
        { "{" MSG ",\"prediction\":{\"type\":\"content\"}}", "prediction.content", "a string",
          ERR_INVALID },
        { "{" MSG ",\"logprobs\":true,\"top_logprobs\":21}", "top_logprobs", "", ERR_INVALID },
        { "{" MSG ",\"presence_penalty\":3}", "presence_penalty", "", ERR_INVALID },
        { "{" MSG ",\"response_format\":{\"type\":\"xml\"}}", "response_format", "xml",
          ERR_UNSUPPORTED },
        { "{" MSG ",\"response_format\":3}", "response_format", "", ERR_INVALID },
        { "{" MSG ",\"response_format\":{\"type\":\"json_schema\"}}", "response_format.json_schema",
          "", ERR_INVALID },
        { "{" MSG ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{"
          "\"name\":\"x\",\"schema\":[]}}}",
          "response_format.json_schema.schema", "a JSON Schema", ERR_INVALID },
        { "{" MSG ",\"guided_json\":\"{\"}", "guided_json", "not valid JSON", ERR_INVALID },
        { "{" MSG ",\"guided_choice\":[]}", "guided_choice", "at least one", ERR_INVALID },
        { "{" MSG ",\"guided_choice\":[1]}", "guided_choice", "strings only", ERR_INVALID },
        { "{" MSG ",\"regex\":1}", "regex", "a string", ERR_INVALID },
        { "{" MSG ",\"regex\":\"a\",\"structured_outputs\":{\"regex\":\"b\"}}", "regex",
          "not together", ERR_INVALID },
        { "{" MSG ",\"tool_choice\":\"required\"}", "tool_choice", "none", ERR_INVALID },
        { "{" MSG "," TOOLS ",\"tool_choice\":\"always\"}", "tool_choice", "always", ERR_INVALID },
        { "{" MSG "," TOOLS
          ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"h\"}}}",
          "tool_choice", "\"h\"", ERR_INVALID },
        { "{" MSG "," TOOLS ",\"tool_choice\":{\"type\":\"custom\"}}", "tool_choice", "",
          ERR_UNSUPPORTED },
        { "{" MSG ",\"tools\":{}}", "tools", "an array", ERR_INVALID },
        { "{" MSG ",\"tools\":[{\"type\":\"custom\"}]}", "tools[0].type", "custom",
          ERR_UNSUPPORTED },
        { "{" MSG ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a b\"}}]}",
          "tools[0].function.name", "letters", ERR_INVALID },
        { "{" MSG ",\"functions\":[{}]}", "functions[0].name", "nothing", ERR_INVALID },
        { "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"x\"}]}]}",
          "messages[0].tool_calls[0].function.name", "", ERR_INVALID },
        { "{" MSG ",\"continue_final_message\":true}", "continue_final_message", "assistant",
          ERR_INVALID },
        { "{" MSG ",\"modalities\":[\"audio\"]}", "modalities", "", ERR_UNSUPPORTED },
        { "{" MSG ",\"chat_template_kwargs\":3}", "chat_template_kwargs", "", ERR_INVALID },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct chat_request c;
        struct arena a;
        struct err e = { 0 };

        arena_init(&a, 1 << 20);
        print_message("# %s\n", cases[i].json);
        assert_int_equal(read_chat(cases[i].json, &c, &a, &e), cases[i].code);
        assert_string_equal(e.param, cases[i].param);
        assert_non_null(strstr(e.text, cases[i].says));
        arena_done(&a);
    }
}

static void null_is_absent_and_unknown_is_disregarded(void **state)
{
    static const char json[] =
        "{" MSG ",\"model\":null,\"temperature\":null,\"top_p\":null,\"n\":null,\"stop\":null,"
        "\"stream\":null,\"stream_options\":null,\"max_tokens\":null,\"seed\":null,\"logprobs\":"
        "null,"
        "\"top_logprobs\":null,\"logit_bias\":null,\"tools\":null,\"response_format\":null,"
        "\"tool_choice\":null,\"modalities\":null,\"functions\":[],\"function_call\":null,"
        "\"store\":true,\"user\":[],\"whatever\":{\"a\":1},\"chat_template_kwargs\":null}";
    struct chat_request c;
    struct arena a;
    struct err e = { 0 };

    (void)state;
    arena_init(&a, 1 << 20);
    assert_int_equal(read_chat(json, &c, &a, &e), 0);
    assert_false(c.params.stream);
    assert_int_equal(c.params.n, 1);
    assert_true(c.max_tokens == SIZE_MAX);
    assert_int_equal(c.top_logprobs, -1);
    assert_false(c.params.sampling.has_seed);
    assert_true(c.params.sampling.temperature == 1.0f);
    arena_done(&a);
}

static void priority_is_the_operators_to_allow(void **state)
{
    static const char *const JSON[] = { "{" MSG ",\"priority\":-3}", "{" MSG ",\"priority\":\"x\"}",
                                        "{" MSG "}" };
    struct params_rules r = rules();
    struct chat_request c;
    struct value *body;
    struct arena a;
    struct err e;

    (void)state;
    arena_init(&a, 0);
    for (size_t i = 0; i < 3; i++) {
        r.client_priority = false;
        assert_int_equal(params_body(JSON[i], strlen(JSON[i]), &a, &body, NULL), 0);
        assert_int_equal(chat_request_read(&c, body, &r, &a, NULL), 0);
        assert_int_equal(c.params.priority, 0);
        r.client_priority = true;
        assert_int_equal(chat_request_read(&c, body, &r, &a, &e), i == 1 ? ERR_INVALID : 0);
        if (i == 1)
            assert_string_equal(e.param, "priority");
        else
            assert_int_equal(c.params.priority, i == 0 ? -3 : 0);
    }
    arena_done(&a);
}

static void predictions_are_texts(void **state)
{
    static const char *const json[] = {
        "{" MSG ",\"prediction\":{\"type\":\"content\",\"content\":\"a\\nb\"}}",
        "{" MSG
        ",\"prediction\":{\"type\":\"content\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
        "{\"type\":\"text\",\"text\":\"b\"}]}}",
        "{" MSG ",\"prediction\":null}",
    };
    struct chat_request c;
    struct arena a;
    struct err e = { 0 };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        arena_init(&a, 1 << 20);
        assert_int_equal(read_chat(json[i], &c, &a, &e), 0);
        if (i < 2)
            assert_string_equal(c.prediction->string.data, "a\nb");
        else
            assert_null(c.prediction);
        arena_done(&a);
    }
}

static const char *content(const struct chat_request *c, size_t i)
{
    return value_get(value_get(c->context, "messages")->list.items[i], "content")->string.data;
}

static void messages_take_the_templates_shape(void **state)
{
    static const char json[] =
        "{\"messages\":["
        "{\"role\":\"developer\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":"
        "\"text\",\"text\":\"b\"}]},"
        "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"x\",\"function\":{"
        "\"name\":\"f\",\"arguments\":\"{\\\"k\\\":[1]}\"}}]},"
        "{\"role\":\"assistant\"},{\"role\":\"user\",\"content\":[]},"
        "{\"role\":\"assistant\",\"content\":\"c\",\"refusal\":null,\"annotations\":[]},"
        "{\"role\":\"tool\",\"content\":\"d\",\"tool_call_id\":\"x\"}],"
        "\"max_tokens\":5,\"max_completion_tokens\":7,\"temperature\":0,\"stop\":[\"x\",\"yy\"],"
        "\"chat_template_kwargs\":{\"enable_thinking\":false},\"seed\":-3,\"logit_bias\":{\"5\":-2."
        "5}}";
    struct chat_request c;
    struct arena a;
    struct err e = { 0 };
    const struct value *m, *call;

    (void)state;
    arena_init(&a, 1 << 20);
    assert_int_equal(read_chat(json, &c, &a, &e), 0);
    m = value_get(c.context, "messages");
    assert_int_equal(m->list.len, 6);
    assert_string_equal(value_get(m->list.items[0], "role")->string.data, "system");
    assert_string_equal(content(&c, 0), "a\nb");
    assert_string_equal(content(&c, 1), "");
    call = value_get(m->list.items[1], "tool_calls")->list.items[0];
    assert_string_equal(value_get(call, "id")->string.data, "x");
    call = value_get(call, "function");
    assert_int_equal(value_get(value_get(call, "arguments"), "k")->kind, VALUE_LIST);
    assert_string_equal(content(&c, 3), "");
    assert_string_equal(content(&c, 4), "c");
    assert_string_equal(value_get(m->list.items[5], "tool_call_id")->string.data, "x");
    assert_int_equal(c.max_tokens, 7);
    assert_int_equal(c.params.n_stops, 2);
    assert_string_equal(c.params.stops[1], "yy");
    assert_true(c.params.sampling.has_seed);
    assert_int_equal(c.params.sampling.n_bias, 1);
    assert_int_equal(c.params.sampling.bias[0].id, 5);
    assert_true(c.params.sampling.bias[0].bias == -2.5f);
    assert_false(value_get(c.context, "enable_thinking")->boolean);
    assert_true(value_get(c.context, "add_generation_prompt")->boolean);
    arena_done(&a);
}

static void tools_and_choices(void **state)
{
    static const struct {
        const char *json, *names;
        bool one_call, legacy;
    } cases[] = {
        { "{" MSG "}", "", false, false },
        { "{" MSG ",\"tools\":[]}", "", false, false },
        { "{" MSG "," TOOLS "}", "fg", false, false },
        { "{" MSG "," TOOLS ",\"tool_choice\":\"auto\"}", "fg", false, false },
        { "{" MSG "," TOOLS ",\"tool_choice\":\"none\"}", "", false, false },
        { "{" MSG "," TOOLS ",\"parallel_tool_calls\":false}", "fg", true, false },
        { "{" MSG "," TOOLS ",\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{"
          "\"mode\":\"auto\",\"tools\":"
          "[{\"type\":\"function\",\"function\":{\"name\":\"g\"}}]}}}",
          "g", false, false },
        { "{" MSG ",\"functions\":[{\"name\":\"h\"}],\"function_call\":\"auto\"}", "h", true,
          true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct chat_request c;
        struct arena a;
        struct err e = { 0 };
        char names[8] = "";

        arena_init(&a, 1 << 20);
        assert_int_equal(read_chat(cases[i].json, &c, &a, &e), 0);
        for (size_t k = 0; c.tools.list && k < c.tools.list->list.len; k++)
            strcat(names, value_get(value_get(c.tools.list->list.items[k], "function"), "name")
                              ->string.data);
        assert_string_equal(names, cases[i].names);
        assert_int_equal(c.tools.one_call, cases[i].one_call);
        assert_int_equal(c.tools.legacy, cases[i].legacy);
        assert_false(c.tools.required);
        arena_done(&a);
    }
}

static void the_operators_defaults_fill_in(void **state)
{
    struct params_rules r = rules();
    struct chat_request c;
    struct value *body;
    struct arena a;
    struct err e = { 0 };
    const char *json[] = { "{" MSG "}",
                           "{" MSG ",\"temperature\":0.5,\"top_k\":-1,\"max_tokens\":7}" };

    (void)state;
    r.sampling.temperature = 0.25f;
    r.sampling.top_k = 40;
    r.max_tokens = 128;
    for (int i = 0; i < 2; i++) {
        arena_init(&a, 1 << 20);
        assert_int_equal(params_body(json[i], strlen(json[i]), &a, &body, &e), 0);
        assert_int_equal(chat_request_read(&c, body, &r, &a, &e), 0);
        assert_true(c.params.sampling.temperature == (i ? 0.5f : 0.25f));
        assert_int_equal(c.params.sampling.top_k, i ? 0 : 40);
        assert_int_equal(c.max_tokens, i ? 7 : 128);
        arena_done(&a);
    }
}

static void completions_take_every_form_of_prompt(void **state)
{
    static const struct {
        const char *json;
        int code;
        size_t n_prompts;
        enum prompt_kind kind;
        const char *param;
    } cases[] = {
        { "{\"prompt\":\"a\"}", 0, 1, PROMPT_TEXT, "" },
        { "{\"prompt\":[\"a\",\"b\"]}", 0, 2, PROMPT_TEXT, "" },
        { "{\"prompt\":[1,2,3]}", 0, 1, PROMPT_IDS, "" },
        { "{\"prompt\":[[1],[2,3]]}", 0, 2, PROMPT_IDS, "" },
        { "{\"prompt\":\"\"}", ERR_INVALID, 0, 0, "prompt" },
        { "{\"prompt\":[]}", ERR_INVALID, 0, 0, "prompt" },
        { "{\"prompt\":[\"a\",\"\"]}", ERR_INVALID, 0, 0, "prompt[1]" },
        { "{\"prompt\":[1,\"b\"]}", ERR_INVALID, 0, 0, "prompt" },
        { "{\"prompt\":[[-1]]}", ERR_INVALID, 0, 0, "prompt[0]" },
        { "{\"prompt\":{}}", ERR_INVALID, 0, 0, "prompt" },
        { "{}", ERR_INVALID, 0, 0, "prompt" },
        { "{\"prompt\":[\"a\",\"b\",\"c\",\"d\",\"e\"],\"n\":2}", ERR_INVALID, 0, 0, "prompt" },
        { "{\"prompt\":\"a\",\"suffix\":\"b\"}", ERR_UNSUPPORTED, 0, 0, "suffix" },
        { "{\"prompt\":\"a\",\"suffix\":\"\"}", 0, 1, PROMPT_TEXT, NULL },
        { "{\"prompt\":\"a\",\"best_of\":3,\"n\":2}", 0, 1, PROMPT_TEXT, NULL },
        { "{\"prompt\":\"a\",\"best_of\":2,\"n\":3}", ERR_INVALID, 0, 0, "best_of" },
        { "{\"prompt\":\"a\",\"best_of\":21}", ERR_INVALID, 0, 0, "best_of" },
        { "{\"prompt\":\"a\",\"best_of\":9}", ERR_INVALID, 0, 0, "prompt" },
        { "{\"prompt\":\"a\",\"best_of\":2,\"stream\":true}", ERR_INVALID, 0, 0, "best_of" },
        { "{\"prompt\":\"a\",\"min_tokens\":17}", ERR_INVALID, 0, 0, "min_tokens" },
        { "{\"prompt\":\"a\",\"stop_token_ids\":[-1]}", ERR_INVALID, 0, 0, "stop_token_ids" },
        { "{\"prompt\":\"a\",\"logprobs\":6}", ERR_INVALID, 0, 0, "logprobs" },
        { "{\"prompt\":[1],\"echo\":true,\"logprobs\":5}", 0, 1, PROMPT_IDS, NULL },
        { "{\"prompt\":\"a\",\"max_tokens\":-1}", ERR_INVALID, 0, 0, "max_tokens" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct completion_request c;
        struct params_rules r = rules();
        struct value *body;
        struct arena a;
        struct err e = { 0 };

        arena_init(&a, 1 << 20);
        print_message("# %s\n", cases[i].json);
        assert_int_equal(params_body(cases[i].json, strlen(cases[i].json), &a, &body, &e), 0);
        assert_int_equal(completion_request_read(&c, body, &r, &a, &e), cases[i].code);
        if (cases[i].code) {
            assert_string_equal(e.param, cases[i].param);
        } else {
            assert_int_equal(c.n_prompts, cases[i].n_prompts);
            assert_int_equal(c.jobs[0].kind, cases[i].kind);
            assert_int_equal(c.jobs[0].max_tokens, 16);
        }
        arena_done(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_chats_name_their_field),
        cmocka_unit_test(predictions_are_texts),
        cmocka_unit_test(priority_is_the_operators_to_allow),
        cmocka_unit_test(null_is_absent_and_unknown_is_disregarded),
        cmocka_unit_test(messages_take_the_templates_shape),
        cmocka_unit_test(tools_and_choices),
        cmocka_unit_test(the_operators_defaults_fill_in),
        cmocka_unit_test(completions_take_every_form_of_prompt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
