/* bert.c - BERT (Devlin et al. 2019) and RoBERTa (Liu et al. 2019), XLM-R among them: learned
 * positions, layer norms of the residual stream itself, a feed-forward part without a gate, biases
 * everywhere.  Of a folder the encoder is read, whatever stands on it for training. */
#include "inference/arch/arch.h"

static const struct arch_hf_tensor bert_positions[] = {
    { "embeddings.position_embeddings.weight", { "position_embd.weight" }, HF_AS_IS },
    { NULL, { NULL }, HF_AS_IS },
};

/* RoBERTa's begin behind the padding token's id. */
static const struct arch_hf_tensor roberta_positions[] = {
    { "embeddings.position_embeddings.weight", { "position_embd.weight" }, HF_SKIP_PAD },
    { NULL, { NULL }, HF_AS_IS },
};

static const struct arch_hf_tensor tensors[] = {
    { "embeddings.word_embeddings.weight", { "token_embd.weight" }, HF_AS_IS },
    { "embeddings.token_type_embeddings.weight", { "token_types.weight" }, HF_AS_IS },
    { "embeddings.LayerNorm.weight", { "token_embd_norm.weight" }, HF_AS_IS },
    { "embeddings.LayerNorm.bias", { "token_embd_norm.bias" }, HF_AS_IS },
    { "encoder.layer.%.attention.self.query.weight", { "blk.%.attn_q.weight" }, HF_AS_IS },
    { "encoder.layer.%.attention.self.query.bias", { "blk.%.attn_q.bias" }, HF_AS_IS },
    { "encoder.layer.%.attention.self.key.weight", { "blk.%.attn_k.weight" }, HF_AS_IS },
    { "encoder.layer.%.attention.self.key.bias", { "blk.%.attn_k.bias" }, HF_AS_IS },
    { "encoder.layer.%.attention.self.value.weight", { "blk.%.attn_v.weight" }, HF_AS_IS },
    { "encoder.layer.%.attention.self.value.bias", { "blk.%.attn_v.bias" }, HF_AS_IS },
    { "encoder.layer.%.attention.output.dense.weight", { "blk.%.attn_output.weight" }, HF_AS_IS },
    { "encoder.layer.%.attention.output.dense.bias", { "blk.%.attn_output.bias" }, HF_AS_IS },
    { "encoder.layer.%.attention.output.LayerNorm.weight",
      { "blk.%.attn_output_norm.weight" },
      HF_AS_IS },
    { "encoder.layer.%.attention.output.LayerNorm.bias",
      { "blk.%.attn_output_norm.bias" },
      HF_AS_IS },
    { "encoder.layer.%.intermediate.dense.weight", { "blk.%.ffn_up.weight" }, HF_AS_IS },
    { "encoder.layer.%.intermediate.dense.bias", { "blk.%.ffn_up.bias" }, HF_AS_IS },
    { "encoder.layer.%.output.dense.weight", { "blk.%.ffn_down.weight" }, HF_AS_IS },
    { "encoder.layer.%.output.dense.bias", { "blk.%.ffn_down.bias" }, HF_AS_IS },
    { "encoder.layer.%.output.LayerNorm.weight", { "blk.%.layer_output_norm.weight" }, HF_AS_IS },
    { "encoder.layer.%.output.LayerNorm.bias", { "blk.%.layer_output_norm.bias" }, HF_AS_IS },
    /* names that old files have for the norms */
    { "embeddings.LayerNorm.gamma", { "token_embd_norm.weight" }, HF_AS_IS },
    { "embeddings.LayerNorm.beta", { "token_embd_norm.bias" }, HF_AS_IS },
    { "encoder.layer.%.attention.output.LayerNorm.gamma",
      { "blk.%.attn_output_norm.weight" },
      HF_AS_IS },
    { "encoder.layer.%.attention.output.LayerNorm.beta",
      { "blk.%.attn_output_norm.bias" },
      HF_AS_IS },
    { "encoder.layer.%.output.LayerNorm.gamma", { "blk.%.layer_output_norm.weight" }, HF_AS_IS },
    { "encoder.layer.%.output.LayerNorm.beta", { "blk.%.layer_output_norm.bias" }, HF_AS_IS },
    /* numbers from 0 on, and what only training needs */
    { "embeddings.position_ids", { NULL }, HF_AS_IS },
    { "embeddings.token_type_ids", { NULL }, HF_AS_IS },
    { "pooler.dense.weight", { NULL }, HF_AS_IS },
    { "pooler.dense.bias", { NULL }, HF_AS_IS },
    { "cls.predictions.bias", { NULL }, HF_AS_IS },
    { "cls.predictions.decoder.weight", { NULL }, HF_AS_IS },
    { "cls.predictions.decoder.bias", { NULL }, HF_AS_IS },
    { "cls.predictions.transform.dense.weight", { NULL }, HF_AS_IS },
    { "cls.predictions.transform.dense.bias", { NULL }, HF_AS_IS },
    { "cls.predictions.transform.LayerNorm.weight", { NULL }, HF_AS_IS },
    { "cls.predictions.transform.LayerNorm.bias", { NULL }, HF_AS_IS },
    { "cls.predictions.transform.LayerNorm.gamma", { NULL }, HF_AS_IS },
    { "cls.predictions.transform.LayerNorm.beta", { NULL }, HF_AS_IS },
    { "cls.seq_relationship.weight", { NULL }, HF_AS_IS },
    { "cls.seq_relationship.bias", { NULL }, HF_AS_IS },
    { "lm_head.bias", { NULL }, HF_AS_IS },
    { "lm_head.decoder.weight", { NULL }, HF_AS_IS },
    { "lm_head.decoder.bias", { NULL }, HF_AS_IS },
    { "lm_head.dense.weight", { NULL }, HF_AS_IS },
    { "lm_head.dense.bias", { NULL }, HF_AS_IS },
    { "lm_head.layer_norm.weight", { NULL }, HF_AS_IS },
    { "lm_head.layer_norm.bias", { NULL }, HF_AS_IS },
    { NULL, { NULL }, HF_AS_IS },
};

static const struct arch_hf huggingface = {
    .model_types = { "bert" },
    .prefix = "bert.",
    .tensors = { bert_positions, tensors },
    .defaults = "{\"hidden_act\":\"gelu\",\"layer_norm_eps\":1e-12,\"hidden_size\":768,"
                "\"num_hidden_layers\":12,\"num_attention_heads\":12,\"intermediate_size\":3072,"
                "\"max_position_embeddings\":512}",
    .rope = ROPE_NONE,
};

static const struct arch_hf roberta = {
    .model_types = { "roberta", "xlm-roberta", "camembert" },
    .prefix = "roberta.",
    .tensors = { roberta_positions, tensors },
    .defaults = "{\"hidden_act\":\"gelu\",\"layer_norm_eps\":1e-12,\"hidden_size\":768,"
                "\"num_hidden_layers\":12,\"num_attention_heads\":12,\"intermediate_size\":3072,"
                "\"max_position_embeddings\":512,\"pad_token_id\":1}",
    .rope = ROPE_NONE,
};

const struct arch arch_bert = {
    .name = "bert",
    .hf = { &huggingface, &roberta },
    .layer = {
        [SLOT_WQ] = { "attn_q.weight", ARCH_REQUIRED },
        [SLOT_WK] = { "attn_k.weight", ARCH_REQUIRED },
        [SLOT_WV] = { "attn_v.weight", ARCH_REQUIRED },
        [SLOT_WO] = { "attn_output.weight", ARCH_REQUIRED },
        [SLOT_BQ] = { "attn_q.bias", ARCH_REQUIRED },
        [SLOT_BK] = { "attn_k.bias", ARCH_REQUIRED },
        [SLOT_BV] = { "attn_v.bias", ARCH_REQUIRED },
        [SLOT_BO] = { "attn_output.bias", ARCH_REQUIRED },
        [SLOT_ATTN_OUT_NORM] = { "attn_output_norm.weight", ARCH_REQUIRED },
        [SLOT_ATTN_OUT_NORM_BIAS] = { "attn_output_norm.bias", ARCH_REQUIRED },
        [SLOT_UP] = { "ffn_up.weight", ARCH_REQUIRED },
        [SLOT_BUP] = { "ffn_up.bias", ARCH_REQUIRED },
        [SLOT_DOWN] = { "ffn_down.weight", ARCH_REQUIRED },
        [SLOT_BDOWN] = { "ffn_down.bias", ARCH_REQUIRED },
        [SLOT_FFN_OUT_NORM] = { "layer_output_norm.weight", ARCH_REQUIRED },
        [SLOT_FFN_OUT_NORM_BIAS] = { "layer_output_norm.bias", ARCH_REQUIRED },
    },
    .norm = NORM_LAYER,
    .rope = ROPE_NONE,
    .act = ACT_GELU_ERF,
    .encoder = true,
    .embed_norm = true,
    .token_types = true,
    .positions = true,
};
