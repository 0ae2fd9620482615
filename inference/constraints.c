#include "inference/constraints.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_LISTED = 64,
    MAX_NODES = 4000000,
    MAX_BYTES = 128 << 20, /* one that holds more is compiled anew for the next who asks */
};

/* Characters of the tokens that are tried together: few are longer than the first; the second is
 * for strings of a few more characters. */
static const size_t SLICES[] = { 24, 7 };

struct constraints {
    const struct tokenizer *tokenizer; /* borrowed */
    size_t n_vocab;
    pthread_mutex_t lock; /* guards all below */
    struct trie trie;     /* made for the first who asks */
    bool has_trie;
    struct shape *list; /* each with a reference of its own */
    size_t n_listed;
    atomic_size_t refs; /* the owner's and those of all shapes */
};

int constraints_open(struct constraints **out, const struct tokenizer *t, size_t n_vocab,
                     struct err *e)
{
    struct constraints *c = calloc(1, sizeof *c);

    *out = c;
    if (!c)
        return err_set(e, ERR_NOMEM, "no memory for a model's grammars");
    c->tokenizer = t;
    c->n_vocab = n_vocab;
    pthread_mutex_init(&c->lock, NULL);
    atomic_init(&c->refs, 1);
    return 0;
}

static void unref(struct constraints *c)
{
    if (atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    if (c->has_trie)
        trie_done(&c->trie);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static void destroy(struct shape *s)
{
    struct constraints *c = s->owner;

    constraint_free(s->constraint);
    buf_done(&s->key);
    free(s);
    unref(c);
}

/* Takes it out of the list; the lock is held. */
static void unlist(struct constraints *c, struct shape **at)
{
    struct shape *s = *at;

    *at = s->next;
    s->next = NULL;
    c->n_listed--;
    if (--s->refs == 0)
        destroy(s);
}

void constraints_close(struct constraints *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    while (c->list)
        unlist(c, &c->list);
    pthread_mutex_unlock(&c->lock);
    unref(c);
}

/* The lock is held. */
static int make_trie(struct constraints *c, struct err *e)
{
    struct trie_token *tokens;
    int rc;

    if (c->has_trie)
        return 0;
    tokens = calloc(c->n_vocab + 1, sizeof *tokens);
    if (!tokens)
        return err_set(e, ERR_NOMEM, "no memory for a vocabulary of %zu tokens", c->n_vocab);
    for (size_t i = 0; i < c->n_vocab; i++) {
        struct str piece = tokenizer_piece(c->tokenizer, (int32_t)i, false);

        if (!tokenizer_is_end(c->tokenizer, (int32_t)i))
            tokens[i] = (struct trie_token){ piece.data, piece.len };
    }
    rc = trie_init(&c->trie, tokens, c->n_vocab, e);
    for (size_t i = 0; rc == 0 && i < sizeof SLICES / sizeof *SLICES; i++)
        rc = trie_slice(&c->trie, tokens, SLICES[i], e);
    c->has_trie = rc == 0;
    if (rc)
        trie_done(&c->trie);
    free(tokens);
    return rc;
}

/* The lock is held. */
static struct shape *find(struct constraints *c, const struct buf *key)
{
    for (struct shape **at = &c->list; *at; at = &(*at)->next) {
        struct shape *s = *at;

        if (s->key.len != key->len || memcmp(s->key.data, key->data, key->len) != 0)
            continue;
        if (s->bytes > MAX_BYTES) {
            unlist(c, at);
            return NULL;
        }
        *at = s->next;
        s->next = c->list;
        c->list = s;
        s->refs++;
        return s;
    }
    return NULL;
}

static int compile(struct constraints *c, const struct spec *spec, struct shape *s, struct err *e)
{
    struct grammar g;
    int32_t root;
    int rc;

    grammar_init(&g, MAX_NODES);
    rc = spec_grammar(&g, spec, &root, e);
    if (rc == 0)
        rc = constraint_create(&s->constraint, &g, root, &c->trie, e);
    grammar_done(&g);
    return rc;
}

/* Puts it first, with a reference of the list's; what was not asked for in a long time leaves.  The
 * lock is held. */
static void enlist(struct constraints *c, struct shape *s)
{
    struct shape **last = &c->list;

    s->next = c->list;
    s->refs++;
    c->list = s;
    if (++c->n_listed <= MAX_LISTED)
        return;
    while ((*last)->next)
        last = &(*last)->next;
    unlist(c, last);
}

int constraints_get(struct constraints *c, const struct spec *spec, struct shape **out,
                    struct err *e)
{
    struct shape *s = NULL;
    struct buf key = { 0 };
    int rc;

    *out = NULL;
    spec_key(&key, spec);
    if (key.failed)
        return err_set(e, ERR_NOMEM, "no memory for a grammar");
    pthread_mutex_lock(&c->lock);
    rc = make_trie(c, e);
    s = rc ? NULL : find(c, &key);
    pthread_mutex_unlock(&c->lock);
    if (rc || s) {
        buf_done(&key);
        *out = s;
        return rc;
    }
    /* Two who ask for the same at once both compile it: rare, and harmless. */
    s = calloc(1, sizeof *s);
    if (!s) {
        buf_done(&key);
        return err_set(e, ERR_NOMEM, "no memory for a grammar");
    }
    *s = (struct shape){ .owner = c, .key = key, .refs = 1 };
    atomic_fetch_add(&c->refs, 1);
    rc = compile(c, spec, s, e);
    if (rc) {
        destroy(s);
        return rc;
    }
    pthread_mutex_lock(&c->lock);
    enlist(c, s);
    pthread_mutex_unlock(&c->lock);
    *out = s;
    return 0;
}

struct shape *shape_ref(struct shape *s)
{
    pthread_mutex_lock(&s->owner->lock);
    s->refs++;
    pthread_mutex_unlock(&s->owner->lock);
    return s;
}

void shape_unref(struct shape *s)
{
    struct constraints *c;
    bool last;

    if (!s)
        return;
    c = s->owner;
    pthread_mutex_lock(&c->lock);
    last = --s->refs == 0;
    pthread_mutex_unlock(&c->lock);
    if (last)
        destroy(s);
}

void shape_grew(struct shape *s)
{
    s->bytes = constraint_bytes(s->constraint);
}
