/* qwen2.c - Qwen2 and Qwen2.5 (Yang et al. 2024): Llama's block with biases on q, k and v. */
#include "inference/arch/arch.h"

static const struct arch_hf huggingface = {
    .model_types = { "qwen2" },
    .prefix = "model.",
    .tensors = { arch_hf_decoder },
    .defaults = "{\"hidden_act\":\"silu\",\"rms_norm_eps\":1e-6,\"tie_word_embeddings\":false,"
                "\"num_key_value_heads\":32,\"max_position_embeddings\":32768,"
                "\"use_sliding_window\":false,\"sliding_window\":4096,\"max_window_layers\":28}",
    .window = HF_WINDOW_FROM,
    .rope = ROPE_NEOX,
};

const struct arch arch_qwen2 = {
    .name = "qwen2",
    .layer = {
        [SLOT_ATTN_NORM] = { "attn_norm.weight", ARCH_REQUIRED },
        [SLOT_WQ] = { "attn_q.weight", ARCH_REQUIRED },
        [SLOT_WK] = { "attn_k.weight", ARCH_REQUIRED },
        [SLOT_WV] = { "attn_v.weight", ARCH_REQUIRED },
        [SLOT_WO] = { "attn_output.weight", ARCH_REQUIRED },
        [SLOT_BQ] = { "attn_q.bias", ARCH_REQUIRED },
        [SLOT_BK] = { "attn_k.bias", ARCH_REQUIRED },
        [SLOT_BV] = { "attn_v.bias", ARCH_REQUIRED },
        [SLOT_FFN_NORM] = { "ffn_norm.weight", ARCH_REQUIRED },
        [SLOT_GATE] = { "ffn_gate.weight", ARCH_REQUIRED },
        [SLOT_UP] = { "ffn_up.weight", ARCH_REQUIRED },
        [SLOT_DOWN] = { "ffn_down.weight", ARCH_REQUIRED },
    },
    .norm = NORM_RMS,
    .rope = ROPE_NEOX,
    .act = ACT_SILU,
    .hf = { &huggingface },
};
