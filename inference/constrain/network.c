/* network.c - grammar to automata: subset construction rule by rule (Rabin and Scott 1959), then
 * what can never be finished is cut off, and rules that would call themselves for ever are refused.
 */
#include "inference/constrain/network.h"

#include <stdlib.h>
#include <string.h>

#include "inference/constrain/nfa.h"
#include "inference/constrain/table.h"

/* One rule under construction. */
struct subset {
    struct network *net;
    const struct nfa *nfa;
    struct table sets; /* of nfa states, sorted; run k is state base + k of the network */
    size_t base;
    uint32_t *mark, round; /* [nfa states]: in the set being made, if == round */
    uint32_t *list;        /* [nfa states] the set being made */
    size_t n_list;
    size_t max_states;
    size_t work, max_work; /* edges looked at, and states put into sets */
};

/* A state of the network is a set of states, which may be as many: "((a?){100}){300}" would be
 * 30,000 sets of up to 60,000.  Grammars of real schemas stay below ten for each state allowed. */
enum { WORK_PER_STATE = 100 };

static void *push(void *items, size_t *used, size_t *cap, size_t size)
{
    void **array = items;

    if (*used == *cap) {
        size_t want = 2 * *cap + 64;
        void *p = realloc(*array, want * size);

        if (!p)
            return NULL;
        *array = p;
        *cap = want;
    }
    return (char *)*array + (*used)++ * size;
}

static void add(struct subset *s, uint32_t q)
{
    if (s->mark[q] != s->round) {
        s->mark[q] = s->round;
        s->list[s->n_list++] = q;
    }
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

/* The set in list, closed over empty moves, as a state of the network; -1 without memory, -2 beyond
 * the limit of states, -3 beyond that of work. */
static int64_t finish_set(struct subset *s)
{
    int64_t k;

    for (size_t i = 0; i < s->n_list; i++)
        for (uint32_t e = s->nfa->first[s->list[i]]; e != NFA_END; e = s->nfa->edges[e].next)
            if (s->nfa->edges[e].kind == NFA_EPSILON)
                add(s, s->nfa->edges[e].to);
    s->work += s->n_list;
    if (s->work > s->max_work)
        return -3;
    qsort(s->list, s->n_list, sizeof *s->list, by_number);
    k = table_put(&s->sets, s->list, s->n_list);
    if (k < 0)
        return -1;
    return s->base + (size_t)k >= s->max_states ? -2 : (int64_t)s->base + k;
}

static void begin_set(struct subset *s)
{
    s->n_list = 0;
    s->round++;
}

/* Where byte c leads from set k: the set in list.  Returns the last byte that leads just there. */
static unsigned follow_byte(struct subset *s, size_t k, unsigned c)
{
    const uint32_t *set = table_run(&s->sets, k);
    unsigned last = 255;

    begin_set(s);
    for (size_t i = 0; i < s->sets.runs[k].len; i++)
        for (uint32_t e = s->nfa->first[set[i]]; e != NFA_END; e = s->nfa->edges[e].next) {
            const struct nfa_edge *d = &s->nfa->edges[e];

            s->work++;
            if (d->kind != NFA_BYTES || d->hi < c)
                continue;
            if (d->lo > c) { /* begins later: what we return ends before */
                last = d->lo - 1u < last ? d->lo - 1u : last;
                continue;
            }
            last = d->hi < last ? d->hi : last;
            add(s, d->to);
        }
    return last;
}

static int byte_edges(struct subset *s, size_t k, struct net_state *state)
{
    for (unsigned c = 0, last; c < 256; c = last + 1) {
        struct net_edge *e;
        int64_t to;

        last = follow_byte(s, k, c);
        if (s->n_list == 0)
            continue;
        to = finish_set(s);
        if (to < 0)
            return (int)to;
        if (state->n_edges > 0 && s->net->edges[s->net->n_edges - 1].to == (uint32_t)to &&
            s->net->edges[s->net->n_edges - 1].hi + 1u == c) {
            s->net->edges[s->net->n_edges - 1].hi = (uint8_t)last;
            continue;
        }
        e = push(&s->net->edges, &s->net->n_edges, &s->net->cap_edges, sizeof *e);
        if (!e)
            return -1;
        *e = (struct net_edge){ (uint8_t)c, (uint8_t)last, (uint32_t)to };
        state->n_edges++;
    }
    return 0;
}

/* The lowest rule above `after` that set k calls, or -1; then list has where its calls lead. */
static int64_t follow_call(struct subset *s, size_t k, int64_t after)
{
    const uint32_t *set = table_run(&s->sets, k);
    int64_t rule = -1;

    for (int pass = 0; pass < 2; pass++) {
        begin_set(s);
        for (size_t i = 0; i < s->sets.runs[k].len; i++)
            for (uint32_t e = s->nfa->first[set[i]]; e != NFA_END; e = s->nfa->edges[e].next) {
                const struct nfa_edge *d = &s->nfa->edges[e];

                s->work++;
                if (pass == 0 && d->kind > after && (rule < 0 || d->kind < rule))
                    rule = d->kind;
                if (pass == 1 && d->kind == rule)
                    add(s, d->to);
            }
        if (rule < 0)
            return -1;
    }
    return rule;
}

static int call_edges(struct subset *s, size_t k, struct net_state *state)
{
    for (int64_t rule = -1; (rule = follow_call(s, k, rule)) >= 0;) {
        int64_t to = finish_set(s);
        struct net_call *c;

        if (to < 0)
            return (int)to;
        c = push(&s->net->calls, &s->net->n_calls, &s->net->cap_calls, sizeof *c);
        if (!c)
            return -1;
        *c = (struct net_call){ (uint32_t)rule, (uint32_t)to };
        state->n_calls++;
    }
    return 0;
}

static bool holds(const struct table *t, size_t k, uint32_t q)
{
    const uint32_t *set = table_run(t, k);

    return bsearch(&q, set, t->runs[k].len, sizeof q, by_number) != NULL;
}

static int subset_states(struct subset *s)
{
    int64_t first;

    begin_set(s);
    add(s, s->nfa->start);
    first = finish_set(s);
    if (first < 0)
        return (int)first;
    for (size_t k = 0; k < s->sets.n_runs; k++) {
        struct net_state state = { .edges = (uint32_t)s->net->n_edges,
                                   .calls = (uint32_t)s->net->n_calls,
                                   .accepts = holds(&s->sets, k, s->nfa->end) };
        struct net_state *p;
        int rc = byte_edges(s, k, &state);

        if (rc == 0)
            rc = call_edges(s, k, &state);
        if (rc < 0)
            return rc;
        p = push(&s->net->states, &s->net->n_states, &s->net->cap_states, sizeof *p);
        if (!p)
            return -1;
        *p = state;
    }
    return 0;
}

/* 0, or what finish_set() says; *work grows. */
static int compile_rule(struct network *n, const struct grammar *g, size_t rule, size_t max_states,
                        size_t *work)
{
    struct subset s = { .net = n,
                        .base = n->n_states,
                        .max_states = max_states,
                        .work = *work,
                        .max_work = WORK_PER_STATE * max_states };
    struct nfa a;
    int rc;

    nfa_build(&a, g, g->rules[rule], 8 * max_states);
    s.nfa = &a;
    rc = a.failed ? -1 : a.too_large ? -2 : 0;
    if (rc == 0) {
        s.mark = calloc(a.n_states, sizeof *s.mark);
        s.list = calloc(a.n_states, sizeof *s.list);
        n->starts[rule] = (uint32_t)n->n_states;
        rc = s.mark && s.list ? subset_states(&s) : -1;
    }
    *work = s.work;
    free(s.mark);
    free(s.list);
    table_done(&s.sets);
    nfa_done(&a);
    return rc;
}

/* --- cutting off what cannot be finished --- */

/* Can the rule of state q be finished from q on?  done[] of states, finishes[] of rules, as known.
 */
static bool can_finish(const struct network *n, const bool *done, size_t q)
{
    const struct net_state *s = &n->states[q];

    if (s->accepts)
        return true;
    for (size_t i = 0; i < s->n_edges; i++)
        if (done[n->edges[s->edges + i].to])
            return true;
    for (size_t i = 0; i < s->n_calls; i++) {
        const struct net_call *c = &n->calls[s->calls + i];

        if (done[c->to] && done[n->starts[c->rule]])
            return true;
    }
    return false;
}

/* Leaves only edges and calls that lead somewhere. */
static void cut(struct network *n, const bool *done)
{
    for (size_t q = 0; q < n->n_states; q++) {
        struct net_state *s = &n->states[q];
        uint32_t kept = 0;

        for (size_t i = 0; i < s->n_edges; i++)
            if (done[n->edges[s->edges + i].to])
                n->edges[s->edges + kept++] = n->edges[s->edges + i];
        s->n_edges = kept;
        kept = 0;
        for (size_t i = 0; i < s->n_calls; i++) {
            struct net_call c = n->calls[s->calls + i];

            if (done[c.to] && done[n->starts[c.rule]])
                n->calls[s->calls + kept++] = c;
        }
        s->n_calls = kept;
    }
}

static int cut_dead_ends(struct network *n, uint32_t root, struct err *e)
{
    bool *done = calloc(n->n_states + 1, sizeof *done), more = true, alive;

    if (!done)
        return err_set(e, ERR_NOMEM, "no memory for a grammar of %zu states", n->n_states);
    while (more) { /* backwards: most edges lead to higher numbers */
        more = false;
        for (size_t q = n->n_states; q-- > 0;)
            if (!done[q] && can_finish(n, done, q))
                done[q] = more = true;
    }
    cut(n, done);
    alive = done[n->starts[root]];
    free(done);
    return alive
               ? 0
               : err_set(e, ERR_NOTFOUND, "no text at all fits: the conditions exclude each other");
}

/* --- rules that call themselves before they have read anything --- */

enum { UNSEEN, OPEN, CLOSED };

struct recursion {
    const struct network *n;
    const bool *nullable; /* of rules */
    unsigned char *seen;  /* of rules */
    bool *visited;        /* of states */
    uint32_t *stack;
};

/* Marks the states that are reached from q by empty calls only, and follows their calls. */
static bool loops(struct recursion *r, uint32_t rule, int depth);

static bool loops_from(struct recursion *r, uint32_t q, int depth)
{
    const struct net_state *s = &r->n->states[q];

    if (r->visited[q])
        return false;
    r->visited[q] = true;
    for (size_t i = 0; i < s->n_calls; i++) {
        const struct net_call *c = &r->n->calls[s->calls + i];

        if (loops(r, c->rule, depth + 1))
            return true;
        if (r->nullable[c->rule] && loops_from(r, c->to, depth + 1))
            return true;
    }
    return false;
}

static bool loops(struct recursion *r, uint32_t rule, int depth)
{
    bool found;

    if (r->seen[rule] == CLOSED)
        return false;
    if (r->seen[rule] == OPEN || depth > 4000)
        return true;
    r->seen[rule] = OPEN;
    found = loops_from(r, r->n->starts[rule], depth + 1);
    r->seen[rule] = CLOSED;
    return found;
}

/* Of rules: can they match ""?  A fixed point, as calls of empty rules are empty. */
static bool empty_from(const struct network *n, const bool *nullable, uint32_t q, int depth)
{
    const struct net_state *s = &n->states[q];

    if (s->accepts)
        return true;
    for (size_t i = 0; i < s->n_calls && depth < 100; i++) {
        const struct net_call *c = &n->calls[s->calls + i];

        if (nullable[c->rule] && empty_from(n, nullable, c->to, depth + 1))
            return true;
    }
    return false;
}

static int refuse_left_recursion(const struct network *n, struct err *e)
{
    bool *nullable = calloc(n->n_rules + 1, sizeof *nullable);
    bool *visited = calloc(n->n_states + 1, sizeof *visited);
    unsigned char *seen = calloc(n->n_rules + 1, 1);
    struct recursion r = { n, nullable, seen, visited, NULL };
    bool more = true, found = false;
    int rc = 0;

    if (!nullable || !visited || !seen)
        rc = err_set(e, ERR_NOMEM, "no memory for a grammar of %zu states", n->n_states);
    while (rc == 0 && more) {
        more = false;
        for (size_t i = 0; i < n->n_rules; i++)
            if (n->starts[i] != NET_UNREACHED && !nullable[i] &&
                empty_from(n, nullable, n->starts[i], 0))
                nullable[i] = more = true;
    }
    for (size_t i = 0; rc == 0 && !found && i < n->n_rules; i++)
        found = n->starts[i] != NET_UNREACHED && loops(&r, (uint32_t)i, 0);
    if (found)
        rc = err_set(e, ERR_INVALID,
                     "a rule calls itself before it has read anything (left recursion), or nests "
                     "too deeply");
    free(nullable);
    free(visited);
    free(seen);
    return rc;
}

/* --- all of it --- */

/* Compiles a rule, then those that are called, in the order of the calls. */
static int compile_from(struct network *n, const struct grammar *g, size_t rule, size_t max_states,
                        struct err *e)
{
    size_t seen = n->n_calls, work = 0;
    int rc;

    if (g->rules[rule] < 0)
        return err_set(e, ERR_INVALID, "rule %zu of the grammar is not defined", rule);
    rc = compile_rule(n, g, rule, max_states, &work);
    for (; rc == 0 && seen < n->n_calls; seen++) {
        size_t next = n->calls[seen].rule;

        if (n->starts[next] != NET_UNREACHED)
            continue;
        if (g->rules[next] < 0)
            return err_set(e, ERR_INVALID, "rule %zu of the grammar is not defined", next);
        rc = compile_rule(n, g, next, max_states, &work);
    }
    if (rc == -2)
        return err_set(e, ERR_LIMIT, "the grammar needs more than %zu states", max_states);
    if (rc == -3)
        return err_set(e, ERR_LIMIT,
                       "the grammar can be read in too many ways at once: finding its states takes "
                       "more than %zu steps",
                       WORK_PER_STATE * max_states);
    return rc ? err_set(e, ERR_NOMEM, "no memory for a grammar of %zu states", n->n_states) : 0;
}

int network_compile(struct network *n, const struct grammar *g, int32_t root, size_t max_states,
                    struct err *e)
{
    int rc;

    *n = (struct network){ 0 };
    rc = grammar_check(g, e);
    if (rc == 0 && root < 0)
        rc = err_set(e, ERR_LIMIT, "the grammar is larger than %zu nodes", g->max_nodes);
    if (rc)
        return rc;
    n->n_rules = g->n_rules;
    n->starts = calloc(g->n_rules + 1, sizeof *n->starts);
    if (!n->starts)
        return err_set(e, ERR_NOMEM, "no memory for a grammar of %zu rules", g->n_rules);
    for (size_t i = 0; i < g->n_rules; i++)
        n->starts[i] = NET_UNREACHED;
    rc = compile_from(n, g, (size_t)root, max_states, e);
    if (rc == 0)
        rc = cut_dead_ends(n, (uint32_t)root, e);
    if (rc == 0)
        rc = refuse_left_recursion(n, e);
    if (rc)
        network_done(n);
    return rc;
}

void network_done(struct network *n)
{
    free(n->states);
    free(n->edges);
    free(n->calls);
    free(n->starts);
    *n = (struct network){ 0 };
}
