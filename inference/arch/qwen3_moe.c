/* qwen3_moe.c - Qwen3 with a mixture of experts (Qwen Team 2025), such as Qwen3-30B-A3B.  Folders
 * may have dense layers among the others. */
#include "inference/arch/arch.h"

static const struct arch_hf_tensor tensors[] = {
    { "layers.%.mlp.gate.weight", { "blk.%.ffn_gate_inp.weight" }, HF_AS_IS },
    { "layers.%.mlp.experts.%.gate_proj.weight", { "blk.%.ffn_gate.%.weight" }, HF_AS_IS },
    { "layers.%.mlp.experts.%.up_proj.weight", { "blk.%.ffn_up.%.weight" }, HF_AS_IS },
    { "layers.%.mlp.experts.%.down_proj.weight", { "blk.%.ffn_down.%.weight" }, HF_AS_IS },
    { NULL, { NULL }, HF_AS_IS },
};

static const struct arch_hf huggingface = {
    .model_types = { "qwen3_moe" },
    .prefix = "model.",
    .tensors = { tensors, arch_hf_decoder },
    .defaults = "{\"hidden_act\":\"silu\",\"rms_norm_eps\":1e-6,\"tie_word_embeddings\":false,"
                "\"num_key_value_heads\":4,\"max_position_embeddings\":32768,"
                "\"use_sliding_window\":false,\"sliding_window\":4096,\"attention_bias\":false,"
                "\"num_experts\":128,\"num_experts_per_tok\":8,\"moe_intermediate_size\":768,"
                "\"norm_topk_prob\":false}",
    .window = HF_WINDOW_ALL,
    .rope = ROPE_NEOX,
};

const struct arch arch_qwen3_moe = {
    .name = "qwen3moe",
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
        [SLOT_FFN_NORM] = { "ffn_norm.weight", ARCH_REQUIRED },
        [SLOT_GATE] = { "ffn_gate.weight", ARCH_REQUIRED },
        [SLOT_UP] = { "ffn_up.weight", ARCH_REQUIRED },
        [SLOT_DOWN] = { "ffn_down.weight", ARCH_REQUIRED },
        [SLOT_ROUTER] = { "ffn_gate_inp.weight", ARCH_REQUIRED },
        [SLOT_GATE_EXPS] = { "ffn_gate_exps.weight", ARCH_REQUIRED },
        [SLOT_UP_EXPS] = { "ffn_up_exps.weight", ARCH_REQUIRED },
        [SLOT_DOWN_EXPS] = { "ffn_down_exps.weight", ARCH_REQUIRED },
    },
    .norm = NORM_RMS,
    .rope = ROPE_NEOX,
    .act = ACT_SILU,
    .expert_norm = true,
    .hf = { &huggingface },
};
