/* hf_pooling.c - the files of the library sentence-transformers: what a folder's vectors are made
 * of.  Vectors are of length 1 here whether or not it has a module Normalize. */
#include <stdio.h>
#include <string.h>

#include "inference/hf.h"
#include "inference/pooling.h"

/* Names of the flags in 1_Pooling/config.json without "pooling_mode_", and of its later form
 * "pooling_mode": "mean".  type: as llama.cpp numbers them; 0: not supported. */
static const struct {
    const char *flag, *name;
    unsigned type;
} modes[] = {
    { "pooling_mode_mean_tokens", "mean", 1 },
    { "pooling_mode_cls_token", "cls", 2 },
    { "pooling_mode_lasttoken", "lasttoken", 3 },
    { "pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", 1 }, /* only another length */
    { "pooling_mode_max_tokens", "max", 0 },
    { "pooling_mode_weightedmean_tokens", "weightedmean", 0 },
};

static int refuse(struct hf *h, const char *text, struct err *e)
{
    return weights_put_copy(h->w, POOLING_REFUSED, (struct str){ text, strlen(text) }, e);
}

/* The last part of a dotted name. */
static const char *class_name(const struct value *type)
{
    const char *dot, *s = type && type->kind == VALUE_STRING ? type->string.data : "?";

    dot = strrchr(s, '.');
    return dot ? dot + 1 : s;
}

/* The name of a module that would change vectors and is not known here; NULL: there is none. */
static const char *other_module(const struct value *modules)
{
    static const char *const known[] = { "Transformer", "Pooling", "Normalize" };

    for (size_t i = 0; modules && i < modules->list.len; i++) {
        const char *name = class_name(value_get(modules->list.items[i], "type"));
        bool found = false;

        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            found |= strcmp(name, known[k]) == 0;
        if (!found)
            return name;
    }
    return NULL;
}

static bool is_on(const struct value *config, size_t mode)
{
    const struct value *flag = value_get(config, modes[mode].flag);
    const struct value *name = value_get(config, "pooling_mode");

    if (name && name->kind == VALUE_LIST && name->list.len == 1)
        name = name->list.items[0];
    if (name)
        return name->kind == VALUE_STRING && strcmp(name->string.data, modes[mode].name) == 0;
    return flag && flag->kind == VALUE_BOOL && flag->boolean;
}

int hf_put_pooling(struct hf *h, struct err *e)
{
    const struct value *modules = h->folder->modules, *config = h->folder->pooling;
    const char *other = other_module(modules);
    size_t n_on = 0, on = 0;
    char text[200];

    if (!modules)
        return 0;
    if (other) {
        snprintf(text, sizeof text, "modules.json has a module \"%.60s\", which is not supported",
                 other);
        return refuse(h, text, e);
    }
    if (!config)
        return refuse(h, "modules.json names no pooling whose config.json is there", e);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (is_on(config, i)) {
            on = i;
            n_on++;
        }
    if (n_on != 1 || modes[on].type == 0) {
        snprintf(text, sizeof text,
                 "the pooling's config.json asks for %s, which is not supported; supported are: "
                 "mean, cls and last token",
                 n_on == 1 ? modes[on].name : "none of the known ways, or several");
        return refuse(h, text, e);
    }
    return weights_put_u64(h->w, hf_key(h, "pooling_type").text, modes[on].type, e);
}
