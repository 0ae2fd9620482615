/* gpt2.c - GPT-2 (Radford et al. 2019): learned positions, layer norms, a feed-forward part without
 * a gate, biases everywhere.  In a folder projections are stored [inputs, outputs] ("Conv1D"), and
 * q, k and v are one. */
#include "inference/arch/arch.h"

static const struct arch_hf_tensor tensors[] = {
    { "wte.weight", { "token_embd.weight" }, HF_AS_IS },
    { "wpe.weight", { "position_embd.weight" }, HF_AS_IS },
    { "ln_f.weight", { "output_norm.weight" }, HF_AS_IS },
    { "ln_f.bias", { "output_norm.bias" }, HF_AS_IS },
    { "lm_head.weight", { "output.weight" }, HF_AS_IS },
    { "h.%.ln_1.weight", { "blk.%.attn_norm.weight" }, HF_AS_IS },
    { "h.%.ln_1.bias", { "blk.%.attn_norm.bias" }, HF_AS_IS },
    { "h.%.attn.c_attn.weight",
      { "blk.%.attn_q.weight", "blk.%.attn_k.weight", "blk.%.attn_v.weight" },
      HF_TRANSPOSED },
    { "h.%.attn.c_attn.bias",
      { "blk.%.attn_q.bias", "blk.%.attn_k.bias", "blk.%.attn_v.bias" },
      HF_AS_IS },
    { "h.%.attn.c_proj.weight", { "blk.%.attn_output.weight" }, HF_TRANSPOSED },
    { "h.%.attn.c_proj.bias", { "blk.%.attn_output.bias" }, HF_AS_IS },
    { "h.%.ln_2.weight", { "blk.%.ffn_norm.weight" }, HF_AS_IS },
    { "h.%.ln_2.bias", { "blk.%.ffn_norm.bias" }, HF_AS_IS },
    { "h.%.mlp.c_fc.weight", { "blk.%.ffn_up.weight" }, HF_TRANSPOSED },
    { "h.%.mlp.c_fc.bias", { "blk.%.ffn_up.bias" }, HF_AS_IS },
    { "h.%.mlp.c_proj.weight", { "blk.%.ffn_down.weight" }, HF_TRANSPOSED },
    { "h.%.mlp.c_proj.bias", { "blk.%.ffn_down.bias" }, HF_AS_IS },
    /* causal masks */
    { "h.%.attn.bias", { NULL }, HF_AS_IS },
    { "h.%.attn.masked_bias", { NULL }, HF_AS_IS },
    { NULL, { NULL }, HF_AS_IS },
};

static const struct arch_hf huggingface = {
    .model_types = { "gpt2" },
    .prefix = "transformer.",
    .tensors = { tensors },
    .defaults = "{\"activation_function\":\"gelu_new\",\"layer_norm_epsilon\":1e-5,"
                "\"tie_word_embeddings\":true,\"n_positions\":1024,\"n_embd\":768,"
                "\"n_layer\":12,\"n_head\":12,\"scale_attn_weights\":true,"
                "\"scale_attn_by_inverse_layer_idx\":false}",
    .rope = ROPE_NONE,
};

static const struct arch_hf_tensor fused[] = {
    { "blk.%.attn_qkv.weight",
      { "blk.%.attn_q.weight", "blk.%.attn_k.weight", "blk.%.attn_v.weight" },
      HF_AS_IS },
    { "blk.%.attn_qkv.bias",
      { "blk.%.attn_q.bias", "blk.%.attn_k.bias", "blk.%.attn_v.bias" },
      HF_AS_IS },
    { NULL, { NULL }, HF_AS_IS },
};

const struct arch arch_gpt2 = {
    .name = "gpt2",
    .hf = { &huggingface },
    .layer = {
        [SLOT_ATTN_NORM] = { "attn_norm.weight", ARCH_REQUIRED },
        [SLOT_ATTN_NORM_BIAS] = { "attn_norm.bias", ARCH_REQUIRED },
        [SLOT_WQ] = { "attn_q.weight", ARCH_REQUIRED },
        [SLOT_WK] = { "attn_k.weight", ARCH_REQUIRED },
        [SLOT_WV] = { "attn_v.weight", ARCH_REQUIRED },
        [SLOT_WO] = { "attn_output.weight", ARCH_REQUIRED },
        [SLOT_BQ] = { "attn_q.bias", ARCH_REQUIRED },
        [SLOT_BK] = { "attn_k.bias", ARCH_REQUIRED },
        [SLOT_BV] = { "attn_v.bias", ARCH_REQUIRED },
        [SLOT_BO] = { "attn_output.bias", ARCH_REQUIRED },
        [SLOT_FFN_NORM] = { "ffn_norm.weight", ARCH_REQUIRED },
        [SLOT_FFN_NORM_BIAS] = { "ffn_norm.bias", ARCH_REQUIRED },
        [SLOT_UP] = { "ffn_up.weight", ARCH_REQUIRED },
        [SLOT_BUP] = { "ffn_up.bias", ARCH_REQUIRED },
        [SLOT_DOWN] = { "ffn_down.weight", ARCH_REQUIRED },
        [SLOT_BDOWN] = { "ffn_down.bias", ARCH_REQUIRED },
    },
    .norm = NORM_LAYER,
    .rope = ROPE_NONE,
    .act = ACT_GELU_TANH,
    .positions = true,
    .final_norm_bias = true,
    .fused = fused,
};
