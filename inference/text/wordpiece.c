#include "inference/text/wordpiece.h"

#include <stdlib.h>
#include <string.h>

enum { MARK_BYTES = 4 };

struct wordpiece {
    const struct vocab *vocab;
    struct wordpiece_options o;
    struct str first, more;
};

int wordpiece_create(struct wordpiece **out, const struct vocab *v,
                     const struct wordpiece_options *o, struct err *e)
{
    struct wordpiece *w = calloc(1, sizeof *w);

    *out = NULL;
    if (!w)
        return err_set(e, ERR_NOMEM, "no memory for a tokenizer");
    w->vocab = v;
    w->o = *o;
    w->first = (struct str){ o->first, strlen(o->first) };
    w->more = (struct str){ o->more, strlen(o->more) };
    *out = w;
    return 0;
}

void wordpiece_free(struct wordpiece *w)
{
    free(w);
}

static bool continues_char(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* The longest token that the n bytes at `at` begin with, and in *n its bytes; before them is room
 * for a mark.  -1: there is none. */
static int32_t longest(const struct wordpiece *w, char *at, size_t *n, struct str mark)
{
    size_t most = w->vocab->by_text.longest;

    most = most > mark.len ? most - mark.len : 0;
    memcpy(at - mark.len, mark.data, mark.len);
    for (size_t len = *n < most ? *n : most; len > 0; len--) {
        int32_t id;

        if (len < *n && continues_char(at[len]))
            continue;
        id = strindex_find(&w->vocab->by_text, at - mark.len, mark.len + len);
        if (id >= 0 && vocab_is_text(w->vocab, (size_t)id)) {
            *n = len;
            return id;
        }
    }
    return -1;
}

/* Would tokens that begin words pass for others here?  Where those have no mark, a text that has
 * the one of the former would find them. */
static bool is_misread(const struct wordpiece *w, const char *rest, size_t len)
{
    return w->more.len == 0 && len >= w->first.len &&
           memcmp(rest, w->first.data, w->first.len) == 0;
}

/* The ids of a word of max_chars at most; 0: it is unknown. */
static size_t cut(const struct wordpiece *w, const char *bytes, size_t len,
                  int32_t ids[static WORDPIECE_MAX_CHARS])
{
    char room[MARK_BYTES + 4 * WORDPIECE_MAX_CHARS], *word = room + MARK_BYTES;
    size_t n_ids = 0;

    memcpy(word, bytes, len);
    for (size_t at = 0, n; at < len; at += n) {
        n = len - at;
        if (at && is_misread(w, word + at, n))
            return 0;
        ids[n_ids] = longest(w, word + at, &n, at ? w->more : w->first);
        if (ids[n_ids++] < 0)
            return 0;
    }
    return n_ids;
}

static bool is_short(const struct wordpiece *w, const char *bytes, size_t len)
{
    size_t n = 0;

    if (len > 4 * w->o.max_chars || continues_char(*bytes))
        return false;
    for (size_t i = 0; i < len; i++)
        n += !continues_char(bytes[i]);
    return n <= w->o.max_chars;
}

/* One word; arg is the encoder. */
static int encode_word(void *arg, const char *bytes, size_t len, struct err *e)
{
    struct encoder *enc = arg;
    const struct wordpiece *w = enc->wordpiece;
    int32_t ids[WORDPIECE_MAX_CHARS];
    struct wordcache_slot *slot;
    size_t n = 0;
    bool hit;
    int rc = 0;

    slot = wordcache_find(enc->cache, bytes, len, strtab_hash(bytes, len), &hit);
    if (hit) {
        for (size_t i = 0; i < slot->n && !rc; i++)
            rc = encoder_emit(enc, slot->ids[i], e);
        return rc;
    }
    if (is_short(w, bytes, len))
        n = cut(w, bytes, len, ids);
    if (n == 0)
        ids[n++] = w->o.unknown;
    wordcache_put(slot, bytes, len, ids, n);
    for (size_t i = 0; i < n && !rc; i++)
        rc = encoder_emit(enc, ids[i], e);
    return rc;
}

void wordpiece_begin(const struct wordpiece *w, struct encoder *enc)
{
    enc->wordpiece = w;
    enc->run.word = encode_word;
    enc->run.arg = enc;
}
