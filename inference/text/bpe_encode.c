/* A word's bytes (Radford et al. 2019), or its characters, are the first symbols, and the merges of
 * the file, best rank first, join them.
 *
 * Words of characters may be whole texts: they are merged segment by segment, cut between two
 * symbols where no merge has the last byte of the one and the first byte of the other side by
 * side. */
#include <string.h>

#include "inference/text/bpe.h"
#include "inference/text/utf8_step.h"

static uint32_t rank_of(const struct merge_rule *rule, const struct merge_symbol *left,
                        const struct merge_symbol *right, int32_t *id)
{
    const struct pair_slot *slot;

    /* a byte without a token keeps its neighbours apart */
    if (left->id < 0 || right->id < 0)
        return MERGE_NEVER;
    slot = bpe_pair(rule->table, (uint32_t)left->id, (uint32_t)right->id);
    if (slot->id < 0)
        return MERGE_NEVER;
    *id = slot->id;
    return slot->rank;
}

/* Merges the symbols that were added, and emits what they have become. */
static int merge_symbols(const struct bpe *b, struct encoder *enc, struct err *e)
{
    const struct merge_rule rule = { rank_of, b, NULL };
    int rc;

    if (enc->merge.n == 0)
        return 0;
    if ((rc = merge_run(&enc->merge, &rule, e)))
        return rc;
    for (uint32_t i = 0; i != MERGE_END; i = enc->merge.symbols[i].next)
        if (enc->merge.symbols[i].id >= 0 && (rc = encoder_emit(enc, enc->merge.symbols[i].id, e)))
            return rc;
    enc->merge.n = 0;
    return 0;
}

/* A byte without a token keeps its neighbours apart where the file is a GGUF file (b->pretok), as
 * in llama.cpp; Hugging Face's library leaves it out before it merges. */
static int merge_word(const struct bpe *b, struct encoder *enc, const char *bytes, size_t len,
                      struct err *e)
{
    bool unknown = false; /* the symbol before is the unknown token */
    int rc;

    enc->merge.n = 0;
    for (size_t i = 0; i < len; i++) {
        int32_t id = b->byte_id[(unsigned char)bytes[i]];

        if (id < 0 && !b->pretok) {
            id = b->options.unknown;
            if (id < 0 || (unknown && b->options.fuse_unknown))
                continue;
            unknown = true;
        } else {
            unknown = false;
        }
        if ((rc = merge_add(&enc->merge, id, i, 1, e)))
            return rc;
    }
    return merge_symbols(b, enc, e);
}

/* What a word becomes, where that is known without merging. */
struct known {
    struct wordcache_slot *slot; /* where it may be put in the cache, or NULL */
    int32_t id;                  /* the token of this text, or -1 */
};

/* Emits the ids of a word that was met before; *found: it was.  Otherwise *k is for remember(). */
static int recall(const struct bpe *b, struct encoder *enc, const char *bytes, size_t len,
                  struct known *k, bool *found, struct err *e)
{
    uint64_t hash = strtab_hash(bytes, len);
    int rc = 0;

    k->id = -1;
    k->slot = wordcache_find(enc->cache, bytes, len, hash, found);
    if (*found) {
        for (size_t i = 0; i < k->slot->n && !rc; i++)
            rc = encoder_emit(enc, k->slot->ids[i], e);
        return rc;
    }
    k->id = strindex_find_hashed(&b->words, bytes, len, hash);
    *found = k->id >= 0 && __atomic_load_n(&b->whole[k->id], __ATOMIC_RELAXED);
    return *found ? encoder_emit(enc, k->id, e) : 0;
}

/* The word has become the ids from number `before` on. */
static void remember(const struct bpe *b, const struct encoder *enc, const struct known *k,
                     const char *bytes, size_t len, size_t before)
{
    size_t n = enc->out->len - before;

    if (n == 1 && enc->out->data[before] == k->id)
        __atomic_store_n(&b->whole[k->id], 1, __ATOMIC_RELAXED);
    else if (n > 0)
        wordcache_put(k->slot, bytes, len, enc->out->data + before, n);
}

/* One word of the pre-tokenizer; arg is the encoder. */
static int encode_word(void *arg, const char *bytes, size_t len, struct err *e)
{
    struct encoder *enc = arg;
    const struct bpe *b = enc->bpe;
    struct known k;
    size_t before;
    bool found;
    int rc;

    if (len == 1 && b->byte_id[(unsigned char)*bytes] >= 0)
        return encoder_emit(enc, b->byte_id[(unsigned char)*bytes], e);
    if ((rc = recall(b, enc, bytes, len, &k, &found, e)) || found)
        return rc;
    if (b->options.whole_words && k.id >= 0)
        return encoder_emit(enc, k.id, e);
    before = enc->out->len;
    if ((rc = merge_word(b, enc, bytes, len, e)))
        return rc;
    remember(b, enc, &k, bytes, len, before);
    return 0;
}

/* --- words of characters ---------------------------------------------------------------------- */

/* A segment that grows symbol by symbol. */
struct segment {
    size_t start, end;  /* its bytes in the word */
    unsigned char last; /* byte of the last symbol's text */
    bool unknown;       /* that symbol is the unknown token */
};

/* The symbols of a segment, unless it was met lately. */
static int flush(const struct bpe *b, struct encoder *enc, const char *word, struct segment *s,
                 struct err *e)
{
    const char *bytes = word + s->start;
    size_t len = s->end - s->start, before = enc->out->len;
    struct known k = { NULL, -1 };
    bool found = false;
    int rc = len && enc->merge.n > 1 ? recall(b, enc, bytes, len, &k, &found, e) : 0;

    if (!rc && !found) {
        rc = merge_symbols(b, enc, e);
        if (!rc)
            remember(b, enc, &k, bytes, len, before);
    }
    enc->merge.n = 0;
    s->start = s->end;
    s->unknown = false;
    return rc;
}

/* Appends a token that stands for n bytes from `at` on; before it the segment ends where nothing
 * can join across. */
static int add_symbol(const struct bpe *b, struct encoder *enc, const char *word, struct segment *s,
                      int32_t id, size_t at, size_t n, struct err *e)
{
    struct str text = strtab_get(&b->vocab->texts, (size_t)id);
    unsigned char first = text.len ? (unsigned char)*text.data : 0;
    int rc;

    s->end = at;
    if (enc->merge.n && !(b->joins[s->last][first / 32] >> first % 32 & 1) &&
        (rc = flush(b, enc, word, s, e)))
        return rc;
    if (enc->merge.n == 0)
        s->start = at;
    s->end = at + n;
    s->last = text.len ? (unsigned char)text.data[text.len - 1] : 0;
    s->unknown = false;
    return merge_add(&enc->merge, id, at, n, e);
}

/* A character that is no token: its bytes' tokens if all are there, else the unknown one. */
static int add_unknown(const struct bpe *b, struct encoder *enc, const char *word,
                       struct segment *s, size_t at, size_t n, struct err *e)
{
    bool bytes = b->options.byte_fallback;
    int rc = 0;

    for (size_t i = 0; i < n && bytes; i++)
        bytes = b->fallback_id[(unsigned char)word[at + i]] >= 0;
    for (size_t i = 0; i < n && bytes && !rc; i++)
        rc = add_symbol(b, enc, word, s, b->fallback_id[(unsigned char)word[at + i]], at + i, 1, e);
    if (bytes || b->options.unknown < 0)
        return rc;
    if (s->unknown && b->options.fuse_unknown) {
        s->end = at + n;
        return 0;
    }
    rc = add_symbol(b, enc, word, s, b->options.unknown, at, n, e);
    s->unknown = true;
    return rc;
}

/* One word of characters, which may be a whole text; arg is the encoder. */
static int encode_chars(void *arg, const char *word, size_t len, struct err *e)
{
    struct encoder *enc = arg;
    const struct bpe *b = enc->bpe;
    struct segment s = { 0 };
    int32_t id;
    int rc = 0;

    if (b->options.whole_words && (id = strindex_find(&b->words, word, len)) >= 0)
        return encoder_emit(enc, id, e);
    enc->merge.n = 0;
    for (size_t i = 0, n; i < len && !rc; i += n) {
        int step = utf8_step(word + i, len - i);

        n = step > 0 ? (size_t)step : 1;
        id = n == 1 ? b->byte_id[(unsigned char)word[i]]
                    : strindex_find(&b->vocab->by_text, word + i, n);
        if (id >= 0 && (n == 1 || vocab_is_text(b->vocab, (size_t)id)))
            rc = add_symbol(b, enc, word, &s, id, i, n, e);
        else
            rc = add_unknown(b, enc, word, &s, i, n, e);
    }
    return rc ? rc : flush(b, enc, word, &s, e);
}

void bpe_begin(const struct bpe *b, struct encoder *enc)
{
    enc->bpe = b;
    enc->run.word = b->options.chars ? encode_chars : encode_word;
    enc->run.arg = enc;
}

int bpe_encode(const struct bpe *b, struct encoder *enc, const char *text, size_t len,
               struct err *e)
{
    bpe_begin(b, enc);
    return pretok_split(b->pretok, &enc->run, text, len, e);
}
