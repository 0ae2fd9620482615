/* responses_input.c - the items of a conversation as the messages of a chat. */
#include <stdio.h>
#include <string.h>

#include "fcgi/api/chat_messages.h"
#include "fcgi/api/chat_tools.h"
#include "fcgi/api/fields.h"
#include "fcgi/api/responses_request.h"
#include "kernels/base/buf.h"

enum { MAX_ITEMS = 65536 };

/* The messages so far, and what the next items may still belong to. */
struct input {
    struct arena *a;
    struct value *list;
    struct value *turn;      /* the assistant's message that calls go to; NULL: none */
    struct value *reasoning; /* a string: what the assistant thought before what comes; NULL */
};

static bool set(struct input *in, struct value *map, const char *key, struct value *v)
{
    return map && value_set(in->a, map, key, strlen(key), v);
}

static struct value *string(struct input *in, const char *s)
{
    return value_string(in->a, s, strlen(s));
}

static const char *word(const struct value *item, const char *key)
{
    const struct value *v = field_get(item, key);

    return v && v->kind == VALUE_STRING ? v->string.data : NULL;
}

/* Appends a message; an assistant's takes the reasoning that came before it. */
static int append(struct input *in, struct value *m, bool assistant, struct err *e)
{
    if (!m || !value_append(in->a, in->list, m))
        return field_no_memory(e);
    in->turn = assistant ? m : NULL;
    if (assistant && in->reasoning) {
        int rc = chat_tools_set_reasoning(m, in->reasoning, in->a, e);

        if (rc)
            return rc;
    }
    in->reasoning = NULL;
    return 0;
}

static int read_message(struct input *in, const struct value *item, const char *where,
                        struct err *e)
{
    static const char *const roles[][2] = { { "user", "user" },
                                            { "assistant", "assistant" },
                                            { "system", "system" },
                                            { "developer", "system" } };
    const char *role = word(item, "role");
    struct value *m = value_map(in->a), *content = NULL;
    char param[64];
    size_t i = 0;
    int rc;

    while (i < sizeof roles / sizeof *roles && (!role || strcmp(role, roles[i][0]) != 0))
        i++;
    snprintf(param, sizeof param, "%.50s.role", where);
    if (i == sizeof roles / sizeof *roles)
        return field_wrong(e, param, "user, assistant, system or developer",
                           field_get(item, "role"));
    snprintf(param, sizeof param, "%.50s.content", where);
    rc = chat_text_read(field_get(item, "content"), param, in->a, &content, e);
    if (rc)
        return rc;
    if (!set(in, m, "role", string(in, roles[i][1])) || !set(in, m, "content", content))
        return field_no_memory(e);
    return append(in, m, !strcmp(role, "assistant"), e);
}

/* A call goes to the message that it belongs to, or to a new one without content. */
static int read_call(struct input *in, const struct value *item, const char *where, struct err *e)
{
    const struct value *id = field_get(item, "call_id");
    struct value *m, *calls;
    char param[64];

    snprintf(param, sizeof param, "%.50s.call_id", where);
    if (!id || id->kind != VALUE_STRING)
        return field_wrong(e, param, "a string", id);
    if (!in->turn) {
        int rc;

        m = value_map(in->a);
        if (!set(in, m, "role", string(in, "assistant")) || !set(in, m, "content", string(in, "")))
            return field_no_memory(e);
        rc = append(in, m, true, e);
        if (rc)
            return rc;
    }
    calls = value_get(in->turn, "tool_calls");
    if (!calls) {
        calls = value_list(in->a);
        if (!set(in, in->turn, "tool_calls", calls))
            return field_no_memory(e);
    }
    return chat_tools_add_call(item, id, where, in->a, calls, e);
}

static int read_result(struct input *in, const struct value *item, const char *where, struct err *e)
{
    const struct value *id = field_get(item, "call_id");
    struct value *m = value_map(in->a), *content = NULL;
    char param[64];
    int rc;

    snprintf(param, sizeof param, "%.50s.call_id", where);
    if (!id || id->kind != VALUE_STRING)
        return field_wrong(e, param, "a string", id);
    snprintf(param, sizeof param, "%.50s.output", where);
    rc = chat_text_read(field_get(item, "output"), param, in->a, &content, e);
    if (rc)
        return rc;
    if (!set(in, m, "role", string(in, "tool")) || !set(in, m, "content", content) ||
        !set(in, m, "tool_call_id", value_string(in->a, id->string.data, id->string.len)))
        return field_no_memory(e);
    return append(in, m, false, e);
}

/* What was thought in full, or else its summary; where only a cipher of it came there is none. */
static int read_reasoning(struct input *in, const struct value *item, const char *where,
                          struct err *e)
{
    static const char *const members[] = { "content", "summary" };
    char param[64];
    int rc = 0;

    in->turn = NULL;
    in->reasoning = NULL;
    for (size_t i = 0; i < 2 && !rc; i++) {
        const struct value *v = field_get(item, members[i]);
        struct value *text = NULL;

        snprintf(param, sizeof param, "%.50s.%s", where, members[i]);
        if (v)
            rc = chat_text_read(v, param, in->a, &text, e);
        if (text && text->string.len && !in->reasoning)
            in->reasoning = text;
    }
    return rc;
}

static int read_item(struct input *in, const struct value *item, const char *where, struct err *e)
{
    const struct value *given = field_get(item, "type");
    const char *type =
        given ? word(item, "type") : "message"; /* it is the one that may be left out */
    char param[64];

    snprintf(param, sizeof param, "%.50s.type", where);
    if (item->kind != VALUE_MAP)
        return field_wrong(e, where, "an object", item);
    if (!type)
        return field_wrong(e, param, "a string", given);
    if (!strcmp(type, "message"))
        return read_message(in, item, where, e);
    if (!strcmp(type, "function_call"))
        return read_call(in, item, where, e);
    if (!strcmp(type, "function_call_output"))
        return read_result(in, item, where, e);
    if (!strcmp(type, "reasoning"))
        return read_reasoning(in, item, where, e);
    if (!strcmp(type, "item_reference"))
        return err_param(e, where, ERR_UNSUPPORTED,
                         "%s: this server stores nothing that an item could refer to; send the "
                         "item itself",
                         where);
    return err_param(e, param, ERR_UNSUPPORTED,
                     "%s: items of type \"%.40s\" are not supported, only message, function_call, "
                     "function_call_output and reasoning are",
                     param, type);
}

/* Templates know one system message, the first: a developer's that follows goes into it. */
static int put_instructions(struct input *in, const char *instructions, struct err *e)
{
    struct value *first = in->list->list.len ? in->list->list.items[0] : NULL;
    const struct value *content = value_get(first, "content");
    struct value *m = value_map(in->a), *list = value_list(in->a);
    struct buf text = { 0 };
    size_t i = 0;
    bool ok;

    buf_puts(&text, instructions);
    if (first && !strcmp(word(first, "role"), "system")) {
        buf_puts(&text, "\n\n");
        buf_put(&text, content->string.data, content->string.len);
        i = 1;
    }
    ok = !text.failed && list && set(in, m, "role", string(in, "system")) &&
         set(in, m, "content", value_string(in->a, buf_str(&text), text.len)) &&
         value_append(in->a, list, m);
    for (; ok && i < in->list->list.len; i++)
        ok = value_append(in->a, list, in->list->list.items[i]);
    buf_done(&text);
    in->list = list;
    return ok ? 0 : field_no_memory(e);
}

int responses_input_read(const struct value *input, const char *instructions, struct arena *a,
                         struct value **messages, struct err *e)
{
    struct input in = { .a = a, .list = value_list(a) };
    int rc = in.list ? 0 : field_no_memory(e);

    if (rc)
        return rc;
    if (input && input->kind == VALUE_STRING) {
        struct value *m = value_map(a);

        if (!set(&in, m, "role", string(&in, "user")) ||
            !set(&in, m, "content", value_string(a, input->string.data, input->string.len)))
            return field_no_memory(e);
        rc = append(&in, m, false, e);
    } else if (!input || input->kind != VALUE_LIST || !input->list.len ||
               input->list.len > MAX_ITEMS) {
        return field_wrong(e, "input", "a string or an array of at least one item", input);
    } else {
        for (size_t i = 0; i < input->list.len && !rc; i++) {
            char where[40];

            snprintf(where, sizeof where, "input[%zu]", i);
            rc = read_item(&in, input->list.items[i], where, e);
        }
    }
    if (!rc && !in.list->list.len) /* reasoning alone */
        rc = field_wrong(e, "input", "at least one message", input);
    if (!rc && instructions && *instructions)
        rc = put_instructions(&in, instructions, e);
    *messages = in.list;
    return rc;
}
