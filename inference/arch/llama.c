/* llama.c - Llama 1 to 3, Mistral, SmolLM2, and whatever else is converted to GGUF under that name.
 *
 * Pre-norm blocks, grouped-query attention, SwiGLU (Touvron et al. 2023).  The converter permutes q
 * and k so that a rotated pair lies together, hence ROPE_NORM.  Llama 3.1's frequency scaling is in
 * rope_freqs. */
#include "inference/arch/arch.h"

static const struct arch_hf huggingface = {
    .model_types = { "llama", "mistral" },
    .prefix = "model.",
    .tensors = { arch_hf_decoder },
    .defaults = "{\"hidden_act\":\"silu\",\"rms_norm_eps\":1e-6,\"tie_word_embeddings\":false}",
    .rope = ROPE_NEOX,
};

const struct arch arch_llama = {
    .name = "llama",
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
    .rope = ROPE_NORM,
    .act = ACT_SILU,
    .rope_factors = true,
    .hf = &huggingface,
};
