/* Byte-level BPE (Radford et al. 2019): a word's bytes are the first symbols, and the merges of the
 * file, best rank first, join them.  Symbols are token ids throughout, so that a pair of neighbours
 * is one look-up of two numbers. */
#include <stdlib.h>
#include <string.h>

#include "inference/text/encoder.h"

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
    int32_t byte_id[256];  /* -1: the vocabulary has no token for this byte, and it is left out */
    struct strindex words; /* pieces of normal tokens, where they are looked up before merging */
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

/* "A B" in the byte alphabet: three tokens, A, B and AB.  joined: room for the longest text. */
static int add_merge(struct bpe *b, struct str merge, size_t rank, char *joined, struct err *e)
{
    const struct strindex *texts = &b->vocab->by_text;
    const char *blank = merge.len > 1 ? memchr(merge.data + 1, ' ', merge.len - 1) : NULL;
    int32_t left, right, id;
    struct pair_slot *slot;
    size_t n;

    if (!blank)
        return err_set(e, ERR_FORMAT, "tokenizer.ggml.merges: number %zu is not two texts", rank);
    n = (size_t)(blank - merge.data);
    left = strindex_find(texts, merge.data, n);
    right = strindex_find(texts, blank + 1, merge.len - n - 1);
    id = -1;
    if (merge.len - 1 <= texts->longest) {
        memcpy(joined, merge.data, n);
        memcpy(joined + n, blank + 1, merge.len - n - 1);
        id = strindex_find(texts, joined, merge.len - 1);
    }
    if (left < 0 || right < 0 || id < 0)
        return err_set(e, ERR_FORMAT,
                       "tokenizer.ggml.merges: number %zu (%.*s) has a side or a result that is "
                       "not a token",
                       rank, (int)(merge.len < 80 ? merge.len : 80), merge.data);
    if (!vocab_is_text(b->vocab, (size_t)id))
        return 0; /* a client's text never merges into a control token */
    slot = find_pair(b, (uint32_t)left, (uint32_t)right);
    if (slot->id < 0) /* of doubles the first, better one counts */
        *slot = (struct pair_slot){ (uint32_t)left, (uint32_t)right, (uint32_t)rank, id };
    return 0;
}

static int load_merges(struct bpe *b, const struct weights *w, struct err *e)
{
    struct weights_array a;
    struct str *merges;
    char *joined;
    size_t size = 16;
    int rc = weights_array(w, "tokenizer.ggml.merges", &a, e);

    if (rc == ERR_NOTFOUND)
        return err_set(e, ERR_FORMAT, "tokenizer.ggml.merges is missing: byte-level BPE needs it");
    if (rc)
        return rc;
    if (a.kind != WEIGHTS_STR || a.len > INT32_MAX / 4)
        return err_set(e, ERR_FORMAT, "tokenizer.ggml.merges should be strings, below 2^29");
    while (size < a.len + a.len / 2)
        size *= 2;
    b->mask = size - 1;
    b->pairs = malloc(size * sizeof *b->pairs);
    merges = malloc((a.len + 1) * sizeof *merges);
    joined = malloc(b->vocab->by_text.longest + 1);
    if (!b->pairs || !merges || !joined) {
        rc = err_set(e, ERR_NOMEM, "no memory for %zu merges", a.len);
        goto out;
    }
    memset(b->pairs, 0xff, size * sizeof *b->pairs);
    weights_array_strs(&a, merges);
    for (size_t i = 0; i < a.len && !rc; i++)
        rc = add_merge(b, merges[i], i, joined, e);
out:
    free(merges);
    free(joined);
    return rc;
}

/* The pieces of all normal tokens, for schemes that take a whole word where it is one. */
static int index_words(struct bpe *b, struct err *e)
{
    int rc = strindex_init(&b->words, &b->vocab->pieces, b->vocab->n, e);

    for (size_t i = 0; i < b->vocab->n && !rc; i++)
        if (b->vocab->type[i] == TOKEN_NORMAL && strtab_get(&b->vocab->pieces, i).len > 0)
            strindex_put(&b->words, i);
    return rc;
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
    rc = weights_str(w, "tokenizer.ggml.pre", &pre, e);
    if (rc && rc != ERR_NOTFOUND)
        goto fail;
    if ((rc = pretok_create(&b->pretok, pre, e)) || (rc = load_merges(b, w, e)))
        goto fail;
    if (pretok_ignores_merges(b->pretok) && (rc = index_words(b, e)))
        goto fail;
    for (unsigned c = 0; c < 256; c++) {
        char letter[2];
        size_t n = vocab_byte_letter((unsigned char)c, letter);
        int32_t id = strindex_find(&v->by_text, letter, n);

        b->byte_id[c] = id >= 0 && vocab_is_text(v, (size_t)id) ? id : -1;
    }
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

static int merge_word(const struct bpe *b, struct encoder *enc, const char *bytes, size_t len,
                      struct err *e)
{
    const struct merge_rule rule = { rank_of, b, bytes };
    int rc;

    enc->merge.n = 0;
    for (size_t i = 0; i < len; i++)
        if ((rc = merge_add(&enc->merge, b->byte_id[(unsigned char)bytes[i]], i, 1, e)))
            return rc;
    if ((rc = merge_run(&enc->merge, &rule, e)))
        return rc;
    for (uint32_t i = 0; i != MERGE_END; i = enc->merge.symbols[i].next)
        if (enc->merge.symbols[i].id >= 0 && (rc = encoder_emit(enc, enc->merge.symbols[i].id, e)))
            return rc;
    return 0;
}

static struct cached_word *cache_slot(struct bpe_cache *c, const char *bytes, size_t len)
{
    uint64_t h = len;

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)bytes[i]) * 0x100000001b3u;
    return &c->slots[(h ^ h >> 29) % CACHE_SLOTS];
}

/* One word of the pre-tokenizer; arg is the encoder. */
static int encode_word(void *arg, const char *bytes, size_t len, struct err *e)
{
    struct encoder *enc = arg;
    const struct bpe *b = enc->bpe;
    struct cached_word *slot = NULL;
    size_t before;
    int32_t id;
    int rc = 0;

    if (b->words.slots && (id = strindex_find(&b->words, bytes, len)) >= 0)
        return encoder_emit(enc, id, e);
    if (len == 1)
        return b->byte_id[(unsigned char)*bytes] < 0
                   ? 0
                   : encoder_emit(enc, b->byte_id[(unsigned char)*bytes], e);
    if (enc->cache && len <= CACHE_BYTES) {
        slot = cache_slot(enc->cache, bytes, len);
        if (slot->len == len && memcmp(slot->bytes, bytes, len) == 0) {
            for (size_t i = 0; i < slot->n && !rc; i++)
                rc = encoder_emit(enc, slot->ids[i], e);
            return rc;
        }
    }
    before = enc->out->len;
    if ((rc = merge_word(b, enc, bytes, len, e)))
        return rc;
    if (slot && enc->out->len - before <= CACHE_IDS) {
        slot->len = (uint8_t)len;
        slot->n = (uint8_t)(enc->out->len - before);
        memcpy(slot->bytes, bytes, len);
        if (slot->n > 0)
            memcpy(slot->ids, enc->out->data + before, slot->n * sizeof *slot->ids);
    }
    return 0;
}

int bpe_encode(const struct bpe *b, struct encoder *enc, const char *text, size_t len,
               struct err *e)
{
    enc->bpe = b;
    enc->run.word = encode_word;
    enc->run.arg = enc;
    if (!enc->cache && len > 1024)
        /* for short texts clearing it would cost more than it saves */
        enc->cache = calloc(1, sizeof *enc->cache); /* goes without where there is no memory */
    return pretok_split(b->pretok, &enc->run, text, len, e);
}
