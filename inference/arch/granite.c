/* granite.c - Granite 3, dense models (IBM 2024): Llama's block with multipliers of embeddings,
 * scores, residuals and logits.  The converter permutes q and k as it does Llama's. */
#include "inference/arch/arch.h"

static const struct arch_hf huggingface = {
    .model_types = { "granite" },
    .prefix = "model.",
    .tensors = { arch_hf_decoder },
    .defaults = "{\"hidden_act\":\"silu\",\"rms_norm_eps\":1e-6,\"tie_word_embeddings\":false,"
                "\"num_key_value_heads\":null,\"max_position_embeddings\":2048,"
                "\"embedding_multiplier\":1.0,\"logits_scaling\":1.0,"
                "\"residual_multiplier\":1.0,\"attention_multiplier\":1.0,"
                "\"attention_bias\":false,\"mlp_bias\":false}",
    .rope = ROPE_NEOX,
};

const struct arch arch_granite = {
    .name = "granite",
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
        [SLOT_BGATE] = { "ffn_gate.bias", ARCH_OPTIONAL },
        [SLOT_BUP] = { "ffn_up.bias", ARCH_OPTIONAL },
        [SLOT_BDOWN] = { "ffn_down.bias", ARCH_OPTIONAL },
    },
    .norm = NORM_RMS,
    .rope = ROPE_NORM,
    .act = ACT_SILU,
    .multipliers = true,
    .hf = { &huggingface },
};
