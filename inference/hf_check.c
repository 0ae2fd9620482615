/* hf_check.c - does a folder have the tensors that its config.json says it has?
 *
 * Tensors that a family may have or not follow from a flag.  Where the two disagree the reference
 * would leave weights out, or make some up. */
#include <stdio.h>
#include <string.h>

#include "inference/hf.h"

static const struct {
    const char *setting;     /* of families whose defaults have it */
    const char *tensors[10]; /* of a layer, under their GGUF names; those that the family has */
} flags[] = {
    { "attention_bias", { "attn_q.bias", "attn_k.bias", "attn_v.bias", "attn_output.bias" } },
    { "mlp_bias", { "ffn_gate.bias", "ffn_up.bias", "ffn_down.bias" } },
    { "qkv_bias", { "attn_q.bias", "attn_k.bias", "attn_v.bias" } },
    { "use_qkv_bias", { "attn_q.bias", "attn_k.bias", "attn_v.bias" } },
    { "qk_layernorm",
      { "attn_q_norm.weight", "attn_k_norm.weight", "attn_q_norm.bias", "attn_k_norm.bias" } },
    { "use_bias",
      { "attn_q.bias", "attn_k.bias", "attn_v.bias", "attn_output.bias", "ffn_up.bias",
        "ffn_down.bias" } },
    { "bias",
      { "attn_q.bias", "attn_k.bias", "attn_v.bias", "attn_output.bias", "ffn_up.bias",
        "ffn_down.bias" } },
};

static bool has_slot(const struct arch *arch, const char *name)
{
    for (size_t s = 0; s < N_SLOTS; s++)
        if (arch->layer[s].presence != ARCH_ABSENT && strcmp(arch->layer[s].name, name) == 0)
            return true;
    return false;
}

int hf_check_flags(const struct hf *h, struct err *e)
{
    size_t layers = hf_count(h, "num_hidden_layers", "n_layer"), n = sizeof flags / sizeof *flags;
    char name[HF_NAME_BYTES], own[HF_NAME_BYTES];

    for (size_t i = 0; i < n; i++) {
        bool expected = hf_is_true(hf_own_setting(h, flags[i].setting));

        if (!value_get(h->defaults, flags[i].setting))
            continue;
        for (size_t l = 0; l < layers; l++)
            for (const char *const *t = flags[i].tensors; *t; t++) {
                snprintf(name, sizeof name, "blk.%zu.%s", l, *t);
                if (!has_slot(h->arch, *t) || expected == (weights_tensor(h->w, name) != NULL))
                    continue;
                hf_name(h->arch, name, own);
                return err_param(e, own, ERR_FORMAT, "tensor %s is %s, but %s is %s (config.json)",
                                 own, expected ? "missing" : "there", flags[i].setting,
                                 expected ? "true" : "false");
            }
    }
    return 0;
}
