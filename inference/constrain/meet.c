#include "inference/constrain/meet.h"

#include <stdlib.h>

#include "inference/constrain/table.h"

enum { MAX_STATES = 50000 };

#define GONE UINT32_MAX /* b has no such text any more */

struct product {
    struct grammar *g;
    struct network a, b;
    enum meet how;
    struct table pairs; /* { state of a, state of b }; pair k is state k of the automaton, ... */
    struct auto_edge *edges;
    size_t n_edges, cap_edges;
};

/* ... but for AUTO_END, which is none of them. */
static uint32_t number(size_t pair)
{
    return (uint32_t)(pair == 0 ? AUTO_START : pair + 1);
}

/* An expression by itself.  ERR_NOTFOUND: it has no text at all. */
static int compile(struct grammar *g, int32_t node, struct network *n, uint32_t *start,
                   struct err *e)
{
    int32_t rule = grammar_rule(g);
    int rc;

    grammar_define(g, rule, node);
    rc = network_compile(n, g, rule, MAX_STATES, e);
    if (rc)
        return rc;
    *start = n->starts[rule];
    if (n->n_calls == 0)
        return 0;
    network_done(n);
    return err_set(e, ERR_INTERNAL, "an expression with calls cannot be compared with another");
}

static int put_edge(struct product *p, struct auto_edge edge)
{
    if (p->n_edges == p->cap_edges) {
        size_t cap = 2 * p->cap_edges + 64;
        struct auto_edge *q = realloc(p->edges, cap * sizeof *q);

        if (!q)
            return -1;
        p->edges = q;
        p->cap_edges = cap;
    }
    p->edges[p->n_edges++] = edge;
    return 0;
}

/* Where byte c leads from state q, GONE if nowhere; *last: the last byte for which that is so. */
static uint32_t follow(const struct network *n, uint32_t q, unsigned c, unsigned *last)
{
    const struct net_state *s;

    *last = 255;
    if (q == GONE)
        return GONE;
    s = &n->states[q];
    for (size_t i = 0; i < s->n_edges; i++) {
        const struct net_edge *e = &n->edges[s->edges + i];

        if (e->hi < c)
            continue;
        *last = e->lo > c ? e->lo - 1u : e->hi;
        return e->lo > c ? GONE : e->to;
    }
    return GONE;
}

/* The edges out of pair k; may find new pairs. */
static int step(struct product *p, size_t k)
{
    uint32_t qa = table_run(&p->pairs, k)[0], qb = table_run(&p->pairs, k)[1];
    bool b_accepts = qb != GONE && p->b.states[qb].accepts;
    struct auto_edge e = { .from = number(k), .node = GRAMMAR_NONE };

    for (unsigned c = 0, last_a, last_b, last; c < 256; c = last + 1) {
        uint32_t to[2] = { follow(&p->a, qa, c, &last_a), follow(&p->b, qb, c, &last_b) };
        int64_t pair;

        last = last_a < last_b ? last_a : last_b;
        if (to[0] == GONE || (to[1] == GONE && p->how == MEET_BOTH))
            continue;
        pair = table_put(&p->pairs, to, 2);
        if (pair < 0)
            return -1;
        e.to = number((size_t)pair);
        e.lo = (uint8_t)c;
        e.hi = (uint8_t)last;
        if (put_edge(p, e) < 0)
            return -1;
    }
    if (!p->a.states[qa].accepts || b_accepts != (p->how == MEET_BOTH))
        return 0;
    e.to = AUTO_END;
    e.node = grammar_empty(p->g);
    return e.node < 0 ? -1 : put_edge(p, e);
}

static int multiply(struct product *p, uint32_t a, uint32_t b, int32_t *out, struct err *e)
{
    const uint32_t first[2] = { a, b };
    int rc = table_put(&p->pairs, first, 2) < 0 ? -1 : 0;

    for (size_t k = 0; rc == 0 && k < p->pairs.n_runs; k++) {
        if (k >= MAX_STATES)
            return err_set(e, ERR_LIMIT, "the conditions together need more than %d states",
                           MAX_STATES);
        rc = step(p, k);
    }
    if (rc)
        return err_set(e, ERR_NOMEM, "no memory to join conditions");
    *out = grammar_automaton(p->g, p->pairs.n_runs + 1, p->edges, p->n_edges);
    return 0;
}

int meet_node(struct grammar *g, int32_t a, int32_t b, enum meet how, int32_t *out, struct err *e)
{
    struct product p = { .g = g, .how = how };
    uint32_t start_a = 0, start_b = GONE;
    int rc = compile(g, a, &p.a, &start_a, e);

    *out = grammar_never(g);
    if (rc == 0) {
        rc = compile(g, b, &p.b, &start_b, e);
        if (rc == ERR_NOTFOUND && how == MEET_ONLY) {
            *out = a;
        } else if (rc == 0) {
            rc = multiply(&p, start_a, start_b, out, e);
        }
    }
    network_done(&p.a);
    network_done(&p.b);
    table_done(&p.pairs);
    free(p.edges);
    return rc == ERR_NOTFOUND ? 0 : rc;
}

int meet_reads(struct grammar *g, int32_t a, const char *text, size_t len, struct err *e)
{
    struct network n;
    uint32_t q;
    unsigned last;
    int rc = compile(g, a, &n, &q, e);

    if (rc == ERR_NOTFOUND)
        return 0;
    if (rc)
        return rc;
    for (size_t i = 0; i < len && q != GONE; i++)
        q = follow(&n, q, (uint8_t)text[i], &last);
    rc = q != GONE && n.states[q].accepts;
    network_done(&n);
    return rc;
}
