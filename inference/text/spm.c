/* SentencePiece's BPE (Kudo and Richardson 2018): characters are the first symbols, and two
 * neighbours join when their texts together are a token, the one with the highest score first.  A
 * character that no token stands for becomes byte tokens.
 *
 * Blanks are U+2581 in the vocabulary; here both sides use one blank byte instead.
 *
 * A text is merged segment by segment: between two characters such that no token has
 * the last byte of the one followed by the first byte of the other, nothing can ever join. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inference/text/encoder.h"
#include "inference/text/utf8_step.h"

struct spm {
    const struct vocab *vocab;
    struct strindex pieces; /* of the tokens that text may become */
    uint32_t *order;        /* [n_vocab] the higher the score, the lower */
    int32_t byte_id[256];   /* what a byte falls back to */
    int32_t letter_id[256]; /* tokens whose piece is this one byte, or -1 */
    uint8_t *whole; /* [n_vocab] 1: merging is known to make this token of its own piece; set
                     * by any thread, in an atomic store */
    uint32_t joins[256][8]; /* bit b of joins[a]: some token has a character ending in byte a
                             * followed by one beginning with byte b */
};

/* Orders floats as unsigned numbers, highest first, and never MERGE_NEVER. */
static uint32_t order_of(float score)
{
    float f = score + 0.0f; /* -0 to 0 */
    uint32_t bits;

    if (isnan(f))
        return MERGE_NEVER - 1;
    memcpy(&bits, &f, sizeof bits);
    bits = bits >> 31 ? ~bits : bits | 0x80000000u;
    return ~bits < MERGE_NEVER ? ~bits : MERGE_NEVER - 1;
}

static int find_bytes(struct spm *s, struct err *e)
{
    const struct vocab *v = s->vocab;

    for (unsigned b = 0; b < 256; b++) {
        char text[8], c = (char)b;

        snprintf(text, sizeof text, "<0x%02X>", b);
        s->letter_id[b] = strindex_find(&s->pieces, &c, 1);
        s->byte_id[b] = strindex_find(&v->by_text, text, 6);
        if (s->byte_id[b] < 0)
            s->byte_id[b] = s->letter_id[b] >= 0 ? s->letter_id[b] : v->unknown;
        if (s->byte_id[b] < 0)
            return err_set(e, ERR_FORMAT,
                           "tokenizer.ggml.tokens has no %s and there is no unknown token", text);
    }
    return 0;
}

int spm_create(struct spm **out, const struct vocab *v, struct err *e)
{
    struct spm *s = calloc(1, sizeof *s);
    int rc;

    *out = NULL;
    if (!s)
        return err_set(e, ERR_NOMEM, "no memory for a tokenizer");
    s->vocab = v;
    s->order = malloc(v->n * sizeof *s->order);
    s->whole = calloc(v->n, 1);
    if (!s->order || !s->whole) {
        rc = err_set(e, ERR_NOMEM, "no memory for %zu tokens", v->n);
        goto fail;
    }
    if ((rc = strindex_init(&s->pieces, &v->pieces, v->n, e)))
        goto fail;
    for (size_t id = 0; id < v->n; id++) {
        struct str text = strtab_get(&v->texts, id), p = strtab_get(&v->pieces, id);

        s->order[id] = order_of(v->score[id]);
        /* A token spelled with real blanks is not met by merging, where blanks are U+2581. */
        if (!vocab_is_text(v, id) || p.len == 0 || memchr(text.data, ' ', text.len))
            continue;
        strindex_put(&s->pieces, id);
        for (size_t i = 1; i < p.len; i++) {
            unsigned char a = (unsigned char)p.data[i - 1], b = (unsigned char)p.data[i];

            s->joins[a][b / 32] |= 1u << b % 32;
        }
    }
    if ((rc = find_bytes(s, e)))
        goto fail;
    *out = s;
    return 0;
fail:
    spm_free(s);
    return rc;
}

void spm_free(struct spm *s)
{
    if (!s)
        return;
    strindex_done(&s->pieces);
    free(s->order);
    free(s->whole);
    free(s);
}

static uint32_t order_of_pair(const struct merge_rule *rule, const struct merge_symbol *left,
                              const struct merge_symbol *right, int32_t *id)
{
    const struct spm *s = rule->table;

    *id = strindex_find(&s->pieces, rule->word + left->start, (size_t)left->len + right->len);
    return *id < 0 ? MERGE_NEVER : s->order[*id];
}

/* The byte tokens of a symbol that no token stands for. */
static int emit_bytes(const struct spm *s, struct encoder *enc, const char *bytes, size_t len,
                      struct err *e)
{
    int rc = 0;

    if (len == 1 && *bytes == ' ') {
        bytes = "\xe2\x96\x81";
        len = 3;
    }
    for (size_t i = 0; i < len && !rc; i++)
        rc = encoder_emit(enc, s->byte_id[(unsigned char)bytes[i]], e);
    return rc;
}

/* The segment is merged, and emitted. */
static int merge_segment(const struct spm *s, struct encoder *enc, struct err *e)
{
    const struct merge_rule rule = { order_of_pair, s, enc->segment.data };
    struct merge_work *w = &enc->merge;
    int rc = merge_run(w, &rule, e);

    for (uint32_t i = 0; i != MERGE_END && !rc; i = w->symbols[i].next) {
        const struct merge_symbol *m = &w->symbols[i];

        rc = m->id >= 0 ? encoder_emit(enc, m->id, e)
                        : emit_bytes(s, enc, rule.word + m->start, m->len, e);
    }
    return rc;
}

/* The same, unless what it becomes is known. */
static int flush(const struct spm *s, struct encoder *enc, struct err *e)
{
    const struct str seg = { enc->segment.data, enc->segment.len };
    size_t before = enc->out->len, n;
    struct wordcache_slot *slot;
    uint64_t hash;
    bool found;
    int32_t id = -1;
    int rc = 0;

    if (enc->merge.n == 0)
        return 0;
    hash = strtab_hash(seg.data, seg.len);
    slot = wordcache_find(enc->cache, seg.data, seg.len, hash, &found);
    if (found) {
        for (size_t i = 0; i < slot->n && !rc; i++)
            rc = encoder_emit(enc, slot->ids[i], e);
        goto out;
    }
    id = strindex_find_hashed(&s->pieces, seg.data, seg.len, hash);
    if (id >= 0 && __atomic_load_n(&s->whole[id], __ATOMIC_RELAXED)) {
        rc = encoder_emit(enc, id, e);
        goto out;
    }
    if ((rc = merge_segment(s, enc, e)))
        goto out;
    n = enc->out->len - before;
    if (n == 1 && enc->out->data[before] == id)
        __atomic_store_n(&s->whole[id], 1, __ATOMIC_RELAXED);
    else if (n > 0)
        wordcache_put(slot, seg.data, seg.len, enc->out->data + before, n);
out:
    enc->merge.n = 0;
    buf_reset(&enc->segment);
    return rc;
}

/* One character at the end of the segment, which is merged first if nothing can join across. */
static int add_char(const struct spm *s, struct encoder *enc, const char *bytes, size_t len,
                    struct err *e)
{
    struct buf *seg = &enc->segment;
    unsigned char first = (unsigned char)*bytes;
    int32_t id;
    int rc;

    if (seg->len > 0) {
        unsigned char last = (unsigned char)seg->data[seg->len - 1];

        if (!(s->joins[last][first / 32] >> first % 32 & 1) && (rc = flush(s, enc, e)))
            return rc;
    }
    id = len == 1 ? s->letter_id[first] : strindex_find(&s->pieces, bytes, len);
    rc = merge_add(&enc->merge, id, seg->len, len, e);
    buf_put(seg, bytes, len);
    if (!rc && seg->failed)
        rc = err_set(e, ERR_NOMEM, "no memory for a text of %zu bytes", seg->len);
    return rc;
}

int spm_encode(const struct spm *s, struct encoder *enc, const char *text, size_t len,
               struct err *e)
{
    int rc = 0;

    enc->merge.n = 0;
    buf_reset(&enc->segment);
    if (s->vocab->add_space_prefix)
        rc = add_char(s, enc, " ", 1, e);
    for (size_t i = 0; i < len && !rc;) {
        int step = utf8_step(text + i, len - i);
        size_t n = step > 0 ? (size_t)step : 1;

        if (n == 3 && memcmp(text + i, "\xe2\x96\x81", 3) == 0)
            rc = add_char(s, enc, " ", 1, e);
        else
            rc = add_char(s, enc, text + i, n, e);
        i += n;
    }
    return rc ? rc : flush(s, enc, e);
}
