/* gemma3.c - Gemma 3, text part (Gemma Team 2025, section 2).
 *
 * Norms before and after attention and feed-forward, q and k normalised per head, five layers with
 * a sliding window to one that attends to everything; the sliding ones rotate with base 10000.  The
 * converter has added the 1 of (1 + w) to the norm weights already.  The 27B model (62 layers)
 * alone has query_pre_attn_scalar = n_embd / n_head in its config.json, which GGUF does not carry.
 */
#include "inference/arch/arch.h"

static const struct arch_hf_tensor norms[] = {
    { "norm.weight", { "output_norm.weight" }, HF_PLUS_ONE },
    { "layers.%.input_layernorm.weight", { "blk.%.attn_norm.weight" }, HF_PLUS_ONE },
    { "layers.%.self_attn.q_norm.weight", { "blk.%.attn_q_norm.weight" }, HF_PLUS_ONE },
    { "layers.%.self_attn.k_norm.weight", { "blk.%.attn_k_norm.weight" }, HF_PLUS_ONE },
    { "layers.%.post_attention_layernorm.weight",
      { "blk.%.post_attention_norm.weight" },
      HF_PLUS_ONE },
    { "layers.%.pre_feedforward_layernorm.weight", { "blk.%.ffn_norm.weight" }, HF_PLUS_ONE },
    { "layers.%.post_feedforward_layernorm.weight", { "blk.%.post_ffw_norm.weight" }, HF_PLUS_ONE },
    { NULL, { NULL }, HF_AS_IS },
};

static const struct arch_hf huggingface = {
    .model_types = { "gemma3_text" },
    .prefix = "model.",
    .tensors = { norms, arch_hf_decoder },
    .defaults = "{\"hidden_activation\":\"gelu_pytorch_tanh\",\"rms_norm_eps\":1e-6,"
                "\"tie_word_embeddings\":true,\"head_dim\":256,\"num_key_value_heads\":4,"
                "\"query_pre_attn_scalar\":256,\"rope_theta\":1000000.0,"
                "\"rope_local_base_freq\":10000.0,\"sliding_window\":4096,"
                "\"sliding_window_pattern\":6,\"final_logit_softcapping\":null,"
                "\"max_position_embeddings\":131072,\"attention_bias\":false}",
    .window = HF_WINDOW_TYPES,
    .rope = ROPE_NEOX,
};

const struct arch arch_gemma3 = {
    .name = "gemma3",
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
    .hf = { &huggingface },
};
