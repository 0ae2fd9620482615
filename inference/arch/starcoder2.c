/* starcoder2.c - StarCoder2 (Lozhkov et al. 2024): rotated positions and grouped queries between
 * GPT-2's layer norms, biases and feed-forward part without a gate. */
#include "inference/arch/arch.h"

static const struct arch_hf_tensor own[] = {
    { "norm.bias", { "output_norm.bias" }, HF_AS_IS },
    { "layers.%.input_layernorm.bias", { "blk.%.attn_norm.bias" }, HF_AS_IS },
    { "layers.%.post_attention_layernorm.bias", { "blk.%.ffn_norm.bias" }, HF_AS_IS },
    { "layers.%.mlp.c_fc.weight", { "blk.%.ffn_up.weight" }, HF_AS_IS },
    { "layers.%.mlp.c_fc.bias", { "blk.%.ffn_up.bias" }, HF_AS_IS },
    { "layers.%.mlp.c_proj.weight", { "blk.%.ffn_down.weight" }, HF_AS_IS },
    { "layers.%.mlp.c_proj.bias", { "blk.%.ffn_down.bias" }, HF_AS_IS },
    { NULL, { NULL }, HF_AS_IS },
};

static const struct arch_hf huggingface = {
    .model_types = { "starcoder2" },
    .prefix = "model.",
    .tensors = { own, arch_hf_decoder },
    .defaults = "{\"hidden_act\":\"gelu_pytorch_tanh\",\"norm_epsilon\":1e-5,"
                "\"tie_word_embeddings\":true,\"num_key_value_heads\":2,"
                "\"max_position_embeddings\":4096,\"sliding_window\":null,\"use_bias\":true}",
    .window = HF_WINDOW_ALL,
    .rope = ROPE_NEOX,
};

const struct arch arch_starcoder2 = {
    .name = "starcoder2",
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
        [SLOT_BUP] = { "ffn_up.bias", ARCH_OPTIONAL },
        [SLOT_DOWN] = { "ffn_down.weight", ARCH_REQUIRED },
        [SLOT_BDOWN] = { "ffn_down.bias", ARCH_OPTIONAL },
    },
    .norm = NORM_LAYER,
    .rope = ROPE_NEOX,
    .act = ACT_GELU_TANH,
    .final_norm_bias = true,
    .hf = { &huggingface },
};
