/* olmo2.c - OLMo 2 (OLMo Team 2025, section 3): norms stand behind attention and feed-forward, not
 * before them, and q and k are normalised as whole rows. */
#include "inference/arch/arch.h"

static const struct arch_hf_tensor norms[] = {
    { "layers.%.post_attention_layernorm.weight",
      { "blk.%.post_attention_norm.weight" },
      HF_AS_IS },
    { "layers.%.post_feedforward_layernorm.weight", { "blk.%.post_ffw_norm.weight" }, HF_AS_IS },
    { NULL, { NULL }, HF_AS_IS },
};

static const struct arch_hf huggingface = {
    .model_types = { "olmo2" },
    .prefix = "model.",
    .tensors = { norms, arch_hf_decoder },
    .defaults = "{\"hidden_act\":\"silu\",\"rms_norm_eps\":1e-5,\"tie_word_embeddings\":false,"
                "\"num_key_value_heads\":null,\"max_position_embeddings\":2048,"
                "\"attention_bias\":false}",
    .rope = ROPE_NEOX,
};

const struct arch arch_olmo2 = {
    .name = "olmo2",
    .layer = {
        [SLOT_WQ] = { "attn_q.weight", ARCH_REQUIRED },
        [SLOT_WK] = { "attn_k.weight", ARCH_REQUIRED },
        [SLOT_WV] = { "attn_v.weight", ARCH_REQUIRED },
        [SLOT_WO] = { "attn_output.weight", ARCH_REQUIRED },
        [SLOT_BQ] = { "attn_q.bias", ARCH_OPTIONAL },
        [SLOT_BK] = { "attn_k.bias", ARCH_OPTIONAL },
        [SLOT_BV] = { "attn_v.bias", ARCH_OPTIONAL },
        [SLOT_BO] = { "attn_output.bias", ARCH_OPTIONAL },
        [SLOT_Q_ROW_NORM] = { "attn_q_norm.weight", ARCH_REQUIRED },
        [SLOT_K_ROW_NORM] = { "attn_k_norm.weight", ARCH_REQUIRED },
        [SLOT_ATTN_POST_NORM] = { "post_attention_norm.weight", ARCH_REQUIRED },
        [SLOT_GATE] = { "ffn_gate.weight", ARCH_REQUIRED },
        [SLOT_UP] = { "ffn_up.weight", ARCH_REQUIRED },
        [SLOT_DOWN] = { "ffn_down.weight", ARCH_REQUIRED },
        [SLOT_FFN_POST_NORM] = { "post_ffw_norm.weight", ARCH_REQUIRED },
    },
    .norm = NORM_RMS,
    .rope = ROPE_NEOX,
    .act = ACT_SILU,
    .hf = { &huggingface },
};
