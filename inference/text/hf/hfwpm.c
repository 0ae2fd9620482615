/* hfwpm - GGUF's tokenizer "bert": BertNormalizer, BertPreTokenizer and WordPiece.
 *
 * No key says whether letters become small ones and lose their accents.  A vocabulary that was made
 * of such text has no capital A to Z, and then they do. */
#include <stdlib.h>
#include <string.h>

#include "inference/text/hf/hftok.h"
#include "kernels/base/json.h"

enum { MAX_CHARS = 100 }; /* of a word, in BERT's tokenization.py */

struct wpm {
    struct hfnorm *norm;
    struct hfsplit *split;
    struct wordpiece *wordpiece;
};

static bool has_capitals(const struct vocab *v)
{
    for (size_t i = 0; i < v->n; i++) {
        struct str s = strtab_get(&v->texts, i);

        /* "[CLS]" and "[unused0]" have nothing to say */
        if (!vocab_is_text(v, i) || memchr(s.data, '[', s.len))
            continue;
        for (size_t k = 0; k < s.len; k++)
            if (s.data[k] >= 'A' && s.data[k] <= 'Z')
                return true;
    }
    return false;
}

static int open_parts(struct wpm *w, bool lowercase, struct err *e)
{
    static const char cased[] = "{\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":false},"
                                "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}}";
    static const char small[] = "{\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":true},"
                                "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}}";
    const char *text = lowercase ? small : cased;
    struct value *json = NULL;
    struct arena a;
    int rc;

    arena_init(&a, 0);
    rc = json_parse(text, strlen(text), 8, &a, &json, e);
    if (!rc)
        rc = hfnorm_create(&w->norm, json, e);
    if (!rc)
        rc = hfsplit_create(&w->split, json, e);
    arena_done(&a);
    return rc;
}

int wpm_create(struct wpm **out, const struct vocab *v, struct err *e)
{
    struct wordpiece_options o = {
        .first = "\xe2\x96\x81", .more = "", .unknown = v->unknown, .max_chars = MAX_CHARS
    };
    struct wpm *w = calloc(1, sizeof *w);
    int rc;

    *out = NULL;
    if (!w)
        return err_set(e, ERR_NOMEM, "no memory for a tokenizer");
    if (v->unknown < 0)
        rc = err_set(e, ERR_FORMAT, "tokenizer.ggml.unknown_token_id is missing");
    else
        rc = open_parts(w, !has_capitals(v), e);
    if (!rc)
        rc = wordpiece_create(&w->wordpiece, v, &o, e);
    if (rc)
        wpm_free(w);
    else
        *out = w;
    return rc;
}

void wpm_free(struct wpm *w)
{
    if (!w)
        return;
    hfnorm_free(w->norm);
    hfsplit_free(w->split);
    wordpiece_free(w->wordpiece);
    free(w);
}

int wpm_encode(const struct wpm *w, struct encoder *enc, const char *text, size_t len,
               struct err *e)
{
    struct hftext t = { text, len, NULL };
    struct hfwork work = { 0 };
    int rc;

    wordpiece_begin(w->wordpiece, enc);
    rc = hfnorm_run(w->norm, &work, &enc->run, &t, e);
    if (!rc)
        rc = hfsplit_run(w->split, &enc->run, t.text, t.len, true, e);
    hfwork_done(&work);
    return rc;
}
