#include "quantize/keys.h"

#include <stdio.h>
#include <string.h>

#include "inference/hf.h"
#include "inference/text/hf/hfgguf.h"
#include "inference/weights/build.h"

enum { QUANTIZATION_VERSION = 2 }; /* of ggml's block formats */

static bool is(struct str key, const char *text)
{
    return key.len == strlen(text) && memcmp(key.data, text, key.len) == 0;
}

static bool begins(struct str key, const char *text)
{
    return key.len >= strlen(text) && memcmp(key.data, text, strlen(text)) == 0;
}

static bool ends(struct str key, const char *text)
{
    size_t n = strlen(text);

    return key.len >= n && memcmp(key.data + key.len - n, text, n) == 0;
}

/* What the new file says anew, or what is no longer so: it is one file, aligned as usual. */
static bool outdated(struct str key)
{
    return is(key, "general.file_type") || is(key, "general.quantization_version") ||
           is(key, "general.alignment") || begins(key, "split.") ||
           begins(key, "quantize.imatrix.");
}

static enum gguf_how of_gguf(const void *arg, struct str key)
{
    (void)arg;
    return outdated(key) ? GGUF_DROP : GGUF_AS_IS;
}

/* Of a folder.  config.json may write a whole number where a GGUF file has a real one. */
static enum gguf_how of_folder(const void *arg, struct str key)
{
    static const char *const real[] = {
        ".rope.freq_base",
        ".rope.freq_base_swa",
        "_epsilon",
        "_softcapping",
        "_scale",
        ".attention.scale",
        ".rope.scaling.factor",
        "attn_factor",
        ".yarn_beta_fast",
        ".yarn_beta_slow",
    };
    const bool *keep_json = arg;

    if (outdated(key) || is(key, HF_KEY) || (begins(key, "tokenizer.huggingface.") && !*keep_json))
        return GGUF_DROP;
    for (size_t i = 0; i < sizeof real / sizeof *real; i++)
        if (ends(key, real[i]))
            return GGUF_REAL;
    return GGUF_NARROW;
}

static enum gguf_how of_new(const void *arg, struct str key)
{
    (void)arg;
    (void)key;
    return GGUF_NARROW;
}

/* What llama.cpp asks for and a folder may leave to be understood. */
static int put_implied(struct weights *to, const struct weights *w, const struct model *m,
                       struct err *e)
{
    const struct tensor *types = weights_tensor(w, "token_types.weight");
    char key[96];
    int rc = 0;

    snprintf(key, sizeof key, "%s.attention.causal", m->arch->name);
    if (m->encoder && !weights_has(w, key))
        rc = weights_put_bool(to, key, false, e);
    if (!rc && types)
        rc = weights_put_u64(to, "tokenizer.ggml.token_type_count", tensor_rows(types), e);
    if (rc)
        return rc;
    snprintf(key, sizeof key, "%s.expert_feed_forward_length", m->arch->name);
    return m->n_expert && !weights_has(w, key) ? weights_put_u64(to, key, m->n_ff_expert, e) : 0;
}

/* The folder's tokenizer in GGUF's keys, and whether they tell all of it. */
static int put_tokenizer(struct weights *to, const struct weights *w, const struct model *folder,
                         bool *keep_json, struct err *note, struct err *e)
{
    int rc = hfgguf_put(to, w, folder->n_vocab, note, e);

    if (!rc)
        rc = weights_seal(to, e);
    if (!rc && !note->text[0])
        rc = hfgguf_compare(to, w, note, e);
    *keep_json = note->text[0] != '\0';
    if (rc || !*keep_json || weights_has(w, "tokenizer.huggingface.settings"))
        return rc;
    /* which tells tokenizer_open() that tokenizer.json has the say */
    rc = weights_put_copy(to, "tokenizer.huggingface.settings", (struct str){ "{}", 2 }, e);
    return rc ? rc : weights_seal(to, e);
}

int keys_put(struct gguf_writer *g, const struct weights *w, const struct model *folder,
             const struct recipe *r, struct err *note, struct err *e)
{
    struct weights *own;
    bool keep_json = false;
    int rc = weights_new(&own, "keys", e);

    note->text[0] = '\0';
    if (rc)
        return rc;
    if ((rc = weights_put_u64(own, "general.file_type", r->file_type, e)) ||
        (rc = weights_put_u64(own, "general.quantization_version", QUANTIZATION_VERSION, e)))
        goto out;
    if (folder && (rc = put_implied(own, w, folder, e)))
        goto out;
    rc = folder ? put_tokenizer(own, w, folder, &keep_json, note, e) : weights_seal(own, e);
    if (rc)
        goto out;
    if (folder)
        gguf_put_keys(g, w, of_folder, &keep_json);
    else
        gguf_put_keys(g, w, of_gguf, NULL);
    gguf_put_keys(g, own, of_new, NULL);
out:
    weights_close(own);
    return rc;
}
