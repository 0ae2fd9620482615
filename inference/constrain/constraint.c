/* constraint.c - masks over the vocabulary.
 *
 * Of one state of the network alone, whatever follows its rule, most tokens are decided: their
 * bytes stay within the rule and what it calls, or fit nowhere.  That is found once for each state
 * (struct local) by a walk over the whole tree.  The others leave the rule in their middle; for
 * them the nodes of the tree where they do are kept, and only the subtrees there are walked anew,
 * from what follows in the text at hand. */
#include "inference/constrain/constraint.h"

#include <stdlib.h>
#include <string.h>

#include "inference/constrain/plain.h"

enum {
    MAX_STATES = 200000,   /* of a network */
    SPARSE_SHARE = 64,     /* fewer tokens than one of so many are kept as a list */
    LOCAL_BYTES = 64 << 20 /* of masks; beyond it they are found anew each time */
};

/* What is known of a state. */
struct local {
    int32_t *tokens;         /* [n_tokens], or */
    uint64_t *bits;          /* the whole mask */
    const struct trie *trie; /* that was walked: the vocabulary's, or the rest of a slice */
    uint32_t *exits;         /* [n_exits] nodes of the tree where the rule ends and tokens go on */
    size_t n_tokens, n_exits;
};

struct constraint {
    struct matcher matcher;
    const struct trie *trie; /* borrowed */
    int32_t start;
    struct local **locals; /* [states] NULL: not known yet */
    size_t local_bytes;
    uint64_t *scratch; /* one mask */
    uint32_t *exits;   /* those of the walk under way */
    size_t n_exits, cap_exits;
};

size_t constraint_mask_words(const struct constraint *c)
{
    return (c->trie->n_vocab + 63) / 64;
}

int constraint_create(struct constraint **out, const struct grammar *g, int32_t root,
                      const struct trie *t, struct err *e)
{
    struct constraint *c = calloc(1, sizeof *c);
    struct network net;
    int rc;

    *out = NULL;
    if (!c)
        return err_set(e, ERR_NOMEM, "no memory for a grammar");
    c->trie = t;
    rc = network_compile(&net, g, root, MAX_STATES, e);
    if (rc == ERR_NOTFOUND)
        rc = e ? (e->code = ERR_INVALID) : ERR_INVALID;
    if (rc == 0)
        rc = matcher_init(&c->matcher, &net, e);
    if (rc == 0) {
        c->locals = calloc(c->matcher.net.n_states, sizeof *c->locals);
        c->scratch = calloc(constraint_mask_words(c) + 1, sizeof *c->scratch);
        c->start = matcher_start(&c->matcher, (uint32_t)root);
        if (!c->locals || !c->scratch || c->start < 0)
            rc = err_set(e, ERR_NOMEM, "no memory for a grammar of %zu states",
                         c->matcher.net.n_states);
    }
    if (rc)
        constraint_free(c);
    else
        *out = c;
    return rc;
}

static void local_free(struct local *l)
{
    if (!l)
        return;
    free(l->tokens);
    free(l->bits);
    free(l->exits);
    free(l);
}

void constraint_free(struct constraint *c)
{
    if (!c)
        return;
    for (size_t i = 0; c->locals && i < c->matcher.net.n_states; i++)
        local_free(c->locals[i]);
    free(c->locals);
    free(c->scratch);
    free(c->exits);
    matcher_done(&c->matcher);
    free(c);
}

int32_t constraint_start(const struct constraint *c)
{
    return c->start;
}

static void mark(uint64_t *mask, int32_t token)
{
    mask[token / 64] |= 1ull << token % 64;
}

/* A token, and others of the same bytes, which are few: most nodes need not look for them. */
static void mark_all(const struct trie *t, int32_t token, uint64_t *mask)
{
    for (; token & TRIE_MORE; token = t->same[token & ~TRIE_MORE])
        mark(mask, token & ~TRIE_MORE);
    mark(mask, token);
}

static int note_exit(struct constraint *c, uint32_t node)
{
    if (c->n_exits == c->cap_exits) {
        size_t cap = 2 * c->cap_exits + 64;
        uint32_t *p = realloc(c->exits, cap * sizeof *p);

        if (!p)
            return -1;
        c->exits = p;
        c->cap_exits = cap;
    }
    c->exits[c->n_exits++] = node;
    return 0;
}

/* Marks the tokens below `node` (not at it) whose bytes from there on can be read from `set`; notes
 * the nodes at which a way escapes and tokens go on. */
static int walk(struct constraint *c, const struct trie *t, uint32_t node, int32_t set,
                uint64_t *mask)
{
    int32_t at[TRIE_MAX_DEPTH + 1]; /* the set at each depth */
    uint32_t end = t->skip[node];

    at[t->depth[node]] = set;
    for (uint32_t i = node + 1; i < end;) {
        unsigned depth = t->depth[i];
        int32_t next = matcher_step(&c->matcher, at[depth - 1], t->byte[i]);

        if (next == MATCH_FAILED)
            return -1;
        if (next == MATCH_DEAD) {
            i = t->skip[i];
            continue;
        }
        if (t->token[i] >= 0)
            mark_all(t, t->token[i], mask);
        if (t->skip[i] > i + 1 && set_flags(&c->matcher, next) & SET_ESCAPED && note_exit(c, i) < 0)
            return -1;
        if (set_ways(&c->matcher, next) == 0) {
            i = t->skip[i];
            continue;
        }
        at[depth] = next;
        i++;
    }
    return 0;
}

static int64_t count_bits(const uint64_t *mask, size_t words)
{
    int64_t n = 0;

    for (size_t i = 0; i < words; i++)
        n += __builtin_popcountll(mask[i]);
    return n;
}

/* What scratch and exits hold, put away. */
static struct local *store(struct constraint *c)
{
    size_t words = constraint_mask_words(c), n = (size_t)count_bits(c->scratch, words), k = 0;
    struct local *l = calloc(1, sizeof *l);

    if (!l)
        return NULL;
    l->n_exits = c->n_exits;
    l->exits = malloc((c->n_exits + 1) * sizeof *l->exits);
    if (n < c->trie->n_vocab / SPARSE_SHARE)
        l->tokens = malloc((n + 1) * sizeof *l->tokens);
    else
        l->bits = malloc(words * sizeof *l->bits);
    if (!l->exits || (!l->tokens && !l->bits)) {
        local_free(l);
        return NULL;
    }
    if (c->n_exits)
        memcpy(l->exits, c->exits, c->n_exits * sizeof *l->exits);
    if (l->bits)
        memcpy(l->bits, c->scratch, words * sizeof *l->bits);
    for (size_t w = 0; l->tokens && w < words; w++)
        for (uint64_t rest = c->scratch[w]; rest; rest &= rest - 1)
            l->tokens[k++] = (int32_t)(64 * w) + __builtin_ctzll(rest);
    l->n_tokens = l->tokens ? n : 0;
    return l;
}

static size_t local_size(const struct constraint *c, const struct local *l)
{
    return sizeof *l + l->n_exits * sizeof *l->exits + l->n_tokens * sizeof *l->tokens +
           (l->bits ? constraint_mask_words(c) * sizeof *l->bits : 0);
}

/* The mask before the walk over the tree that is returned: a slice that the state reads whole, and
 * the rest; or nothing, and all. */
static const struct trie *begin_local(struct constraint *c, uint32_t state)
{
    size_t bytes = constraint_mask_words(c) * sizeof *c->scratch;

    for (size_t i = 0; i < c->trie->n_slices; i++) {
        const struct slice *s = &c->trie->slices[i];

        if (!plain_reads(&c->matcher.net, state, s->most))
            continue;
        memcpy(c->scratch, s->mask, bytes);
        return &s->rest;
    }
    memset(c->scratch, 0, bytes);
    return c->trie;
}

/* What is known of a state, found out if need be.  One that is not to be kept (too many are) goes
 * to *own, for the caller to free. */
static const struct local *local_of(struct constraint *c, uint32_t state, struct local **own)
{
    const struct trie *t;
    struct local *l;
    int32_t set;

    *own = NULL;
    if (c->locals[state])
        return c->locals[state];
    t = begin_local(c, state);
    c->n_exits = 0;
    set = matcher_local(&c->matcher, state);
    if (set < 0 || walk(c, t, 0, set, c->scratch) < 0)
        return NULL;
    l = store(c);
    if (!l)
        return NULL;
    l->trie = t;
    if (c->local_bytes + local_size(c, l) > LOCAL_BYTES) {
        *own = l;
    } else {
        c->local_bytes += local_size(c, l);
        c->locals[state] = l;
    }
    return l;
}

/* Adds one way's tokens to the mask. */
static int add_way(struct constraint *c, struct way w, uint64_t *mask)
{
    size_t words = constraint_mask_words(c);
    struct local *own;
    const struct local *l = local_of(c, w.state, &own);
    int32_t after;
    int rc = 0;

    if (!l)
        return -1;
    for (size_t i = 0; l->bits && i < words; i++)
        mask[i] |= l->bits[i];
    for (size_t i = 0; i < l->n_tokens; i++)
        mark(mask, l->tokens[i]);
    after = l->n_exits ? matcher_popped(&c->matcher, w.frame) : MATCH_DEAD;
    if (after == MATCH_FAILED)
        rc = -1;
    c->n_exits = 0;
    for (size_t i = 0; rc == 0 && after >= 0 && i < l->n_exits; i++)
        rc = walk(c, l->trie, l->exits[i], after, mask);
    local_free(own);
    return rc;
}

int constraint_mask(struct constraint *c, int32_t at, uint64_t *mask)
{
    size_t words = constraint_mask_words(c), n = set_ways(&c->matcher, at);

    memset(mask, 0, words * sizeof *mask);
    for (size_t i = 0; i < n; i++)
        if (add_way(c, set_way(&c->matcher, at, i), mask) < 0)
            return MATCH_FAILED;
    for (size_t i = 0; i < words; i++)
        if (mask[i])
            return 1;
    return 0;
}

int32_t constraint_accept(struct constraint *c, int32_t at, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len && at >= 0; i++)
        at = matcher_step(&c->matcher, at, (uint8_t)bytes[i]);
    return at;
}

bool constraint_may_end(const struct constraint *c, int32_t at)
{
    return (set_flags(&c->matcher, at) & SET_COMPLETE) != 0;
}

bool constraint_must_end(const struct constraint *c, int32_t at)
{
    return set_ways(&c->matcher, at) == 0;
}

/* The one byte that all ways of a set want next, or -1. */
static int only_byte(const struct constraint *c, int32_t at)
{
    size_t n = set_ways(&c->matcher, at);
    int byte = -1;

    if (constraint_may_end(c, at))
        return -1;
    for (size_t i = 0; i < n; i++) {
        const struct net_state *s = &c->matcher.net.states[set_way(&c->matcher, at, i).state];
        const struct net_edge *e = c->matcher.net.edges + s->edges;

        if (s->n_edges != 1 || e->lo != e->hi || (byte >= 0 && byte != e->lo))
            return -1;
        byte = e->lo;
    }
    return byte;
}

size_t constraint_forced(struct constraint *c, int32_t at, char *out, size_t room)
{
    size_t n = 0;

    for (int byte; n < room && (byte = only_byte(c, at)) >= 0; n++) {
        int32_t next = matcher_step(&c->matcher, at, (uint8_t)byte);

        if (next < 0)
            break;
        out[n] = (char)byte;
        at = next;
    }
    return n;
}

size_t constraint_bytes(const struct constraint *c)
{
    return matcher_bytes(&c->matcher) + c->local_bytes;
}
