#include "fcgi/api/chat_request.h"

#include <stdio.h>
#include <string.h>

#include "fcgi/api/chat_messages.h"
#include "fcgi/api/fields.h"
#include "fcgi/api/spec_fields.h"

enum { MAX_MESSAGES = 65536 };

static int read_messages(const struct value *body, struct arena *a, struct value **out,
                         struct err *e)
{
    const struct value *v = field_get(body, "messages");
    struct value *list = value_list(a), *m = NULL;
    int rc;

    if (!v || v->kind != VALUE_LIST || !v->list.len || v->list.len > MAX_MESSAGES)
        return field_wrong(e, "messages", "an array of at least one message", v);
    for (size_t i = 0; i < v->list.len; i++) {
        char where[40];

        snprintf(where, sizeof where, "messages[%zu]", i);
        rc = chat_message_read(v->list.items[i], where, a, &m, e);
        if (rc)
            return rc;
        if (!list || !value_append(a, list, m))
            return field_no_memory(e);
    }
    *out = list;
    return 0;
}

/* How hard to think: for templates that ask. */
static bool put_effort(struct value *map, const char *effort, struct arena *a)
{
    return value_set(a, map, "reasoning_effort", 16, value_string(a, effort, strlen(effort))) &&
           (strcmp(effort, "none") != 0 ||
            value_set(a, map, "enable_thinking", 15, value_bool(a, false)));
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

int chat_context_read(struct value **out, const struct value *body, struct value *messages,
                      const char *effort, struct arena *a, struct err *e)
{
    const struct value *kwargs = field_get(body, "chat_template_kwargs");
    struct value *map = value_map(a);
    bool add_prompt = true;
    int rc = field_bool(body, "add_generation_prompt", &add_prompt, e);

    if (rc)
        return rc;
    if (!map || !value_set(a, map, "messages", 8, messages) ||
        !value_set(a, map, "add_generation_prompt", 21, value_bool(a, add_prompt)) ||
        (effort && !put_effort(map, effort, a)))
        return field_no_memory(e);
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
    *out = map;
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

int chat_reasoning_read(struct chat_request *c, const struct value *body, struct err *e)
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
    return rc ? rc : params_max_tokens(&c->params, c->max_tokens, e);
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
    return chat_text_read(field_get(v, "content"), "prediction.content", a, &c->prediction, e);
}

/* What would change the answer's meaning if it were disregarded, and is not offered. */
static int refuse_unsupported(const struct value *body, struct err *e)
{
    const struct value *modes = field_get(body, "modalities");

    if (modes && modes->kind != VALUE_LIST)
        return field_wrong(e, "modalities", "an array", modes);
    for (size_t i = 0; modes && i < modes->list.len; i++)
        if (modes->list.items[i]->kind != VALUE_STRING ||
            strcmp(modes->list.items[i]->string.data, "text"))
            return err_param(e, "modalities", ERR_UNSUPPORTED,
                             "modalities: only \"text\" is supported");
    return 0;
}

int chat_request_read(struct chat_request *c, const struct value *body,
                      const struct params_rules *rules, struct arena *a, struct err *e)
{
    const char *effort = NULL;
    struct value *messages = NULL;
    int rc;

    *c = (struct chat_request){ 0 };
    rc = params_read(&c->params, body, rules, a, e);
    if (!rc)
        rc = params_read_n(&c->params, body, rules, e);
    if (!rc)
        rc = spec_format_read(&c->params.spec, field_get(body, "response_format"),
                              "response_format", a, e);
    if (!rc)
        rc = read_max_tokens(c, body, rules, e);
    if (!rc)
        rc = read_logprobs(c, body, e);
    if (!rc)
        rc = read_prediction(c, body, a, e);
    if (!rc)
        rc = chat_reasoning_read(c, body, e);
    if (!rc)
        rc = chat_tools_read(&c->tools, body, false, a, e);
    if (!rc && c->tools.required)
        rc = chat_tools_spec(&c->tools, &c->params.spec, a, e);
    if (!rc)
        rc = refuse_unsupported(body, e);
    if (!rc)
        rc = field_string(body, "reasoning_effort", &effort, e);
    if (!rc)
        rc = read_messages(body, a, &messages, e);
    return rc ? rc : chat_context_read(&c->context, body, messages, effort, a, e);
}
