/* llama.c - Llama 1 to 3, Mistral, Mixtral, SmolLM2, and whatever else is converted to GGUF under
 * that name.
 *
 * Pre-norm blocks, grouped-query attention, SwiGLU (Touvron et al. 2023).  The converter permutes q
 * and k so that a rotated pair lies together, hence ROPE_NORM.  Llama 3.1's frequency scaling is in
 * rope_freqs. */
#include "inference/arch/arch.h"

static const struct arch_hf huggingface = {
    .model_types = { "llama" },
    .prefix = "model.",
    .tensors = { arch_hf_decoder },
    .defaults = "{\"hidden_act\":\"silu\",\"rms_norm_eps\":1e-6,\"tie_word_embeddings\":false,"
                "\"num_key_value_heads\":null,\"max_position_embeddings\":2048,"
                "\"attention_bias\":false,\"mlp_bias\":false}",
    .rope = ROPE_NEOX,
};

static const struct arch_hf mistral = {
    .model_types = { "mistral" },
    .prefix = "model.",
    .tensors = { arch_hf_decoder },
    .defaults = "{\"hidden_act\":\"silu\",\"rms_norm_eps\":1e-6,\"tie_word_embeddings\":false,"
                "\"num_key_value_heads\":8,\"max_position_embeddings\":131072,"
                "\"sliding_window\":4096}",
    .window = HF_WINDOW_TYPES,
    .rope = ROPE_NEOX,
};

/* Mixtral (Jiang et al. 2024): experts instead of a dense part; w1 is gate, w3 up, w2 down. */
static const struct arch_hf_tensor mixtral_tensors[] = {
    { "layers.%.block_sparse_moe.gate.weight", { "blk.%.ffn_gate_inp.weight" }, HF_AS_IS },
    { "layers.%.block_sparse_moe.experts.%.w1.weight", { "blk.%.ffn_gate.%.weight" }, HF_AS_IS },
    { "layers.%.block_sparse_moe.experts.%.w3.weight", { "blk.%.ffn_up.%.weight" }, HF_AS_IS },
    { "layers.%.block_sparse_moe.experts.%.w2.weight", { "blk.%.ffn_down.%.weight" }, HF_AS_IS },
    { NULL, { NULL }, HF_AS_IS },
};

static const struct arch_hf mixtral = {
    .model_types = { "mixtral" },
    .prefix = "model.",
    .tensors = { mixtral_tensors, arch_hf_decoder },
    .defaults = "{\"hidden_act\":\"silu\",\"rms_norm_eps\":1e-5,\"tie_word_embeddings\":false,"
                "\"num_key_value_heads\":8,\"max_position_embeddings\":131072,"
                "\"num_local_experts\":8,\"num_experts_per_tok\":2,\"rope_theta\":1000000,"
                "\"sliding_window\":null}",
    .window = HF_WINDOW_ALL,
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
        [SLOT_BGATE] = { "ffn_gate.bias", ARCH_OPTIONAL },
        [SLOT_BUP] = { "ffn_up.bias", ARCH_OPTIONAL },
        [SLOT_BDOWN] = { "ffn_down.bias", ARCH_OPTIONAL },
        [SLOT_ROUTER] = { "ffn_gate_inp.weight", ARCH_REQUIRED },
        [SLOT_GATE_EXPS] = { "ffn_gate_exps.weight", ARCH_REQUIRED },
        [SLOT_UP_EXPS] = { "ffn_up_exps.weight", ARCH_REQUIRED },
        [SLOT_DOWN_EXPS] = { "ffn_down_exps.weight", ARCH_REQUIRED },
    },
    .norm = NORM_RMS,
    .rope = ROPE_NORM,
    .act = ACT_SILU,
    .expert_norm = true,
    .hf = { &huggingface, &mistral, &mixtral },
};
