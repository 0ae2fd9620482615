/* decoder.c - the tensor names of LlamaForCausalLM, which most families of Hugging Face's library
 * have taken over. */
#include "inference/arch/arch.h"

const struct arch_hf_tensor arch_hf_decoder[] = {
    { "embed_tokens.weight", { "token_embd.weight" }, HF_AS_IS },
    { "norm.weight", { "output_norm.weight" }, HF_AS_IS },
    { "lm_head.weight", { "output.weight" }, HF_AS_IS },
    { "layers.%.input_layernorm.weight", { "blk.%.attn_norm.weight" }, HF_AS_IS },
    { "layers.%.self_attn.q_proj.weight", { "blk.%.attn_q.weight" }, HF_AS_IS },
    { "layers.%.self_attn.k_proj.weight", { "blk.%.attn_k.weight" }, HF_AS_IS },
    { "layers.%.self_attn.v_proj.weight", { "blk.%.attn_v.weight" }, HF_AS_IS },
    { "layers.%.self_attn.o_proj.weight", { "blk.%.attn_output.weight" }, HF_AS_IS },
    { "layers.%.self_attn.q_proj.bias", { "blk.%.attn_q.bias" }, HF_AS_IS },
    { "layers.%.self_attn.k_proj.bias", { "blk.%.attn_k.bias" }, HF_AS_IS },
    { "layers.%.self_attn.v_proj.bias", { "blk.%.attn_v.bias" }, HF_AS_IS },
    { "layers.%.self_attn.o_proj.bias", { "blk.%.attn_output.bias" }, HF_AS_IS },
    { "layers.%.self_attn.q_norm.weight", { "blk.%.attn_q_norm.weight" }, HF_AS_IS },
    { "layers.%.self_attn.k_norm.weight", { "blk.%.attn_k_norm.weight" }, HF_AS_IS },
    { "layers.%.post_attention_layernorm.weight", { "blk.%.ffn_norm.weight" }, HF_AS_IS },
    { "layers.%.mlp.gate_proj.weight", { "blk.%.ffn_gate.weight" }, HF_AS_IS },
    { "layers.%.mlp.up_proj.weight", { "blk.%.ffn_up.weight" }, HF_AS_IS },
    { "layers.%.mlp.down_proj.weight", { "blk.%.ffn_down.weight" }, HF_AS_IS },
    { "layers.%.mlp.gate_proj.bias", { "blk.%.ffn_gate.bias" }, HF_AS_IS },
    { "layers.%.mlp.up_proj.bias", { "blk.%.ffn_up.bias" }, HF_AS_IS },
    { "layers.%.mlp.down_proj.bias", { "blk.%.ffn_down.bias" }, HF_AS_IS },
    /* written by old versions; they follow from the configuration */
    { "layers.%.self_attn.rotary_emb.inv_freq", { NULL }, HF_AS_IS },
    { NULL, { NULL }, HF_AS_IS },
};
