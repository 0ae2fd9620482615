/* arch.c - the table of model families. */
#include "inference/arch/arch.h"

#include <string.h>

static const struct arch *const families[] = {
    &arch_llama,      &arch_bert,  &arch_falcon,    &arch_gemma,   &arch_gemma2,
    &arch_gemma3,     &arch_gpt2,  &arch_gptneox,   &arch_gpt_oss, &arch_granite,
    &arch_nomic_bert, &arch_olmo2, &arch_phi2,      &arch_phi3,    &arch_qwen2,
    &arch_qwen2_moe,  &arch_qwen3, &arch_qwen3_moe, &arch_smollm3, &arch_stablelm,
    &arch_starcoder2,
};

const struct arch *const *arch_all(size_t *n)
{
    *n = sizeof families / sizeof *families;
    return families;
}

const struct arch *arch_find(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strlen(families[i]->name) == len && memcmp(families[i]->name, name, len) == 0)
            return families[i];
    return NULL;
}

static bool has_type(const struct arch_hf *hf, const char *model_type)
{
    for (size_t k = 0; k < sizeof hf->model_types / sizeof *hf->model_types; k++)
        if (hf->model_types[k] && strcmp(hf->model_types[k], model_type) == 0)
            return true;
    return false;
}

const struct arch *arch_find_hf(const char *model_type, const struct arch_hf **hf)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        for (size_t k = 0; families[i]->hf[k]; k++)
            if (has_type(families[i]->hf[k], model_type)) {
                *hf = families[i]->hf[k];
                return families[i];
            }
    }
    return NULL;
}

bool arch_find_act(const char *name, size_t len, enum act_kind *out)
{
    static const struct {
        const char *name;
        enum act_kind act;
    } names[] = {
        { "silu", ACT_SILU },           { "swish", ACT_SILU },
        { "gelu_new", ACT_GELU_TANH },  { "gelu_pytorch_tanh", ACT_GELU_TANH },
        { "gelu_fast", ACT_GELU_TANH }, { "gelu", ACT_GELU_ERF },
        { "relu", ACT_RELU },
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i].name) == len && memcmp(names[i].name, name, len) == 0) {
            *out = names[i].act;
            return true;
        }
    return false;
}
