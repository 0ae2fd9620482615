#include "fcgi/api/sampling_fields.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/api/fields.h"
#include "kernels/base/json.h"

enum { MAX_BIASES = 4096, MAX_DEPTH = 8, LLAMA_REPEAT_LAST_N = 64 };

/* Numbers that are taken as they are; the engine's own ranges are the same. */
static const struct {
    const char *name;
    double min, max;
    size_t offset;
} REALS[] = {
    { "temperature", 0, 2, offsetof(struct sampling, temperature) },
    { "top_p", 0, 1, offsetof(struct sampling, top_p) },
    { "min_p", 0, 1, offsetof(struct sampling, min_p) },
    { "typical_p", 0, 1, offsetof(struct sampling, typical_p) },
    { "top_n_sigma", -1, 1000, offsetof(struct sampling, top_n_sigma) },
    { "xtc_probability", 0, 1, offsetof(struct sampling, xtc_probability) },
    { "xtc_threshold", 0, 1, offsetof(struct sampling, xtc_threshold) },
    { "mirostat_tau", 0, 100, offsetof(struct sampling, mirostat_tau) },
    { "mirostat_eta", 0, 1, offsetof(struct sampling, mirostat_eta) },
    { "frequency_penalty", -2, 2, offsetof(struct sampling, frequency_penalty) },
    { "presence_penalty", -2, 2, offsetof(struct sampling, presence_penalty) },
    { "repetition_penalty", 0.01, 100, offsetof(struct sampling, repetition_penalty) },
    { "dry_multiplier", 0, 100, offsetof(struct sampling, dry_multiplier) },
    { "dry_base", 1, 100, offsetof(struct sampling, dry_base) },
};

/* Those that mean something else here and there. */
static const char *const OTHERS[] = {
    "top_k",
    "seed",
    "logit_bias",
    "repeat_penalty",
    "repeat_last_n",
    "mirostat",
    "dry_allowed_length",
    "dry_penalty_last_n",
    "dry_sequence_breakers",
};

enum { N_REALS = sizeof REALS / sizeof *REALS, N_OTHERS = sizeof OTHERS / sizeof *OTHERS };

/* logit_bias: {"50256": -100, ...}; the engine checks ids against its vocabulary. */
static int read_bias(struct sampling *s, const struct value *body, struct arena *a, struct err *e)
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
    s->bias = bias;
    s->n_bias = v->map.len;
    return 0;
}

/* A number of tokens; -1: all of them. */
static int read_last_n(const struct value *body, const char *name, size_t *out, struct err *e)
{
    int64_t n = -1;
    int rc = field_int(body, name, -1, INT32_MAX, &n, e);

    if (!rc && field_get(body, name))
        *out = n < 0 ? SIZE_MAX : (size_t)n;
    return rc;
}

/* repeat_penalty is repetition_penalty with llama-server's default for the window; a window that is
 * asked for is for all three penalties. */
static int read_repetition(struct sampling *s, const struct value *body, struct err *e)
{
    float repeat = s->repetition_penalty;
    int rc = field_float(body, "repeat_penalty", 0.01, 100, &repeat, e);

    if (rc)
        return rc;
    if (field_get(body, "repeat_penalty")) {
        if (field_get(body, "repetition_penalty") && repeat != s->repetition_penalty)
            return err_param(e, "repeat_penalty", ERR_INVALID,
                             "repeat_penalty: is the same as repetition_penalty, which is %g here",
                             (double)s->repetition_penalty);
        s->repetition_penalty = repeat;
        s->repetition_last_n = LLAMA_REPEAT_LAST_N;
    }
    rc = read_last_n(body, "repeat_last_n", &s->repetition_last_n, e);
    if (!rc && field_get(body, "repeat_last_n"))
        s->frequency_last_n = s->repetition_last_n;
    return rc;
}

static int read_breakers(struct sampling *s, const struct value *body, struct arena *a,
                         struct err *e)
{
    const struct value *v = field_get(body, "dry_sequence_breakers");
    const char **list;

    if (!v)
        return 0;
    if (v->kind != VALUE_LIST || v->list.len > DRY_MAX_BREAKERS)
        return field_wrong(e, "dry_sequence_breakers", "an array of at most 64 strings", v);
    list = arena_array(a, v->list.len + 1, sizeof *list);
    if (!list)
        return field_no_memory(e);
    for (size_t i = 0; i < v->list.len; i++) {
        const struct value *one = v->list.items[i];

        if (one->kind != VALUE_STRING || !one->string.len ||
            one->string.len > DRY_BREAKER_MAX_BYTES || strlen(one->string.data) != one->string.len)
            return field_wrong(e, "dry_sequence_breakers", "strings of 1 to 64 bytes without NUL",
                               one);
        list[i] = one->string.data;
    }
    s->dry_breakers = list;
    s->n_dry_breakers = v->list.len;
    return 0;
}

static int read_integers(struct sampling *s, const struct value *body, struct err *e)
{
    int64_t seed = 0, top_k = (int64_t)s->top_k, mirostat = s->mirostat;
    int64_t allowed = (int64_t)s->dry_allowed_length;
    int rc = field_int(body, "top_k", -1, INT32_MAX, &top_k, e); /* -1 and 0: off, as elsewhere */

    if (!rc)
        rc = field_int(body, "mirostat", 0, 2, &mirostat, e);
    if (!rc)
        rc = field_int(body, "dry_allowed_length", 0, INT32_MAX, &allowed, e);
    if (!rc)
        rc = field_int(body, "seed", INT64_MIN, INT64_MAX, &seed, e);
    if (!rc)
        rc = read_last_n(body, "dry_penalty_last_n", &s->dry_last_n, e);
    s->top_k = top_k > 0 ? (size_t)top_k : 0;
    s->mirostat = (unsigned)mirostat;
    s->dry_allowed_length = (size_t)allowed;
    if (!rc && field_get(body, "seed")) {
        s->has_seed = true;
        s->seed = (uint64_t)seed;
    }
    return rc;
}

int sampling_fields_read(struct sampling *s, const struct value *body, struct arena *a,
                         struct err *e)
{
    int rc = 0;

    for (size_t i = 0; !rc && i < N_REALS; i++)
        rc = field_float(body, REALS[i].name, REALS[i].min, REALS[i].max,
                         (float *)(void *)((char *)s + REALS[i].offset), e);
    if (!rc)
        rc = read_integers(s, body, e);
    if (!rc)
        rc = read_repetition(s, body, e);
    if (!rc)
        rc = read_breakers(s, body, a, e);
    if (!rc)
        rc = read_bias(s, body, a, e);
    if (s->top_n_sigma < 0)
        s->top_n_sigma = 0;
    return rc;
}

static bool is_known(const char *name)
{
    for (size_t i = 0; i < N_REALS; i++)
        if (!strcmp(name, REALS[i].name))
            return true;
    for (size_t i = 0; i < N_OTHERS; i++)
        if (!strcmp(name, OTHERS[i]))
            return true;
    return false;
}

int sampling_fields_parse(struct sampling *s, const char *json, struct arena *a, struct err *e)
{
    struct value *v;
    struct err inner;
    int rc = json_parse(json, strlen(json), MAX_DEPTH, a, &v, &inner);

    if (rc == ERR_NOMEM)
        return field_no_memory(e);
    if (rc)
        return err_set(e, ERR_INVALID, "not valid JSON: %s", inner.text);
    if (v->kind != VALUE_MAP)
        return err_set(e, ERR_INVALID, "expected a JSON object, found %s", field_describe(v).text);
    for (size_t i = 0; i < v->map.len; i++)
        if (!is_known(v->map.pairs[i].key))
            return err_set(e, ERR_INVALID, "there is no way of choosing tokens called \"%.40s\"",
                           v->map.pairs[i].key);
    return sampling_fields_read(s, v, a, e);
}
