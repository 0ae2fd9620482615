/* hf_config.c - config.json's settings as the keys of a GGUF file.
 *
 * A setting that would change the results and has no key is refused; those that only matter for
 * training are passed over.  Names are those of Hugging Face's configuration classes, both as
 * version 4 and as version 5 write them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "inference/hf.h"
#include "inference/model.h"

struct hf_key hf_key(const struct hf *h, const char *suffix)
{
    struct hf_key k;

    snprintf(k.text, sizeof k.text, "%s.%s", h->arch->name, suffix);
    return k;
}

bool hf_is_number(const struct value *v)
{
    return v && (v->kind == VALUE_INT || v->kind == VALUE_FLOAT);
}

double hf_number(const struct value *v)
{
    return v->kind == VALUE_INT ? (double)v->integer : v->number;
}

static bool is_true(const struct value *v)
{
    return v && v->kind == VALUE_BOOL && v->boolean;
}

int hf_put_number(struct hf *h, const char *suffix, const struct value *v, struct err *e)
{
    struct hf_key k = hf_key(h, suffix);

    if (v->kind == VALUE_INT && v->integer >= 0)
        return weights_put_u64(h->w, k.text, (uint64_t)v->integer, e);
    return weights_put_f64(h->w, k.text, hf_number(v), e);
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
        { "feed_forward_length", { "intermediate_size", "n_inner", "ffn_hidden_size" }, false },
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
        { "expert_used_count", { "num_experts_per_tok", "experts_per_token" }, false },
        { "expert_feed_forward_length", { "moe_intermediate_size" }, false },
        { "expert_shared_feed_forward_length", { "shared_expert_intermediate_size" }, false },
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
        if (!hf_is_number(v))
            return err_set(e, ERR_FORMAT, "config.json: %s is not a number", rows[i].names[0]);
        if ((rc = hf_put_number(h, rows[i].suffix, v, e)))
            return rc;
    }
    return 0;
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

/* GPT-2's n_inner and Falcon's ffn_hidden_size are mostly left out: four times the width. */
static int put_inner(struct hf *h, struct err *e)
{
    size_t n_embd = count_of(h, "hidden_size", "n_embd");

    if (hf_setting(h, "intermediate_size") || hf_setting(h, "n_inner") ||
        hf_setting(h, "ffn_hidden_size") || !n_embd)
        return 0;
    return weights_put_u64(h->w, hf_key(h, "feed_forward_length").text, 4 * n_embd, e);
}

/* Falcon's, whose old form has one for all queries unless it says otherwise; 0: as many as queries.
 */
static size_t count_kv(const struct hf *h)
{
    if (h->arch->alibi && is_true(hf_setting(h, "multi_query")) &&
        !is_true(hf_setting(h, "new_decoder_architecture")))
        return 1;
    return count_of(h, "num_key_value_heads", "num_kv_heads");
}

/* How many rows a fused projection gives to each of its parts; model_check() bounds the keys. */
static void read_heads(struct hf *h)
{
    size_t n_embd = count_of(h, "hidden_size", "n_embd");

    h->n_head = count_of(h, "num_attention_heads", "n_head");
    h->n_kv = count_kv(h);
    if (!h->n_kv)
        h->n_kv = h->n_head;
    h->head_dim = count_of(h, "head_dim", NULL);
    if (!h->head_dim && h->n_head)
        h->head_dim = n_embd / h->n_head;
}

/* gpt-oss has a function of its own, whose two numbers are written down but always these. */
static int check_swiglu(const struct hf *h, struct err *e)
{
    static const struct {
        const char *name;
        double expected;
    } rows[] = { { "swiglu_alpha", 1.702 }, { "swiglu_limit", 7 } };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct value *v = hf_setting(h, rows[i].name);

        if (!hf_is_number(v) || hf_number(v) != rows[i].expected)
            return err_set(e, ERR_UNSUPPORTED, "config.json: %s is not %g, which is not supported",
                           rows[i].name, rows[i].expected);
    }
    return 0;
}

/* The feed-forward part's function, where it is not the family's. */
static int put_activation(struct hf *h, struct err *e)
{
    static const char *const settings[] = { "hidden_activation", "hidden_act",
                                            "activation_function", "activation" };
    const struct value *v = NULL;
    enum act_kind act;

    if (h->arch->act == ACT_SWIGLU_OAI) /* whatever hidden_act says */
        return check_swiglu(h, e);
    for (size_t i = 0; i < sizeof settings / sizeof *settings && !v; i++)
        v = hf_setting(h, settings[i]);
    if (!v || v->kind != VALUE_STRING)
        return err_set(e, ERR_FORMAT, "config.json: hidden_act is missing");
    if (!arch_find_act(v->string.data, v->string.len, &act))
        return err_set(e, ERR_UNSUPPORTED, "config.json: activation \"%.40s\" is not supported",
                       v->string.data);
    if (act == ACT_GELU_ERF && h->hf->gelu_is_tanh)
        act = ACT_GELU_TANH;
    if (act == h->arch->act)
        return 0;
    return weights_put_copy(h->w, hf_key(h, "hidden_activation").text,
                            (struct str){ v->string.data, v->string.len }, e);
}

/* Whether attention and feed-forward part read the same stream. */
static int put_parallel(struct hf *h, struct err *e)
{
    const struct value *v = hf_setting(h, "use_parallel_residual");

    if (!v)
        v = hf_setting(h, "parallel_attn");
    if (!v || v->kind != VALUE_BOOL)
        return 0;
    return weights_put_bool(h->w, hf_key(h, "use_parallel_residual").text,
                            v->boolean || is_true(hf_setting(h, "new_decoder_architecture")), e);
}

/* What the first Falcons add to scores in place of a rotation, and what follows from the settings
 * that they have for their heads. */
static int put_falcon(struct hf *h, struct err *e)
{
    int rc;

    if (!h->arch->alibi)
        return 0;
    if (is_true(hf_setting(h, "alibi")) &&
        (rc = weights_put_f64(h->w, hf_key(h, "attention.max_alibi_bias").text, 8, e)))
        return rc;
    return weights_put_u64(h->w, hf_key(h, "attention.head_count_kv").text, h->n_kv, e);
}

static bool is_text(const struct value *v, const char *text)
{
    return v && v->kind == VALUE_STRING && strcmp(v->string.data, text) == 0;
}

/* How weights are stored.  Of MXFP4 and 8-bit floats types and names of tensors tell all that there
 * is to know. */
static int put_quantisation(struct hf *h, struct err *e)
{
    const struct value *q = hf_setting(h, "quantization_config");
    const struct value *method = value_get(q, "quant_method");

    if (!q || is_text(method, "mxfp4"))
        return 0;
    h->fp8 = is_text(method, "fp8") || is_text(method, "fbgemm_fp8") ||
             (is_text(method, "compressed-tensors") &&
              is_text(value_get(q, "format"), "float-quantized"));
    if (!h->fp8)
        return err_set(e, ERR_UNSUPPORTED,
                       "config.json: weights quantised by \"%.40s\" are not supported; supported "
                       "are: mxfp4, fp8",
                       method && method->kind == VALUE_STRING ? method->string.data : "?");
    return 0;
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

    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        const struct value *v = hf_setting(h, flags[i].name);

        if (h->arch->alibi && strcmp(flags[i].name, "alibi") == 0)
            continue;
        if (v && v->kind == VALUE_BOOL && v->boolean != flags[i].neutral)
            return err_set(e, ERR_UNSUPPORTED, "config.json: %s is %s, which is not supported",
                           flags[i].name, v->boolean ? "true" : "false");
    }
    return 0;
}

/* --- attention -------------------------------------------------------------------------------- */

/* layer_types as 1 where a layer has the window, 0 where it attends to everything. */
static int read_types(const struct value *types, int64_t *slides, size_t n, struct err *e)
{
    if (types->list.len != n)
        return err_set(e, ERR_FORMAT, "config.json: layer_types are of %zu layers, expected %zu",
                       types->list.len, n);
    for (size_t i = 0; i < n; i++) {
        const struct value *t = types->list.items[i];
        bool full = t->kind == VALUE_STRING && strcmp(t->string.data, "full_attention") == 0;

        if (!full && (t->kind != VALUE_STRING || strcmp(t->string.data, "sliding_attention") != 0))
            return err_set(e, ERR_UNSUPPORTED,
                           "config.json: layer_types has \"%.40s\", which is not supported",
                           t->kind == VALUE_STRING ? t->string.data : "something");
        slides[i] = !full;
    }
    return 0;
}

/* Which layers have the window, where config.json says it one by one, or by Qwen's
 * max_window_layers: those from that one on.  n 0: it does not. */
static int read_slides(const struct hf *h, int64_t slides[static MODEL_MAX_LAYERS], size_t *n,
                       struct err *e)
{
    const struct value *types = hf_setting(h, "layer_types");
    const struct value *from = hf_setting(h, "max_window_layers");
    size_t layers = count_of(h, "num_hidden_layers", "n_layer");

    *n = 0;
    if (layers > MODEL_MAX_LAYERS)
        return 0; /* model_check() will say so */
    if (types && types->kind == VALUE_LIST) {
        *n = layers;
        return read_types(types, slides, layers, e);
    }
    if (!from || from->kind != VALUE_INT || from->integer < 0)
        return 0;
    *n = layers;
    for (size_t i = 0; i < layers; i++)
        slides[i] = i >= (uint64_t)from->integer;
    return 0;
}

static int put_window(struct hf *h, struct err *e)
{
    const struct value *window = hf_setting(h, "sliding_window");
    const struct value *used = hf_setting(h, "use_sliding_window");
    const struct value *given = hf_setting(h, "sliding_window_pattern");
    struct hf_key key = hf_key(h, "attention.sliding_window_pattern");
    size_t pattern = h->arch->window_pattern, n = 0;
    int64_t slides[MODEL_MAX_LAYERS];
    int rc;

    if (!hf_is_number(window) || (used && !is_true(used)))
        return 0;
    rc = read_slides(h, slides, &n, e);
    if (rc)
        return rc;
    if (given && given->kind == VALUE_INT && given->integer >= 0)
        pattern = (size_t)given->integer;
    rc = n ? weights_put_ints(h->w, key.text, slides, n, e)
           : weights_put_u64(h->w, key.text, pattern, e);
    return rc ? rc : hf_put_number(h, "attention.sliding_window", window, e);
}

/* Gemma's scores are divided by the root of a number of their own. */
static int put_scale(struct hf *h, struct err *e)
{
    const struct value *v = hf_setting(h, "query_pre_attn_scalar");

    if (!hf_is_number(v) || !(hf_number(v) > 0))
        return 0;
    return weights_put_f64(h->w, hf_key(h, "attention.scale").text, 1 / sqrt(hf_number(v)), e);
}

static int put_experts(struct hf *h, struct err *e)
{
    const struct value *norm = hf_setting(h, "norm_topk_prob");

    if (!norm || norm->kind != VALUE_BOOL)
        return 0;
    return weights_put_bool(h->w, hf_key(h, "expert_weights_norm").text, norm->boolean, e);
}

int hf_put_config(struct hf *h, struct err *e)
{
    int rc;

    read_heads(h);
    h->tied = is_true(hf_setting(h, "tie_word_embeddings"));
    if ((rc = put_activation(h, e)) || (rc = put_parallel(h, e)) || (rc = refuse_others(h, e)) ||
        (rc = put_quantisation(h, e)) || (rc = put_numbers(h, e)) || (rc = put_inner(h, e)) ||
        (rc = hf_put_rope(h, e)) || (rc = put_window(h, e)) || (rc = put_scale(h, e)) ||
        (rc = put_experts(h, e)) || (rc = put_falcon(h, e)))
        return rc;
    return 0;
}
