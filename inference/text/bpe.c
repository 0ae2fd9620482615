/* BPE by merges (Sennrich et al. 2016).  Symbols are token ids throughout, so that a pair of
 * neighbours is one look-up of two numbers. */
#include "inference/text/bpe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Three tokens: left, right, and both together.  joined: room for the longest text.  Of merges
 * given twice the first counts, or with `last` the last. */
static int add_merge(struct bpe *b, const struct bpe_merge *m, size_t rank, bool last, char *joined,
                     struct err *e)
{
    const struct strindex *texts = &b->vocab->by_text;
    int32_t left = strindex_find(texts, m->left.data, m->left.len);
    int32_t right = strindex_find(texts, m->right.data, m->right.len), id = -1;
    struct pair_slot *slot;

    if (left >= 0 && right >= 0 && m->left.len + m->right.len <= texts->longest) {
        memcpy(joined, m->left.data, m->left.len);
        memcpy(joined + m->left.len, m->right.data, m->right.len);
        id = strindex_find(texts, joined, m->left.len + m->right.len);
    }
    if (id < 0 || m->left.len == 0 || m->right.len == 0)
        return err_set(e, ERR_FORMAT,
                       "tokenizer merges: number %zu (%.*s %.*s) has a side or a result that is "
                       "not a token",
                       rank, (int)(m->left.len < 40 ? m->left.len : 40), m->left.data,
                       (int)(m->right.len < 40 ? m->right.len : 40), m->right.data);
    if (!vocab_is_text(b->vocab, (size_t)id))
        return 0; /* a client's text never merges into a control token */
    slot = bpe_pair(b, (uint32_t)left, (uint32_t)right);
    if (slot->id < 0 || last) {
        unsigned char end = (unsigned char)m->left.data[m->left.len - 1];
        unsigned char begin = (unsigned char)*m->right.data;

        *slot = (struct pair_slot){ (uint32_t)left, (uint32_t)right, (uint32_t)rank, id };
        b->joins[end][begin / 32] |= 1u << begin % 32;
    }
    return 0;
}

static int add_merges(struct bpe *b, const struct bpe_merge *merges, size_t n, bool last,
                      struct err *e)
{
    size_t size = 16;
    char *joined = malloc(b->vocab->by_text.longest + 1);
    int rc = 0;

    while (size < n + n / 2)
        size *= 2;
    b->mask = size - 1;
    b->pairs = malloc(size * sizeof *b->pairs);
    if (!b->pairs || !joined)
        rc = err_set(e, ERR_NOMEM, "no memory for %zu merges", n);
    else
        memset(b->pairs, 0xff, size * sizeof *b->pairs);
    for (size_t i = 0; i < n && !rc; i++)
        rc = add_merge(b, &merges[i], i, last, joined, e);
    free(joined);
    return rc;
}

/* "A B" each. */
static int load_merges(struct bpe *b, const struct weights *w, struct err *e)
{
    struct weights_array a;
    struct str *texts;
    struct bpe_merge *merges;
    int rc = weights_array(w, "tokenizer.ggml.merges", &a, e);

    if (rc == ERR_NOTFOUND)
        return err_set(e, ERR_FORMAT, "tokenizer.ggml.merges is missing: byte-level BPE needs it");
    if (rc)
        return rc;
    if (a.kind != WEIGHTS_STR || a.len > INT32_MAX / 4)
        return err_set(e, ERR_FORMAT, "tokenizer.ggml.merges should be strings, below 2^29");
    texts = malloc((a.len + 1) * sizeof *texts);
    merges = malloc((a.len + 1) * sizeof *merges);
    if (!texts || !merges) {
        rc = err_set(e, ERR_NOMEM, "no memory for %zu merges", a.len);
        goto out;
    }
    weights_array_strs(&a, texts);
    for (size_t i = 0; i < a.len && !rc; i++) {
        struct str s = texts[i];
        const char *blank = s.len > 1 ? memchr(s.data + 1, ' ', s.len - 1) : NULL;
        size_t n = blank ? (size_t)(blank - s.data) : 0;

        if (!blank)
            rc = err_set(e, ERR_FORMAT, "tokenizer.ggml.merges: number %zu is not two texts", i);
        else
            merges[i] = (struct bpe_merge){ { s.data, n }, { blank + 1, s.len - n - 1 } };
    }
    if (!rc)
        rc = add_merges(b, merges, a.len, false, e);
out:
    free(texts);
    free(merges);
    return rc;
}

/* Tokens for bytes are words too, where words that are tokens are taken whole. */
static bool is_word(const struct bpe *b, size_t id)
{
    uint8_t type = b->vocab->type[id];

    return type == TOKEN_NORMAL ||
           (type == TOKEN_BYTE && b->options.chars && b->options.whole_words);
}

/* The pieces of all normal tokens: many a word is one. */
static int index_words(struct bpe *b, struct err *e)
{
    const struct strtab *tab = b->options.chars ? &b->vocab->texts : &b->vocab->pieces;
    int rc = strindex_init(&b->words, tab, b->vocab->n, e);

    b->whole = calloc(b->vocab->n, 1);
    if (!rc && !b->whole)
        rc = err_set(e, ERR_NOMEM, "no memory for %zu tokens", b->vocab->n);
    for (size_t i = 0; i < b->vocab->n && !rc; i++)
        if (is_word(b, i) && strtab_get(tab, i).len > 0)
            strindex_put(&b->words, i);
    return rc;
}

/* What bytes become before anything is merged. */
static void find_bytes(struct bpe *b)
{
    const struct vocab *v = b->vocab;

    for (unsigned c = 0; c < 256; c++) {
        char text[8] = { (char)c };
        size_t n = b->options.chars ? 1 : vocab_byte_letter((unsigned char)c, text);
        int32_t id = strindex_find(&v->by_text, text, n);

        b->byte_id[c] = id >= 0 && vocab_is_text(v, (size_t)id) ? id : -1;
        snprintf(text, sizeof text, "<0x%02X>", c);
        b->fallback_id[c] = strindex_find(&v->by_text, text, 6);
    }
}

int bpe_create_from(struct bpe **out, const struct vocab *v, const struct bpe_merge *merges,
                    size_t n, const struct bpe_options *o, struct err *e)
{
    struct bpe *b = calloc(1, sizeof *b);
    int rc;

    *out = NULL;
    if (!b)
        return err_set(e, ERR_NOMEM, "no memory for a tokenizer");
    b->vocab = v;
    b->options = *o;
    if ((rc = add_merges(b, merges, n, true, e)) || (rc = index_words(b, e))) {
        bpe_free(b);
        return rc;
    }
    find_bytes(b);
    *out = b;
    return 0;
}

int bpe_create(struct bpe **out, const struct vocab *v, const struct weights *w, struct err *e)
{
    struct str pre = { "default", 7 };
    struct bpe *b = calloc(1, sizeof *b);
    int rc;

    *out = NULL;
    if (!b)
        return err_set(e, ERR_NOMEM, "no memory for a tokenizer");
    b->vocab = v;
    b->options.unknown = -1;
    rc = weights_str(w, "tokenizer.ggml.pre", &pre, e);
    if (rc && rc != ERR_NOTFOUND)
        goto fail;
    if ((rc = pretok_create(&b->pretok, pre, e)) || (rc = load_merges(b, w, e)) ||
        (rc = index_words(b, e)))
        goto fail;
    b->options.whole_words = pretok_ignores_merges(b->pretok);
    find_bytes(b);
    *out = b;
    return 0;
fail:
    bpe_free(b);
    return rc;
}

void bpe_free(struct bpe *b)
{
    if (!b)
        return;
    pretok_free(b->pretok);
    strindex_done(&b->words);
    free(b->pairs);
    free(b->whole);
    free(b);
}

bool bpe_adds_bos(const struct bpe *b)
{
    return pretok_adds_bos(b->pretok);
}
