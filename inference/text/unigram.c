#include "inference/text/unigram.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inference/text/utf8_step.h"

/* The tokens as a trie: an edge leads from a node by a byte to another. */
struct edge {
    uint32_t from, to; /* to 0: free, as nothing leads to the root */
    uint8_t byte;
};

struct unigram {
    const struct vocab *vocab;
    struct unigram_options options;
    double *scores;
    struct edge *edges;
    size_t mask;
    uint32_t first[256]; /* edges of the root, 0: none */
    int32_t *id;         /* [n_nodes] the token that ends there, or -1 */
    uint32_t n_nodes;
    int32_t byte_id[256]; /* <0xXX>, or -1 */
};

/* The best way that ends at a byte of the word. */
struct unigram_end {
    double score;
    int32_t id;    /* its last token, UNKNOWN for a character that is none */
    uint32_t from; /* where that begins; NOWHERE: no way ends here */
    uint32_t next; /* on the best way of all: where the next token ends */
};

#define NOWHERE UINT32_MAX
enum { UNKNOWN = -1 };

static struct edge *find_edge(const struct unigram *u, uint32_t from, uint8_t byte)
{
    uint64_t h = ((uint64_t)from << 8 | byte) * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(h >> 32) & u->mask;

    while (u->edges[i].to && (u->edges[i].from != from || u->edges[i].byte != byte))
        i = (i + 1) & u->mask;
    return &u->edges[i];
}

static void insert(struct unigram *u, int32_t id)
{
    struct str text = strtab_get(&u->vocab->texts, (size_t)id);
    uint32_t node = 0;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = (uint8_t)text.data[i];
        struct edge *edge = find_edge(u, node, byte);

        if (!edge->to) {
            *edge = (struct edge){ node, u->n_nodes, byte };
            if (node == 0)
                u->first[byte] = u->n_nodes;
            u->id[u->n_nodes++] = -1;
        }
        node = edge->to;
    }
    if (node)
        u->id[node] = id; /* of equal texts the last counts */
}

static bool is_matched(const struct unigram *u, size_t id)
{
    return id < u->options.n && (vocab_is_text(u->vocab, id) ||
                                 (u->options.byte_fallback && u->vocab->type[id] == TOKEN_BYTE));
}

static int build(struct unigram *u, const double *scores, struct err *e)
{
    const struct vocab *v = u->vocab;
    size_t nodes = 1, size = 16;

    for (size_t i = 0; i < v->n; i++)
        if (is_matched(u, i))
            nodes += strtab_get(&v->texts, i).len; /* below 4 GiB: strtab_init() */
    while (size < nodes + nodes / 2)
        size *= 2;
    u->mask = size - 1;
    u->scores = malloc(v->n * sizeof *u->scores);
    u->edges = calloc(size, sizeof *u->edges);
    u->id = malloc(nodes * sizeof *u->id);
    if (!u->scores || !u->edges || !u->id || nodes > INT32_MAX)
        return err_set(e, ERR_NOMEM, "no memory for a tokenizer of %zu tokens", v->n);
    memcpy(u->scores, scores, v->n * sizeof *scores);
    u->id[u->n_nodes++] = -1;
    for (size_t i = 0; i < v->n; i++)
        if (is_matched(u, i))
            insert(u, (int32_t)i);
    return 0;
}

int unigram_create(struct unigram **out, const struct vocab *v, const struct unigram_options *o,
                   struct err *e)
{
    struct unigram *u = calloc(1, sizeof *u);
    int rc;

    *out = NULL;
    if (!u)
        return err_set(e, ERR_NOMEM, "no memory for a tokenizer");
    u->vocab = v;
    u->options = *o;
    if ((rc = build(u, o->scores, e))) {
        unigram_free(u);
        return rc;
    }
    for (unsigned b = 0; b < 256; b++) {
        char text[8];

        snprintf(text, sizeof text, "<0x%02X>", b);
        u->byte_id[b] = strindex_find(&v->by_text, text, 6);
    }
    *out = u;
    return 0;
}

void unigram_free(struct unigram *u)
{
    if (!u)
        return;
    free(u->scores);
    free(u->edges);
    free(u->id);
    free(u);
}

static void offer(struct unigram_end *end, double score, int32_t id, size_t from)
{
    if (end->from != NOWHERE && score <= end->score)
        return;
    end->score = score;
    end->id = id;
    end->from = (uint32_t)from;
}

/* All tokens that begin at byte `at`; without one that is the character there, the unknown one. */
static void extend(const struct unigram *u, struct unigram_end *ends, const char *word, size_t at,
                   size_t len, size_t letter)
{
    uint32_t node = u->first[(uint8_t)word[at]];
    bool single = false;

    for (size_t i = at + 1; node; i++) {
        int32_t id = u->id[node];

        if (id >= 0) {
            offer(&ends[i], ends[at].score + u->scores[id], id, at);
            single |= i == at + letter;
        }
        if (i == len)
            break;
        node = find_edge(u, node, (uint8_t)word[i])->to;
    }
    if (!single)
        offer(&ends[at + letter], ends[at].score + u->options.unknown_score, UNKNOWN, at);
}

/* Characters that are no token, one after another. */
static int emit_unknown(const struct unigram *u, struct encoder *enc, const char *bytes, size_t len,
                        struct err *e)
{
    bool fallback = u->options.byte_fallback;
    int32_t id = u->options.as_text ? strindex_find(&u->vocab->by_text, bytes, len) : -1;
    int rc = 0;

    if (id >= 0 && is_matched(u, (size_t)id))
        return encoder_emit(enc, id, e);
    for (size_t i = 0; i < len && fallback; i++)
        fallback = u->byte_id[(uint8_t)bytes[i]] >= 0;
    for (size_t i = 0; i < len && fallback && !rc; i++)
        rc = encoder_emit(enc, u->byte_id[(uint8_t)bytes[i]], e);
    return fallback || u->options.unknown < 0 ? rc : encoder_emit(enc, u->options.unknown, e);
}

/* The best way's tokens, unknown ones in a row as one. */
static int emit(const struct unigram *u, struct encoder *enc, struct unigram_end *ends,
                const char *word, size_t len, struct err *e)
{
    int rc = 0;

    for (size_t at = len; at > 0; at = ends[at].from)
        ends[ends[at].from].next = (uint32_t)at;
    for (size_t at = 0, end; at < len && !rc; at = end) {
        end = ends[at].next;
        if (ends[end].id != UNKNOWN) {
            rc = encoder_emit(enc, ends[end].id, e);
            continue;
        }
        while (end < len && ends[ends[end].next].id == UNKNOWN)
            end = ends[end].next;
        rc = emit_unknown(u, enc, word + at, end - at, e);
    }
    return rc;
}

static int search(const struct unigram *u, struct encoder *enc, const char *word, size_t len,
                  struct err *e)
{
    struct unigram_end *ends;

    if (len >= enc->ends_cap) {
        size_t cap = len + len / 2 + 64; /* len is below 2 GiB: tokenizer_encode() */

        free(enc->ends);
        enc->ends = malloc(cap * sizeof *enc->ends);
        enc->ends_cap = enc->ends ? cap : 0;
        if (!enc->ends)
            return err_set(e, ERR_NOMEM, "no memory for a word of %zu bytes", len);
    }
    ends = enc->ends;
    for (size_t i = 0; i <= len; i++)
        ends[i].from = NOWHERE;
    ends[0] = (struct unigram_end){ 0 };
    for (size_t i = 0, n; i < len; i += n) {
        int step = utf8_step(word + i, len - i);

        n = step > 0 ? (size_t)step : 1;
        extend(u, ends, word, i, len, n);
    }
    return emit(u, enc, ends, word, len, e);
}

int unigram_word(void *arg, const char *bytes, size_t len, struct err *e)
{
    struct encoder *enc = arg;
    struct wordcache_slot *slot;
    size_t before = enc->out->len;
    bool found;
    int rc = 0;

    if (len == 0)
        return 0;
    slot = wordcache_find(enc->cache, bytes, len, strtab_hash(bytes, len), &found);
    if (found) {
        for (size_t i = 0; i < slot->n && !rc; i++)
            rc = encoder_emit(enc, slot->ids[i], e);
        return rc;
    }
    if ((rc = search(enc->unigram, enc, bytes, len, e)) == 0 && enc->out->len > before)
        wordcache_put(slot, bytes, len, enc->out->data + before, enc->out->len - before);
    return rc;
}

void unigram_begin(const struct unigram *u, struct encoder *enc)
{
    enc->unigram = u;
    enc->run.word = unigram_word;
    enc->run.arg = enc;
}
