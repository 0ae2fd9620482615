#include "fcgi/api/params.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/api/fields.h"
#include "fcgi/api/sampling_fields.h"
#include "fcgi/api/spec_fields.h"
#include "kernels/base/json.h"

enum { MAX_JSON_DEPTH = 64, MAX_STOPS = 64, MAX_STOP_IDS = 1024 };

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

/* The engine checks ids against its vocabulary. */
static int read_stop_ids(struct params *p, const struct value *body, struct arena *a, struct err *e)
{
    const struct value *v = field_get(body, "stop_token_ids");
    int32_t *ids;

    if (!v)
        return 0;
    if (v->kind != VALUE_LIST || v->list.len > MAX_STOP_IDS)
        return field_wrong(e, "stop_token_ids", "an array of at most 1024 token ids", v);
    ids = arena_array(a, v->list.len + 1, sizeof *ids);
    if (!ids)
        return field_no_memory(e);
    for (size_t i = 0; i < v->list.len; i++) {
        const struct value *id = v->list.items[i];

        if (!field_token_id(id, &ids[i]))
            return field_wrong(e, "stop_token_ids", "token ids only", id);
    }
    p->stop_ids = ids;
    p->n_stop_ids = v->list.len;
    return 0;
}

/* When an answer ends, but for max_tokens. */
static int read_ends(struct params *p, const struct value *body, struct arena *a, struct err *e)
{
    int64_t min_tokens = 0;
    int rc = read_stops(p, body, a, e);

    if (!rc)
        rc = read_stop_ids(p, body, a, e);
    if (!rc)
        rc = field_bool(body, "ignore_eos", &p->ignore_end, e);
    if (!rc)
        rc = field_int(body, "min_tokens", 0, INT64_MAX, &min_tokens, e);
    p->min_tokens = (size_t)min_tokens;
    return rc;
}

int params_max_tokens(const struct params *p, size_t max_tokens, struct err *e)
{
    if (p->min_tokens > max_tokens)
        return err_param(e, "min_tokens", ERR_INVALID,
                         "min_tokens: expected at most max_tokens, which is %zu, found %zu",
                         max_tokens, p->min_tokens);
    return 0;
}

void params_fill(const struct params *p, size_t choice, struct job_request *r)
{
    r->sampling = p->sampling;
    r->sampling.seed += choice;
    r->stops = p->stops;
    r->n_stops = p->n_stops;
    r->stop_ids = p->stop_ids;
    r->n_stop_ids = p->n_stop_ids;
    r->min_tokens = p->min_tokens;
    r->ignore_end = p->ignore_end;
    r->spec = p->spec;
    r->priority = p->priority;
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
        rc = sampling_fields_read(&p->sampling, body, a, e);
    if (!rc)
        rc = read_ends(p, body, a, e);
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
