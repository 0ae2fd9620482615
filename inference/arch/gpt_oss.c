/* gpt_oss.c - gpt-oss (OpenAI 2025): experts in all layers, biases everywhere, a sink beside each
 * head's scores, every other layer behind a sliding window.  A folder keeps all experts of a layer
 * in one tensor, as MXFP4 blocks or as floats turned over, in which rows of gate and up alternate.
 */
#include "inference/arch/arch.h"

#define EXPERTS "layers.%.mlp.experts."

static const struct arch_hf_tensor tensors[] = {
    { "layers.%.self_attn.sinks", { "blk.%.attn_sinks.weight" }, HF_AS_IS },
    { "layers.%.post_attention_layernorm.weight",
      { "blk.%.post_attention_norm.weight" },
      HF_AS_IS },
    { "layers.%.mlp.router.weight", { "blk.%.ffn_gate_inp.weight" }, HF_AS_IS },
    { "layers.%.mlp.router.bias", { "blk.%.ffn_gate_inp.bias" }, HF_AS_IS },
    { EXPERTS "gate_up_proj",
      { "blk.%.ffn_gate_exps.weight", "blk.%.ffn_up_exps.weight" },
      HF_EXPERTS | HF_TRANSPOSED | HF_ALTERNATING },
    { EXPERTS "gate_up_proj_bias",
      { "blk.%.ffn_gate_exps.bias", "blk.%.ffn_up_exps.bias" },
      HF_EXPERTS | HF_ALTERNATING },
    { EXPERTS "down_proj", { "blk.%.ffn_down_exps.weight" }, HF_EXPERTS | HF_TRANSPOSED },
    { EXPERTS "down_proj_bias", { "blk.%.ffn_down_exps.bias" }, HF_AS_IS },
    { EXPERTS "gate_up_proj_blocks",
      { "blk.%.ffn_gate_exps.weight", "blk.%.ffn_up_exps.weight" },
      HF_EXPERTS | HF_ALTERNATING | HF_MXFP4 },
    { EXPERTS "down_proj_blocks", { "blk.%.ffn_down_exps.weight" }, HF_EXPERTS | HF_MXFP4 },
    { EXPERTS "gate_up_proj_scales", { NULL }, HF_AS_IS }, /* read with the blocks */
    { EXPERTS "down_proj_scales", { NULL }, HF_AS_IS },
    { NULL, { NULL }, HF_AS_IS },
};

static const struct arch_hf huggingface = {
    .model_types = { "gpt_oss" },
    .prefix = "model.",
    .tensors = { tensors, arch_hf_decoder },
    .defaults = "{\"head_dim\":64,\"rms_norm_eps\":1e-5,\"tie_word_embeddings\":false,"
                "\"sliding_window\":128,\"num_local_experts\":128,\"num_experts_per_tok\":4,"
                "\"num_key_value_heads\":8,\"swiglu_alpha\":1.702,\"swiglu_limit\":7,"
                "\"rope_theta\":150000,\"max_position_embeddings\":131072,"
                "\"attention_bias\":true,\"rope_scaling\":{\"rope_type\":\"yarn\","
                "\"factor\":32,\"beta_fast\":32,\"beta_slow\":1,\"truncate\":false,"
                "\"original_max_position_embeddings\":4096}}",
    .window = HF_WINDOW_TYPES,
    .rope = ROPE_NEOX,
};

const struct arch arch_gpt_oss = {
    .name = "gpt-oss",
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
        [SLOT_SINKS] = { "attn_sinks.weight", ARCH_REQUIRED },
        [SLOT_FFN_NORM] = { "post_attention_norm.weight", ARCH_REQUIRED },
        [SLOT_ROUTER] = { "ffn_gate_inp.weight", ARCH_REQUIRED },
        [SLOT_ROUTER_BIAS] = { "ffn_gate_inp.bias", ARCH_REQUIRED },
        [SLOT_GATE_EXPS] = { "ffn_gate_exps.weight", ARCH_REQUIRED },
        [SLOT_UP_EXPS] = { "ffn_up_exps.weight", ARCH_REQUIRED },
        [SLOT_DOWN_EXPS] = { "ffn_down_exps.weight", ARCH_REQUIRED },
        [SLOT_BGATE_EXPS] = { "ffn_gate_exps.bias", ARCH_REQUIRED },
        [SLOT_BUP_EXPS] = { "ffn_up_exps.bias", ARCH_REQUIRED },
        [SLOT_BDOWN_EXPS] = { "ffn_down_exps.bias", ARCH_REQUIRED },
    },
    .norm = NORM_RMS,
    .rope = ROPE_NEOX,
    .act = ACT_SWIGLU_OAI,
    .expert_norm = true,
    .window_pattern = 2,
    .window_required = true,
    .hf = { &huggingface },
};
