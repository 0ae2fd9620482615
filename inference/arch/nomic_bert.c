/* nomic_bert.c - Nomic's BERT (Nussbaum et al. 2024, "Nomic Embed"): BERT with rotated queries and
 * keys in place of learned positions, a gate in the feed-forward part, and no biases but the
 * norms'. */
#include "inference/arch/arch.h"

static const struct arch_hf_tensor tensors[] = {
    { "embeddings.word_embeddings.weight", { "token_embd.weight" }, HF_AS_IS },
    { "embeddings.token_type_embeddings.weight", { "token_types.weight" }, HF_AS_IS },
    { "emb_ln.weight", { "token_embd_norm.weight" }, HF_AS_IS },
    { "emb_ln.bias", { "token_embd_norm.bias" }, HF_AS_IS },
    { "encoder.layers.%.attn.Wqkv.weight",
      { "blk.%.attn_q.weight", "blk.%.attn_k.weight", "blk.%.attn_v.weight" },
      HF_AS_IS },
    { "encoder.layers.%.attn.out_proj.weight", { "blk.%.attn_output.weight" }, HF_AS_IS },
    { "encoder.layers.%.norm1.weight", { "blk.%.attn_output_norm.weight" }, HF_AS_IS },
    { "encoder.layers.%.norm1.bias", { "blk.%.attn_output_norm.bias" }, HF_AS_IS },
    { "encoder.layers.%.mlp.fc11.weight", { "blk.%.ffn_up.weight" }, HF_AS_IS },
    { "encoder.layers.%.mlp.fc12.weight", { "blk.%.ffn_gate.weight" }, HF_AS_IS },
    { "encoder.layers.%.mlp.fc2.weight", { "blk.%.ffn_down.weight" }, HF_AS_IS },
    { "encoder.layers.%.norm2.weight", { "blk.%.layer_output_norm.weight" }, HF_AS_IS },
    { "encoder.layers.%.norm2.bias", { "blk.%.layer_output_norm.bias" }, HF_AS_IS },
    { NULL, { NULL }, HF_AS_IS },
};

static const struct arch_hf huggingface = {
    .model_types = { "nomic_bert" },
    .prefix = "",
    .tensors = { tensors },
    .defaults = "{\"hidden_act\":\"silu\",\"layer_norm_eps\":1e-12,\"hidden_size\":768,"
                "\"num_hidden_layers\":12,\"num_attention_heads\":12,\"intermediate_size\":3072,"
                "\"max_position_embeddings\":2048,\"rotary_emb_base\":1000}",
    .rope = ROPE_NEOX,
};

static const struct arch_hf_tensor fused[] = {
    { "blk.%.attn_qkv.weight",
      { "blk.%.attn_q.weight", "blk.%.attn_k.weight", "blk.%.attn_v.weight" },
      HF_AS_IS },
    { NULL, { NULL }, HF_AS_IS },
};

const struct arch arch_nomic_bert = {
    .name = "nomic-bert",
    .hf = { &huggingface },
    .layer = {
        [SLOT_WQ] = { "attn_q.weight", ARCH_REQUIRED },
        [SLOT_WK] = { "attn_k.weight", ARCH_REQUIRED },
        [SLOT_WV] = { "attn_v.weight", ARCH_REQUIRED },
        [SLOT_WO] = { "attn_output.weight", ARCH_REQUIRED },
        [SLOT_ATTN_OUT_NORM] = { "attn_output_norm.weight", ARCH_REQUIRED },
        [SLOT_ATTN_OUT_NORM_BIAS] = { "attn_output_norm.bias", ARCH_REQUIRED },
        [SLOT_GATE] = { "ffn_gate.weight", ARCH_REQUIRED },
        [SLOT_UP] = { "ffn_up.weight", ARCH_REQUIRED },
        [SLOT_DOWN] = { "ffn_down.weight", ARCH_REQUIRED },
        [SLOT_FFN_OUT_NORM] = { "layer_output_norm.weight", ARCH_REQUIRED },
        [SLOT_FFN_OUT_NORM_BIAS] = { "layer_output_norm.bias", ARCH_REQUIRED },
    },
    .norm = NORM_LAYER,
    .rope = ROPE_NEOX,
    .act = ACT_SILU,
    .encoder = true,
    .embed_norm = true,
    .token_types = true,
    .fused = fused,
};
