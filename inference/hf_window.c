/* hf_window.c - which layers of a folder's model have the sliding window. */
#include <string.h>

#include "inference/hf.h"
#include "inference/model.h"

/* layer_types as 1 where a layer has the window, 0 where it attends to everything. */
static int read_types(const struct value *types, int64_t *slides, size_t n, struct err *e)
{
    if (types->list.len != n)
        return err_set(e, ERR_FORMAT, "config.json: layer_types are of %zu layers, expected %zu",
                       types->list.len, n);
    for (size_t i = 0; i < n; i++) {
        const struct value *t = types->list.items[i];
        bool full = t->kind == VALUE_STRING && strcmp(t->string.data, "full_attention") == 0;

        if (!full && (t->kind != VALUE_STRING || strcmp(t->string.data, "sliding_attention") != 0))
            return err_set(e, ERR_UNSUPPORTED,
                           "config.json: layer_types has \"%.40s\", which is not supported",
                           t->kind == VALUE_STRING ? t->string.data : "something");
        slides[i] = !full;
    }
    return 0;
}

/* The family's rule, where config.json does not say it layer by layer; false: one number does. */
static int by_rule(const struct hf *h, int64_t *slides, size_t layers, bool *listed, struct err *e)
{
    const struct value *border = hf_setting(h, "max_window_layers");
    uint64_t from =
        border && border->kind == VALUE_INT && border->integer >= 0 ? (uint64_t)border->integer : 0;

    *listed = true;
    switch (h->hf->window) {
    case HF_WINDOW_FROM:
        for (size_t i = 0; i < layers; i++)
            slides[i] = i >= from;
        break;
    case HF_WINDOW_EVERY_OTHER:
        for (size_t i = 0; i < layers; i++)
            slides[i] = i < from && i % 2 == 0;
        break;
    case HF_WINDOW_UNROTATED:
        return hf_unrotated(h, slides, layers, e);
    case HF_WINDOW_NONE:
    case HF_WINDOW_ALL:
    case HF_WINDOW_TYPES:
        *listed = false;
    }
    return 0;
}

static int put_layers(struct hf *h, size_t layers, struct err *e)
{
    const struct value *types = hf_setting(h, "layer_types");
    const struct value *given = hf_own_setting(h, "sliding_window_pattern");
    struct hf_key key = hf_key(h, "attention.sliding_window_pattern");
    size_t pattern = h->hf->window == HF_WINDOW_TYPES ? h->arch->window_pattern : 0;
    int64_t slides[MODEL_MAX_LAYERS];
    bool listed = true;
    int rc = h->hf->window != HF_WINDOW_ALL && types && types->kind == VALUE_LIST
                 ? read_types(types, slides, layers, e)
                 : by_rule(h, slides, layers, &listed, e);

    if (rc)
        return rc;
    if (listed)
        return weights_put_ints(h->w, key.text, slides, layers, e);
    if (given && given->kind == VALUE_INT && given->integer >= 0)
        pattern = (size_t)given->integer;
    return weights_put_u64(h->w, key.text, pattern, e);
}

int hf_put_window(struct hf *h, struct err *e)
{
    const struct value *window = hf_setting(h, "sliding_window");
    size_t layers = hf_count(h, "num_hidden_layers", "n_layer");
    bool off = value_get(h->defaults, "use_sliding_window") &&
               !hf_is_true(hf_setting(h, "use_sliding_window"));
    int rc;

    if (h->hf->window == HF_WINDOW_NONE || off || !hf_is_number(window))
        return 0;
    if (layers > MODEL_MAX_LAYERS)
        return 0; /* model_check() will say so */
    rc = put_layers(h, layers, e);
    return rc ? rc : hf_put_number(h, "attention.sliding_window", window, e);
}
