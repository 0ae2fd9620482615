/* hf_config.c - config.json's settings as the keys of a GGUF file.
 *
 * A setting that would change the results and has no key is refused; those that only matter for
 * training are passed over.  Names are those of Hugging Face's configuration classes, both as
 * version 4 and as version 5 write them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "inference/hf.h"

/* "<family>.<suffix>" */
struct key {
    char text[96];
};

static struct key key_of(const struct hf *h, const char *suffix)
{
    struct key k;

    snprintf(k.text, sizeof k.text, "%s.%s", h->arch->name, suffix);
    return k;
}

static bool is_number(const struct value *v)
{
    return v && (v->kind == VALUE_INT || v->kind == VALUE_FLOAT);
}

static double number(const struct value *v)
{
    return v->kind == VALUE_INT ? (double)v->integer : v->number;
}

static bool is_true(const struct value *v)
{
    return v && v->kind == VALUE_BOOL && v->boolean;
}

static int put_number(struct hf *h, const char *suffix, const struct value *v, struct err *e)
{
    struct key k = key_of(h, suffix);

    if (v->kind == VALUE_INT && v->integer >= 0)
        return weights_put_u64(h->w, k.text, (uint64_t)v->integer, e);
    return weights_put_f64(h->w, k.text, number(v), e);
}

/* Settings that are keys as they stand, by whichever of their names is there. */
static int put_numbers(struct hf *h, struct err *e)
{
    static const struct {
        const char *suffix;
        const char *names[3];
        bool required;
    } rows[] = {
        { "block_count", { "num_hidden_layers", "n_layer" }, true },
        { "embedding_length", { "hidden_size", "n_embd" }, true },
        { "feed_forward_length", { "intermediate_size", "n_inner" }, false },
        { "context_length", { "max_position_embeddings", "n_positions" }, true },
        { "attention.head_count", { "num_attention_heads", "n_head" }, true },
        { "attention.head_count_kv", { "num_key_value_heads" }, false },
        { "attention.key_length", { "head_dim" }, false },
        { "attention.value_length", { "head_dim" }, false },
        { "attention.layer_norm_rms_epsilon", { "rms_norm_eps" }, false },
        { "attention.layer_norm_epsilon",
          { "layer_norm_epsilon", "layer_norm_eps", "norm_epsilon" },
          false },
        { "attn_logit_softcapping", { "attn_logit_softcapping" }, false },
        { "final_logit_softcapping", { "final_logit_softcapping" }, false },
        { "attention.scale", { "attention_multiplier" }, false },
        { "embedding_scale", { "embedding_multiplier" }, false },
        { "residual_scale", { "residual_multiplier" }, false },
        { "logit_scale", { "logits_scaling" }, false },
        { "expert_count", { "num_local_experts", "num_experts", "n_routed_experts" }, false },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct value *v = NULL;
        int rc;

        for (size_t n = 0; n < 3 && rows[i].names[n] && !v; n++)
            v = hf_setting(h, rows[i].names[n]);
        if (!v && rows[i].required)
            return err_set(e, ERR_FORMAT, "config.json: %s is missing", rows[i].names[0]);
        if (!v)
            continue;
        if (!is_number(v))
            return err_set(e, ERR_FORMAT, "config.json: %s is not a number", rows[i].names[0]);
        if ((rc = put_number(h, rows[i].suffix, v, e)))
            return rc;
    }
    return 0;
}

/* GPT-2's n_inner is mostly left out: four times the width. */
static int put_inner(struct hf *h, struct err *e)
{
    const struct value *n_embd = hf_setting(h, "n_embd");

    if (hf_setting(h, "intermediate_size") || hf_setting(h, "n_inner") || !n_embd ||
        n_embd->kind != VALUE_INT || n_embd->integer < 0 || n_embd->integer > 1 << 20)
        return 0;
    return weights_put_u64(h->w, key_of(h, "feed_forward_length").text,
                           4 * (uint64_t)n_embd->integer, e);
}

/* A count between 1 and 2^20, or 0 where there is none such. */
static size_t count_of(const struct hf *h, const char *name, const char *other)
{
    const struct value *v = hf_setting(h, name);

    if (!v && other)
        v = hf_setting(h, other);
    return v && v->kind == VALUE_INT && v->integer > 0 && v->integer <= 1 << 20 ? (size_t)v->integer
                                                                                : 0;
}

/* How many rows a fused projection gives to each of its parts; model_check() bounds the keys. */
static void read_heads(struct hf *h)
{
    size_t n_embd = count_of(h, "hidden_size", "n_embd");

    h->n_head = count_of(h, "num_attention_heads", "n_head");
    h->n_kv = count_of(h, "num_key_value_heads", NULL);
    if (!h->n_kv)
        h->n_kv = h->n_head;
    h->head_dim = count_of(h, "head_dim", NULL);
    if (!h->head_dim && h->n_head)
        h->head_dim = n_embd / h->n_head;
}

/* The feed-forward part's function must be the family's. */
static int check_activation(const struct hf *h, struct err *e)
{
    static const struct {
        const char *name;
        enum act_kind act;
    } names[] = {
        { "silu", ACT_SILU },           { "swish", ACT_SILU },
        { "gelu_new", ACT_GELU_TANH },  { "gelu_pytorch_tanh", ACT_GELU_TANH },
        { "gelu_fast", ACT_GELU_TANH }, { "gelu", ACT_GELU_ERF },
        { "relu", ACT_RELU },
    };
    static const char *const settings[] = { "hidden_activation", "hidden_act",
                                            "activation_function" };
    const struct value *v = NULL;

    for (size_t i = 0; i < sizeof settings / sizeof *settings && !v; i++)
        v = hf_setting(h, settings[i]);
    if (!v || v->kind != VALUE_STRING)
        return err_set(e, ERR_FORMAT, "config.json: hidden_act is missing");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, v->string.data) == 0 && names[i].act == h->arch->act)
            return 0;
    return err_set(e, ERR_UNSUPPORTED,
                   "config.json: activation \"%.40s\" in a model of family %s is not supported",
                   v->string.data, h->arch->name);
}

/* Settings under which results would be others. */
static int refuse_others(const struct hf *h, struct err *e)
{
    static const struct {
        const char *name;
        bool neutral;
    } flags[] = {
        { "scale_attn_by_inverse_layer_idx", false },
        { "scale_attn_weights", true },
        { "is_encoder_decoder", false },
        { "use_bidirectional_attention", false },
        { "alibi", false },
        { "add_cross_attention", false },
    };
    const struct value *q = hf_setting(h, "quantization_config");

    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        const struct value *v = hf_setting(h, flags[i].name);

        if (v && v->kind == VALUE_BOOL && v->boolean != flags[i].neutral)
            return err_set(e, ERR_UNSUPPORTED, "config.json: %s is %s, which is not supported",
                           flags[i].name, v->boolean ? "true" : "false");
    }
    if (q) {
        const struct value *method = value_get(q, "quant_method");

        return err_set(e, ERR_UNSUPPORTED,
                       "config.json: weights quantised by \"%.40s\" are not supported",
                       method && method->kind == VALUE_STRING ? method->string.data : "?");
    }
    return 0;
}

/* --- rotary position embedding ---------------------------------------------------------------- */

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

    return is_number(v) ? number(v) : otherwise;
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

static int put_scaling(struct hf *h, const struct value *map, double base, struct err *e)
{
    const struct value *type = value_get(map, "rope_type");
    struct key name = key_of(h, "rope.scaling.type");
    int rc;

    if (!type)
        type = value_get(map, "type");
    if (!type || type->kind != VALUE_STRING || strcmp(type->string.data, "default") == 0)
        return 0;
    if (strcmp(type->string.data, "llama3") == 0 && h->arch->rope_factors)
        return put_llama3(h, map, base, e);
    /* model_check() refuses what it does not know */
    rc = weights_put_copy(h->w, name.text, (struct str){ type->string.data, type->string.len }, e);
    if (rc == 0 && is_number(value_get(map, "factor")))
        rc = put_number(h, "rope.scaling.factor", value_get(map, "factor"), e);
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
    if (!is_number(v) || !(number(v) > 0 && number(v) <= 1))
        return v ? err_set(e, ERR_FORMAT, "config.json: partial_rotary_factor is not in (0, 1]")
                 : 0;
    return weights_put_u64(h->w, key_of(h, "rope.dimension_count").text,
                           (uint64_t)((double)h->head_dim * number(v)), e);
}

static int put_rope(struct hf *h, struct err *e)
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
    if (is_number(theta)) {
        base = number(theta);
        if ((rc = put_number(h, "rope.freq_base", theta, e)))
            return rc;
    }
    if (is_number(local) && (rc = put_number(h, "rope.freq_base_swa", local, e)))
        return rc;
    if ((rc = put_rotated(h, map, e)))
        return rc;
    return put_scaling(h, map, base, e);
}

/* --- attention -------------------------------------------------------------------------------- */

/* layer_types as a pattern p: the layers whose number + 1 is a multiple of p attend to everything.
 * 0: none does; 1: all do. */
static int pattern_of(const struct value *types, size_t *pattern, struct err *e)
{
    size_t p = 0;

    for (size_t i = 0; i < types->list.len; i++) {
        const struct value *t = types->list.items[i];
        bool full = t->kind == VALUE_STRING && strcmp(t->string.data, "full_attention") == 0;

        if (!full && (t->kind != VALUE_STRING || strcmp(t->string.data, "sliding_attention") != 0))
            return err_set(e, ERR_UNSUPPORTED,
                           "config.json: layer_types has \"%.40s\", which is not supported",
                           t->kind == VALUE_STRING ? t->string.data : "something");
        if (full && p == 0)
            p = i + 1;
        if (full != (p != 0 && (i + 1) % p == 0))
            return err_set(e, ERR_UNSUPPORTED,
                           "config.json: layer_types do not repeat after %zu layers", p);
    }
    *pattern = p;
    return 0;
}

/* Qwen's layers from max_window_layers on have the window, where it is used at all. */
static int window_from_layer(const struct hf *h, size_t *pattern, struct err *e)
{
    const struct value *from = hf_setting(h, "max_window_layers");
    size_t n = count_of(h, "num_hidden_layers", NULL);

    if (!from || from->kind != VALUE_INT || from->integer == 0)
        return 0;
    if (from->integer < 0 || (uint64_t)from->integer < n)
        return err_set(e, ERR_UNSUPPORTED,
                       "config.json: a sliding window from layer %lld on is not supported",
                       (long long)from->integer);
    *pattern = 1;
    return 0;
}

static int put_window(struct hf *h, struct err *e)
{
    const struct value *window = hf_setting(h, "sliding_window");
    const struct value *used = hf_setting(h, "use_sliding_window");
    const struct value *types = hf_setting(h, "layer_types");
    const struct value *given = hf_setting(h, "sliding_window_pattern");
    size_t pattern = h->arch->window_pattern;
    int rc;

    if (!is_number(window) || (used && !is_true(used)))
        return 0;
    if (types && types->kind == VALUE_LIST)
        rc = pattern_of(types, &pattern, e);
    else
        rc = window_from_layer(h, &pattern, e);
    if (rc)
        return rc;
    if (!types && given && given->kind == VALUE_INT && given->integer >= 0)
        pattern = (size_t)given->integer;
    rc = weights_put_u64(h->w, key_of(h, "attention.sliding_window_pattern").text, pattern, e);
    return rc ? rc : put_number(h, "attention.sliding_window", window, e);
}

/* Gemma's scores are divided by the root of a number of their own. */
static int put_scale(struct hf *h, struct err *e)
{
    const struct value *v = hf_setting(h, "query_pre_attn_scalar");

    if (!is_number(v) || !(number(v) > 0))
        return 0;
    return weights_put_f64(h->w, key_of(h, "attention.scale").text, 1 / sqrt(number(v)), e);
}

int hf_put_config(struct hf *h, struct err *e)
{
    int rc;

    read_heads(h);
    h->tied = is_true(hf_setting(h, "tie_word_embeddings"));
    if ((rc = check_activation(h, e)) || (rc = refuse_others(h, e)) || (rc = put_numbers(h, e)) ||
        (rc = put_inner(h, e)) || (rc = put_rope(h, e)) || (rc = put_window(h, e)) ||
        (rc = put_scale(h, e)))
        return rc;
    return 0;
}
