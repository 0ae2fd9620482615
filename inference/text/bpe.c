/* BPE by merges (Sennrich et al. 2016): a word's bytes (Radford et al. 2019), or its characters,
 * are the first symbols, and the merges of the file, best rank first, join them.  Symbols are token
 * ids throughout, so that a pair of neighbours is one look-up of two numbers.
 *
 * Words of characters may be whole texts: they are merged segment by segment, cut between two
 * symbols where no merge has the last byte of the one and the first byte of the other side by
 * side. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inference/text/encoder.h"
#include "inference/text/utf8_step.h"

struct pair_slot {
    uint32_t left, right;
    uint32_t rank;
    int32_t id; /* -1: free */
};

struct bpe {
    const struct vocab *vocab;
    struct pretok *pretok;
    struct pair_slot *pairs;
    size_t mask;
    struct bpe_options options;
    int32_t byte_id[256];     /* -1: the vocabulary has no token for this byte */
    int32_t fallback_id[256]; /* chars: the token <0xXX>, or -1 */
    struct strindex words;    /* pieces of normal tokens, where they are looked up before merging */
    uint32_t joins[256][8];   /* chars: bit b of joins[a]: some merge has a left side that ends in
                               * byte   a, and a right one that begins with byte b */
};

/* Words as they were cut lately: text is made of few different ones. */
#define CACHE_SLOTS 2048
#define CACHE_BYTES 22
#define CACHE_IDS   10

struct bpe_cache {
    struct cached_word {
        uint8_t len, n; /* len 0: free */
        char bytes[CACHE_BYTES];
        int32_t ids[CACHE_IDS];
    } slots[CACHE_SLOTS];
};

static struct pair_slot *find_pair(const struct bpe *b, uint32_t left, uint32_t right)
{
    uint64_t h = ((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(h >> 32) & b->mask;

    while (b->pairs[i].id >= 0 && (b->pairs[i].left != left || b->pairs[i].right != right))
        i = (i + 1) & b->mask;
    return &b->pairs[i];
}

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
    slot = find_pair(b, (uint32_t)left, (uint32_t)right);
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

/* The pieces of all normal tokens, for schemes that take a whole word where it is one. */
static int index_words(struct bpe *b, struct err *e)
{
    const struct strtab *tab = b->options.chars ? &b->vocab->texts : &b->vocab->pieces;
    int rc = strindex_init(&b->words, tab, b->vocab->n, e);

    for (size_t i = 0; i < b->vocab->n && !rc; i++)
        if (b->vocab->type[i] == TOKEN_NORMAL && strtab_get(tab, i).len > 0)
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
    if ((rc = add_merges(b, merges, n, true, e)) || (o->whole_words && (rc = index_words(b, e)))) {
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
    if ((rc = pretok_create(&b->pretok, pre, e)) || (rc = load_merges(b, w, e)))
        goto fail;
    if (pretok_ignores_merges(b->pretok) && (rc = index_words(b, e)))
        goto fail;
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
    free(b);
}

bool bpe_adds_bos(const struct bpe *b)
{
    return pretok_adds_bos(b->pretok);
}

static uint32_t rank_of(const struct merge_rule *rule, const struct merge_symbol *left,
                        const struct merge_symbol *right, int32_t *id)
{
    const struct pair_slot *slot;

    /* a byte without a token keeps its neighbours apart */
    if (left->id < 0 || right->id < 0)
        return MERGE_NEVER;
    slot = find_pair(rule->table, (uint32_t)left->id, (uint32_t)right->id);
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

static struct cached_word *cache_slot(struct bpe_cache *c, const char *bytes, size_t len)
{
    uint64_t h = len;

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)bytes[i]) * 0x100000001b3u;
    return &c->slots[(h ^ h >> 29) % CACHE_SLOTS];
}

/* What the word became when it was met last; *found: was it?  Otherwise *slot is where it may go.
 */
static int from_cache(struct encoder *enc, const char *bytes, size_t len, struct cached_word **slot,
                      bool *found, struct err *e)
{
    struct cached_word *s;
    int rc = 0;

    *found = false;
    *slot = NULL;
    if (!enc->cache || len > CACHE_BYTES)
        return 0;
    s = cache_slot(enc->cache, bytes, len);
    *slot = s;
    if (s->len != len || memcmp(s->bytes, bytes, len) != 0)
        return 0;
    *found = true;
    for (size_t i = 0; i < s->n && !rc; i++)
        rc = encoder_emit(enc, s->ids[i], e);
    return rc;
}

static void to_cache(const struct encoder *enc, struct cached_word *slot, const char *bytes,
                     size_t len, size_t before)
{
    if (!slot || enc->out->len - before > CACHE_IDS)
        return;
    slot->len = (uint8_t)len;
    slot->n = (uint8_t)(enc->out->len - before);
    memcpy(slot->bytes, bytes, len);
    if (slot->n > 0)
        memcpy(slot->ids, enc->out->data + before, slot->n * sizeof *slot->ids);
}

/* One word of the pre-tokenizer; arg is the encoder. */
static int encode_word(void *arg, const char *bytes, size_t len, struct err *e)
{
    struct encoder *enc = arg;
    const struct bpe *b = enc->bpe;
    struct cached_word *slot;
    size_t before;
    bool found;
    int32_t id;
    int rc;

    if (b->words.slots && (id = strindex_find(&b->words, bytes, len)) >= 0)
        return encoder_emit(enc, id, e);
    if (len == 1 && b->byte_id[(unsigned char)*bytes] >= 0)
        return encoder_emit(enc, b->byte_id[(unsigned char)*bytes], e);
    if ((rc = from_cache(enc, bytes, len, &slot, &found, e)) || found)
        return rc;
    before = enc->out->len;
    if ((rc = merge_word(b, enc, bytes, len, e)))
        return rc;
    to_cache(enc, slot, bytes, len, before);
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
    struct cached_word *slot = NULL;
    bool found = false;
    int rc = len && enc->merge.n > 1 ? from_cache(enc, bytes, len, &slot, &found, e) : 0;

    if (!rc && !found) {
        rc = merge_symbols(b, enc, e);
        if (!rc)
            to_cache(enc, slot, bytes, len, before);
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

    if (b->words.slots && (id = strindex_find(&b->words, word, len)) >= 0)
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

void bpe_begin(const struct bpe *b, struct encoder *enc, size_t len)
{
    enc->bpe = b;
    enc->run.word = b->options.chars ? encode_chars : encode_word;
    enc->run.arg = enc;
    if (!enc->cache && len > 1024)
        /* for short texts clearing it would cost more than it saves */
        enc->cache = calloc(1, sizeof *enc->cache); /* goes without where there is no memory */
}

int bpe_encode(const struct bpe *b, struct encoder *enc, const char *text, size_t len,
               struct err *e)
{
    bpe_begin(b, enc, len);
    return pretok_split(b->pretok, &enc->run, text, len, e);
}
