/* falcon.c - Falcon (Almazrouei et al. 2023): layer norms, few or one key and value for all queries
 * of a group, attention and feed-forward part beside each other, behind one norm or (40B, 180B)
 * each behind its own.  The RW models have ALiBi in place of a rotation, biases, and their parts
 * one after the other.
 *
 * In a GGUF file the norm that attention has for itself is attn_norm_2, and attn_norm is then the
 * feed-forward part's. */
#include "inference/arch/arch.h"

static const struct arch_hf_tensor tensors[] = {
    { "word_embeddings.weight", { "token_embd.weight" }, HF_AS_IS },
    { "ln_f.weight", { "output_norm.weight" }, HF_AS_IS },
    { "ln_f.bias", { "output_norm.bias" }, HF_AS_IS },
    { "lm_head.weight", { "output.weight" }, HF_AS_IS },
    { "h.%.input_layernorm.weight", { "blk.%.attn_norm.weight" }, HF_AS_IS },
    { "h.%.input_layernorm.bias", { "blk.%.attn_norm.bias" }, HF_AS_IS },
    { "h.%.post_attention_layernorm.weight", { "blk.%.ffn_norm.weight" }, HF_AS_IS },
    { "h.%.post_attention_layernorm.bias", { "blk.%.ffn_norm.bias" }, HF_AS_IS },
    { "h.%.ln_attn.weight", { "blk.%.attn_norm.weight" }, HF_AS_IS },
    { "h.%.ln_attn.bias", { "blk.%.attn_norm.bias" }, HF_AS_IS },
    { "h.%.ln_mlp.weight", { "blk.%.ffn_norm.weight" }, HF_AS_IS },
    { "h.%.ln_mlp.bias", { "blk.%.ffn_norm.bias" }, HF_AS_IS },
    { "h.%.self_attention.query_key_value.weight",
      { "blk.%.attn_q.weight", "blk.%.attn_k.weight", "blk.%.attn_v.weight" },
      HF_GROUPED },
    { "h.%.self_attention.query_key_value.bias",
      { "blk.%.attn_q.bias", "blk.%.attn_k.bias", "blk.%.attn_v.bias" },
      HF_GROUPED },
    { "h.%.self_attention.dense.weight", { "blk.%.attn_output.weight" }, HF_AS_IS },
    { "h.%.self_attention.dense.bias", { "blk.%.attn_output.bias" }, HF_AS_IS },
    { "h.%.mlp.dense_h_to_4h.weight", { "blk.%.ffn_up.weight" }, HF_AS_IS },
    { "h.%.mlp.dense_h_to_4h.bias", { "blk.%.ffn_up.bias" }, HF_AS_IS },
    { "h.%.mlp.dense_4h_to_h.weight", { "blk.%.ffn_down.weight" }, HF_AS_IS },
    { "h.%.mlp.dense_4h_to_h.bias", { "blk.%.ffn_down.bias" }, HF_AS_IS },
    /* follows from the configuration */
    { "h.%.self_attention.rotary_emb.inv_freq", { NULL }, HF_AS_IS },
    { NULL, { NULL }, HF_AS_IS },
};

static const struct arch_hf huggingface = {
    .model_types = { "falcon" },
    .prefix = "transformer.",
    .tensors = { tensors },
    .defaults = "{\"activation\":\"gelu\",\"layer_norm_epsilon\":1e-5,"
                "\"tie_word_embeddings\":true,\"multi_query\":true,\"parallel_attn\":true,"
                "\"new_decoder_architecture\":false,\"max_position_embeddings\":2048,"
                "\"bias\":false}",
    .rope = ROPE_NEOX,
};

static const struct arch_hf_tensor fused[] = {
    { "blk.%.attn_qkv.weight",
      { "blk.%.attn_q.weight", "blk.%.attn_k.weight", "blk.%.attn_v.weight" },
      HF_AS_IS },
    { "blk.%.attn_qkv.bias",
      { "blk.%.attn_q.bias", "blk.%.attn_k.bias", "blk.%.attn_v.bias" },
      HF_AS_IS },
    { "blk.%.attn_norm.weight", { "blk.%.ffn_norm.weight" }, HF_SECOND_NORM },
    { "blk.%.attn_norm.bias", { "blk.%.ffn_norm.bias" }, HF_SECOND_NORM },
    { "blk.%.attn_norm_2.weight", { "blk.%.attn_norm.weight" }, HF_SECOND_NORM },
    { "blk.%.attn_norm_2.bias", { "blk.%.attn_norm.bias" }, HF_SECOND_NORM },
    { NULL, { NULL }, HF_AS_IS },
};

const struct arch arch_falcon = {
    .name = "falcon",
    .layer = {
        [SLOT_ATTN_NORM] = { "attn_norm.weight", ARCH_REQUIRED },
        [SLOT_ATTN_NORM_BIAS] = { "attn_norm.bias", ARCH_REQUIRED },
        [SLOT_WQ] = { "attn_q.weight", ARCH_REQUIRED },
        [SLOT_WK] = { "attn_k.weight", ARCH_REQUIRED },
        [SLOT_WV] = { "attn_v.weight", ARCH_REQUIRED },
        [SLOT_WO] = { "attn_output.weight", ARCH_REQUIRED },
        [SLOT_BQ] = { "attn_q.bias", ARCH_OPTIONAL },
        [SLOT_BK] = { "attn_k.bias", ARCH_OPTIONAL },
        [SLOT_BV] = { "attn_v.bias", ARCH_OPTIONAL },
        [SLOT_BO] = { "attn_output.bias", ARCH_OPTIONAL },
        [SLOT_FFN_NORM] = { "ffn_norm.weight", ARCH_OPTIONAL },
        [SLOT_FFN_NORM_BIAS] = { "ffn_norm.bias", ARCH_OPTIONAL },
        [SLOT_UP] = { "ffn_up.weight", ARCH_REQUIRED },
        [SLOT_BUP] = { "ffn_up.bias", ARCH_OPTIONAL },
        [SLOT_DOWN] = { "ffn_down.weight", ARCH_REQUIRED },
        [SLOT_BDOWN] = { "ffn_down.bias", ARCH_OPTIONAL },
    },
    .norm = NORM_LAYER,
    .rope = ROPE_NEOX,
    .act = ACT_GELU_ERF,
    .parallel = ARCH_PARALLEL_BY_KEY,
    .final_norm_bias = true,
    .alibi = true,
    .fused = fused,
    .hf = { &huggingface },
};
