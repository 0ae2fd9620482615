/* hf_rope.c - config.json's rotary position embedding as the keys of a GGUF file. */
#include <math.h>
#include <string.h>

#include "inference/hf.h"

/* Version 5 keeps all of it in rope_parameters, where layers differ in one such map for each kind
 * of layer; version 4 has rope_theta and, where positions are scaled, rope_scaling. */
static const struct value *rope_map(const struct hf *h, const char *kind)
{
    const struct value *v = hf_setting(h, "rope_parameters");

    if (value_get(v, "full_attention"))
        return value_get(v, kind);
    if (strcmp(kind, "full_attention") != 0)
        return NULL;
    return v ? v : hf_setting(h, "rope_scaling");
}

static double factor(const struct value *map, const char *name, double otherwise)
{
    const struct value *v = value_get(map, name);

    return hf_is_number(v) ? hf_number(v) : otherwise;
}

/* Llama 3.1's scaling (modeling_rope_utils.py, _compute_llama3_parameters) as the divisors that a
 * GGUF file has for it: long waves are slowed down by `factor`, short ones not, those between in
 * part. */
static int put_llama3(struct hf *h, const struct value *map, double base, struct err *e)
{
    size_t n = h->head_dim / 2;
    double by = factor(map, "factor", 0), low = factor(map, "low_freq_factor", 0),
           high = factor(map, "high_freq_factor", 0),
           old = factor(map, "original_max_position_embeddings", 0);
    struct tensor t = { .name = "rope_freqs.weight",
                        .dtype = DTYPE_F32,
                        .n_dims = 1,
                        .shape = { n, 1, 1, 1 },
                        .bytes = n * sizeof(float) };
    float *out;

    if (!(by > 0 && low > 0 && high > low && old > 0) || n == 0)
        return err_set(e, ERR_FORMAT,
                       "config.json: llama3 rope scaling needs factor, low_freq_factor, "
                       "high_freq_factor and original_max_position_embeddings");
    out = weights_room(h->w, t.bytes);
    if (!out)
        return err_set(e, ERR_NOMEM, "no memory for rope frequencies");
    for (size_t i = 0; i < n; i++) {
        double wave = 2 * M_PI * pow(base, 2.0 * (double)i / (double)h->head_dim);
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

/* Positions that the model was first trained for; 0: config.json does not say. */
static double old_context(const struct hf *h, const struct value *map)
{
    const struct value *v = hf_setting(h, "original_max_position_embeddings");

    return hf_is_number(v) ? hf_number(v) : factor(map, "original_max_position_embeddings", 0);
}

static int put_longrope(struct hf *h, const struct value *map, struct err *e)
{
    const struct value *max = hf_setting(h, "max_position_embeddings");
    double old = old_context(h, map), attention = factor(map, "attention_factor", 0);
    double by = hf_is_number(max) ? hf_number(max) / old : 0;
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
    double old = factor(map, "original_max_position_embeddings", 0);
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

static int put_scaling(struct hf *h, const struct value *map, double base, struct err *e)
{
    const struct value *type = value_get(map, "rope_type");
    int rc = 0;

    if (!type)
        type = value_get(map, "type");
    if (!type || type->kind != VALUE_STRING || strcmp(type->string.data, "default") == 0)
        return 0;
    if (strcmp(type->string.data, "llama3") == 0 && h->arch->rope_factors)
        return put_llama3(h, map, base, e);
    if ((strcmp(type->string.data, "longrope") == 0 || strcmp(type->string.data, "su") == 0) &&
        h->arch->longrope)
        return put_longrope(h, map, e);
    if (strcmp(type->string.data, "yarn") == 0)
        rc = put_yarn(h, map, e);
    /* model_check() refuses what it does not know */
    if (rc == 0)
        rc = weights_put_copy(h->w, hf_key(h, "rope.scaling.type").text,
                              (struct str){ type->string.data, type->string.len }, e);
    if (rc == 0 && hf_is_number(value_get(map, "factor")))
        rc = hf_put_number(h, "rope.scaling.factor", value_get(map, "factor"), e);
    return rc;
}

/* partial_rotary_factor of a head's values are rotated. */
static int put_rotated(struct hf *h, const struct value *map, struct err *e)
{
    const struct value *v = value_get(map, "partial_rotary_factor");

    if (!v)
        v = hf_setting(h, "partial_rotary_factor");
    if (!v)
        v = hf_setting(h, "rotary_pct");
    if (!hf_is_number(v) || !(hf_number(v) > 0 && hf_number(v) <= 1))
        return v ? err_set(e, ERR_FORMAT, "config.json: partial_rotary_factor is not in (0, 1]")
                 : 0;
    return weights_put_u64(h->w, hf_key(h, "rope.dimension_count").text,
                           (uint64_t)((double)h->head_dim * hf_number(v)), e);
}

/* SmolLM3's no_rope_layers: a list of 1 (rotated) and 0, or every no_rope_layer_interval-th layer.
 */
static int put_unrotated(struct hf *h, struct err *e)
{
    const struct value *list = hf_setting(h, "no_rope_layers");
    const struct value *every = hf_setting(h, "no_rope_layer_interval");
    uint64_t n = every && every->kind == VALUE_INT && every->integer > 0 ? (uint64_t)every->integer
                                                                         : h->arch->unrotated_every;

    if (list && list->kind == VALUE_LIST && list->list.len) {
        n = 0;
        for (size_t i = 0; i < list->list.len; i++) {
            const struct value *v = list->list.items[i];
            bool rotated =
                v->kind == VALUE_INT ? v->integer != 0 : v->kind == VALUE_BOOL && v->boolean;

            if (!rotated && n == 0)
                n = i + 1;
            if (rotated != (n == 0 || (i + 1) % n != 0))
                return err_set(e, ERR_UNSUPPORTED,
                               "config.json: no_rope_layers do not repeat after %llu layers",
                               (unsigned long long)n);
        }
    }
    return weights_put_u64(h->w, hf_key(h, "rope.unrotated_every").text, n, e);
}

int hf_put_rope(struct hf *h, struct err *e)
{
    const struct value *map = rope_map(h, "full_attention");
    const struct value *local = value_get(rope_map(h, "sliding_attention"), "rope_theta");
    const struct value *theta = value_get(map, "rope_theta");
    double base = 10000;
    int rc;

    if (!theta)
        theta = hf_setting(h, "rope_theta");
    if (!theta)
        theta = hf_setting(h, "rotary_emb_base");
    if (!local)
        local = hf_setting(h, "rope_local_base_freq");
    if (hf_is_number(theta)) {
        base = hf_number(theta);
        if ((rc = hf_put_number(h, "rope.freq_base", theta, e)))
            return rc;
    }
    if (hf_is_number(local) && (rc = hf_put_number(h, "rope.freq_base_swa", local, e)))
        return rc;
    if ((rc = put_rotated(h, map, e)) || (h->arch->unrotated_every && (rc = put_unrotated(h, e))))
        return rc;
    return put_scaling(h, map, base, e);
}
