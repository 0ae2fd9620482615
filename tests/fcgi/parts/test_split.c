/* Answers as models write them, whole and cut anywhere: the parts are the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/parts/split.h"
#include "kernels/base/json.h"

#define D(s)   "<\xef\xbd\x9ctool\xe2\x96\x81" s "\xef\xbd\x9c>"
#define CTL(s) "\xff" s "\xfe"
#define DS         \
    "\xef\xbd\x9c" \
    "DSML"         \
    "\xef\xbd\x9c"

static const char tools_json[] = "[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\","
                                 "\"parameters\":{\"type\":\"object\",\"properties\":{"
                                 "\"location\":{\"type\":\"string\"},\"unit\":{\"type\":\"string\"}"
                                 ",\"days\":{\"type\":\"integer\"}}}}},"
                                 "{\"type\":\"function\",\"function\":{\"name\":\"add\","
                                 "\"parameters\":{\"type\":\"object\",\"properties\":{"
                                 "\"a\":{\"type\":\"number\"},\"b\":{\"type\":\"number\"}}}}}]";

/* What all parts together say: "C:" content, "R:" reasoning, "F:" a call's name, "A:" its
 * arguments. */
struct said {
    struct buf text;
    enum part_kind last;
    size_t calls;
};

static void collect(struct said *d, struct split *s)
{
    static const char *const names[] = { "C:", "R:", "F:", "A:" };

    for (size_t i = 0; i < s->n_parts; i++) {
        const struct part *p = &s->parts[i];

        if (p->kind == PART_CALL)
            assert_int_equal(p->call, d->calls++);
        if (p->kind == PART_ARGUMENTS)
            assert_int_equal(p->call, d->calls - 1);
        if (!d->text.len || p->kind != d->last || p->kind == PART_CALL) {
            if (d->text.len)
                buf_putc(&d->text, '\n');
            buf_puts(&d->text, names[p->kind]);
        }
        buf_put(&d->text, s->text.data + p->start, p->len);
        d->last = p->kind;
    }
    split_take(s);
}

/* cut: bytes a push; 0: whole; negative: seeds random pieces. */
static char *split_text_of(const struct split_options *o, const char *text, int cut)
{
    struct said d = { 0 };
    struct split s;
    size_t len = strlen(text);
    unsigned seed = (unsigned)-cut;

    split_init(&s, o);
    for (size_t at = 0; at < len;) {
        size_t n = cut > 0 ? (size_t)cut : cut == 0 ? len : 1 + (size_t)rand_r(&seed) % 9;

        if (n > len - at)
            n = len - at;
        split_push(&s, text + at, n);
        collect(&d, &s);
        at += n;
    }
    split_finish(&s);
    collect(&d, &s);
    assert_false(s.failed);
    split_done(&s);
    buf_puts(&d.text, "");
    return d.text.data;
}

static void check_options(const struct split_options *o, const char *text, const char *expected)
{
    static const int cuts[] = { 0, 1, 2, 3, 5, 7, 11, -1, -2, -3, -4, -5, -6, -7, -8, -9 };

    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        char *got = split_text_of(o, text, cuts[i]);

        if (strcmp(got, expected) != 0)
            print_error("cut %d of %s\n", cuts[i], text);
        assert_string_equal(got, expected);
        free(got);
    }
}

static struct value *tools;
static struct arena arena;

static int setup(void **state)
{
    struct err e;

    (void)state;
    arena_init(&arena, 0);
    return json_parse(tools_json, strlen(tools_json), 20, &arena, &tools, &e);
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

static const struct thinking think = { "<think>", "</think>" };

static void check(const char *format, const char *prompt_end, const char *text,
                  const char *expected)
{
    struct split_options o = { .format = format ? format_find(format) : NULL,
                               .thinking = &think,
                               .tools = tools,
                               .prompt_end = prompt_end };

    if (format)
        assert_non_null(o.format);
    check_options(&o, text, expected);
}

#define WEATHER "{\"location\": \"Z\xc3\xbcrich\", \"days\": 2}"
#define ADD     "{\"a\": 1.5, \"b\": -2}"
#define BOTH    "F:get_weather\nA:" WEATHER "\nF:add\nA:" ADD

static void text_alone_is_content(void **state)
{
    (void)state;
    check(NULL, NULL, "\n Hello <tool_call> world \n", "C:\n Hello <tool_call> world \n");
    check("hermes", NULL, "\n Hello <tool world< \n", "C:\n Hello <tool world< \n");
    check("hermes", NULL, "a <think> b </think>", "C:a <think> b </think>");
    check("hermes", NULL, "a" CTL("<|im_start|>") "b", "C:ab");
    check("hermes", NULL, "<tool_cal", "C:<tool_cal");
    check("generic", NULL, "{\"a\": 1}", "C:{\"a\": 1}");
    check("generic", NULL, "{\"name\": \"nobody\", \"arguments\": {}}",
          "C:{\"name\": \"nobody\", \"arguments\": {}}");
    check("llama3", NULL, "  {\"name\":", "C:  {\"name\":");
}

static void reasoning_is_split(void **state)
{
    (void)state;
    check("hermes", NULL, "<think>\nLet me\nsee.\n</think>\n\nYes.\n", "R:Let me\nsee.\nC:Yes.\n");
    check("hermes", "assistant\n<think>\n", "Let </thin me</think>Yes.", "R:Let </thin me\nC:Yes.");
    check("hermes", NULL, " <think> only", "R:only");
    check(NULL, NULL, "<think></think>\n\n", "");
    check("hermes", "<think>",
          "R\n</think>\n<tool_call>{\"name\":\"add\",\"arguments\":{}}</tool_call>",
          "R:R\nF:add\nA:{}");
    check("hermes", NULL, CTL("<think>") "a" CTL("</think>") "b", "R:a\nC:b");
}

#define T "\xfd" /* a token ends */
#define L "\xfc" /* one's logprobs are known */

static void ends_of_tokens_are_no_text(void **state)
{
    (void)state;
    check(NULL, NULL, "a" T " b" L T L "c" T, "C:a bc");
    check("hermes", NULL, "<th" T "ink>" L L T "a " T T "b</thi" T "nk>" T "c", "R:a b\nC:c");
    check("hermes", NULL,
          "<tool" T "_call>{\"name\": \"ad" L T "d\", \"arguments\": {\"a\"" T ": 1}}" T
          "</tool_call>" L T,
          "F:add\nA:{\"a\": 1}");
}

static void tokens_are_counted_whatever_the_pieces(void **state)
{
    static const struct {
        const char *prompt_end, *text;
        size_t tokens, reasoning;
    } cases[] = {
        { NULL, "", 0, 0 },
        { NULL, "a" T "b" T, 2, 0 },
        { NULL, T T, 2, 0 },
        { NULL, "<th" T "ink>" T "a b" T " c</thi" T "nk>" T "Hi" T, 6, 4 },
        { "<think>\n", "x" T "</think>" T "y" T, 3, 2 },
        { "<think>\n", "x" T T "y", 2, 2 },
        { NULL, CTL("<think>") T "a" T CTL("</think>") T "b" T, 4, 3 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t cut = 1; cut <= strlen(cases[i].text) + 1; cut++) {
            struct split_options o = { .format = format_find("hermes"),
                                       .thinking = &think,
                                       .prompt_end = cases[i].prompt_end };
            size_t len = strlen(cases[i].text);
            struct split s;

            split_init(&s, &o);
            for (size_t at = 0; at < len; at += cut)
                split_push(&s, cases[i].text + at, cut < len - at ? cut : len - at);
            split_finish(&s);
            assert_int_equal(s.n_tokens, cases[i].tokens);
            assert_int_equal(s.n_reasoning, cases[i].reasoning);
            split_done(&s);
        }
}

static void objects(void **state)
{
    (void)state;
    check("hermes", NULL,
          "Let me see.\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": " WEATHER
          "}\n</tool_call>\n<tool_call>\n{\"name\": \"add\", \"arguments\": " ADD "}\n</tool_call>",
          "C:Let me see.\n" BOTH);
    check("hermes", NULL,
          "<tool_call>{\"arguments\": " ADD
          ", \"id\": [\"}\"], \"name\": \"\\u0061dd\"}</tool_call> done",
          "F:add\nA:" ADD "\nC:done");
    check(
        "hermes", NULL,
        "<tool_call>{\"name\": \"add\", \"arguments\": \"{\\\"a\\\": \\\"\\\\n\\\"}\"}</tool_call>",
        "F:add\nA:{\"a\": \"\\n\"}");
    check("hermes", NULL, "<tool_call>{\"name\": \"add\"}</tool_call>", "F:add\nA:{}");
    check("hermes", NULL,
          "<tool_call>{\"type\":\"function\",\"function\":{\"name\":\"add\",\"arguments\":" ADD
          "}}</tool_call>",
          "F:add\nA:" ADD);
    check("hermes", NULL,
          "<tool_call>{\"name\": \"add\", \"arguments\": {\"s\": \"</tool_call>\"}}</tool_call>",
          "F:add\nA:{\"s\": \"</tool_call>\"}");
    check("hermes", NULL, "see <tool_call>nothing</tool_call>",
          "C:see <tool_call>nothing</tool_call>");
    check("hermes", NULL, "<tool_call>{\"name\": 1}</tool_call>",
          "C:<tool_call>{\"name\": 1}</tool_call>");
    check("hermes", NULL, "<tool_call>{\"name\": \"add\", \"arguments\": {\"a\": 1",
          "F:add\nA:{\"a\": 1");
    check("hermes", NULL, "<tool_call>", "C:<tool_call>");
    check("command-r", NULL,
          CTL("<|START_ACTION|>") "[\n    {\"tool_call_id\": \"0\", \"tool_name\": "
                                  "\"get_weather\", \"parameters\": " WEATHER
                                  "},\n    {\"tool_call_id\": \"1\", \"tool_name\": \"add\", "
                                  "\"parameters\": " ADD "}\n]" CTL("<|END_ACTION|>"),
          BOTH);
    check("apertus", NULL,
          "Hm." CTL("<|tools_prefix|>") "[{\"get_weather\": " WEATHER "}, {\"add\": " ADD
                                        "}]" CTL("<|tools_suffix|>"),
          "C:Hm.\n" BOTH);
    check("minimax", NULL,
          "<tool_calls>\n{\"name\": \"get_weather\", \"arguments\": " WEATHER
          "}\n{\"name\": \"add\", \"arguments\": " ADD "}\n</tool_calls>",
          BOTH);
    check("llama3", NULL, "{\"name\": \"add\", \"parameters\": " ADD "}", "F:add\nA:" ADD);
    check("llama3", NULL,
          CTL("<|python_tag|>") "{\"name\": \"add\", \"parameters\": " ADD
                                "}; {\"name\": \"add\", \"parameters\": {}}",
          "F:add\nA:" ADD "\nF:add\nA:{}");
    check("llama3", NULL, CTL("<|python_tag|>") "add.call(a=1.5, b=-2)", "F:add\nA:" ADD);
    check("mistral", NULL,
          CTL("[TOOL_CALLS]") "[{\"name\": \"get_weather\", \"arguments\": " WEATHER
                              ", \"id\": \"abcdefg01\"}, {\"name\": \"add\", \"arguments\": " ADD
                              ", \"id\": \"abcdefg02\"}]",
          BOTH);
}

static void named(void **state)
{
    (void)state;
    check("mistral", NULL,
          "Well." CTL("[TOOL_CALLS]") "get_weather" CTL("[ARGS]")
              WEATHER CTL("[TOOL_CALLS]") "add" CTL("[CALL_ID]") "abcdefg01" CTL("[ARGS]") ADD,
          "C:Well.\n" BOTH);
    check("deepseek", NULL,
          D("calls\xe2\x96\x81"
            "begin") D("call\xe2\x96\x81"
                       "begin") "get_weather" D("sep") WEATHER D("call\xe2\x96\x81"
                                                                 "end") D("call\xe2\x96\x81"
                                                                          "begin") "add" D("sep")
              ADD D("call\xe2\x96\x81"
                    "end") D("calls\xe2\x96\x81"
                             "end") "\n",
          BOTH);
    check(
        "deepseek-r1", NULL,
        D("calls\xe2\x96\x81"
          "begin")
            D("call\xe2\x96\x81"
              "begin") "function" D("sep") "get_weather\n```json\n" WEATHER
                                           "\n```" D(
                                               "call\xe2\x96\x81"
                                               "end") "\n" D("call\xe2\x96\x81"
                                                             "begin") "function" D("sep") "add\n```"
                                                                                          "json"
                                                                                          "\n" ADD
                                                                                          "\n```" D(
                                                                                              "call"
                                                                                              "\xe2"
                                                                                              "\x96"
                                                                                              "\x81"
                                                                                              "end")
                                                                                              D("ca"
                                                                                                "ll"
                                                                                                "s"
                                                                                                "\xe2\x96\x81"
                                                                                                "en"
                                                                                                "d"),
        BOTH);
    check("kimi", NULL,
          "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_"
          "argument_begin|>" WEATHER
          "<|tool_call_end|><|tool_call_begin|>functions.add:1<|tool_call_argument_begin|>" ADD
          "<|tool_call_end|><|tool_calls_section_end|>",
          BOTH);
    check("deepseek", NULL,
          "a " D("calls\xe2\x96\x81"
                 "begin") "b",
          "C:a " D("calls\xe2\x96\x81"
                   "begin") "b");
}

static void tags(void **state)
{
    (void)state;
    check("qwen3-coder", NULL,
          "Hm.\n\n<tool_call>\n<function=get_weather>\n<parameter=location>\nZ\xc3\xbcrich\n</"
          "parameter>\n<parameter=days>\n2\n"
          "</parameter>\n</function>\n</"
          "tool_call>\n<tool_call>\n<function=add>\n<parameter=a>\n1.5\n</parameter>\n"
          "<parameter=b>\n-2\n</parameter>\n</function>\n</tool_call>",
          "C:Hm.\n" BOTH);
    check("qwen3-coder", NULL,
          "<tool_call><function=get_weather><parameter=location>\n\na "
          "\"b\"\n\n</parameter><parameter=days>many</parameter>"
          "<parameter=x>{\"y\": [1]}</parameter></function></tool_call>",
          "F:get_weather\nA:{\"location\": \"\\na \\\"b\\\"\\n\", \"days\": \"many\", \"x\": "
          "{\"y\": [1]}}");
    check("qwen3-coder", NULL, "<tool_call><function=add></function></tool_call>", "F:add\nA:{}");
    check("glm", NULL,
          "<tool_call>get_weather\n<arg_key>location</arg_key>\n<arg_value>Z\xc3\xbcrich</"
          "arg_value>\n<arg_key>days</arg_key>\n"
          "<arg_value>2</arg_value>\n</tool_call>\n<tool_call>add<arg_key>a</"
          "arg_key><arg_value>1.5</arg_value><arg_key>b"
          "</arg_key><arg_value>-2</arg_value></tool_call>",
          BOTH);
    check("glm", NULL, "<tool_call>add</tool_call>", "F:add\nA:{}");
    check("minicpm", NULL,
          "<function name=\"get_weather\"><param name=\"location\">Z\xc3\xbcrich</param><param "
          "name=\"days\">2</param></function>\n"
          "<function name=\"add\"><param name=\"a\">1.5</param><param "
          "name=\"b\">-2</param></function>",
          BOTH);
    check("minicpm", NULL,
          "<function name=\"get_weather\"><param name=\"location\"><![CDATA[\na </param> "
          "]]x\n]]></param><param "
          "name=\"unit\">b</param></function>",
          "F:get_weather\nA:{\"location\": \"\\na </param> ]]x\\n\", \"unit\": \"b\"}");
    check("dsml", NULL,
          "\n\n<" DS "tool_calls>\n<" DS "invoke name=\"get_weather\">\n<" DS
          "parameter name=\"location\" string=\"true\">Z\xc3\xbcrich</" DS "parameter>\n"
          "<" DS "parameter name=\"days\" string=\"false\">2</" DS "parameter>\n</" DS
          "invoke>\n<" DS "invoke name=\"add\">\n"
          "<" DS "parameter name=\"a\" string=\"false\">1.5</" DS "parameter>\n<" DS
          "parameter name=\"b\" string=\"false\">-2</" DS "parameter>\n"
          "</" DS "invoke>\n</" DS "tool_calls>",
          BOTH);
}

static void python(void **state)
{
    (void)state;
    check("lfm2", NULL,
          CTL("<|tool_call_start|>") "[get_weather(location=\"Z\xc3\xbcrich\", days=2), add(a=1.5, "
                                     "b=-2)]" CTL("<|tool_call_end|>") "Ok.",
          BOTH "\nC:Ok.");
    check("lfm2", NULL,
          "<|tool_call_start|>[f(a='it\\'s \"x\"', b=[True, None, (1, 2)], c={'k': 'v'}), "
          "g()]<|tool_call_end|>",
          "F:f\nA:{\"a\": \"it's \\\"x\\\"\", \"b\": [true, null, [1, 2]], \"c\": {\"k\": "
          "\"v\"}}\nF:g\nA:{}");
    check("llama4", NULL, "[add(a=1.5, b=-2)]", "F:add\nA:" ADD);
    check("llama4", NULL, "[1, 2] is a list", "C:[1, 2] is a list");
}

static void channels(void **state)
{
    (void)state;
    check("channels", "<|start|>assistant",
          CTL("<|channel|>") "analysis" CTL("<|message|>") "Hm." CTL("<|end|>")
              CTL("<|start|>") "assistant" CTL(
                  "<|channel|>") "commentary "
                                 "to=functions.get_weather " CTL("<|constrain|>") "json" CTL(
                                     "<|"
                                     "messag"
                                     "e|>") WEATHER CTL("<|end|>")
                                     CTL("<|start|>") "assistant "
                                                      "to=functions."
                                                      "add" CTL("<|"
                                                                "channel|"
                                                                ">") "comm"
                                                                     "enta"
                                                                     "ry "
                                                                     "jso"
                                                                     "n" CTL("<|message|>") ADD,
          "R:Hm.\n" BOTH);
    check("channels", "<|start|>assistant", "<|channel|>final<|message|>Hi\n there",
          "C:Hi\n there");
    check("channels", NULL, "just text", "C:just text");
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(text_alone_is_content),
        cmocka_unit_test(reasoning_is_split),
        cmocka_unit_test(ends_of_tokens_are_no_text),
        cmocka_unit_test(tokens_are_counted_whatever_the_pieces),
        cmocka_unit_test(objects),
        cmocka_unit_test(named),
        cmocka_unit_test(tags),
        cmocka_unit_test(python),
        cmocka_unit_test(channels),
    };

    return cmocka_run_group_tests(all, setup, teardown);
}
