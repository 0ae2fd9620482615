/* phi3.c - Phi-3, Phi-3.5 and Phi-4 (Abdin et al. 2024): Llama's block, with q, k and v in one
 * tensor and gate and up in another, in folders and GGUF files alike. */
#include "inference/arch/arch.h"

static const struct arch_hf_tensor own[] = {
    { "layers.%.self_attn.qkv_proj.weight",
      { "blk.%.attn_q.weight", "blk.%.attn_k.weight", "blk.%.attn_v.weight" },
      HF_AS_IS },
    { "layers.%.mlp.gate_up_proj.weight",
      { "blk.%.ffn_gate.weight", "blk.%.ffn_up.weight" },
      HF_AS_IS },
    { NULL, { NULL }, HF_AS_IS },
};

static const struct arch_hf_tensor fused[] = {
    { "blk.%.attn_qkv.weight",
      { "blk.%.attn_q.weight", "blk.%.attn_k.weight", "blk.%.attn_v.weight" },
      HF_AS_IS },
    { "blk.%.ffn_up.weight", { "blk.%.ffn_gate.weight", "blk.%.ffn_up.weight" }, HF_AS_IS },
    { NULL, { NULL }, HF_AS_IS },
};

static const struct arch_hf huggingface = {
    .model_types = { "phi3" },
    .prefix = "model.",
    .tensors = { own, arch_hf_decoder },
    .defaults = "{\"hidden_act\":\"silu\",\"rms_norm_eps\":1e-5,\"tie_word_embeddings\":false,"
                "\"num_key_value_heads\":null,\"max_position_embeddings\":4096,"
                "\"original_max_position_embeddings\":4096,\"partial_rotary_factor\":1.0,"
                "\"sliding_window\":null}",
    .window = HF_WINDOW_ALL,
    .rope = ROPE_NEOX,
};

const struct arch arch_phi3 = {
    .name = "phi3",
    .layer = {
        [SLOT_ATTN_NORM] = { "attn_norm.weight", ARCH_REQUIRED },
        [SLOT_WQ] = { "attn_q.weight", ARCH_REQUIRED },
        [SLOT_WK] = { "attn_k.weight", ARCH_REQUIRED },
        [SLOT_WV] = { "attn_v.weight", ARCH_REQUIRED },
        [SLOT_WO] = { "attn_output.weight", ARCH_REQUIRED },
        [SLOT_FFN_NORM] = { "ffn_norm.weight", ARCH_REQUIRED },
        [SLOT_GATE] = { "ffn_gate.weight", ARCH_REQUIRED },
        [SLOT_UP] = { "ffn_up.weight", ARCH_REQUIRED },
        [SLOT_DOWN] = { "ffn_down.weight", ARCH_REQUIRED },
    },
    .norm = NORM_RMS,
    .rope = ROPE_NEOX,
    .act = ACT_SILU,
    .fused = fused,
    .hf = { &huggingface },
};
