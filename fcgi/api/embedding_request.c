#include "fcgi/api/embedding_request.h"

#include <stdio.h>
#include <string.h>

#include "fcgi/api/fields.h"

struct embedding_param embedding_param(const struct embedding_request *q, size_t i)
{
    struct embedding_param p;

    if (q->many)
        snprintf(p.text, sizeof p.text, "%s[%zu]", q->member, i);
    else
        snprintf(p.text, sizeof p.text, "%s", q->member);
    return p;
}

static int read_input(struct job_request *job, const struct value *v, const char *param,
                      struct arena *a, struct err *e)
{
    job->embed = true;
    return field_prompt(v, param, a, job, e);
}

/* input: a string, an array of strings, an array of ids, or an array of arrays of ids. */
static int read_inputs(struct embedding_request *q, const struct value *body, struct arena *a,
                       struct err *e)
{
    const struct value *v = field_get(body, "input");
    int32_t id;
    int rc = 0;

    if (!v || (v->kind != VALUE_STRING && (v->kind != VALUE_LIST || !v->list.len)))
        return field_wrong(e, "input",
                           "a string, or an array of strings or token ids that is not empty", v);
    q->many = v->kind == VALUE_LIST && !field_token_id(v->list.items[0], &id);
    q->n = q->many ? v->list.len : 1;
    if (q->n > EMBEDDING_MAX_INPUTS)
        return err_param(e, "input", ERR_INVALID,
                         "input: expected at most %d texts in one request, found %zu",
                         EMBEDDING_MAX_INPUTS, q->n);
    q->jobs = arena_array(a, q->n, sizeof *q->jobs);
    if (!q->jobs)
        return field_no_memory(e);
    for (size_t i = 0; i < q->n && !rc; i++)
        rc = read_input(&q->jobs[i], q->many ? v->list.items[i] : v, embedding_param(q, i).text, a,
                        e);
    return rc;
}

int embedding_request_read(struct embedding_request *q, const struct value *body, size_t n_embd,
                           struct arena *a, struct err *e)
{
    const char *format = "float";
    int64_t dimensions = 0;
    int rc;

    *q = (struct embedding_request){ .member = "input", .normalise = true };
    rc = field_string(body, "encoding_format", &format, e);
    if (!rc && strcmp(format, "float") != 0 && strcmp(format, "base64") != 0)
        rc = field_wrong(e, "encoding_format", "\"float\" or \"base64\"",
                         field_get(body, "encoding_format"));
    q->base64 = !rc && strcmp(format, "base64") == 0;
    if (!rc)
        rc = field_int(body, "dimensions", 1, (int64_t)n_embd, &dimensions, e);
    q->dimensions = (size_t)dimensions;
    if (!rc)
        rc = field_bool(body, "normalize", &q->normalise, e);
    return rc ? rc : read_inputs(q, body, a, e);
}
