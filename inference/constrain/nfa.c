#include "inference/constrain/nfa.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/utf8.h"

enum { MAX_DEPTH = 2000 };

static uint32_t state(struct nfa *a)
{
    if (a->failed || a->n_states >= a->max_states) {
        a->too_large |= !a->failed;
        return 0;
    }
    if (a->n_states == a->cap_states) {
        size_t cap = 2 * a->cap_states + 64;
        uint32_t *p = realloc(a->first, cap * sizeof *p);

        if (!p) {
            a->failed = true;
            return 0;
        }
        a->first = p;
        a->cap_states = cap;
    }
    a->first[a->n_states] = NFA_END;
    return (uint32_t)a->n_states++;
}

static void edge(struct nfa *a, uint32_t from, uint32_t to, int32_t kind, unsigned lo, unsigned hi)
{
    if (a->failed || a->too_large)
        return;
    if (a->n_edges == a->cap_edges) {
        size_t cap = 2 * a->cap_edges + 64;
        struct nfa_edge *p = realloc(a->edges, cap * sizeof *p);

        if (!p || cap >= NFA_END) {
            a->failed = true;
            a->edges = p ? p : a->edges;
            return;
        }
        a->edges = p;
        a->cap_edges = cap;
    }
    a->edges[a->n_edges] = (struct nfa_edge){ to, a->first[from], kind, (uint8_t)lo, (uint8_t)hi };
    a->first[from] = (uint32_t)a->n_edges++;
}

/* lo and hi have the same number of bytes and differ so that each byte after the first that differs
 * runs over all continuations: one path of byte ranges. */
static void path(struct nfa *a, uint32_t from, uint32_t to, uint32_t lo, uint32_t hi)
{
    char l[4], h[4];
    size_t n = utf8_encode(l, lo);

    (void)utf8_encode(h, hi);
    for (size_t i = 0; i < n; i++) {
        uint32_t next = i + 1 < n ? state(a) : to;

        edge(a, from, next, NFA_BYTES, (unsigned char)l[i], (unsigned char)h[i]);
        from = next;
    }
}

/* Cuts a range until its ends have equally many bytes and every byte but the first that differs is
 * either the same in both or runs from 0x80 to 0xbf. */
static void code_range(struct nfa *a, uint32_t from, uint32_t to, uint32_t lo, uint32_t hi)
{
    static const uint32_t last[] = { 0x7f, 0x7ff, 0xd7ff, 0xdfff, 0xffff, 0x10ffff };

    if (hi > 0x10ffff)
        hi = 0x10ffff;
    for (size_t i = 0; i < sizeof last / sizeof *last && lo <= hi; i++) {
        if (lo > last[i])
            continue;
        if (hi > last[i]) {
            code_range(a, from, to, lo, last[i]);
            lo = last[i] + 1;
        }
    }
    if (lo > hi || (lo >= 0xd800 && lo <= 0xdfff))
        return;
    for (unsigned bits = 6; bits <= 18; bits += 6) {
        uint32_t mask = (1u << bits) - 1;

        if ((lo & ~mask) == (hi & ~mask) || lo <= 0x7f)
            break; /* only what is below differs */
        if (lo & mask) {
            code_range(a, from, to, lo, lo | mask);
            code_range(a, from, to, (lo | mask) + 1, hi);
            return;
        }
        if ((hi & mask) != mask) {
            code_range(a, from, to, lo, (hi & ~mask) - 1);
            code_range(a, from, to, hi & ~mask, hi);
            return;
        }
    }
    path(a, from, to, lo, hi);
}

static void build(struct nfa *a, const struct grammar *g, int32_t node, uint32_t from, uint32_t to,
                  int depth);

/* a{min,max}: min copies, then a loop or optional copies that all may leave at once. */
static void repeat(struct nfa *a, const struct grammar *g, const struct gnode *n, uint32_t from,
                   uint32_t to, int depth)
{
    size_t i = 0;

    for (; i < n->min && !a->failed && !a->too_large; i++) {
        uint32_t next = state(a);

        build(a, g, n->a, from, next, depth);
        from = next;
    }
    if (n->max == GRAMMAR_UNBOUNDED) {
        uint32_t loop = state(a), back = state(a);

        edge(a, from, loop, NFA_EPSILON, 0, 0);
        build(a, g, n->a, loop, back, depth);
        edge(a, back, loop, NFA_EPSILON, 0, 0);
        edge(a, loop, to, NFA_EPSILON, 0, 0);
        return;
    }
    for (; i < n->max && !a->failed && !a->too_large; i++) {
        uint32_t next = state(a);

        edge(a, from, to, NFA_EPSILON, 0, 0);
        build(a, g, n->a, from, next, depth);
        from = next;
    }
    edge(a, from, to, NFA_EPSILON, 0, 0);
}

/* The start gets a state of its own, since edges may lead back to it. */
static void automaton(struct nfa *a, const struct grammar *g, const struct gnode *n, uint32_t from,
                      uint32_t to, int depth)
{
    uint32_t start = state(a), first = (uint32_t)a->n_states;

    for (size_t i = 2; i < n->min && !a->failed && !a->too_large; i++)
        (void)state(a);
    edge(a, from, start, NFA_EPSILON, 0, 0);
    for (size_t i = 0; i < n->len && !a->failed && !a->too_large; i++) {
        const struct auto_edge *e = &g->edges[n->at + i];
        uint32_t at = e->from == AUTO_START ? start : first + e->from - 2;
        uint32_t next = e->to == AUTO_START ? start : e->to == AUTO_END ? to : first + e->to - 2;

        if (e->node >= 0)
            build(a, g, e->node, at, next, depth);
        else
            edge(a, at, next, NFA_BYTES, e->lo, e->hi);
    }
}

/* All ways of reading node lead from `from` to `to`.  Long sequences and alternatives lean to
 * either side: the second operand of a pair is walked in the loop, the first by recursion. */
static void build(struct nfa *a, const struct grammar *g, int32_t node, uint32_t from, uint32_t to,
                  int depth)
{
    if (depth > MAX_DEPTH)
        a->too_large = true;
    while (!a->failed && !a->too_large) {
        const struct gnode *n = &g->nodes[node];
        uint32_t middle;

        switch (n->kind) {
        case GNODE_NEVER:
            return;
        case GNODE_EMPTY:
            edge(a, from, to, NFA_EPSILON, 0, 0);
            return;
        case GNODE_BYTES:
            for (size_t i = 0; i < n->len; i++) {
                unsigned c = g->bytes[n->at + i];

                middle = i + 1 < n->len ? state(a) : to;
                edge(a, from, middle, NFA_BYTES, c, c);
                from = middle;
            }
            return;
        case GNODE_CLASS:
            for (size_t i = 0; i < n->len; i++)
                code_range(a, from, to, g->ranges[n->at + i].lo, g->ranges[n->at + i].hi);
            return;
        case GNODE_CALL:
            edge(a, from, to, n->a, 0, 0);
            return;
        case GNODE_REPEAT:
            repeat(a, g, n, from, to, depth + 1);
            return;
        case GNODE_AUTOMATON:
            automaton(a, g, n, from, to, depth + 1);
            return;
        case GNODE_ALT:
            build(a, g, n->a, from, to, depth + 1);
            break;
        case GNODE_SEQ:
            middle = state(a);
            build(a, g, n->a, from, middle, depth + 1);
            from = middle;
            break;
        }
        node = n->b;
    }
}

void nfa_build(struct nfa *a, const struct grammar *g, int32_t node, size_t max_states)
{
    *a = (struct nfa){ .max_states = max_states };
    a->start = state(a);
    a->end = state(a);
    build(a, g, node, a->start, a->end, 0);
}

void nfa_done(struct nfa *a)
{
    free(a->first);
    free(a->edges);
    *a = (struct nfa){ 0 };
}
