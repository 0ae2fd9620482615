/* hf_text.c - tokenizer, chat template, the ids that end a text, and how tokens are chosen.
 *
 * The tokenizer's own files go through as text, for inference/text to read: tokenizer.json under
 * the key that GGUF's specification has for it. */
#include <string.h>

#include "inference/hf.h"

/* A string, or one template of several that have names: "default" is the one for conversations. */
static const struct value *pick_template(const struct value *v)
{
    if (!v || v->kind != VALUE_LIST)
        return v;
    for (size_t i = 0; i < v->list.len; i++) {
        const struct value *name = value_get(v->list.items[i], "name");

        if (v->list.len == 1 ||
            (name && name->kind == VALUE_STRING && strcmp(name->string.data, "default") == 0))
            return value_get(v->list.items[i], "template");
    }
    return NULL;
}

static int put_template(struct hf *h, struct err *e)
{
    const struct folder *f = h->folder;
    const struct value *v = pick_template(value_get(f->tokenizer_config, "chat_template"));

    if (f->chat_template.data)
        return weights_put_str(h->w, "tokenizer.chat_template", f->chat_template, e);
    if (!v || v->kind != VALUE_STRING)
        return 0;
    return weights_put_copy(h->w, "tokenizer.chat_template",
                            (struct str){ v->string.data, v->string.len }, e);
}

/* One id or a list of ids, of generation_config.json where it has any, else of config.json. */
static int put_ids(struct hf *h, const char *name, const char *key, struct err *e)
{
    enum { MAX_IDS = 64 };
    const struct value *v = value_get(h->folder->generation, name);
    int64_t ids[MAX_IDS];
    size_t n = 0;

    if (!v || v->kind == VALUE_NULL)
        v = value_get(h->config, name);
    if (v && v->kind == VALUE_INT) {
        ids[n++] = v->integer;
    } else if (v && v->kind == VALUE_LIST) {
        for (size_t i = 0; i < v->list.len; i++) {
            if (v->list.items[i]->kind != VALUE_INT || n == MAX_IDS)
                return err_set(e, ERR_FORMAT, "%s is not a list of up to %d ids", name, MAX_IDS);
            ids[n++] = v->list.items[i]->integer;
        }
    }
    return n ? weights_put_ints(h->w, key, ids, n, e) : 0;
}

/* How the makers want tokens chosen: generation_config.json's settings under llama.cpp's keys. */
static int put_sampling(struct hf *h, struct err *e)
{
    static const struct {
        const char *name, *key;
    } rows[] = {
        { "temperature", "general.sampling.temp" },
        { "top_p", "general.sampling.top_p" },
        { "min_p", "general.sampling.min_p" },
        { "top_k", "general.sampling.top_k" },
        { "repetition_penalty", "general.sampling.penalty_repeat" },
    };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof rows / sizeof *rows; i++) {
        const struct value *v = value_get(h->folder->generation, rows[i].name);

        if (hf_is_number(v))
            rc = weights_put_f64(h->w, rows[i].key, hf_number(v), e);
    }
    return rc;
}

int hf_put_text(struct hf *h, struct err *e)
{
    const struct folder *f = h->folder;
    int rc;

    if (!f->tokenizer.data)
        return err_set(e, ERR_NOTFOUND, "the folder has no tokenizer.json");
    if ((rc = weights_put_str(h->w, "tokenizer.huggingface.json", f->tokenizer, e)) ||
        (f->tokenizer_settings.data &&
         (rc = weights_put_str(h->w, "tokenizer.huggingface.settings", f->tokenizer_settings, e))))
        return rc;
    if ((rc = put_ids(h, "eos_token_id", "tokenizer.huggingface.eos_token_ids", e)) ||
        (rc = put_ids(h, "bos_token_id", "tokenizer.huggingface.bos_token_ids", e)) ||
        (rc = put_sampling(h, e)))
        return rc;
    return put_template(h, e);
}
