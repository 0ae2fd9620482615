#include "inference/constrain/grammar.h"

#include <stdlib.h>
#include <string.h>

void grammar_init(struct grammar *g, size_t max_nodes)
{
    *g = (struct grammar){ .max_nodes = max_nodes };
}

void grammar_done(struct grammar *g)
{
    free(g->nodes);
    free(g->bytes);
    free(g->ranges);
    free(g->edges);
    free(g->rules);
    *g = (struct grammar){ 0 };
}

int grammar_check(const struct grammar *g, struct err *e)
{
    if (g->no_memory)
        return err_set(e, ERR_NOMEM, "no memory for a grammar of %zu nodes", g->n_nodes);
    return g->failed ? err_set(e, ERR_LIMIT, "the grammar is larger than %zu nodes", g->max_nodes)
                     : 0;
}

/* Room for n more items of size bytes in *items; the place of the first, or NULL. */
static void *grow(struct grammar *g, void *items, size_t *used, size_t *cap, size_t n, size_t size)
{
    void **array = items;
    void *p;

    if (g->failed || n > g->max_nodes || *used > g->max_nodes - n) {
        g->failed = true;
        return NULL;
    }
    if (*used + n > *cap) {
        size_t want = 2 * *cap > *used + n ? 2 * *cap : *used + n + 16;

        p = realloc(*array, want * size);
        if (!p) {
            g->failed = g->no_memory = true;
            return NULL;
        }
        *array = p;
        *cap = want;
    }
    p = (char *)*array + *used * size;
    *used += n;
    return p;
}

static int32_t add(struct grammar *g, struct gnode node)
{
    struct gnode *p = grow(g, &g->nodes, &g->n_nodes, &g->cap_nodes, 1, sizeof *p);

    if (!p)
        return GRAMMAR_NONE;
    *p = node;
    return (int32_t)(p - g->nodes);
}

int32_t grammar_empty(struct grammar *g)
{
    return add(g, (struct gnode){ .kind = GNODE_EMPTY });
}

int32_t grammar_never(struct grammar *g)
{
    return add(g, (struct gnode){ .kind = GNODE_NEVER });
}

int32_t grammar_bytes(struct grammar *g, const void *bytes, size_t len)
{
    unsigned char *p;

    if (len == 0)
        return grammar_empty(g);
    p = grow(g, &g->bytes, &g->n_bytes, &g->cap_bytes, len, 1);
    if (!p)
        return GRAMMAR_NONE;
    memcpy(p, bytes, len);
    return add(g, (struct gnode){ .kind = GNODE_BYTES, .at = (size_t)(p - g->bytes), .len = len });
}

int32_t grammar_text(struct grammar *g, const char *s)
{
    return grammar_bytes(g, s, strlen(s));
}

int32_t grammar_class(struct grammar *g, const struct code_range *ranges, size_t n)
{
    struct code_range *p;

    if (n == 0)
        return grammar_never(g);
    p = grow(g, &g->ranges, &g->n_ranges, &g->cap_ranges, n, sizeof *p);
    if (!p)
        return GRAMMAR_NONE;
    memcpy(p, ranges, n * sizeof *p);
    return add(g, (struct gnode){ .kind = GNODE_CLASS, .at = (size_t)(p - g->ranges), .len = n });
}

static int32_t add_pair(struct grammar *g, enum gnode_kind kind, int32_t a, int32_t b)
{
    if (a < 0 || b < 0) {
        g->failed = true;
        return GRAMMAR_NONE;
    }
    return add(g, (struct gnode){ .kind = kind, .a = a, .b = b });
}

int32_t grammar_seq(struct grammar *g, int32_t a, int32_t b)
{
    if (a >= 0 && b >= 0 && g->nodes[a].kind == GNODE_EMPTY)
        return b;
    if (a >= 0 && b >= 0 && g->nodes[b].kind == GNODE_EMPTY)
        return a;
    return add_pair(g, GNODE_SEQ, a, b);
}

int32_t grammar_alt(struct grammar *g, int32_t a, int32_t b)
{
    if (a >= 0 && b >= 0 && g->nodes[a].kind == GNODE_NEVER)
        return b;
    if (a >= 0 && b >= 0 && g->nodes[b].kind == GNODE_NEVER)
        return a;
    return add_pair(g, GNODE_ALT, a, b);
}

int32_t grammar_seq_all(struct grammar *g, const int32_t *nodes, size_t n)
{
    if (n <= 1)
        return n ? nodes[0] : grammar_empty(g);
    return grammar_seq(g, grammar_seq_all(g, nodes, n / 2),
                       grammar_seq_all(g, nodes + n / 2, n - n / 2));
}

int32_t grammar_alt_all(struct grammar *g, const int32_t *nodes, size_t n)
{
    if (n <= 1)
        return n ? nodes[0] : grammar_never(g);
    return grammar_alt(g, grammar_alt_all(g, nodes, n / 2),
                       grammar_alt_all(g, nodes + n / 2, n - n / 2));
}

int32_t grammar_repeat(struct grammar *g, int32_t a, size_t min, size_t max)
{
    if (a < 0) {
        g->failed = true;
        return GRAMMAR_NONE;
    }
    if (max < min)
        return grammar_never(g);
    return add(g, (struct gnode){ .kind = GNODE_REPEAT, .a = a, .min = min, .max = max });
}

int32_t grammar_optional(struct grammar *g, int32_t a)
{
    return grammar_repeat(g, a, 0, 1);
}

int32_t grammar_automaton(struct grammar *g, size_t n_states, const struct auto_edge *edges,
                          size_t n)
{
    struct auto_edge *p;

    if (n == 0)
        return grammar_never(g);
    p = grow(g, &g->edges, &g->n_edges, &g->cap_edges, n, sizeof *p);
    if (!p)
        return GRAMMAR_NONE;
    memcpy(p, edges, n * sizeof *p);
    return add(g, (struct gnode){ .kind = GNODE_AUTOMATON,
                                  .at = (size_t)(p - g->edges),
                                  .len = n,
                                  .min = n_states });
}

int32_t grammar_rule(struct grammar *g)
{
    int32_t *p = grow(g, &g->rules, &g->n_rules, &g->cap_rules, 1, sizeof *p);

    if (!p)
        return GRAMMAR_NONE;
    *p = GRAMMAR_NONE;
    return (int32_t)(p - g->rules);
}

void grammar_define(struct grammar *g, int32_t rule, int32_t node)
{
    if (rule < 0 || node < 0)
        g->failed = true;
    else
        g->rules[rule] = node;
}

int32_t grammar_call(struct grammar *g, int32_t rule)
{
    if (rule < 0) {
        g->failed = true;
        return GRAMMAR_NONE;
    }
    return add(g, (struct gnode){ .kind = GNODE_CALL, .a = rule });
}
