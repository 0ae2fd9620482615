/* smollm3.c - SmolLM3 (Hugging Face 2025): Llama's block, in which every fourth layer does not
 * rotate q and k (Yang et al. 2025, "Rope to Nope and Back Again").  The converter permutes q and k
 * as it does Llama's. */
#include "inference/arch/arch.h"

static const struct arch_hf huggingface = {
    .model_types = { "smollm3" },
    .prefix = "model.",
    .tensors = { arch_hf_decoder },
    .defaults = "{\"hidden_act\":\"silu\",\"rms_norm_eps\":1e-6,\"tie_word_embeddings\":true,"
                "\"num_key_value_heads\":4,\"max_position_embeddings\":32768,"
                "\"rope_theta\":2000000.0,\"use_sliding_window\":false,\"sliding_window\":null,"
                "\"no_rope_layer_interval\":4,\"attention_bias\":false,\"mlp_bias\":false}",
    .window = HF_WINDOW_UNROTATED,
    .rope = ROPE_NEOX,
};

const struct arch arch_smollm3 = {
    .name = "smollm3",
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
    .unrotated_every = 4,
    .hf = { &huggingface },
};
