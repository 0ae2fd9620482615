#include "fcgi/api/completion_request.h"

#include <stdio.h>

#include "fcgi/api/fields.h"
#include "fcgi/api/spec_fields.h"

enum { DEFAULT_MAX_TOKENS = 16, MAX_LOGPROBS = 5, MAX_BEST_OF = 20 };

/* prompt: a string, an array of strings, an array of ids, or an array of arrays of ids. */
static int read_prompts(struct completion_request *c, const struct value *body, size_t max_choices,
                        struct arena *a, struct err *e)
{
    const struct value *v = field_get(body, "prompt");
    int32_t id;
    bool many = v && v->kind == VALUE_LIST && v->list.len && !field_token_id(v->list.items[0], &id);
    size_t n = many ? v->list.len : 1, each = c->best_of ? c->best_of : c->params.n;
    int rc = 0;

    if (!v)
        return field_wrong(e, "prompt", "a string, or an array of strings or token ids", v);
    if (n > max_choices / each)
        return err_param(e, "prompt", ERR_INVALID,
                         "prompt: expected at most %zu answers in one request, found %zu prompts "
                         "with %s = %zu",
                         max_choices, n, c->best_of ? "best_of" : "n", each);
    c->jobs = arena_array(a, n, sizeof *c->jobs);
    if (!c->jobs)
        return field_no_memory(e);
    c->n_prompts = n;
    for (size_t i = 0; i < n && !rc; i++) {
        char param[32] = "prompt";

        if (many)
            snprintf(param, sizeof param, "prompt[%zu]", i);
        rc = field_prompt(many ? v->list.items[i] : v, param, a, &c->jobs[i], e);
    }
    return rc;
}

static int read_echo(struct completion_request *c, const struct value *body, struct arena *a,
                     struct err *e)
{
    bool echo = false;
    int rc = field_bool(body, "echo", &echo, e);

    if (rc || !echo)
        return rc;
    c->echoes = arena_array(a, c->n_prompts, sizeof *c->echoes);
    if (!c->echoes)
        return field_no_memory(e);
    for (size_t i = 0; i < c->n_prompts; i++)
        c->echoes[i] = c->jobs[i].text;
    return 0;
}

/* best_of: as many answers are generated, the n best ones told; so nothing can be streamed. */
static int read_best_of(struct completion_request *c, const struct value *body, struct err *e)
{
    int64_t best_of = (int64_t)c->params.n;
    int rc = field_int(body, "best_of", 0, MAX_BEST_OF, &best_of, e);

    if (rc || best_of == 0 || best_of == (int64_t)c->params.n)
        return rc;
    if (best_of < (int64_t)c->params.n)
        return err_param(e, "best_of", ERR_INVALID,
                         "best_of: expected at least n, which is %zu, found %lld", c->params.n,
                         (long long)best_of);
    if (c->params.stream)
        return err_param(e, "best_of", ERR_INVALID,
                         "best_of: not together with stream, the best is only known at the end");
    c->best_of = (size_t)best_of;
    return 0;
}

/* Empty, it asks for nothing. */
static int refuse_suffix(const struct value *body, struct err *e)
{
    const struct value *v = field_get(body, "suffix");

    if (!v || (v->kind == VALUE_STRING && !v->string.len))
        return 0;
    return err_param(e, "suffix", ERR_UNSUPPORTED,
                     "suffix: not supported, this model only continues a text");
}

int completion_request_read(struct completion_request *c, const struct value *body,
                            const struct params_rules *rules, struct arena *a, struct err *e)
{
    int64_t max_tokens = DEFAULT_MAX_TOKENS, top = -1;
    int rc;

    *c = (struct completion_request){ 0 };
    rc = params_read(&c->params, body, rules, a, e);
    if (!rc)
        rc = params_read_n(&c->params, body, rules, e);
    if (!rc)
        rc = spec_format_read(&c->params.spec, field_get(body, "response_format"),
                              "response_format", a, e);
    if (!rc)
        rc = field_int(body, "max_tokens", 0, INT64_MAX, &max_tokens, e);
    if (!rc)
        rc = field_int(body, "logprobs", 0, MAX_LOGPROBS, &top, e);
    if (!rc)
        rc = params_max_tokens(&c->params, (size_t)max_tokens, e);
    if (!rc)
        rc = read_best_of(c, body, e);
    c->top_logprobs = (int)top;
    if (!rc)
        rc = read_prompts(c, body, rules->max_choices, a, e);
    if (!rc)
        rc = read_echo(c, body, a, e);
    if (!rc)
        rc = refuse_suffix(body, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < c->n_prompts; i++)
        c->jobs[i].max_tokens = (size_t)max_tokens;
    return 0;
}
