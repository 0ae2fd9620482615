/* What the two kinds have in common: special tokens are cut out of the text first, what lies
 * between goes to bpe.c or spm.c, each stretch by itself. */
#include "inference/text/tokenizer.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "inference/text/encoder.h"
#include "inference/text/hf/hftok.h"

enum { MAX_SHELVED = 8, MAX_SHELVED_SYMBOLS = 1 << 16 };

/* Encoders that nobody uses: their memory and the words they know serve the next call. */
struct shelf {
    pthread_mutex_t lock; /* guards the rest */
    struct encoder *first;
    size_t n;
};

struct tokenizer {
    struct shelf *shelf;
    struct vocab vocab;
    struct special special;
    struct bpe *bpe; /* the one that vocab.model says, the others are NULL */
    struct spm *spm;
    struct ugm *ugm;
    struct wpm *wpm;
    struct hftok *hf; /* tokenizer.json: has its own table of special tokens */
};

int ids_push(struct ids *ids, int32_t id, struct err *e)
{
    if (ids->len == ids->cap) {
        size_t cap = ids->cap ? ids->cap * 2 : 64;
        int32_t *data;

        if (cap > SIZE_MAX / sizeof *data / 2 || !(data = realloc(ids->data, cap * sizeof *data)))
            return err_set(e, ERR_NOMEM, "no memory for %zu token ids", cap);
        ids->data = data;
        ids->cap = cap;
    }
    ids->data[ids->len++] = id;
    return 0;
}

void ids_done(struct ids *ids)
{
    free(ids->data);
    *ids = (struct ids){ 0 };
}

/* Does general.name say Phi-3?  Its control tokens swallow white space, which no key tells. */
static bool is_phi3(const struct weights *w)
{
    struct str name;
    struct err ignored;

    if (weights_str(w, "general.name", &name, &ignored))
        return false;
    for (size_t i = 0; i + 4 <= name.len; i++) {
        if (strncasecmp(name.data + i, "phi3", 4) == 0)
            return true;
        if (i + 5 <= name.len && strncasecmp(name.data + i, "phi-3", 5) == 0)
            return true;
    }
    return false;
}

/* Of a folder; or of a GGUF file that was made of one and has GGUF's own keys only for others. */
static bool wants_json(const struct weights *w)
{
    return weights_has(w, "tokenizer.huggingface.json") &&
           (!weights_has(w, "tokenizer.ggml.model") ||
            weights_has(w, "tokenizer.huggingface.settings"));
}

int tokenizer_open(struct tokenizer **out, const struct weights *w, struct err *e)
{
    struct tokenizer *t = calloc(1, sizeof *t);
    int rc;

    *out = NULL;
    if (!t || !(t->shelf = calloc(1, sizeof *t->shelf))) {
        free(t);
        return err_set(e, ERR_NOMEM, "no memory for a tokenizer");
    }
    pthread_mutex_init(&t->shelf->lock, NULL); /* cannot fail in glibc */
    if (wants_json(w)) {
        if ((rc = hftok_create(&t->hf, &t->vocab, w, e)))
            goto fail;
        *out = t;
        return 0;
    }
    if ((rc = vocab_load(&t->vocab, w, e)))
        goto fail;
    if (t->vocab.model == VOCAB_BPE)
        rc = bpe_create(&t->bpe, &t->vocab, w, e);
    else if (t->vocab.model == VOCAB_SPM)
        rc = spm_create(&t->spm, &t->vocab, e);
    else if (t->vocab.model == VOCAB_UGM)
        rc = ugm_create(&t->ugm, &t->vocab, w, e);
    else
        rc = wpm_create(&t->wpm, &t->vocab, e);
    if (rc || (rc = special_init(&t->special, &t->vocab, e)))
        goto fail;
    if (is_phi3(w))
        special_eat_blanks(&t->special);
    /* The file has the last word; a family's habit counts only where it says nothing. */
    if (t->bpe && !weights_has(w, "tokenizer.ggml.add_bos_token"))
        t->vocab.add_bos = bpe_adds_bos(t->bpe);
    *out = t;
    return 0;
fail:
    tokenizer_close(t);
    return rc;
}

int encoder_emit(struct encoder *enc, int32_t id, struct err *e)
{
    if (enc->left == 0)
        return err_set(e, ERR_LIMIT, "the text has more tokens than allowed");
    enc->left--;
    return ids_push(enc->out, id, e);
}

static void encoder_free(struct encoder *enc)
{
    if (!enc)
        return;
    merge_done(&enc->merge);
    free(enc->cache);
    free(enc->ends);
    pretok_run_done(&enc->run);
    buf_done(&enc->segment);
    free(enc);
}

static struct encoder *take(struct shelf *s)
{
    struct encoder *enc;

    pthread_mutex_lock(&s->lock);
    enc = s->first;
    if (enc) {
        s->first = enc->next;
        s->n--;
    }
    pthread_mutex_unlock(&s->lock);
    if (!enc && (enc = calloc(1, sizeof *enc)))
        enc->cache = wordcache_create();
    return enc;
}

/* Back on the shelf, unless something went wrong or it has grown large. */
static void give(struct shelf *s, struct encoder *enc, bool usable)
{
    usable =
        usable && enc->merge.cap <= MAX_SHELVED_SYMBOLS && enc->ends_cap <= MAX_SHELVED_SYMBOLS;
    if (usable) {
        pthread_mutex_lock(&s->lock);
        usable = s->n < MAX_SHELVED;
        if (usable) {
            enc->next = s->first;
            s->first = enc;
            s->n++;
        }
        pthread_mutex_unlock(&s->lock);
    }
    if (!usable)
        encoder_free(enc);
}

void tokenizer_close(struct tokenizer *t)
{
    if (!t)
        return;
    while (t->shelf->first) {
        struct encoder *enc = t->shelf->first;

        t->shelf->first = enc->next;
        encoder_free(enc);
    }
    pthread_mutex_destroy(&t->shelf->lock);
    free(t->shelf);
    bpe_free(t->bpe);
    spm_free(t->spm);
    ugm_free(t->ugm);
    wpm_free(t->wpm);
    hftok_free(t->hf);
    special_done(&t->special);
    vocab_done(&t->vocab);
    free(t);
}

/* The text between special tokens, and these. */
static int encode_text(const struct tokenizer *t, struct encoder *enc, const char *text, size_t len,
                       const struct encode_options *o, struct err *e)
{
    struct special_search search = { .text = text,
                                     .len = len,
                                     .parse = o->parse_special,
                                     .plain = o->plain,
                                     .n_plain = o->n_plain };
    size_t done = 0, at;
    int rc = 0;

    while (done < len && !rc) {
        const struct special_item *item = special_next(&t->special, &search, done, &at);
        size_t end = item ? at : len;

        if (end > done) {
            rc = t->bpe   ? bpe_encode(t->bpe, enc, text + done, end - done, e)
                 : t->spm ? spm_encode(t->spm, enc, text + done, end - done, e)
                 : t->ugm ? ugm_encode(t->ugm, enc, text + done, end - done, e)
                          : wpm_encode(t->wpm, enc, text + done, end - done, e);
            if (rc)
                return rc;
        }
        if (!item)
            break;
        rc = encoder_emit(enc, item->id, e);
        done = at + item->text.len;
        while (item->eats_blank && done < len && isspace((unsigned char)text[done]))
            done++;
    }
    return rc;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len,
                     const struct encode_options *o, struct ids *out, struct err *e)
{
    struct encoder *enc;
    size_t before = out->len;
    int rc = 0;

    if (len > INT32_MAX)
        return err_set(e, ERR_LIMIT, "a text of %zu bytes is too large, expected below 2 GiB", len);
    enc = take(t->shelf);
    if (!enc)
        return err_set(e, ERR_NOMEM, "no memory to encode a text");
    enc->out = out;
    enc->left = o->max_ids ? o->max_ids : SIZE_MAX;
    if (o->add_special && t->vocab.add_bos && t->vocab.bos >= 0)
        rc = encoder_emit(enc, t->vocab.bos, e);
    if (!rc && t->hf)
        rc = hftok_encode(t->hf, enc, text, len, o, e);
    else if (!rc)
        rc = encode_text(t, enc, text, len, o, e);
    if (!rc && o->add_special && t->vocab.add_eos && t->vocab.last >= 0)
        rc = encoder_emit(enc, t->vocab.last, e);
    if (rc)
        out->len = before; /* the caller sees all ids or none */
    give(t->shelf, enc, rc == 0);
    return rc;
}

/* Ids come from clients and samplers: every accessor takes any number. */
static bool in_range(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->vocab.n;
}

struct str tokenizer_piece(const struct tokenizer *t, int32_t id, bool special)
{
    if (!in_range(t, id) || t->vocab.type[id] == TOKEN_UNUSED ||
        (vocab_is_control(&t->vocab, (size_t)id) && !special))
        return (struct str){ "", 0 };
    return strtab_get(&t->vocab.pieces, (size_t)id);
}

struct str tokenizer_text(const struct tokenizer *t, int32_t id)
{
    return in_range(t, id) ? strtab_get(&t->vocab.texts, (size_t)id) : (struct str){ "", 0 };
}

size_t tokenizer_n_vocab(const struct tokenizer *t)
{
    return t->vocab.n;
}

bool tokenizer_is_control(const struct tokenizer *t, int32_t id)
{
    return in_range(t, id) && vocab_is_control(&t->vocab, (size_t)id);
}

bool tokenizer_is_end(const struct tokenizer *t, int32_t id)
{
    return in_range(t, id) && t->vocab.end[id];
}

int32_t tokenizer_find(const struct tokenizer *t, const char *text, size_t len)
{
    return strindex_find(&t->vocab.by_text, text, len);
}

int32_t tokenizer_bos(const struct tokenizer *t)
{
    return t->vocab.bos;
}

int32_t tokenizer_eos(const struct tokenizer *t)
{
    return t->vocab.eos;
}

bool tokenizer_adds_bos(const struct tokenizer *t)
{
    return t->vocab.add_bos && t->vocab.bos >= 0;
}

bool tokenizer_strips_first_blank(const struct tokenizer *t)
{
    return t->vocab.model != VOCAB_BPE && t->vocab.add_space_prefix;
}
