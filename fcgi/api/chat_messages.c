#include "fcgi/api/chat_messages.h"

#include <stdio.h>
#include <string.h>

#include "fcgi/api/chat_tools.h"
#include "fcgi/api/fields.h"
#include "kernels/base/buf.h"

/* The role a template knows, for the role a client wrote; NULL if there is no such role. */
static const char *template_role(const char *role)
{
    static const char *const roles[][2] = {
        { "system", "system" },       { "developer", "system" }, { "user", "user" },
        { "assistant", "assistant" }, { "tool", "tool" },        { "function", "tool" },
    };

    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (!strcmp(role, roles[i][0]))
            return roles[i][1];
    return NULL;
}

/* Where a part of a content array has its text, by its type: as chat completions and as responses
 * name them.  NULL: it has none. */
static const char *part_key(const char *type)
{
    static const char *const keys[][2] = {
        { "text", "text" },         { "input_text", "text" },     { "output_text", "text" },
        { "summary_text", "text" }, { "reasoning_text", "text" }, { "refusal", "refusal" },
    };

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!strcmp(type, keys[i][0]))
            return keys[i][1];
    return NULL;
}

/* One part of a content array: text (or an assistant's refusal) is appended, others are refused. */
static int add_part(struct buf *text, const struct value *part, const char *where, struct err *e)
{
    const struct value *type = field_get(part, "type"), *v;
    char param[sizeof e->param];
    const char *key;

    if (part->kind != VALUE_MAP)
        return field_wrong(e, where, "an object with a type", part);
    snprintf(param, sizeof param, "%.80s.type", where);
    if (!type || type->kind != VALUE_STRING)
        return field_wrong(e, param, "a string", type);
    key = part_key(type->string.data);
    if (!key)
        return err_param(
            e, where, ERR_UNSUPPORTED,
            "%s: parts of type \"%.40s\" are not supported, this model reads text only", where,
            type->string.data);
    v = field_get(part, key);
    snprintf(param, sizeof param, "%.70s.%.10s", where, key);
    if (!v || v->kind != VALUE_STRING)
        return field_wrong(e, param, "a string", v);
    if (text->len)
        buf_putc(text, '\n');
    buf_put(text, v->string.data, v->string.len);
    return 0;
}

int chat_text_read(const struct value *v, const char *param, struct arena *a, struct value **out,
                   struct err *e)
{
    struct buf text = { 0 };
    int rc = 0;

    if (v && v->kind == VALUE_STRING) {
        *out = value_string(a, v->string.data, v->string.len);
    } else if (v && v->kind == VALUE_LIST) {
        for (size_t i = 0; i < v->list.len && !rc; i++) {
            char part[sizeof e->param];

            snprintf(part, sizeof part, "%.70s[%zu]", param, i);
            rc = add_part(&text, v->list.items[i], part, e);
        }
        *out = rc ? NULL : text.failed ? NULL : value_string(a, buf_str(&text), text.len);
    } else {
        return field_wrong(e, param, "a string or an array of parts", v);
    }
    buf_done(&text);
    return rc ? rc : *out ? 0 : field_no_memory(e);
}

/* content as one string.  An assistant's may be missing (it only called tools). */
static int read_content(const struct value *message, const char *role, const char *where,
                        struct arena *a, struct value **out, struct err *e)
{
    const struct value *v = field_get(message, "content");
    char param[sizeof e->param];

    snprintf(param, sizeof param, "%s.content", where);
    if (v || strcmp(role, "assistant") != 0)
        return chat_text_read(v, param, a, out, e);
    *out = value_string(a, "", 0);
    return *out ? 0 : field_no_memory(e);
}

/* Copies a string that templates may want where it is there. */
static int copy_string(struct arena *a, struct value *to, const struct value *from,
                       const char *where, const char *name, struct err *e)
{
    const struct value *v = field_get(from, name);
    char param[sizeof e->param];

    if (!v)
        return 0;
    snprintf(param, sizeof param, "%.50s.%.20s", where, name);
    if (v->kind != VALUE_STRING)
        return field_wrong(e, param, "a string", v);
    return value_set(a, to, name, strlen(name), value_string(a, v->string.data, v->string.len))
               ? 0
               : field_no_memory(e);
}

int chat_message_read(const struct value *message, const char *where, struct arena *a,
                      struct value **out, struct err *e)
{
    const char *sent = NULL, *role;
    struct value *content, *m;
    char param[64];
    int rc;

    snprintf(param, sizeof param, "%.50s.role", where);
    if (message->kind != VALUE_MAP)
        return field_wrong(e, where, "an object", message);
    if (!field_get(message, "role") || field_get(message, "role")->kind != VALUE_STRING)
        return field_wrong(e, param, "a string", field_get(message, "role"));
    sent = field_get(message, "role")->string.data;
    role = template_role(sent);
    if (!role)
        return err_param(
            e, param, ERR_INVALID,
            "%s: expected system, developer, user, assistant, tool or function, found \"%.40s\"",
            param, sent);
    rc = read_content(message, role, where, a, &content, e);
    if (rc)
        return rc;
    m = value_map(a);
    if (!m || !value_set(a, m, "role", 4, value_string(a, role, strlen(role))) ||
        !value_set(a, m, "content", 7, content))
        return field_no_memory(e);
    *out = m;
    rc = copy_string(a, m, message, where, "name", e);
    if (!rc)
        rc = copy_string(a, m, message, where, "tool_call_id", e);
    return rc ? rc : chat_tools_history(message, where, a, m, e);
}
