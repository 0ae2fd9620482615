/* phi2.c - Phi-1, Phi-1.5 and Phi-2 (Li et al. 2023): layer norms, biases everywhere, the head's
 * too, a part of each head rotated; attention and feed-forward part share a norm and read the same
 * stream. */
#include "inference/arch/arch.h"

static const struct arch_hf_tensor own[] = {
    { "final_layernorm.weight", { "output_norm.weight" }, HF_AS_IS },
    { "final_layernorm.bias", { "output_norm.bias" }, HF_AS_IS },
    { "lm_head.bias", { "output.bias" }, HF_AS_IS },
    { "layers.%.input_layernorm.bias", { "blk.%.attn_norm.bias" }, HF_AS_IS },
    { "layers.%.self_attn.dense.weight", { "blk.%.attn_output.weight" }, HF_AS_IS },
    { "layers.%.self_attn.dense.bias", { "blk.%.attn_output.bias" }, HF_AS_IS },
    { "layers.%.mlp.fc1.weight", { "blk.%.ffn_up.weight" }, HF_AS_IS },
    { "layers.%.mlp.fc1.bias", { "blk.%.ffn_up.bias" }, HF_AS_IS },
    { "layers.%.mlp.fc2.weight", { "blk.%.ffn_down.weight" }, HF_AS_IS },
    { "layers.%.mlp.fc2.bias", { "blk.%.ffn_down.bias" }, HF_AS_IS },
    { "layers.%.self_attn.q_layernorm.weight", { "blk.%.attn_q_norm.weight" }, HF_AS_IS },
    { "layers.%.self_attn.q_layernorm.bias", { "blk.%.attn_q_norm.bias" }, HF_AS_IS },
    { "layers.%.self_attn.k_layernorm.weight", { "blk.%.attn_k_norm.weight" }, HF_AS_IS },
    { "layers.%.self_attn.k_layernorm.bias", { "blk.%.attn_k_norm.bias" }, HF_AS_IS },
    { NULL, { NULL }, HF_AS_IS },
};

static const struct arch_hf huggingface = {
    .model_types = { "phi" },
    .prefix = "model.",
    .tensors = { own, arch_hf_decoder },
    .defaults = "{\"hidden_act\":\"gelu_new\",\"layer_norm_eps\":1e-5,"
                "\"tie_word_embeddings\":false,\"num_key_value_heads\":null,"
                "\"partial_rotary_factor\":0.5,\"max_position_embeddings\":2048,"
                "\"qk_layernorm\":false}",
    .rope = ROPE_NEOX,
};

static const struct arch_hf_tensor fused[] = {
    { "blk.%.attn_qkv.weight",
      { "blk.%.attn_q.weight", "blk.%.attn_k.weight", "blk.%.attn_v.weight" },
      HF_AS_IS },
    { "blk.%.attn_qkv.bias",
      { "blk.%.attn_q.bias", "blk.%.attn_k.bias", "blk.%.attn_v.bias" },
      HF_AS_IS },
    { NULL, { NULL }, HF_AS_IS },
};

const struct arch arch_phi2 = {
    .name = "phi2",
    .layer = {
        [SLOT_ATTN_NORM] = { "attn_norm.weight", ARCH_REQUIRED },
        [SLOT_ATTN_NORM_BIAS] = { "attn_norm.bias", ARCH_REQUIRED },
        [SLOT_WQ] = { "attn_q.weight", ARCH_REQUIRED },
        [SLOT_WK] = { "attn_k.weight", ARCH_REQUIRED },
        [SLOT_WV] = { "attn_v.weight", ARCH_REQUIRED },
        [SLOT_WO] = { "attn_output.weight", ARCH_REQUIRED },
        [SLOT_BQ] = { "attn_q.bias", ARCH_REQUIRED },
        [SLOT_BK] = { "attn_k.bias", ARCH_REQUIRED },
        [SLOT_BV] = { "attn_v.bias", ARCH_REQUIRED },
        [SLOT_BO] = { "attn_output.bias", ARCH_REQUIRED },
        [SLOT_Q_NORM] = { "attn_q_norm.weight", ARCH_OPTIONAL },
        [SLOT_K_NORM] = { "attn_k_norm.weight", ARCH_OPTIONAL },
        [SLOT_Q_NORM_BIAS] = { "attn_q_norm.bias", ARCH_OPTIONAL },
        [SLOT_K_NORM_BIAS] = { "attn_k_norm.bias", ARCH_OPTIONAL },
        [SLOT_UP] = { "ffn_up.weight", ARCH_REQUIRED },
        [SLOT_BUP] = { "ffn_up.bias", ARCH_REQUIRED },
        [SLOT_DOWN] = { "ffn_down.weight", ARCH_REQUIRED },
        [SLOT_BDOWN] = { "ffn_down.bias", ARCH_REQUIRED },
    },
    .norm = NORM_LAYER,
    .rope = ROPE_NEOX,
    .act = ACT_GELU_TANH,
    .parallel = ARCH_PARALLEL,
    .final_norm_bias = true,
    .head_bias = true,
    .fused = fused,
    .hf = { &huggingface },
};
