#include "fcgi/api/chat_request.h"

#include <stdio.h>
#include <string.h>

#include "fcgi/api/fields.h"
#include "kernels/base/buf.h"

enum { MAX_MESSAGES = 65536 };

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

/* One part of a content array: text (or an assistant's refusal) is appended, others are refused. */
static int add_part(struct buf *text, const struct value *part, const char *where, struct err *e)
{
    const struct value *type = field_get(part, "type"), *v;
    char param[sizeof e->param];

    if (part->kind != VALUE_MAP)
        return field_wrong(e, where, "an object with a type", part);
    snprintf(param, sizeof param, "%.80s.type", where);
    if (!type || type->kind != VALUE_STRING)
        return field_wrong(e, param, "a string", type);
    if (strcmp(type->string.data, "text") && strcmp(type->string.data, "refusal"))
        return err_param(
            e, where, ERR_UNSUPPORTED,
            "%s: parts of type \"%.40s\" are not supported, this model reads text only", where,
            type->string.data);
    v = field_get(part, type->string.data);
    snprintf(param, sizeof param, "%.70s.%.10s", where, type->string.data);
    if (!v || v->kind != VALUE_STRING)
        return field_wrong(e, param, "a string", v);
    if (text->len)
        buf_putc(text, '\n');
    buf_put(text, v->string.data, v->string.len);
    return 0;
}

/* A string or an array of parts, as one string. */
static int read_text(const struct value *v, const char *param, struct arena *a, struct value **out,
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
        return read_text(v, param, a, out, e);
    *out = value_string(a, "", 0);
    return *out ? 0 : field_no_memory(e);
}

/* Copies a member that templates may want (name, tool_calls, ...) where it is there. */
static bool copy_member(struct arena *a, struct value *to, const struct value *from,
                        const char *name)
{
    struct value *v = value_get(from, name);

    return !v || v->kind == VALUE_NULL || value_set(a, to, name, strlen(name), v);
}

static int read_message(const struct value *message, size_t i, struct arena *a, struct value **out,
                        struct err *e)
{
    const char *sent = NULL, *role;
    struct value *content, *m;
    char where[40], param[64];
    int rc;

    snprintf(where, sizeof where, "messages[%zu]", i);
    snprintf(param, sizeof param, "%s.role", where);
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
        !value_set(a, m, "content", 7, content) || !copy_member(a, m, message, "name") ||
        !copy_member(a, m, message, "tool_call_id"))
        return field_no_memory(e);
    *out = m;
    return chat_tools_history(message, where, a, m, e);
}

static int read_messages(const struct value *body, struct arena *a, struct value **out,
                         struct err *e)
{
    const struct value *v = field_get(body, "messages");
    struct value *list = value_list(a), *m = NULL;
    int rc;

    if (!v || v->kind != VALUE_LIST || !v->list.len || v->list.len > MAX_MESSAGES)
        return field_wrong(e, "messages", "an array of at least one message", v);
    for (size_t i = 0; i < v->list.len; i++) {
        rc = read_message(v->list.items[i], i, a, &m, e);
        if (rc)
            return rc;
        if (!list || !value_append(a, list, m))
            return field_no_memory(e);
    }
    *out = list;
    return 0;
}

/* How hard to think: for templates that ask. */
static int read_effort(const struct value *body, struct value *map, struct arena *a, struct err *e)
{
    const char *effort = NULL;
    int rc = field_string(body, "reasoning_effort", &effort, e);

    if (rc || !effort)
        return rc;
    if (!value_set(a, map, "reasoning_effort", 16, value_string(a, effort, strlen(effort))) ||
        (!strcmp(effort, "none") &&
         !value_set(a, map, "enable_thinking", 15, value_bool(a, false))))
        return field_no_memory(e);
    return 0;
}

/* continue_final_message: the answer goes on with the last message, an assistant's. */
static int read_continue(const struct value *body, const struct value *messages, struct value *map,
                         struct arena *a, struct err *e)
{
    const struct value *role = value_get(messages->list.items[messages->list.len - 1], "role");
    bool go_on = false, prompt = false;
    int rc = field_bool(body, "continue_final_message", &go_on, e);

    if (!rc)
        rc = field_bool(body, "add_generation_prompt", &prompt, e);
    if (rc || !go_on)
        return rc;
    if (prompt || strcmp(role->string.data, "assistant") != 0)
        return err_param(e, "continue_final_message", ERR_INVALID,
                         "continue_final_message: the last message must be an assistant's, and "
                         "add_generation_prompt not be true");
    return value_set(a, map, "add_generation_prompt", 21, value_bool(a, false)) &&
                   value_set(a, map, "continue_final_message", 22, value_bool(a, true))
               ? 0
               : field_no_memory(e);
}

/* What the template sees beside the messages. */
static int read_context(struct chat_request *c, const struct value *body, struct arena *a,
                        struct err *e)
{
    const struct value *kwargs = field_get(body, "chat_template_kwargs");
    struct value *messages = NULL, *map = value_map(a);
    bool add_prompt = true;
    int rc = read_messages(body, a, &messages, e);

    if (!rc)
        rc = field_bool(body, "add_generation_prompt", &add_prompt, e);
    if (rc)
        return rc;
    if (!map || !value_set(a, map, "messages", 8, messages) ||
        !value_set(a, map, "add_generation_prompt", 21, value_bool(a, add_prompt)))
        return field_no_memory(e);
    rc = read_effort(body, map, a, e);
    if (!rc)
        rc = read_continue(body, messages, map, a, e);
    if (rc)
        return rc;
    if (kwargs && kwargs->kind != VALUE_MAP)
        return field_wrong(e, "chat_template_kwargs", "an object", kwargs);
    for (size_t i = 0; kwargs && i < kwargs->map.len; i++) {
        const struct value_pair *p = &kwargs->map.pairs[i];

        if (!strcmp(p->key, "messages"))
            return err_param(e, "chat_template_kwargs", ERR_INVALID,
                             "chat_template_kwargs: \"messages\" belongs outside of it");
        if (!value_set(a, map, p->key, p->key_len, p->value))
            return field_no_memory(e);
    }
    c->context = map;
    return 0;
}

static int read_logprobs(struct chat_request *c, const struct value *body, struct err *e)
{
    bool wanted = false;
    int64_t top = 0;
    int rc = field_bool(body, "logprobs", &wanted, e);

    if (!rc)
        rc = field_int(body, "top_logprobs", 0, 20, &top, e);
    if (!rc && field_get(body, "top_logprobs") && !wanted)
        rc = err_param(e, "top_logprobs", ERR_INVALID,
                       "top_logprobs: only allowed when logprobs is true");
    c->top_logprobs = wanted ? (int)top : -1;
    return rc;
}

/* reasoning_format, as llama-server has it: "none" leaves reasoning in the content. */
static int read_reasoning_format(struct chat_request *c, const struct value *body, struct err *e)
{
    const char *format = NULL;
    int rc = field_string(body, "reasoning_format", &format, e);

    c->raw_reasoning = !rc && format && !strcmp(format, "none");
    return rc;
}

static int read_max_tokens(struct chat_request *c, const struct value *body,
                           const struct params_rules *rules, struct err *e)
{
    int64_t max = -1;
    int rc = field_int(body, "max_tokens", 1, INT64_MAX, &max, e);

    if (!rc)
        rc = field_int(body, "max_completion_tokens", 1, INT64_MAX, &max, e);
    c->max_tokens = max > 0 ? (size_t)max : rules->max_tokens ? rules->max_tokens : SIZE_MAX;
    return rc;
}

/* prediction: {"type": "content", "content": text that the answer may largely be}. */
static int read_prediction(struct chat_request *c, const struct value *body, struct arena *a,
                           struct err *e)
{
    const struct value *v = field_get(body, "prediction"), *type = field_get(v, "type");

    if (!v)
        return 0;
    if (v->kind != VALUE_MAP)
        return field_wrong(e, "prediction", "an object with type and content", v);
    if (!type || type->kind != VALUE_STRING || strcmp(type->string.data, "content") != 0)
        return field_wrong(e, "prediction.type", "\"content\"", type);
    return read_text(field_get(v, "content"), "prediction.content", a, &c->prediction, e);
}

/* What would change the answer's meaning if it were disregarded, and is not offered. */
static int refuse_unsupported(const struct value *body, struct err *e)
{
    const struct value *modes = field_get(body, "modalities");

    for (size_t i = 0; modes && modes->kind == VALUE_LIST && i < modes->list.len; i++)
        if (modes->list.items[i]->kind != VALUE_STRING ||
            strcmp(modes->list.items[i]->string.data, "text"))
            return err_param(e, "modalities", ERR_UNSUPPORTED,
                             "modalities: only \"text\" is supported");
    return 0;
}

int chat_request_read(struct chat_request *c, const struct value *body,
                      const struct params_rules *rules, struct arena *a, struct err *e)
{
    int rc;

    *c = (struct chat_request){ 0 };
    rc = params_read(&c->params, body, rules, a, e);
    if (!rc)
        rc = read_max_tokens(c, body, rules, e);
    if (!rc)
        rc = read_logprobs(c, body, e);
    if (!rc)
        rc = read_prediction(c, body, a, e);
    if (!rc)
        rc = read_reasoning_format(c, body, e);
    if (!rc)
        rc = chat_tools_read(&c->tools, body, a, e);
    if (!rc && c->tools.required)
        rc = chat_tools_spec(&c->tools, &c->params.spec, a, e);
    if (!rc)
        rc = refuse_unsupported(body, e);
    if (!rc)
        rc = read_context(c, body, a, e);
    return rc;
}
