/* gemma.c - Gemma (Gemma Team 2024, "Open Models Based on Gemini Research"): Llama's block with
 * GELU, heads wider than the residual stream, and embeddings times the root of the width.
 *
 * The converter has added the 1 of (1 + w) to the norm weights already. */
#include "inference/arch/arch.h"

static const struct arch_hf_tensor norms[] = {
    { "norm.weight", { "output_norm.weight" }, HF_PLUS_ONE },
    { "layers.%.input_layernorm.weight", { "blk.%.attn_norm.weight" }, HF_PLUS_ONE },
    { "layers.%.post_attention_layernorm.weight", { "blk.%.ffn_norm.weight" }, HF_PLUS_ONE },
    { NULL, { NULL }, HF_AS_IS },
};

static const struct arch_hf huggingface = {
    .model_types = { "gemma" },
    .prefix = "model.",
    .tensors = { norms, arch_hf_decoder },
    .defaults = "{\"hidden_act\":\"gelu_pytorch_tanh\",\"rms_norm_eps\":1e-6,"
                "\"tie_word_embeddings\":true,\"head_dim\":256,\"num_key_value_heads\":16,"
                "\"max_position_embeddings\":8192,\"attention_bias\":false}",
    .rope = ROPE_NEOX,
    .gelu_is_tanh = true,
};

const struct arch arch_gemma = {
    .name = "gemma",
    .layer = {
        [SLOT_ATTN_NORM] = { "attn_norm.weight", ARCH_REQUIRED },
        [SLOT_WQ] = { "attn_q.weight", ARCH_REQUIRED },
        [SLOT_WK] = { "attn_k.weight", ARCH_REQUIRED },
        [SLOT_WV] = { "attn_v.weight", ARCH_REQUIRED },
        [SLOT_WO] = { "attn_output.weight", ARCH_REQUIRED },
        [SLOT_BQ] = { "attn_q.bias", ARCH_OPTIONAL },
        [SLOT_BK] = { "attn_k.bias", ARCH_OPTIONAL },
        [SLOT_BV] = { "attn_v.bias", ARCH_OPTIONAL },
        [SLOT_BO] = { "attn_output.bias", ARCH_OPTIONAL },
        [SLOT_FFN_NORM] = { "ffn_norm.weight", ARCH_REQUIRED },
        [SLOT_GATE] = { "ffn_gate.weight", ARCH_REQUIRED },
        [SLOT_UP] = { "ffn_up.weight", ARCH_REQUIRED },
        [SLOT_DOWN] = { "ffn_down.weight", ARCH_REQUIRED },
    },
    .norm = NORM_RMS,
    .rope = ROPE_NEOX,
    .act = ACT_GELU_TANH,
    .scale_embedding = true,
    .hf = { &huggingface },
};
