/* hf_rope.c - config.json's rotary position embedding as the keys of a GGUF file. */
#include <math.h>
#include <string.h>

#include "inference/hf.h"
#include "inference/model.h"

/* Version 5 keeps all of it in rope_parameters, where layers differ in one such map for each kind
 * of layer; version 4 has rope_theta and, where positions are scaled, rope_scaling. */
static const struct value *rope_map(const struct hf *h, const char *kind)
{
    const struct value *v = value_get(h->config, "rope_scaling");

    if (!v || v->kind != VALUE_MAP || v->map.len == 0)
        v = value_get(h->config, "rope_parameters");
    if (!v)
        v = hf_setting(h, "rope_scaling"); /* null, or the default */
    if (value_get(v, "full_attention") || value_get(v, "sliding_attention"))
        return value_get(v, kind);
    return strcmp(kind, "full_attention") == 0 ? v : NULL;
}

static double factor(const struct value *map, const char *name, double otherwise)
{
    const struct value *v = value_get(map, name);

    return hf_is_number(v) ? hf_number(v) : otherwise;
}

/* Positions that the model was first trained for. */
static double old_context(const struct hf *h, const struct value *map)
{
    const struct value *v = hf_setting(h, "original_max_position_embeddings");

    if (!hf_is_number(v))
        v = value_get(map, "original_max_position_embeddings");
    if (!hf_is_number(v))
        v = hf_setting(h, "max_position_embeddings");
    return hf_is_number(v) ? hf_number(v) : 0;
}

/* Llama 3.1's scaling (modeling_rope_utils.py, _compute_llama3_parameters) as the divisors that a
 * GGUF file has for it: long waves are slowed down by `factor`, short ones not, those between in
 * part. */
static int put_llama3(struct hf *h, const struct value *map, double base, size_t n_rot,
                      struct err *e)
{
    size_t n = n_rot / 2;
    double by = factor(map, "factor", 0), low = factor(map, "low_freq_factor", 0),
           high = factor(map, "high_freq_factor", 0), old = old_context(h, map);
    struct tensor t = { .name = "rope_freqs.weight",
                        .dtype = DTYPE_F32,
                        .n_dims = 1,
                        .shape = { n, 1, 1, 1 },
                        .bytes = n * sizeof(float) };
    float *out;

    if (!(by > 0 && low > 0 && high > low && old > 0) || n == 0)
        return err_set(e, ERR_FORMAT,
                       "config.json: llama3 rope scaling needs factor, low_freq_factor and "
                       "high_freq_factor");
    out = weights_room(h->w, t.bytes);
    if (!out)
        return err_set(e, ERR_NOMEM, "no memory for rope frequencies");
    for (size_t i = 0; i < n; i++) {
        double wave = 2 * M_PI * pow(base, 2.0 * (double)i / (double)n_rot);
        double smooth = (old / wave - low) / (high - low);

        if (wave < old / high)
            out[i] = 1.0f;
        else if (wave > old / low)
            out[i] = (float)by;
        else
            out[i] = (float)(1 / ((1 - smooth) / by + smooth));
    }
    t.data = out;
    return weights_put_tensor(h->w, &t, e);
}

/* A list of divisors as the tensor that a GGUF file has for it. */
static int put_factors(struct hf *h, const struct value *list, const char *name, struct err *e)
{
    size_t n = list && list->kind == VALUE_LIST ? list->list.len : 0;
    struct tensor t = { .name = name,
                        .dtype = DTYPE_F32,
                        .n_dims = 1,
                        .shape = { n, 1, 1, 1 },
                        .bytes = n * sizeof(float) };
    float *out = n ? weights_room(h->w, t.bytes) : NULL;

    if (n && !out)
        return err_set(e, ERR_NOMEM, "no memory for rope frequencies");
    for (size_t i = 0; i < n; i++)
        if (!hf_is_number(list->list.items[i]) || !(hf_number(list->list.items[i]) > 0))
            return err_set(e, ERR_FORMAT, "config.json: a factor of longrope is not positive");
        else
            out[i] = (float)hf_number(list->list.items[i]);
    if (!n)
        return err_set(
            e, ERR_FORMAT,
            "config.json: longrope needs short_factor and long_factor, lists of numbers");
    t.data = out;
    return weights_put_tensor(h->w, &t, e);
}

static int put_longrope(struct hf *h, const struct value *map, struct err *e)
{
    const struct value *max = hf_setting(h, "max_position_embeddings");
    double old = old_context(h, map), attention = factor(map, "attention_factor", 0);
    double by = factor(map, "factor", hf_is_number(max) ? hf_number(max) / old : 0);
    int rc;

    if (!(old >= 2 && old <= 1 << 30))
        return err_set(e, ERR_FORMAT,
                       "config.json: longrope needs original_max_position_embeddings");
    if (!(attention > 0))
        attention = by > 1 ? sqrt(1 + log(by) / log(old)) : 1;
    if ((rc = put_factors(h, value_get(map, "short_factor"), "rope_factors_short.weight", e)) ||
        (rc = put_factors(h, value_get(map, "long_factor"), "rope_factors_long.weight", e)) ||
        (rc = weights_put_f64(h->w, hf_key(h, "rope.scaling.attn_factor").text, attention, e)))
        return rc;
    return weights_put_u64(h->w, hf_key(h, "rope.scaling.original_context_length").text,
                           (uint64_t)old, e);
}

/* What YaRN multiplies q and k by grows with the factor, unless config.json has a say. */
static double yarn_attention(const struct value *map, double by)
{
    double usual = by > 1 ? 0.1 * log(by) + 1 : 1, given = factor(map, "attention_factor", 0);
    double one = factor(map, "mscale", 0), all = factor(map, "mscale_all_dim", 0);

    if (given > 0)
        return given / usual;
    if (one != 0 && all != 0 && by > 1)
        return (0.1 * one * log(by) + 1) / (0.1 * all * log(by) + 1) / usual;
    return 1;
}

static int put_yarn(struct hf *h, const struct value *map, struct err *e)
{
    const struct value *whole = value_get(map, "truncate");
    double old = old_context(h, map);
    const struct {
        const char *suffix;
        double v;
    } rows[] = {
        { "rope.scaling.yarn_beta_fast", factor(map, "beta_fast", 32) },
        { "rope.scaling.yarn_beta_slow", factor(map, "beta_slow", 1) },
        { "rope.scaling.yarn_attn_factor", yarn_attention(map, factor(map, "factor", 1)) },
    };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof rows / sizeof *rows; i++)
        rc = weights_put_f64(h->w, hf_key(h, rows[i].suffix).text, rows[i].v, e);
    if (rc == 0 && whole && whole->kind == VALUE_BOOL)
        rc =
            weights_put_bool(h->w, hf_key(h, "rope.scaling.yarn_truncate").text, whole->boolean, e);
    if (rc == 0 && old >= 1 && old <= 1 << 30)
        rc = weights_put_u64(h->w, hf_key(h, "rope.scaling.original_context_length").text,
                             (uint64_t)old, e);
    return rc;
}

static bool is(const struct value *type, const char *name)
{
    return strcmp(type->string.data, name) == 0;
}

/* In Phi-3's first folders what is called yarn has longrope's lists, and is. */
static bool is_longrope(const struct value *type, const struct value *map)
{
    return is(type, "longrope") || is(type, "su") ||
           (is(type, "yarn") && value_get(map, "short_factor"));
}

/* "dynamic" scales only what is longer than max_position_embeddings, and nothing here is. */
static int put_scaling(struct hf *h, const struct value *map, double base, size_t n_rot,
                       struct err *e)
{
    const struct value *type = value_get(map, "rope_type");
    int rc = 0;

    if (!type)
        type = value_get(map, "type");
    if (!type || type->kind != VALUE_STRING || is(type, "default") || is(type, "dynamic"))
        return 0;
    if (is(type, "llama3"))
        return put_llama3(h, map, base, n_rot, e);
    if (is_longrope(type, map))
        return put_longrope(h, map, e);
    if (is(type, "yarn"))
        rc = put_yarn(h, map, e);
    /* model_check() refuses what it does not know */
    if (rc == 0)
        rc = weights_put_copy(h->w, hf_key(h, "rope.scaling.type").text,
                              (struct str){ type->string.data, type->string.len }, e);
    if (rc == 0 && hf_is_number(value_get(map, "factor")))
        rc = hf_put_number(h, "rope.scaling.factor", value_get(map, "factor"), e);
    return rc;
}

/* partial_rotary_factor of a head's values are rotated; *n_rot is set to how many. */
static int put_rotated(struct hf *h, const struct value *map, size_t *n_rot, struct err *e)
{
    const struct value *v = NULL;

    *n_rot = h->head_dim;
    if (value_get(h->defaults, "partial_rotary_factor") || value_get(h->defaults, "rotary_pct"))
        v = value_get(map, "partial_rotary_factor");
    if (!v)
        v = hf_own_setting(h, "partial_rotary_factor");
    if (!v)
        v = hf_own_setting(h, "rotary_pct");
    if (!v)
        return 0;
    if (!hf_is_number(v) || !(hf_number(v) > 0 && hf_number(v) <= 1))
        return err_set(e, ERR_FORMAT, "config.json: partial_rotary_factor is not in (0, 1]");
    *n_rot = (size_t)((double)h->head_dim * hf_number(v));
    return weights_put_u64(h->w, hf_key(h, "rope.dimension_count").text, *n_rot, e);
}

/* SmolLM3's no_rope_layers: a list of 1 (rotated) and 0, or every no_rope_layer_interval-th layer.
 */
int hf_unrotated(const struct hf *h, int64_t *marks, size_t n, struct err *e)
{
    const struct value *list = hf_setting(h, "no_rope_layers");
    size_t every = hf_count(h, "no_rope_layer_interval", NULL);

    if (list && list->kind == VALUE_LIST && list->list.len != n)
        return err_set(e, ERR_FORMAT, "config.json: no_rope_layers are of %zu layers, expected %zu",
                       list->list.len, n);
    for (size_t i = 0; i < n; i++) {
        const struct value *v = list && list->kind == VALUE_LIST ? list->list.items[i] : NULL;

        if (v)
            marks[i] = !hf_is_true(v) && !(v->kind == VALUE_INT && v->integer != 0);
        else
            marks[i] = every && (i + 1) % every == 0;
    }
    return 0;
}

/* As one number where they repeat, as in GGUF files, else as a list. */
static int put_unrotated(struct hf *h, struct err *e)
{
    struct hf_key key = hf_key(h, "rope.unrotated_every");
    size_t n = hf_count(h, "num_hidden_layers", NULL), every = 0;
    int64_t marks[MODEL_MAX_LAYERS];
    bool even = true;
    int rc;

    if (n > MODEL_MAX_LAYERS)
        return 0; /* model_check() will say so */
    rc = hf_unrotated(h, marks, n, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++) {
        if (marks[i] && every == 0)
            every = i + 1;
        even &= marks[i] == (every && (i + 1) % every == 0);
    }
    return even ? weights_put_u64(h->w, key.text, every, e)
                : weights_put_ints(h->w, key.text, marks, n, e);
}

/* Scaling of positions in layers with the sliding window alone has no key. */
static int refuse_local(const struct hf *h, struct err *e)
{
    const struct value *type = value_get(rope_map(h, "sliding_attention"), "rope_type");

    if (!type || type->kind != VALUE_STRING || is(type, "default"))
        return 0;
    return err_set(e, ERR_UNSUPPORTED,
                   "config.json: rope_parameters of sliding_attention have rope_type \"%.40s\", "
                   "which is not supported",
                   type->string.data);
}

int hf_put_rope(struct hf *h, struct err *e)
{
    const struct value *map = rope_map(h, "full_attention");
    const struct value *local = value_get(rope_map(h, "sliding_attention"), "rope_theta");
    const struct value *theta = value_get(map, "rope_theta");
    double base = 10000;
    size_t n_rot;
    int rc;

    if (!theta)
        theta = hf_setting(h, "rope_theta");
    if (!theta)
        theta = hf_own_setting(h, "rotary_emb_base");
    if (!local)
        local = hf_own_setting(h, "rope_local_base_freq");
    if (hf_is_number(theta)) {
        base = hf_number(theta);
        if ((rc = hf_put_number(h, "rope.freq_base", theta, e)))
            return rc;
    }
    if (hf_is_number(local) && (rc = hf_put_number(h, "rope.freq_base_swa", local, e)))
        return rc;
    if ((rc = refuse_local(h, e)) || (rc = put_rotated(h, map, &n_rot, e)) ||
        (h->arch->unrotated_every && (rc = put_unrotated(h, e))))
        return rc;
    return put_scaling(h, map, base, n_rot, e);
}
