#include "fcgi/api/chat_adapt.h"

#include <string.h>

#include "fcgi/api/fields.h"
#include "kernels/base/json.h"

/* --- what a template knows --- */

/* Conversations whose words are looked for in the rendering. */
static const char probe_system[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"airstripone\"},"
    "{\"role\":\"user\",\"content\":\"airstriptwo\"}]}";
static const char probe_tools[] =
    "{\"messages\":[{\"role\":\"user\",\"content\":\"airstriptwo\"}],\"tools\":[{\"type\":"
    "\"function\",\"function\":"
    "{\"name\":\"airstripone\",\"description\":\"x\",\"parameters\":{\"type\":\"object\","
    "\"properties\":"
    "{\"a\":{\"type\":\"string\",\"description\":\"x\"}},\"required\":[\"a\"]}}}]}";
#define CALL(arguments)                                                                         \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"assistant\",\"content\":" \
    "\"\",\"tool_calls\":["                                                                     \
    "{\"id\":\"airstrip1\",\"type\":\"function\",\"function\":{\"name\":\"airstripone\","       \
    "\"arguments\":" arguments "}}]},{\"role\":\"tool\",\"name\":\"airstripone\",\"tool_call_"  \
    "id\":\"airstrip1\",\"content\":\"1\"}]}"
static const char probe_object[] = CALL("{\"airstripkey\":\"airstripvalue\"}");
static const char probe_string[] = CALL("\"{\\\"airstripkey\\\":\\\"airstripvalue\\\"}\"");

/* Does the template render this, and is the word in it but not the other (NULL: none)? */
static bool knows(struct engine *g, const char *json, const char *word, const char *but)
{
    struct value *context;
    struct buf text = { 0 };
    struct arena a;
    struct err e;
    bool yes;

    arena_init(&a, 0);
    yes = !json_parse(json, strlen(json), 20, &a, &context, &e) &&
          !engine_render(g, context, &text, &e) && strstr(buf_str(&text), word) &&
          !(but && strstr(buf_str(&text), but));
    buf_done(&text);
    arena_done(&a);
    return yes;
}

/* --- changing messages --- */

static bool set(struct arena *a, struct value *map, const char *key, struct value *v)
{
    return value_set(a, map, key, strlen(key), v);
}

static bool has_role(const struct value *message, const char *role)
{
    const struct value *v = value_get(message, "role");

    return v && v->kind == VALUE_STRING && !strcmp(v->string.data, role);
}

static void put_content(struct buf *b, const struct value *message)
{
    const struct value *v = value_get(message, "content");

    if (v && v->kind == VALUE_STRING)
        buf_put(b, v->string.data, v->string.len);
}

/* A message of these two members; consumes b. */
static struct value *make_message(struct arena *a, const char *role, struct buf *b)
{
    struct value *m = value_map(a);
    bool ok = m && !b->failed && set(a, m, "role", value_string(a, role, strlen(role))) &&
              set(a, m, "content", value_string(a, buf_str(b), b->len));

    buf_done(b);
    return ok ? m : NULL;
}

/* The system message goes before the first user's, or becomes one. */
static struct value *fold_system(struct arena *a, const struct value *messages)
{
    struct value *list = value_list(a);
    struct buf text = { 0 };
    size_t i = 1;
    bool ok = list != NULL;

    put_content(&text, messages->list.items[0]);
    if (messages->list.len > 1 && has_role(messages->list.items[1], "user")) {
        if (text.len)
            buf_puts(&text, "\n\n");
        put_content(&text, messages->list.items[i++]);
    }
    ok = ok && value_append(a, list, make_message(a, "user", &text));
    for (; ok && i < messages->list.len; i++)
        ok = value_append(a, list, messages->list.items[i]);
    return ok ? list : NULL;
}

static void put_tools(struct buf *b, const struct chat_tools *tools)
{
    buf_puts(
        b,
        "You can call functions. These are they, with JSON Schemas of their arguments:\n<tools>\n");
    for (size_t i = 0; i < tools->list->list.len; i++) {
        json_write(b, value_get(tools->list->list.items[i], "function"));
        buf_putc(b, '\n');
    }
    buf_puts(
        b,
        "</tools>\nTo call a function, answer with its name and its arguments as a JSON object:\n"
        "<tool_call>\n{\"name\": \"the function's name\", \"arguments\": {}}\n</tool_call>\n");
    buf_puts(b, tools->required
                    ? "You must call one now."
                    : "Call one only where it helps, else answer in words. Results come as "
                      "<tool_response>.");
}

/* Tools in words, at the end of the system message. */
static struct value *tell_tools(struct arena *a, const struct value *messages,
                                const struct chat_tools *tools)
{
    struct value *list = value_list(a);
    struct buf text = { 0 };
    size_t i = has_role(messages->list.items[0], "system") ? 1 : 0;
    bool ok = list != NULL;

    if (i) {
        put_content(&text, messages->list.items[0]);
        buf_puts(&text, "\n\n");
    }
    put_tools(&text, tools);
    ok = ok && value_append(a, list, make_message(a, "system", &text));
    for (; ok && i < messages->list.len; i++)
        ok = value_append(a, list, messages->list.items[i]);
    return ok ? list : NULL;
}

/* An answer with its calls in words. */
static struct value *tell_calls(struct arena *a, const struct value *message)
{
    const struct value *calls = value_get(message, "tool_calls");
    struct buf text = { 0 };

    put_content(&text, message);
    for (size_t i = 0; i < calls->list.len; i++) {
        const struct value *f = value_get(calls->list.items[i], "function");

        if (text.len)
            buf_putc(&text, '\n');
        buf_puts(&text, "<tool_call>\n{\"name\": ");
        json_write(&text, value_get(f, "name"));
        buf_puts(&text, ", \"arguments\": ");
        json_write(&text, value_get(f, "arguments"));
        buf_puts(&text, "}\n</tool_call>");
    }
    return make_message(a, "assistant", &text);
}

/* Calls in words, and results that follow one another as one user's message. */
static struct value *tell_history(struct arena *a, const struct value *messages)
{
    struct value *list = value_list(a);
    bool ok = list != NULL;

    for (size_t i = 0; ok && i < messages->list.len; i++) {
        struct value *m = messages->list.items[i];
        struct buf text = { 0 };

        if (has_role(m, "tool")) {
            for (size_t n = 0; i < messages->list.len && has_role(messages->list.items[i], "tool");
                 i++) {
                buf_puts(&text, n++ ? "\n<tool_response>\n" : "<tool_response>\n");
                put_content(&text, messages->list.items[i]);
                buf_puts(&text, "\n</tool_response>");
            }
            i--;
            m = make_message(a, "user", &text);
        } else if (value_get(m, "tool_calls")) {
            m = tell_calls(a, m);
        }
        ok = value_append(a, list, m);
    }
    return ok ? list : NULL;
}

/* Arguments back to text, for templates that paste them. */
static bool stringify_arguments(struct arena *a, const struct value *messages)
{
    for (size_t i = 0; i < messages->list.len; i++) {
        const struct value *calls = value_get(messages->list.items[i], "tool_calls");

        for (size_t k = 0; calls && k < calls->list.len; k++) {
            struct value *f = value_get(calls->list.items[k], "function"), *v;
            struct buf text = { 0 };

            v = value_get(f, "arguments");
            if (v->kind == VALUE_STRING)
                continue;
            json_write(&text, v);
            v = text.failed ? NULL : value_string(a, buf_str(&text), text.len);
            buf_done(&text);
            if (!set(a, f, "arguments", v))
                return false;
        }
    }
    return true;
}

static bool any_calls(const struct value *messages)
{
    for (size_t i = 0; i < messages->list.len; i++)
        if (value_get(messages->list.items[i], "tool_calls") ||
            has_role(messages->list.items[i], "tool"))
            return true;
    return false;
}

/* Whether the template takes the arguments of calls as they are, and not as text to paste. */
static bool knows_objects(struct engine *g)
{
    return knows(g, probe_object, "airstripvalue", "'airstripkey'");
}

static bool knows_texts(struct engine *g)
{
    return knows(g, probe_string, "airstripvalue", NULL);
}

struct chat_caps chat_caps(struct engine *g)
{
    struct chat_caps c = { 0 };

    if (!engine_chat_template(g))
        return c;
    c.system = knows(g, probe_system, "airstripone", NULL);
    c.tools = knows(g, probe_tools, "airstripone", NULL);
    c.object_arguments = knows_objects(g);
    c.calls = c.object_arguments || knows_texts(g);
    return c;
}

int chat_adapt(struct engine *g, struct value *context, const struct chat_tools *tools,
               const struct format **format, struct arena *a, struct err *e)
{
    struct value *messages = value_get(context, "messages");
    bool native = !tools->list || knows(g, probe_tools, "airstripone", NULL);

    if (!engine_chat_template(g))
        return 0; /* engine_submit() says so */
    if (!*format)
        *format = native ? format_detect(engine_chat_template(g)) : format_find("generic");
    if (messages && any_calls(messages)) {
        bool objects = knows_objects(g);

        if (!objects && !knows_texts(g))
            messages = tell_history(a, messages);
        else if (!objects && !stringify_arguments(a, messages))
            messages = NULL;
    }
    if (messages && !native)
        messages = tell_tools(a, messages, tools);
    if (messages && has_role(messages->list.items[0], "system") &&
        !knows(g, probe_system, "airstripone", NULL))
        messages = fold_system(a, messages);
    if (!messages || !set(a, context, "messages", messages) ||
        (tools->list && native && !set(a, context, "tools", tools->list)))
        return field_no_memory(e);
    return 0;
}
