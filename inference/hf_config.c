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

bool hf_is_true(const struct value *v)
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

/* The setting of config.json by whichever of its names is there, else the default; NULL where it is
 * null or absent, and where a family that does not have it is to pass it over. */
static const struct value *by_names(const struct hf *h, const char *const names[static 3], bool own)
{
    const struct value *v = NULL, *otherwise = NULL;

    for (size_t n = 0; n < 3 && names[n]; n++) {
        if (!v)
            v = value_get(h->config, names[n]);
        if (!otherwise)
            otherwise = value_get(h->defaults, names[n]);
    }
    if (!v || (own && !otherwise))
        v = otherwise;
    return v && v->kind != VALUE_NULL ? v : NULL;
}

/* Settings that are keys as they stand. */
static int put_numbers(struct hf *h, struct err *e)
{
    static const struct {
        const char *suffix;
        const char *names[3];
        enum { OPTIONAL, REQUIRED, OWN } kind; /* OWN: see hf_own_setting() */
    } rows[] = {
        { "block_count", { "num_hidden_layers", "n_layer" }, REQUIRED },
        { "embedding_length", { "hidden_size", "n_embd" }, REQUIRED },
        { "feed_forward_length", { "intermediate_size", "n_inner", "ffn_hidden_size" }, OPTIONAL },
        { "context_length", { "max_position_embeddings", "n_positions" }, REQUIRED },
        { "attention.head_count", { "num_attention_heads", "n_head" }, REQUIRED },
        { "attention.head_count_kv", { "num_key_value_heads" }, OWN },
        { "attention.key_length", { "head_dim" }, OPTIONAL },
        { "attention.value_length", { "head_dim" }, OPTIONAL },
        { "attention.layer_norm_rms_epsilon", { "rms_norm_eps" }, OPTIONAL },
        { "attention.layer_norm_epsilon",
          { "layer_norm_epsilon", "layer_norm_eps", "norm_epsilon" },
          OPTIONAL },
        { "attn_logit_softcapping", { "attn_logit_softcapping" }, OWN },
        { "final_logit_softcapping", { "final_logit_softcapping" }, OWN },
        { "attention.scale", { "attention_multiplier" }, OWN },
        { "embedding_scale", { "embedding_multiplier" }, OWN },
        { "residual_scale", { "residual_multiplier" }, OWN },
        { "logit_scale", { "logits_scaling" }, OWN },
        { "expert_count", { "num_local_experts", "num_experts", "n_routed_experts" }, OWN },
        { "expert_used_count", { "num_experts_per_tok", "experts_per_token" }, OWN },
        { "expert_feed_forward_length", { "moe_intermediate_size" }, OWN },
        { "expert_shared_feed_forward_length", { "shared_expert_intermediate_size" }, OWN },
        { "vocab_size", { "vocab_size" }, OPTIONAL },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct value *v = by_names(h, rows[i].names, rows[i].kind == OWN);
        int rc;

        if (!v && rows[i].kind == REQUIRED)
            return err_set(e, ERR_FORMAT, "config.json: %s is missing", rows[i].names[0]);
        if (!v || (h->n_skip && strcmp(rows[i].suffix, "context_length") == 0))
            continue;
        if (!hf_is_number(v))
            return err_set(e, ERR_FORMAT, "config.json: %s is not a number", rows[i].names[0]);
        if ((rc = hf_put_number(h, rows[i].suffix, v, e)))
            return rc;
    }
    return 0;
}

size_t hf_count(const struct hf *h, const char *name, const char *other)
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
    size_t n_embd = hf_count(h, "hidden_size", "n_embd");

    if (hf_setting(h, "intermediate_size") || hf_setting(h, "n_inner") ||
        hf_setting(h, "ffn_hidden_size") || !n_embd)
        return 0;
    return weights_put_u64(h->w, hf_key(h, "feed_forward_length").text, 4 * n_embd, e);
}

/* RoBERTa's positions begin behind the padding token's id, and are counted with what comes before.
 */
static int put_positions(struct hf *h, struct err *e)
{
    const struct value *pad = hf_setting(h, "pad_token_id");
    size_t n = hf_count(h, "max_position_embeddings", "n_positions");
    bool skips = false;

    for (size_t i = 0; i < sizeof h->hf->tensors / sizeof *h->hf->tensors; i++)
        for (const struct arch_hf_tensor *t = h->hf->tensors[i]; t && t->from; t++)
            skips |= (t->how & HF_SKIP_PAD) != 0;
    if (!skips)
        return 0;
    if (!pad || pad->kind != VALUE_INT || pad->integer < 0 || pad->integer + 1 >= (int64_t)n)
        return err_set(e, ERR_FORMAT,
                       "config.json: pad_token_id is not below max_position_embeddings, %zu", n);
    h->n_skip = (size_t)pad->integer + 1;
    return weights_put_u64(h->w, hf_key(h, "context_length").text, n - h->n_skip, e);
}

/* Falcon's, whose old form has one for all queries unless it says otherwise; 0: as many as queries.
 */
static size_t count_kv(const struct hf *h)
{
    if (h->arch->alibi && hf_is_true(hf_setting(h, "multi_query")) &&
        !hf_is_true(hf_setting(h, "new_decoder_architecture")))
        return 1;
    return hf_count(h, "num_key_value_heads", "num_kv_heads");
}

/* How many rows a fused projection gives to each of its parts; model_check() bounds the keys. */
static void read_heads(struct hf *h)
{
    size_t n_embd = hf_count(h, "hidden_size", "n_embd");

    h->n_head = hf_count(h, "num_attention_heads", "n_head");
    h->n_kv = count_kv(h);
    if (!h->n_kv)
        h->n_kv = h->n_head;
    h->head_dim = hf_count(h, "head_dim", NULL);
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
        v = hf_own_setting(h, settings[i]);
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
    const struct value *v = hf_own_setting(h, "use_parallel_residual");

    if (!v)
        v = hf_own_setting(h, "parallel_attn");
    if (!v || v->kind != VALUE_BOOL)
        return 0;
    return weights_put_bool(h->w, hf_key(h, "use_parallel_residual").text,
                            v->boolean || hf_is_true(hf_setting(h, "new_decoder_architecture")), e);
}

/* What the first Falcons add to scores in place of a rotation, and what follows from the settings
 * that they have for their heads. */
static int put_falcon(struct hf *h, struct err *e)
{
    int rc;

    if (!h->arch->alibi)
        return 0;
    if (hf_is_true(hf_setting(h, "alibi")) &&
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
        { "is_encoder_decoder", false },
        { "use_bidirectional_attention", false },
        { "alibi", false },
        { "add_cross_attention", false },
        { "is_decoder", false },
    };
    const struct value *positions = hf_setting(h, "position_embedding_type");

    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        const struct value *v = hf_setting(h, flags[i].name);

        if (h->arch->alibi && strcmp(flags[i].name, "alibi") == 0)
            continue;
        if (v && v->kind == VALUE_BOOL && v->boolean != flags[i].neutral)
            return err_set(e, ERR_UNSUPPORTED, "config.json: %s is %s, which is not supported",
                           flags[i].name, v->boolean ? "true" : "false");
    }
    if (positions && h->arch->encoder && !is_text(positions, "absolute"))
        return err_set(e, ERR_UNSUPPORTED,
                       "config.json: position_embedding_type is \"%.40s\", which is not supported",
                       positions->kind == VALUE_STRING ? positions->string.data : "?");
    return 0;
}

/* Gemma's scores are divided by the root of a number of their own. */
static int put_scale(struct hf *h, struct err *e)
{
    const struct value *v = hf_own_setting(h, "query_pre_attn_scalar");

    if (!hf_is_number(v) || !(hf_number(v) > 0))
        return 0;
    return weights_put_f64(h->w, hf_key(h, "attention.scale").text, 1 / sqrt(hf_number(v)), e);
}

/* GPT-2's may not be divided by the root of a head's width, and by the layer's number beside. */
static int put_gpt2_scale(struct hf *h, struct err *e)
{
    const struct value *divided = hf_own_setting(h, "scale_attn_weights");
    const struct value *layers = hf_own_setting(h, "scale_attn_by_inverse_layer_idx");
    int rc = 0;

    if (divided && !hf_is_true(divided))
        rc = weights_put_f64(h->w, hf_key(h, "attention.scale").text, 1, e);
    if (rc == 0 && hf_is_true(layers))
        rc = weights_put_bool(h->w, hf_key(h, "attention.scale_by_layer").text, true, e);
    return rc;
}

static int put_experts(struct hf *h, struct err *e)
{
    const struct value *norm = hf_own_setting(h, "norm_topk_prob");

    if (!norm || norm->kind != VALUE_BOOL)
        return 0;
    return weights_put_bool(h->w, hf_key(h, "expert_weights_norm").text, norm->boolean, e);
}

int hf_put_config(struct hf *h, struct err *e)
{
    int rc;

    read_heads(h);
    h->tied = hf_is_true(hf_setting(h, "tie_word_embeddings"));
    if ((rc = put_activation(h, e)) || (rc = put_parallel(h, e)) || (rc = refuse_others(h, e)) ||
        (rc = put_quantisation(h, e)) || (rc = put_positions(h, e)) || (rc = put_numbers(h, e)) ||
        (rc = put_inner(h, e)) || (rc = hf_put_rope(h, e)) || (rc = hf_put_window(h, e)) ||
        (rc = put_scale(h, e)) || (rc = put_gpt2_scale(h, e)) || (rc = put_experts(h, e)) ||
        (rc = put_falcon(h, e)))
        return rc;
    return 0;
}
