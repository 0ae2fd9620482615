/* gptneox.c - GPT-NeoX-20B (Black et al. 2022) and Pythia: layer norms, biases everywhere,
 * attention and feed-forward part beside each other, a part of each head rotated.  In a folder q, k
 * and v are one tensor, in which they stand head by head. */
#include "inference/arch/arch.h"

static const struct arch_hf_tensor tensors[] = {
    { "embed_in.weight", { "token_embd.weight" }, HF_AS_IS },
    { "final_layer_norm.weight", { "output_norm.weight" }, HF_AS_IS },
    { "final_layer_norm.bias", { "output_norm.bias" }, HF_AS_IS },
    { "embed_out.weight", { "output.weight" }, HF_AS_IS },
    { "layers.%.input_layernorm.weight", { "blk.%.attn_norm.weight" }, HF_AS_IS },
    { "layers.%.input_layernorm.bias", { "blk.%.attn_norm.bias" }, HF_AS_IS },
    { "layers.%.attention.query_key_value.weight",
      { "blk.%.attn_q.weight", "blk.%.attn_k.weight", "blk.%.attn_v.weight" },
      HF_GROUPED },
    { "layers.%.attention.query_key_value.bias",
      { "blk.%.attn_q.bias", "blk.%.attn_k.bias", "blk.%.attn_v.bias" },
      HF_GROUPED },
    { "layers.%.attention.dense.weight", { "blk.%.attn_output.weight" }, HF_AS_IS },
    { "layers.%.attention.dense.bias", { "blk.%.attn_output.bias" }, HF_AS_IS },
    { "layers.%.post_attention_layernorm.weight", { "blk.%.ffn_norm.weight" }, HF_AS_IS },
    { "layers.%.post_attention_layernorm.bias", { "blk.%.ffn_norm.bias" }, HF_AS_IS },
    { "layers.%.mlp.dense_h_to_4h.weight", { "blk.%.ffn_up.weight" }, HF_AS_IS },
    { "layers.%.mlp.dense_h_to_4h.bias", { "blk.%.ffn_up.bias" }, HF_AS_IS },
    { "layers.%.mlp.dense_4h_to_h.weight", { "blk.%.ffn_down.weight" }, HF_AS_IS },
    { "layers.%.mlp.dense_4h_to_h.bias", { "blk.%.ffn_down.bias" }, HF_AS_IS },
    /* causal masks, and what follows from the configuration */
    { "layers.%.attention.bias", { NULL }, HF_AS_IS },
    { "layers.%.attention.masked_bias", { NULL }, HF_AS_IS },
    { "layers.%.attention.rotary_emb.inv_freq", { NULL }, HF_AS_IS },
    { NULL, { NULL }, HF_AS_IS },
};

static const struct arch_hf huggingface = {
    .model_types = { "gpt_neox" },
    .prefix = "gpt_neox.",
    .tensors = { tensors },
    .defaults = "{\"hidden_act\":\"gelu\",\"layer_norm_eps\":1e-5,"
                "\"tie_word_embeddings\":false,\"rotary_pct\":0.25,\"rotary_emb_base\":10000,"
                "\"use_parallel_residual\":true,\"max_position_embeddings\":2048,"
                "\"attention_bias\":true}",
    .rope = ROPE_NEOX,
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

const struct arch arch_gptneox = {
    .name = "gptneox",
    .layer = {
        [SLOT_ATTN_NORM] = { "attn_norm.weight", ARCH_REQUIRED },
        [SLOT_ATTN_NORM_BIAS] = { "attn_norm.bias", ARCH_REQUIRED },
        [SLOT_WQ] = { "attn_q.weight", ARCH_REQUIRED },
        [SLOT_WK] = { "attn_k.weight", ARCH_REQUIRED },
        [SLOT_WV] = { "attn_v.weight", ARCH_REQUIRED },
        [SLOT_WO] = { "attn_output.weight", ARCH_REQUIRED },
        [SLOT_BQ] = { "attn_q.bias", ARCH_OPTIONAL },
        [SLOT_BK] = { "attn_k.bias", ARCH_OPTIONAL },
        [SLOT_BV] = { "attn_v.bias", ARCH_OPTIONAL },
        [SLOT_BO] = { "attn_output.bias", ARCH_OPTIONAL },
        [SLOT_FFN_NORM] = { "ffn_norm.weight", ARCH_REQUIRED },
        [SLOT_FFN_NORM_BIAS] = { "ffn_norm.bias", ARCH_REQUIRED },
        [SLOT_UP] = { "ffn_up.weight", ARCH_REQUIRED },
        [SLOT_BUP] = { "ffn_up.bias", ARCH_REQUIRED },
        [SLOT_DOWN] = { "ffn_down.weight", ARCH_REQUIRED },
        [SLOT_BDOWN] = { "ffn_down.bias", ARCH_REQUIRED },
    },
    .norm = NORM_LAYER,
    .rope = ROPE_NEOX,
    .act = ACT_GELU_ERF,
    .parallel = ARCH_PARALLEL_BY_KEY,
    .final_norm_bias = true,
    .fused = fused,
    .hf = { &huggingface },
};
