#include "fcgi/api/responses_request.h"

#include <stdio.h>
#include <string.h>

#include "fcgi/api/fields.h"
#include "fcgi/api/spec_fields.h"
#include "kernels/base/buf.h"
#include "kernels/base/json.h"

enum { MAX_METADATA = 16 };

/* What needs a store, or a server that works when nobody waits. */
static int refuse_state(const struct value *body, struct err *e)
{
    static const struct {
        const char *name, *why;
    } refused[] = {
        { "previous_response_id",
          "this server stores no responses; send the conversation as input" },
        { "conversation", "this server stores no conversations; send the conversation as input" },
        { "prompt", "this server stores no prompts; send its text as instructions or input" },
    };
    bool background = false;
    int rc = field_bool(body, "background", &background, e);

    if (!rc && background)
        rc = err_param(e, "background", ERR_UNSUPPORTED,
                       "background: not supported, since responses are not stored");
    for (size_t i = 0; !rc && i < sizeof refused / sizeof *refused; i++)
        if (field_get(body, refused[i].name))
            rc = err_param(e, refused[i].name, ERR_UNSUPPORTED, "%s: %s", refused[i].name,
                           refused[i].why);
    return rc;
}

/* An object, or NULL where it is absent. */
static int read_object(const struct value *body, const char *name, const struct value **out,
                       struct err *e)
{
    *out = field_get(body, name);
    return !*out || (*out)->kind == VALUE_MAP ? 0 : field_wrong(e, name, "an object", *out);
}

/* include: log-probabilities are the one thing that is there to be included. */
static int read_logprobs(struct chat_request *c, const struct value *body, struct err *e)
{
    const struct value *include = field_get(body, "include");
    bool wanted = false;
    int64_t top = 0;
    int rc = field_int(body, "top_logprobs", 0, 20, &top, e);

    if (rc)
        return rc;
    if (include && include->kind != VALUE_LIST)
        return field_wrong(e, "include", "an array of strings", include);
    for (size_t i = 0; include && i < include->list.len; i++) {
        const struct value *v = include->list.items[i];

        if (v->kind != VALUE_STRING)
            return field_wrong(e, "include", "an array of strings", v);
        wanted |= !strcmp(v->string.data, "message.output_text.logprobs");
    }
    c->top_logprobs = wanted ? (int)top : -1;
    return 0;
}

static int check_metadata(const struct value *metadata, struct err *e)
{
    if (metadata && metadata->map.len > MAX_METADATA)
        return err_param(e, "metadata", ERR_INVALID,
                         "metadata: expected at most %d keys, found %zu", MAX_METADATA,
                         metadata->map.len);
    for (size_t i = 0; metadata && i < metadata->map.len; i++)
        if (metadata->map.pairs[i].value->kind != VALUE_STRING)
            return field_wrong(e, "metadata", "strings as values", metadata->map.pairs[i].value);
    return 0;
}

static void put_number(struct buf *b, const char *name, double d)
{
    char text[JSON_DOUBLE_BYTES];

    /* Through the float's own decimals: 0.7 was asked for, not 0.699999988079071. */
    snprintf(text, sizeof text, "%.7g", d);
    buf_printf(b, ",\"%s\":%s", name, text);
}

static void put_value(struct buf *b, const char *name, const struct value *v, const char *absent)
{
    buf_printf(b, ",\"%s\":", name);
    if (v)
        json_write(b, v);
    else
        buf_puts(b, absent);
}

static int put_settings(struct responses_request *q, const struct value *body, const char *effort,
                        struct arena *a, struct err *e)
{
    const struct chat_request *c = &q->chat;
    bool parallel = true;
    struct buf b = { 0 };
    int rc = field_bool(body, "parallel_tool_calls", &parallel, e);

    if (rc)
        return rc;
    put_value(&b, "instructions", field_get(body, "instructions"), "null");
    put_value(&b, "max_output_tokens", field_get(body, "max_output_tokens"), "null");
    put_value(&b, "metadata", field_get(body, "metadata"), "{}");
    buf_printf(&b, ",\"parallel_tool_calls\":%s", parallel ? "true" : "false");
    buf_puts(&b, ",\"previous_response_id\":null,\"background\":false,\"store\":false"
                 ",\"truncation\":\"disabled\",\"reasoning\":{\"effort\":");
    if (effort)
        json_write_string(&b, effort, strlen(effort));
    else
        buf_puts(&b, "null");
    buf_puts(&b, ",\"summary\":null}");
    put_number(&b, "temperature", c->params.sampling.temperature);
    put_number(&b, "top_p", c->params.sampling.top_p);
    buf_printf(&b, ",\"top_logprobs\":%d", c->top_logprobs > 0 ? c->top_logprobs : 0);
    buf_puts(&b, ",\"text\":{\"format\":");
    if (field_get(field_get(body, "text"), "format"))
        json_write(&b, field_get(field_get(body, "text"), "format"));
    else
        buf_puts(&b, "{\"type\":\"text\"}");
    buf_putc(&b, '}');
    put_value(&b, "tool_choice", field_get(body, "tool_choice"), "\"auto\"");
    put_value(&b, "tools", field_get(body, "tools"), "[]");
    q->settings = b.failed ? NULL : arena_strndup(a, buf_str(&b), b.len);
    buf_done(&b);
    return q->settings ? 0 : field_no_memory(e);
}

/* The members that responses have under names of their own. */
static int read_own(struct responses_request *q, const struct value *body,
                    const struct params_rules *rules, const struct value **text,
                    const char **effort, struct err *e)
{
    const struct value *reasoning = NULL, *metadata = NULL, *v;
    int64_t max = -1;
    int rc = refuse_state(body, e);

    if (!rc)
        rc = field_int(body, "max_output_tokens", 1, INT64_MAX, &max, e);
    q->chat.max_tokens = max > 0 ? (size_t)max : rules->max_tokens ? rules->max_tokens : SIZE_MAX;
    if (!rc)
        rc = read_logprobs(&q->chat, body, e);
    if (!rc)
        rc = read_object(body, "text", text, e);
    if (!rc)
        rc = read_object(body, "reasoning", &reasoning, e);
    if (!rc)
        rc = read_object(body, "metadata", &metadata, e);
    if (!rc)
        rc = check_metadata(metadata, e);
    v = rc ? NULL : field_get(reasoning, "effort");
    if (v && v->kind != VALUE_STRING)
        return field_wrong(e, "reasoning.effort", "a string", v);
    *effort = v ? v->string.data : NULL;
    return rc;
}

int responses_request_read(struct responses_request *q, const struct value *body,
                           const struct params_rules *rules, struct arena *a, struct err *e)
{
    struct chat_request *c = &q->chat;
    const char *instructions = NULL, *effort = NULL;
    const struct value *text = NULL;
    struct value *messages = NULL;
    int rc;

    *q = (struct responses_request){ 0 };
    rc = params_read(&c->params, body, rules, a, e);
    if (!rc)
        rc = read_own(q, body, rules, &text, &effort, e);
    if (!rc)
        rc = spec_format_read(&c->params.spec, field_get(text, "format"), "text.format", a, e);
    if (!rc)
        rc = chat_reasoning_read(c, body, e);
    if (!rc)
        rc = chat_tools_read(&c->tools, body, true, a, e);
    if (!rc && c->tools.required)
        rc = chat_tools_spec(&c->tools, &c->params.spec, a, e);
    if (!rc)
        rc = field_string(body, "instructions", &instructions, e);
    if (!rc)
        rc = responses_input_read(field_get(body, "input"), instructions, a, &messages, e);
    if (!rc)
        rc = chat_context_read(&c->context, body, messages, effort, a, e);
    return rc ? rc : put_settings(q, body, effort, a, e);
}
