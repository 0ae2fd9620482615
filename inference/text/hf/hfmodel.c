/* hfmodel - the "model" component: words to tokens. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inference/text/hf/hftok.h"

/* Parts of a BPE model that would change the result. */
static int refuse_options(const struct value *model, struct err *e)
{
    static const char *const texts[] = { "continuing_subword_prefix", "end_of_word_suffix" };
    const struct value *dropout = value_get(model, "dropout");
    size_t len;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (hf_string(model, texts[i], &len) && len > 0)
            return err_set(e, ERR_UNSUPPORTED, "tokenizer.json: a model with %s is not supported",
                           texts[i]);
    if (dropout && (dropout->kind == VALUE_FLOAT ? dropout->number != 0
                                                 : dropout->kind == VALUE_INT && dropout->integer))
        return err_set(e, ERR_UNSUPPORTED, "tokenizer.json: a model with dropout is not supported");
    return 0;
}

static int open_bpe(struct hfmodel *m, const struct vocab *v, const struct value *model, bool bytes,
                    struct err *e)
{
    const struct value *merges = value_get(model, "merges");
    struct bpe_options o = {
        .chars = !bytes,
        .byte_fallback = hf_flag(model, "byte_fallback", false),
        .fuse_unknown = hf_flag(model, "fuse_unk", false),
        .whole_words = hf_flag(model, "ignore_merges", false),
        .unknown = v->unknown,
    };
    struct bpe_merge *pairs;
    size_t n;
    int rc = refuse_options(model, e);

    if (rc)
        return rc;
    if (!merges || merges->kind != VALUE_LIST || merges->list.len > INT32_MAX / 4)
        return err_set(e, ERR_FORMAT, "tokenizer.json: model.merges is not a list");
    n = merges->list.len;
    pairs = malloc((n + 1) * sizeof *pairs);
    if (!pairs)
        return err_set(e, ERR_NOMEM, "no memory for %zu merges", n);
    for (size_t i = 0; i < n && !rc; i++)
        if (hf_merge(merges->list.items[i], &pairs[i].left, &pairs[i].right))
            rc = err_set(e, ERR_FORMAT, "tokenizer.json: model.merges[%zu] is not two texts", i);
    if (!rc)
        rc = bpe_create_from(&m->bpe, v, pairs, n, &o, e);
    free(pairs);
    return rc;
}

static double number(const struct value *v)
{
    return v->kind == VALUE_FLOAT ? v->number : v->kind == VALUE_INT ? (double)v->integer : NAN;
}

/* "vocab" is a list of ["text", score]; tokens that were added only have no score. */
static int open_unigram(struct hfmodel *m, const struct vocab *v, const struct value *model,
                        struct err *e)
{
    const struct value *vocab = value_get(model, "vocab");
    struct unigram_options o = { .n = vocab->list.len,
                                 .unknown = v->unknown,
                                 .byte_fallback = hf_flag(model, "byte_fallback", false),
                                 .as_text = true };
    double *scores = calloc(v->n, sizeof *scores), lowest = INFINITY;
    int rc;

    if (!scores)
        return err_set(e, ERR_NOMEM, "no memory for %zu tokens", v->n);
    for (size_t i = 0; i < vocab->list.len; i++) { /* a list of lists: hfvocab_load() */
        scores[i] = number(vocab->list.items[i]->list.items[1]);
        if (!isfinite(scores[i])) {
            free(scores);
            return err_set(e, ERR_FORMAT, "tokenizer.json: model.vocab[%zu] has no score", i);
        }
        if (scores[i] < lowest)
            lowest = scores[i];
    }
    o.scores = scores;
    o.unknown_score = lowest - 10; /* as in SentencePiece */
    rc = unigram_create(&m->unigram, v, &o, e);
    free(scores);
    return rc;
}

static int open_wordpiece(struct hfmodel *m, const struct vocab *v, const struct value *model,
                          struct err *e)
{
    size_t len;
    const char *mark = hf_string(model, "continuing_subword_prefix", &len);
    const struct value *most = value_get(model, "max_input_chars_per_word");
    struct wordpiece_options o = {
        .first = "", .more = "##", .unknown = v->unknown, .max_chars = 100
    };

    if (mark && strcmp(mark, "##") != 0)
        return err_set(
            e, ERR_UNSUPPORTED,
            "tokenizer.json: a WordPiece model with the prefix \"%.20s\" instead of ## is "
            "not supported",
            mark);
    if (most &&
        (most->kind != VALUE_INT || most->integer < 1 || most->integer > WORDPIECE_MAX_CHARS))
        return err_set(e, ERR_UNSUPPORTED,
                       "tokenizer.json: max_input_chars_per_word is not between 1 and %d",
                       WORDPIECE_MAX_CHARS);
    if (most)
        o.max_chars = (size_t)most->integer;
    if (o.unknown < 0)
        return err_set(e, ERR_FORMAT,
                       "tokenizer.json: model.unk_token is missing, or not in the vocabulary");
    return wordpiece_create(&m->wordpiece, v, &o, e);
}

int hfmodel_open(struct hfmodel *m, const struct vocab *v, const struct value *json, bool bytes,
                 struct err *e)
{
    const struct value *model = value_get(json, "model");
    const char *type = hf_type(model);

    if (strcmp(type, "Unigram") == 0 || strcmp(type, "WordPiece") == 0) {
        if (bytes)
            return err_set(e, ERR_UNSUPPORTED,
                           "tokenizer.json: a %s model of bytes (ByteLevel) is not supported",
                           type);
        return *type == 'U' ? open_unigram(m, v, model, e) : open_wordpiece(m, v, model, e);
    }
    /* old files do not name the type of a BPE model */
    if (*type ? strcmp(type, "BPE") != 0 : !value_get(model, "merges"))
        return err_set(e, ERR_UNSUPPORTED, "tokenizer.json: the model \"%.60s\" is not supported",
                       type);
    return open_bpe(m, v, model, bytes, e);
}

void hfmodel_close(struct hfmodel *m)
{
    bpe_free(m->bpe);
    unigram_free(m->unigram);
    wordpiece_free(m->wordpiece);
    *m = (struct hfmodel){ 0 };
}
