#include "fcgi/takeoff/generate_request.h"

#include <stdio.h>
#include <string.h>

#include "fcgi/api/fields.h"
#include "kernels/base/json.h"

enum { DEFAULT_MAX_TOKENS = 128, MAX_SCHEMA_DEPTH = 200 };

int takeoff_group_read(const struct value *body, const char **group, struct err *e)
{
    *group = "primary";
    return field_string(body, "consumer_group", group, e);
}

static int check_text(const struct value *v, const char *param, size_t most, struct err *e)
{
    if (v->kind != VALUE_STRING || !v->string.len)
        return field_wrong(e, param, "a string that is not empty", v);
    if (v->string.len > most)
        return err_param(e, param, ERR_INVALID, "%s: expected at most %zu bytes, found %zu", param,
                         most, v->string.len);
    return 0;
}

int takeoff_texts_read(const struct value *body, const struct takeoff_limits *limits,
                       struct arena *a, const struct value ***texts, size_t *n, bool *many,
                       struct err *e)
{
    const struct value *v = field_get(body, "text");
    int rc = 0;

    if (!v || (v->kind != VALUE_STRING && (v->kind != VALUE_LIST || !v->list.len)))
        return field_wrong(e, "text", "a string, or an array of strings that is not empty", v);
    *many = v->kind == VALUE_LIST;
    *n = *many ? v->list.len : 1;
    if (*n > limits->texts)
        return err_param(e, "text", ERR_INVALID,
                         "text: expected at most %zu texts in one request, found %zu",
                         limits->texts, *n);
    *texts = arena_array(a, *n, sizeof **texts);
    if (!*texts)
        return field_no_memory(e);
    for (size_t i = 0; i < *n && !rc; i++) {
        char param[32] = "text";

        if (*many)
            snprintf(param, sizeof param, "text[%zu]", i);
        (*texts)[i] = *many ? v->list.items[i] : v;
        rc = check_text((*texts)[i], param, limits->text_bytes, e);
    }
    return rc;
}

/* top-k 1 is greedy, whatever the others say. */
static int read_sampling(struct sampling *s, const struct value *body, struct err *e)
{
    int64_t top_k = 1, ngram = 0;
    int rc;

    sampling_default(s);
    rc = field_float(body, "sampling_temperature", 0, 2, &s->temperature, e);
    if (!rc)
        rc = field_float(body, "sampling_topp", 0, 1, &s->top_p, e);
    if (!rc)
        rc = field_int(body, "sampling_topk", 0, INT32_MAX, &top_k, e);
    if (!rc)
        rc = field_float(body, "repetition_penalty", 0.01, 100, &s->repetition_penalty, e);
    if (!rc)
        rc = field_int(body, "no_repeat_ngram_size", 0, INT32_MAX, &ngram, e);
    s->top_k = (size_t)top_k;
    s->no_repeat_ngram = (size_t)ngram;
    return rc;
}

static int read_schema(struct spec *s, const struct value *v, struct arena *a, struct err *e)
{
    struct value *parsed = NULL;
    struct err inner = { 0 };
    int rc;

    if (v->kind == VALUE_STRING) {
        rc = json_parse(v->string.data, v->string.len, MAX_SCHEMA_DEPTH, a, &parsed, &inner);
        if (rc == ERR_NOMEM)
            return field_no_memory(e);
        if (rc)
            return err_param(e, "json_schema", ERR_INVALID, "json_schema: not valid JSON: %s",
                             inner.text);
        v = parsed;
    }
    if (v->kind != VALUE_MAP && v->kind != VALUE_BOOL)
        return field_wrong(e, "json_schema", "a JSON Schema", v);
    *s = (struct spec){ .kind = SPEC_SCHEMA, .value = v, .param = "json_schema" };
    return 0;
}

/* Where both are there the regular expression counts. */
static int read_spec(struct spec *s, const struct value *body, struct arena *a, struct err *e)
{
    const struct value *regex = field_get(body, "regex_string");
    const struct value *schema = field_get(body, "json_schema");
    const char *backend = NULL;
    int rc = field_string(body, "constrained_decoding_backend", &backend, e);

    if (rc)
        return rc;
    if (regex && regex->kind != VALUE_STRING)
        return field_wrong(e, "regex_string", "a string", regex);
    if (regex && regex->string.len) {
        *s = (struct spec){ .kind = SPEC_REGEX,
                            .text = regex->string.data,
                            .len = regex->string.len,
                            .param = "regex_string" };
        return 0;
    }
    return schema ? read_schema(s, schema, a, e) : 0;
}

static int read_lengths(struct generate_request *g, const struct value *body, struct err *e)
{
    int64_t max = DEFAULT_MAX_TOKENS, min = 0, prompt = 0;
    int rc = field_int(body, "max_new_tokens", 1, INT64_MAX, &max, e);

    if (!rc)
        rc = field_int(body, "min_new_tokens", 0, INT64_MAX, &min, e);
    if (!rc)
        rc = field_int(body, "prompt_max_tokens", 1, INT64_MAX, &prompt, e);
    if (!rc && min > max)
        rc = err_param(e, "min_new_tokens", ERR_INVALID,
                       "min_new_tokens: expected at most max_new_tokens, which is %lld, found %lld",
                       (long long)max, (long long)min);
    g->max_tokens = (size_t)max;
    g->params.min_tokens = (size_t)min;
    g->prompt_max_tokens = prompt ? (size_t)prompt : SIZE_MAX;
    return rc;
}

static int refuse_lora(const struct value *body, struct err *e)
{
    const struct value *v = field_get(body, "lora_id");

    if (!v || (v->kind == VALUE_STRING && !v->string.len))
        return 0;
    return err_param(e, "lora_id", ERR_UNSUPPORTED,
                     "lora_id: adapters are not supported, a model is served as it is");
}

int generate_request_read(struct generate_request *g, const struct value *body,
                          const struct takeoff_limits *limits, struct arena *a, struct err *e)
{
    int rc;

    *g = (struct generate_request){ .params = { .n = 1 } };
    rc = takeoff_group_read(body, &g->group, e);
    if (!rc)
        rc = takeoff_texts_read(body, limits, a, &g->texts, &g->n, &g->many, e);
    if (!rc)
        rc = read_sampling(&g->params.sampling, body, e);
    if (!rc)
        rc = read_lengths(g, body, e);
    if (!rc)
        rc = read_spec(&g->params.spec, body, a, e);
    if (!rc)
        rc = refuse_lora(body, e);
    if (!rc)
        rc = field_bool(body, "use_chat_template", &g->chat, e);
    return rc ? rc : field_bool(body, "return_metadata", &g->metadata, e);
}
