#include "fcgi/api/fields.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const struct value *field_get(const struct value *object, const char *name)
{
    const struct value *v = value_get(object, name);

    return v && v->kind != VALUE_NULL ? v : NULL;
}

struct field_text field_describe(const struct value *v)
{
    struct field_text t;

    switch (v ? v->kind : VALUE_NULL) {
    case VALUE_NULL:
        snprintf(t.text, sizeof t.text, "%s", v ? "null" : "nothing");
        break;
    case VALUE_BOOL:
        snprintf(t.text, sizeof t.text, "%s", v->boolean ? "true" : "false");
        break;
    case VALUE_INT:
        snprintf(t.text, sizeof t.text, "the number %lld", (long long)v->integer);
        break;
    case VALUE_FLOAT:
        snprintf(t.text, sizeof t.text, "the number %g", v->number);
        break;
    case VALUE_STRING:
        snprintf(t.text, sizeof t.text, "a string of %zu bytes", v->string.len);
        break;
    case VALUE_LIST:
        snprintf(t.text, sizeof t.text, "an array of %zu", v->list.len);
        break;
    case VALUE_MAP:
        snprintf(t.text, sizeof t.text, "an object");
        break;
    }
    return t;
}

int field_wrong(struct err *e, const char *param, const char *expected, const struct value *v)
{
    return err_param(e, param, ERR_INVALID, "%s: expected %s, found %s", param, expected,
                     field_describe(v).text);
}

int field_bool(const struct value *object, const char *name, bool *out, struct err *e)
{
    const struct value *v = field_get(object, name);

    if (!v)
        return 0;
    if (v->kind != VALUE_BOOL)
        return field_wrong(e, name, "true or false", v);
    *out = v->boolean;
    return 0;
}

int field_float(const struct value *object, const char *name, double min, double max, float *out,
                struct err *e)
{
    const struct value *v = field_get(object, name);
    char expected[96];
    double d;

    if (!v)
        return 0;
    d = v->kind == VALUE_INT ? (double)v->integer : v->kind == VALUE_FLOAT ? v->number : NAN;
    if (!(d >= min && d <= max)) {
        snprintf(expected, sizeof expected, "a number between %g and %g", min, max);
        return field_wrong(e, name, expected, v);
    }
    *out = (float)d;
    return 0;
}

int field_int(const struct value *object, const char *name, int64_t min, int64_t max, int64_t *out,
              struct err *e)
{
    const struct value *v = field_get(object, name);
    char expected[96];
    int64_t i = 0;
    bool good = false;

    if (!v)
        return 0;
    if (v->kind == VALUE_INT) {
        i = v->integer;
        good = true;
    } else if (v->kind == VALUE_FLOAT && fabs(v->number) < 9e15 && floor(v->number) == v->number) {
        i = (int64_t)v->number;
        good = true;
    }
    if (!good || i < min || i > max) {
        if (max == INT64_MAX && min == INT64_MIN)
            snprintf(expected, sizeof expected, "a whole number of 64 bits");
        else if (max == INT64_MAX)
            snprintf(expected, sizeof expected, "a whole number of at least %lld", (long long)min);
        else
            snprintf(expected, sizeof expected, "a whole number between %lld and %lld",
                     (long long)min, (long long)max);
        return field_wrong(e, name, expected, v);
    }
    *out = i;
    return 0;
}

bool field_token_id(const struct value *v, int32_t *id)
{
    double d = v->kind == VALUE_INT ? (double)v->integer : v->kind == VALUE_FLOAT ? v->number : -1;

    if (!(d >= 0 && d <= INT32_MAX && floor(d) == d))
        return false;
    *id = (int32_t)d;
    return true;
}

int field_string(const struct value *object, const char *name, const char **out, struct err *e)
{
    const struct value *v = field_get(object, name);

    if (!v)
        return 0;
    if (v->kind != VALUE_STRING)
        return field_wrong(e, name, "a string", v);
    if (strlen(v->string.data) != v->string.len)
        return err_param(e, name, ERR_INVALID, "%s: expected a string without NUL characters",
                         name);
    *out = v->string.data;
    return 0;
}

int field_no_memory(struct err *e)
{
    return err_set(e, ERR_LIMIT, "the request needs more memory than one request may have");
}

/* A prompt of token ids; the engine checks them against its vocabulary. */
static int read_ids(const struct value *v, const char *param, struct arena *a,
                    struct job_request *job, struct err *e)
{
    int32_t *ids = arena_array(a, v->list.len + 1, sizeof *ids);

    if (!ids)
        return field_no_memory(e);
    for (size_t i = 0; i < v->list.len; i++) {
        const struct value *id = v->list.items[i];

        if (!field_token_id(id, &ids[i]))
            return field_wrong(e, param, "token ids only", id);
    }
    job->kind = PROMPT_IDS;
    job->ids = ids;
    job->n_ids = v->list.len;
    return 0;
}

int field_prompt(const struct value *v, const char *param, struct arena *a,
                 struct job_request *job, struct err *e)
{
    if (v->kind == VALUE_LIST && v->list.len)
        return read_ids(v, param, a, job, e);
    if (v->kind != VALUE_STRING || !v->string.len)
        return field_wrong(e, param, "a string that is not empty, or an array of token ids", v);
    job->kind = PROMPT_TEXT;
    job->text = v->string.data;
    job->text_len = v->string.len;
    return 0;
}
