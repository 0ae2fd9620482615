/* responses_request: items to messages, what is refused, and with which field named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "fcgi/api/responses_request.h"
#include "kernels/base/json.h"

#define TOOL \
    "\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"parameters\":{\"type\":\"object\"}}]"
#define CALL "{\"type\":\"function_call\",\"call_id\":\"c1\",\"name\":\"f\",\"arguments\":\"{}\"}"

static int read_one(const char *json, struct responses_request *q, struct arena *a, struct err *e)
{
    struct params_rules r = { .max_choices = 8 };
    struct value *body;
    int rc;

    sampling_default(&r.sampling);
    rc = params_body(json, strlen(json), a, &body, e);
    return rc ? rc : responses_request_read(q, body, &r, a, e);
}

static void bad_ones_name_their_field(void **state)
{
    static const struct {
        const char *json, *param, *says;
        int code;
    } cases[] = {
        { "{}", "input", "found nothing", ERR_INVALID },
        { "{\"input\":null}", "input", "found nothing", ERR_INVALID },
        { "{\"input\":[]}", "input", "an array of 0", ERR_INVALID },
        { "{\"input\":{}}", "input", "an object", ERR_INVALID },
        { "{\"input\":[3]}", "input[0]", "the number 3", ERR_INVALID },
        { "{\"input\":[{}]}", "input[0].role", "nothing", ERR_INVALID },
        { "{\"input\":[{\"role\":\"tool\",\"content\":\"a\"}]}", "input[0].role", "user, assistant",
          ERR_INVALID },
        { "{\"input\":[{\"role\":\"user\"}]}", "input[0].content", "nothing", ERR_INVALID },
        { "{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\"}]}]}",
          "input[0].content[0].text", "a string", ERR_INVALID },
        { "{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_file\"}]}]}",
          "input[0].content[0]", "input_file", ERR_UNSUPPORTED },
        { "{\"input\":[{\"type\":7}]}", "input[0].type", "a string", ERR_INVALID },
        { "{\"input\":[{\"type\":\"item_reference\",\"id\":\"x\"}]}", "input[0]", "stores nothing",
          ERR_UNSUPPORTED },
        { "{\"input\":[{\"type\":\"web_search_call\"}]}", "input[0].type", "web_search_call",
          ERR_UNSUPPORTED },
        { "{\"input\":[{\"type\":\"function_call\",\"name\":\"f\"}]}", "input[0].call_id", "",
          ERR_INVALID },
        { "{\"input\":[{\"type\":\"function_call\",\"call_id\":\"c\"}]}", "input[0].name", "",
          ERR_INVALID },
        { "{\"input\":[{\"type\":\"function_call_output\",\"output\":\"a\"}]}", "input[0].call_id",
          "", ERR_INVALID },
        { "{\"input\":[{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":1}]}",
          "input[0].output", "the number 1", ERR_INVALID },
        { "{\"input\":[{\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\"}]}]}",
          "input[0].summary[0].text", "", ERR_INVALID },
        { "{\"input\":[{\"type\":\"reasoning\",\"summary\":[]}]}", "input", "one message",
          ERR_INVALID },
        { "{\"input\":\"a\",\"previous_response_id\":\"r\"}", "previous_response_id",
          "stores no responses", ERR_UNSUPPORTED },
        { "{\"input\":\"a\",\"conversation\":\"c\"}", "conversation", "stores no",
          ERR_UNSUPPORTED },
        { "{\"input\":\"a\",\"prompt\":{\"id\":\"p\"}}", "prompt", "stores no", ERR_UNSUPPORTED },
        { "{\"input\":\"a\",\"background\":true}", "background", "not supported", ERR_UNSUPPORTED },
        { "{\"input\":\"a\",\"background\":1}", "background", "true or false", ERR_INVALID },
        { "{\"input\":\"a\",\"instructions\":[]}", "instructions", "a string", ERR_INVALID },
        { "{\"input\":\"a\",\"max_output_tokens\":0}", "max_output_tokens", "at least 1",
          ERR_INVALID },
        { "{\"input\":\"a\",\"temperature\":3}", "temperature", "between 0 and 2", ERR_INVALID },
        { "{\"input\":\"a\",\"text\":5}", "text", "an object", ERR_INVALID },
        { "{\"input\":\"a\",\"text\":{\"format\":{\"type\":\"yaml\"}}}", "text.format", "yaml",
          ERR_UNSUPPORTED },
        { "{\"input\":\"a\",\"text\":{\"format\":{\"type\":\"json_schema\",\"schema\":3}}}",
          "text.format.schema", "a JSON Schema", ERR_INVALID },
        { "{\"input\":\"a\",\"text\":{\"format\":{\"type\":\"json_object\"}},\"regex\":\"a\"}",
          "text.format", "not together", ERR_INVALID },
        { "{\"input\":\"a\",\"reasoning\":\"high\"}", "reasoning", "an object", ERR_INVALID },
        { "{\"input\":\"a\",\"reasoning\":{\"effort\":1}}", "reasoning.effort", "a string",
          ERR_INVALID },
        { "{\"input\":\"a\",\"metadata\":{\"a\":1}}", "metadata", "strings", ERR_INVALID },
        { "{\"input\":\"a\",\"include\":\"x\"}", "include", "an array", ERR_INVALID },
        { "{\"input\":\"a\",\"top_logprobs\":21}", "top_logprobs", "between 0 and 20",
          ERR_INVALID },
        { "{\"input\":\"a\",\"tools\":[{\"type\":\"web_search\"}]}", "tools[0].type", "web_search",
          ERR_UNSUPPORTED },
        { "{\"input\":\"a\",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]}",
          "tools[0].name", "letters", ERR_INVALID },
        { "{\"input\":\"a\"," TOOL ",\"tool_choice\":{\"type\":\"function\",\"name\":\"g\"}}",
          "tool_choice", "no tool called", ERR_INVALID },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct responses_request q;
        struct arena a;
        struct err e = { 0 };

        arena_init(&a, 1 << 20);
        print_message("# %s\n", cases[i].json);
        assert_int_equal(read_one(cases[i].json, &q, &a, &e), cases[i].code);
        assert_string_equal(e.param, cases[i].param);
        assert_non_null(strstr(e.text, cases[i].says));
        arena_done(&a);
    }
}

/* What the template will see, as JSON. */
static void items_become_messages(void **state)
{
    static const struct {
        const char *json, *messages;
    } cases[] = {
        { "{\"input\":\"a\"}", "[{\"role\":\"user\",\"content\":\"a\"}]" },
        { "{\"input\":\"a\",\"instructions\":\"b\"}",
          "[{\"role\":\"system\",\"content\":\"b\"},{\"role\":\"user\",\"content\":\"a\"}]" },
        { "{\"instructions\":\"b\",\"input\":[{\"role\":\"developer\",\"content\":\"c\"},"
          "{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":"
          "\"d\"}]}]}",
          "[{\"role\":\"system\",\"content\":\"b\\n\\nc\"},{\"role\":\"user\",\"content\":\"d\"}"
          "]" },
        { "{\"input\":[{\"role\":\"user\",\"content\":\"a\"},"
          "{\"type\":\"reasoning\",\"id\":\"rs\",\"summary\":[],\"content\":[{\"type\":"
          "\"reasoning_text\",\"text\":\"r\"}]}," CALL "," CALL ","
          "{\"type\":\"function_call_output\",\"call_id\":\"c1\",\"output\":\"o\"},"
          "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\","
          "\"text\":\"t\",\"annotations\":[]}]}," CALL "]}",
          "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"\","
          "\"reasoning_content\":\"r\",\"thinking\":\"r\",\"tool_calls\":[{\"id\":\"c1\",\"type\":"
          "\"function\",\"function\":{\"name\":\"f\",\"arguments\":{}}},{\"id\":\"c1\",\"type\":"
          "\"function\",\"function\":{\"name\":\"f\",\"arguments\":{}}}]},{\"role\":\"tool\","
          "\"content\":\"o\",\"tool_call_id\":\"c1\"},{\"role\":\"assistant\",\"content\":\"t\","
          "\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
          "\"arguments\":{}}}]}]" },
        { "{\"input\":[{\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\",\"text\":"
          "\"s\"}],\"encrypted_content\":\"x\"},{\"role\":\"assistant\",\"content\":\"a\"},"
          "{\"type\":\"reasoning\",\"summary\":[]},{\"role\":\"user\",\"content\":\"b\"}]}",
          "[{\"role\":\"assistant\",\"content\":\"a\",\"reasoning_content\":\"s\",\"thinking\":"
          "\"s\"},{\"role\":\"user\",\"content\":\"b\"}]" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct responses_request q;
        struct buf text = { 0 };
        struct arena a;
        struct err e = { 0 };

        arena_init(&a, 1 << 20);
        assert_int_equal(read_one(cases[i].json, &q, &a, &e), 0);
        json_write(&text, value_get(q.chat.context, "messages"));
        assert_string_equal(buf_str(&text), cases[i].messages);
        buf_done(&text);
        arena_done(&a);
    }
}

static void the_rest_goes_where_a_chat_has_it(void **state)
{
    static const char json[] =
        "{\"input\":\"a\",\"max_output_tokens\":7,\"temperature\":0.7,\"reasoning\":{\"effort\":"
        "\"none\"},\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\",\"schema\":{}},"
        "\"verbosity\":\"low\"},\"include\":[\"message.output_text.logprobs\",\"else\"],"
        "\"top_logprobs\":3,\"metadata\":{\"k\":\"v\"},\"store\":true,\"n\":5,\"background\":false,"
        "\"previous_response_id\":null,\"truncation\":\"auto\"," TOOL
        ",\"parallel_tool_calls\":false}";
    struct responses_request q;
    struct arena a;
    struct err e = { 0 };
    const struct value *f;

    (void)state;
    arena_init(&a, 1 << 20);
    assert_int_equal(read_one(json, &q, &a, &e), 0);
    assert_int_equal(q.chat.max_tokens, 7);
    assert_int_equal(q.chat.top_logprobs, 3);
    assert_int_equal(q.chat.params.n, 1);
    assert_int_equal(q.chat.params.spec.kind, SPEC_SCHEMA);
    assert_true(q.chat.tools.one_call);
    f = value_get(q.chat.tools.list->list.items[0], "function");
    assert_string_equal(value_get(f, "name")->string.data, "f");
    assert_null(value_get(f, "type"));
    assert_false(value_get(q.chat.context, "enable_thinking")->boolean);
    assert_string_equal(value_get(q.chat.context, "reasoning_effort")->string.data, "none");
    assert_non_null(strstr(q.settings, ",\"temperature\":0.7,"));
    assert_non_null(strstr(q.settings, "\"metadata\":{\"k\":\"v\"}"));
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_ones_name_their_field),
        cmocka_unit_test(items_become_messages),
        cmocka_unit_test(the_rest_goes_where_a_chat_has_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
