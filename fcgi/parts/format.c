/* The table's order matters: the first whose signs are all found is taken. */
#include "fcgi/parts/format.h"

#include <string.h>

#define DS(s) "<\xef\xbd\x9ctool\xe2\x96\x81" s "\xef\xbd\x9c>" /* DeepSeek's <|tool_...|> */
#define DSML       \
    "\xef\xbd\x9c" \
    "DSML"         \
    "\xef\xbd\x9c"

/* clang-format off */
const struct format formats[] = {
    /* gpt-oss: OpenAI's Harmony */
    { .name = "channels", .signs = { "<|channel|>", "<|start|>assistant" }, .body = BODY_CHANNELS,
      .name_prefix = "functions." },
    /* DeepSeek V4 */
    { .name = "dsml", .signs = { DSML }, .body = BODY_TAGS,
      .open = "<" DSML "tool_calls>", .close = "</" DSML "tool_calls>",
      .call = "<" DSML "invoke name=\"", .name_end = "\">", .call_end = "</" DSML "invoke>",
      .key = "<" DSML "parameter name=\"", .key_end = "\"", .value = ">", .value_end = "</" DSML "parameter>" },
    /* DeepSeek R1 and V3: function, mark, name, the arguments as a fenced block */
    { .name = "deepseek-r1", .signs = { DS("calls" "\xe2\x96\x81" "begin"), "```json" }, .body = BODY_NAMED,
      .open = DS("calls" "\xe2\x96\x81" "begin"), .close = DS("calls" "\xe2\x96\x81" "end"),
      .call = DS("call" "\xe2\x96\x81" "begin"), .call_end = DS("call" "\xe2\x96\x81" "end"),
      .name_end = "```json", .name_prefix = "function" DS("sep") },
    /* DeepSeek V3.1 */
    { .name = "deepseek", .signs = { DS("calls" "\xe2\x96\x81" "begin") }, .body = BODY_NAMED,
      .open = DS("calls" "\xe2\x96\x81" "begin"), .close = DS("calls" "\xe2\x96\x81" "end"),
      .call = DS("call" "\xe2\x96\x81" "begin"), .call_end = DS("call" "\xe2\x96\x81" "end"), .name_end = DS("sep") },
    { .name = "kimi", .signs = { "<|tool_call_argument_begin|>" }, .body = BODY_NAMED,
      .open = "<|tool_calls_section_begin|>", .close = "<|tool_calls_section_end|>",
      .call = "<|tool_call_begin|>", .call_end = "<|tool_call_end|>",
      .name_end = "<|tool_call_argument_begin|>", .name_prefix = "functions." },
    /* Mistral 3.1 and later; before: a list of objects, recognised by its first letter */
    { .name = "mistral", .signs = { "[TOOL_CALLS]" }, .body = BODY_NAMED, .call = "[TOOL_CALLS]",
      .name_end = "[ARGS]", .name_key = "name", .args_key = "arguments", .short_id = true },
    { .name = "qwen3-coder", .signs = { "<function=", "<parameter=" }, .body = BODY_TAGS,
      .open = "<tool_call>", .close = "</tool_call>", .call = "<function=", .name_end = ">",
      .call_end = "</function>", .key = "<parameter=", .key_end = ">", .value_end = "</parameter>" },
    { .name = "minicpm", .signs = { "<function name=", "<param name=" }, .body = BODY_TAGS,
      .call = "<function name=\"", .name_end = "\">", .call_end = "</function>",
      .key = "<param name=\"", .key_end = "\">", .value_end = "</param>", .cdata = true },
    { .name = "hunyuan", .signs = { "<arg_key", "<tool_sep" }, .body = BODY_TAGS,
      .open = "<tool_calls:opensource>", .close = "</tool_calls:opensource>",
      .call = "<tool_call:opensource>", .name_end = "<tool_sep:opensource>", .call_end = "</tool_call:opensource>",
      .key = "<arg_key:opensource>", .key_end = "</arg_key:opensource>",
      .value = "<arg_value:opensource>", .value_end = "</arg_value:opensource>" },
    { .name = "glm", .signs = { "<arg_key>", "<arg_value>" }, .body = BODY_TAGS,
      .call = "<tool_call>", .call_end = "</tool_call>", .key = "<arg_key>", .key_end = "</arg_key>",
      .value = "<arg_value>", .value_end = "</arg_value>" },
    { .name = "command-r", .signs = { "<|START_ACTION|>" }, .body = BODY_OBJECTS,
      .open = "<|START_ACTION|>", .close = "<|END_ACTION|>", .name_key = "tool_name", .args_key = "parameters" },
    { .name = "apertus", .signs = { "<|tools_prefix|>" }, .body = BODY_OBJECTS,
      .open = "<|tools_prefix|>", .close = "<|tools_suffix|>" },
    { .name = "nemotron", .signs = { "<TOOLCALL>" }, .body = BODY_OBJECTS,
      .open = "<TOOLCALL>", .close = "</TOOLCALL>", .name_key = "name", .args_key = "arguments" },
    { .name = "lfm2", .signs = { "<|tool_call_start|>" }, .body = BODY_PYTHON,
      .open = "<|tool_call_start|>", .close = "<|tool_call_end|>" },
    { .name = "lfm2", .signs = { "<|tool_list_start|>" }, .body = BODY_PYTHON,
      .open = "<|tool_call_start|>", .close = "<|tool_call_end|>" },
    { .name = "minimax", .signs = { "<tool_calls>", "<beginning_of_sentence>" }, .body = BODY_OBJECTS,
      .open = "<tool_calls>", .close = "</tool_calls>", .name_key = "name", .args_key = "arguments" },
    { .name = "hermes", .signs = { "<tool_call>" }, .body = BODY_OBJECTS,
      .open = "<tool_call>", .close = "</tool_call>", .name_key = "name", .args_key = "arguments" },
    { .name = "gigachat", .signs = { "<|function_call|>" }, .body = BODY_OBJECTS,
      .open = "<|function_call|>", .name_key = "name", .args_key = "arguments" },
    { .name = "granite", .signs = { "<|tool_call|>" }, .body = BODY_OBJECTS,
      .open = "<|tool_call|>", .name_key = "name", .args_key = "arguments" },
    { .name = "firefunction", .signs = { "functools[" }, .body = BODY_OBJECTS,
      .open = "functools", .name_key = "name", .args_key = "arguments" },
    { .name = "llama4", .signs = { "<|python_start|>" }, .body = BODY_PYTHON,
      .open = "<|python_start|>", .close = "<|python_end|>", .bare = true },
    { .name = "llama3", .signs = { "<|python_tag|>" }, .body = BODY_OBJECTS,
      .open = "<|python_tag|>", .name_key = "name", .args_key = "parameters", .bare = true },
    { .name = "llama3", .signs = { "\"parameters\": dictionary of argument name" }, .body = BODY_OBJECTS,
      .open = "<|python_tag|>", .name_key = "name", .args_key = "parameters", .bare = true },
    /* for everybody else, who is told about it in words */
    { .name = "generic", .body = BODY_OBJECTS, .open = "<tool_call>", .close = "</tool_call>",
      .name_key = "name", .args_key = "arguments", .bare = true },
    { 0 },
};

static const struct thinking thinking[] = {
    { "<think:opensource>", "</think:opensource>" },
    { "<mm:think>", "</mm:think>" },
    { "<seed:think>", "</seed:think>" },
    { "<|START_THINKING|>", "<|END_THINKING|>" },
    { "<|inner_prefix|>", "<|inner_suffix|>" },
    { "<|channel>thought\n", "<channel|>" },
    { "[THINK]", "[/THINK]" },
    { "<think>", "</think>" },
    { NULL, NULL },
};
/* clang-format on */

static bool has_signs(const struct format *f, const char *chat_template)
{
    for (size_t i = 0; i < FORMAT_SIGNS && f->signs[i]; i++)
        if (!strstr(chat_template, f->signs[i]))
            return false;
    return true;
}

const struct format *format_detect(const char *chat_template)
{
    const struct format *f = formats;

    while (f[1].name && !(chat_template && has_signs(f, chat_template)))
        f++;
    return f;
}

const struct format *format_find(const char *name)
{
    for (const struct format *f = formats; f->name; f++)
        if (!strcmp(f->name, name))
            return f;
    return NULL;
}

bool format_template_has_tools(const char *chat_template)
{
    return chat_template && strstr(chat_template, "tools");
}

const struct thinking *format_thinking(const char *chat_template)
{
    /* Where only the newline differs in how a template spells a mark, the mark's word is enough. */
    for (const struct thinking *t = thinking; chat_template && t->open; t++)
        if (strstr(chat_template, t->close))
            return t;
    return NULL;
}
