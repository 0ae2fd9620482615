/* stablelm.c - StableLM 3B 4E1T, Zephyr, StableLM 2 (Bellagente et al. 2024): Llama's block with
 * layer norms and a part of each head rotated.  The 12B normalises each head of q and k with
 * weights of its own, and has its parts beside each other behind one norm. */
#include "inference/arch/arch.h"

static const struct arch_hf_tensor own[] = {
    { "norm.bias", { "output_norm.bias" }, HF_AS_IS },
    { "layers.%.input_layernorm.bias", { "blk.%.attn_norm.bias" }, HF_AS_IS },
    { "layers.%.post_attention_layernorm.bias", { "blk.%.ffn_norm.bias" }, HF_AS_IS },
    { "layers.%.self_attn.q_layernorm.norms.%.weight", { "blk.%.attn_q_norm.weight" }, HF_STACKED },
    { "layers.%.self_attn.k_layernorm.norms.%.weight", { "blk.%.attn_k_norm.weight" }, HF_STACKED },
    { NULL, { NULL }, HF_AS_IS },
};

static const struct arch_hf huggingface = {
    .model_types = { "stablelm" },
    .prefix = "model.",
    .tensors = { own, arch_hf_decoder },
    .defaults = "{\"hidden_act\":\"silu\",\"layer_norm_eps\":1e-5,"
                "\"tie_word_embeddings\":false,\"num_key_value_heads\":32,"
                "\"partial_rotary_factor\":0.25,\"max_position_embeddings\":4096,"
                "\"use_qkv_bias\":false,\"qk_layernorm\":false}",
    .rope = ROPE_NEOX,
};

const struct arch arch_stablelm = {
    .name = "stablelm",
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
        [SLOT_Q_HEAD_NORM] = { "attn_q_norm.weight", ARCH_OPTIONAL },
        [SLOT_K_HEAD_NORM] = { "attn_k_norm.weight", ARCH_OPTIONAL },
        [SLOT_FFN_NORM] = { "ffn_norm.weight", ARCH_OPTIONAL },
        [SLOT_FFN_NORM_BIAS] = { "ffn_norm.bias", ARCH_OPTIONAL },
        [SLOT_GATE] = { "ffn_gate.weight", ARCH_REQUIRED },
        [SLOT_UP] = { "ffn_up.weight", ARCH_REQUIRED },
        [SLOT_DOWN] = { "ffn_down.weight", ARCH_REQUIRED },
    },
    .norm = NORM_LAYER,
    .rope = ROPE_NEOX,
    .act = ACT_SILU,
    .parallel = ARCH_PARALLEL_BY_NORM,
    .final_norm_bias = true,
    .hf = { &huggingface },
};
