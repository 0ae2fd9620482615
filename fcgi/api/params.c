#include "fcgi/api/params.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/api/fields.h"
#include "fcgi/api/spec_fields.h"
#include "kernels/base/json.h"

enum { MAX_JSON_DEPTH = 64, MAX_STOPS = 64, MAX_BIASES = 4096 };

int params_body(const char *text, size_t len, struct arena *a, struct value **out, struct err *e)
{
    struct err inner = { 0 };
    int rc;

    if (!len)
        return err_set(e, ERR_INVALID,
                       "expected a JSON object as the request's body, found nothing");
    rc = json_parse(text, len, MAX_JSON_DEPTH, a, out, &inner);
    if (rc == ERR_NOMEM)
        return field_no_memory(e);
    if (rc)
        return err_set(e, ERR_INVALID, "the request's body is not valid JSON: %s", inner.text);
    if ((*out)->kind != VALUE_MAP)
        return err_set(e, ERR_INVALID, "expected a JSON object as the request's body, found %s",
                       field_describe(*out).text);
    return 0;
}

static int read_stream(struct params *p, const struct value *body, struct err *e)
{
    const struct value *options = field_get(body, "stream_options");
    int rc = field_bool(body, "stream", &p->stream, e);

    if (rc || !options)
        return rc;
    if (options->kind != VALUE_MAP)
        return field_wrong(e, "stream_options", "an object", options);
    if (!p->stream)
        return err_param(e, "stream_options", ERR_INVALID,
                         "stream_options: only allowed when stream is true");
    rc = field_bool(options, "include_usage", &p->include_usage, e);
    if (rc && e)
        snprintf(e->param, sizeof e->param, "stream_options.include_usage");
    return rc;
}

static int add_stop(const struct value *v, const char *param, const char **slot, struct err *e)
{
    char expected[64];

    snprintf(expected, sizeof expected, "a string of 1 to %d bytes without NUL", STOP_MAX_BYTES);
    if (v->kind != VALUE_STRING || !v->string.len || v->string.len > STOP_MAX_BYTES ||
        strlen(v->string.data) != v->string.len)
        return field_wrong(e, param, expected, v);
    *slot = v->string.data;
    return 0;
}

static int read_stops(struct params *p, const struct value *body, struct arena *a, struct err *e)
{
    const struct value *v = field_get(body, "stop");
    const char **stops;
    size_t n;
    int rc = 0;

    if (!v)
        return 0;
    if (v->kind != VALUE_LIST && v->kind != VALUE_STRING)
        return field_wrong(e, "stop", "a string or an array of strings", v);
    n = v->kind == VALUE_LIST ? v->list.len : 1;
    if (n > MAX_STOPS)
        return err_param(e, "stop", ERR_INVALID, "stop: expected at most %d strings, found %zu",
                         MAX_STOPS, n);
    stops = arena_array(a, n + 1, sizeof *stops);
    if (!stops)
        return field_no_memory(e);
    if (v->kind == VALUE_STRING)
        rc = add_stop(v, "stop", stops, e);
    else
        for (size_t i = 0; i < n && !rc; i++) {
            char param[32];

            snprintf(param, sizeof param, "stop[%zu]", i);
            rc = add_stop(v->list.items[i], param, &stops[i], e);
        }
    p->stops = stops;
    p->n_stops = n;
    return rc;
}

/* logit_bias: {"50256": -100, ...}; the engine checks ids against its vocabulary. */
static int read_bias(struct params *p, const struct value *body, struct arena *a, struct err *e)
{
    const struct value *v = field_get(body, "logit_bias");
    struct token_bias *bias;

    if (!v)
        return 0;
    if (v->kind != VALUE_MAP)
        return field_wrong(e, "logit_bias", "an object from token ids to numbers", v);
    if (v->map.len > MAX_BIASES)
        return err_param(e, "logit_bias", ERR_INVALID,
                         "logit_bias: expected at most %d tokens, found %zu", MAX_BIASES,
                         v->map.len);
    bias = arena_array(a, v->map.len + 1, sizeof *bias);
    if (!bias)
        return field_no_memory(e);
    for (size_t i = 0; i < v->map.len; i++) {
        const struct value_pair *pair = &v->map.pairs[i];
        char *end;
        long id = strtol(pair->key, &end, 10);

        if (!pair->key_len || strspn(pair->key, "0123456789") != pair->key_len || id > INT32_MAX)
            return err_param(e, "logit_bias", ERR_INVALID,
                             "logit_bias: expected token ids as keys, found \"%.40s\"", pair->key);
        bias[i].id = (int32_t)id;
        if (pair->value->kind == VALUE_NULL)
            continue;
        if (field_float(v, pair->key, -100, 100, &bias[i].bias, e))
            return err_param(
                e, "logit_bias", ERR_INVALID,
                "logit_bias: expected numbers between -100 and 100, found %s for token %s",
                field_describe(pair->value).text, pair->key);
    }
    p->sampling.bias = bias;
    p->sampling.n_bias = v->map.len;
    return 0;
}

static int read_sampling(struct params *p, const struct value *body, struct arena *a, struct err *e)
{
    struct sampling *s = &p->sampling;
    int64_t seed = 0, top_k = (int64_t)s->top_k;
    int rc;

    rc = field_float(body, "temperature", 0, 2, &s->temperature, e);
    if (!rc)
        rc = field_float(body, "top_p", 0, 1, &s->top_p, e);
    if (!rc)
        rc = field_float(body, "min_p", 0, 1, &s->min_p, e);
    if (!rc)
        rc = field_int(body, "top_k", -1, INT32_MAX, &top_k, e); /* -1 and 0: off, as elsewhere */
    if (!rc)
        rc = field_float(body, "frequency_penalty", -2, 2, &s->frequency_penalty, e);
    if (!rc)
        rc = field_float(body, "presence_penalty", -2, 2, &s->presence_penalty, e);
    if (!rc)
        rc = field_float(body, "repetition_penalty", 0.01, 100, &s->repetition_penalty, e);
    if (!rc)
        rc = field_int(body, "seed", INT64_MIN, INT64_MAX, &seed, e);
    if (!rc)
        rc = read_bias(p, body, a, e);
    s->top_k = top_k > 0 ? (size_t)top_k : 0;
    s->has_seed = field_get(body, "seed") != NULL;
    s->seed = (uint64_t)seed;
    return rc;
}

int params_model(const struct value *body, const char **model, struct err *e)
{
    *model = NULL;
    return field_string(body, "model", model, e);
}

int params_read(struct params *p, const struct value *body, const struct params_rules *rules,
                struct arena *a, struct err *e)
{
    int64_t priority = 0;
    int rc;

    *p = (struct params){ .sampling = rules->sampling, .n = 1 };
    rc = read_stream(p, body, e);
    if (!rc)
        rc = read_sampling(p, body, a, e);
    if (!rc)
        rc = read_stops(p, body, a, e);
    if (!rc)
        rc = field_bool(body, "ignore_eos", &p->ignore_end, e);
    if (!rc)
        rc = spec_fields_read(&p->spec, body, a, e);
    if (!rc && rules->client_priority)
        rc = field_int(body, "priority", INT32_MIN, INT32_MAX, &priority, e);
    p->priority = (int)priority;
    return rc;
}

int params_read_n(struct params *p, const struct value *body, const struct params_rules *rules,
                  struct err *e)
{
    int64_t n = 1;
    int rc = field_int(body, "n", 1, (int64_t)rules->max_choices, &n, e);

    p->n = (size_t)n;
    return rc;
}
