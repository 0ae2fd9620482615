/* gemma3.c - Gemma 3, text part (Gemma Team 2025, section 2).
 *
 * Norms before and after attention and feed-forward, q and k normalised per head, five layers with
 * a sliding window to one that attends to everything; the sliding ones rotate with base 10000.  The
 * converter has added the 1 of (1 + w) to the norm weights already.  The 27B model (62 layers)
 * alone has query_pre_attn_scalar = n_embd / n_head in its config.json, which GGUF does not carry.
 */
#include "inference/arch/arch.h"

const struct arch arch_gemma3 = {
    .name = "gemma3",
    .layer = {
        [SLOT_ATTN_NORM] = { "attn_norm.weight", ARCH_REQUIRED },
        [SLOT_WQ] = { "attn_q.weight", ARCH_REQUIRED },
        [SLOT_WK] = { "attn_k.weight", ARCH_REQUIRED },
        [SLOT_WV] = { "attn_v.weight", ARCH_REQUIRED },
        [SLOT_WO] = { "attn_output.weight", ARCH_REQUIRED },
        [SLOT_Q_NORM] = { "attn_q_norm.weight", ARCH_REQUIRED },
        [SLOT_K_NORM] = { "attn_k_norm.weight", ARCH_REQUIRED },
        [SLOT_ATTN_POST_NORM] = { "post_attention_norm.weight", ARCH_REQUIRED },
        [SLOT_FFN_NORM] = { "ffn_norm.weight", ARCH_REQUIRED },
        [SLOT_GATE] = { "ffn_gate.weight", ARCH_REQUIRED },
        [SLOT_UP] = { "ffn_up.weight", ARCH_REQUIRED },
        [SLOT_DOWN] = { "ffn_down.weight", ARCH_REQUIRED },
        [SLOT_FFN_POST_NORM] = { "post_ffw_norm.weight", ARCH_REQUIRED },
    },
    .norm = NORM_RMS,
    .rope = ROPE_NEOX,
    .act = ACT_GELU_TANH,
    .scale_embedding = true,
    .softcaps = true,
    .window_pattern = 6,
    .window_required = true,
    .local_rope_base = 10000.0,
    .width_scaled_layers = 62,
};
