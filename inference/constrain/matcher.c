#include "inference/constrain/matcher.h"

#include <stdlib.h>
#include <string.h>

enum {
    UNKNOWN = -3,
    USES_BEFORE_TABLE = 8, /* a set met more often gets its 1 kB of next[] */
};

/* --- the set being made --- */

static int begin(struct matcher *m)
{
    if (m->n_slots == 0) {
        m->seen = m->seen ? m->seen : calloc(256, sizeof *m->seen);
        m->seen_in = m->seen_in ? m->seen_in : calloc(256, sizeof *m->seen_in);
        if (!m->seen || !m->seen_in)
            return -1;
        m->n_slots = 256;
    }
    if (++m->round == 0) { /* once in four billion */
        memset(m->seen_in, 0, m->n_slots * sizeof *m->seen_in);
        m->round = 1;
    }
    m->n_seen = m->n_ways = 0;
    m->flags = 0;
    return 0;
}

static size_t slot_of(const struct matcher *m, uint64_t key)
{
    size_t at = (size_t)((key * 0x9e3779b97f4a7c15u) >> 32) & (m->n_slots - 1);

    while (m->seen_in[at] == m->round && m->seen[at] != key)
        at = (at + 1) & (m->n_slots - 1);
    return at;
}

static void put(struct matcher *m, size_t at, uint64_t key)
{
    m->seen[at] = key;
    m->seen_in[at] = m->round;
}

static int more_slots(struct matcher *m)
{
    uint64_t *old = m->seen, *seen = calloc(2 * m->n_slots, sizeof *seen);
    uint32_t *old_in = m->seen_in, *seen_in = calloc(2 * m->n_slots, sizeof *seen_in);
    size_t n = m->n_slots;

    if (!seen || !seen_in) {
        free(seen);
        free(seen_in);
        return -1;
    }
    m->seen = seen;
    m->seen_in = seen_in;
    m->n_slots = 2 * n;
    for (size_t i = 0; i < n; i++)
        if (old_in[i] == m->round)
            put(m, slot_of(m, old[i]), old[i]);
    free(old);
    free(old_in);
    return 0;
}

/* Adds a way, if it is new, to those that have yet to be looked at. */
static int add(struct matcher *m, uint32_t state, uint32_t frame)
{
    uint64_t key = (uint64_t)state << 32 | frame;
    size_t at = slot_of(m, key);

    if (m->seen_in[at] == m->round)
        return 0;
    if (m->n_seen >= MATCH_MAX_WAYS)
        return -1;
    put(m, at, key);
    m->n_seen++;
    if (2 * m->n_seen > m->n_slots && more_slots(m) < 0)
        return -1;
    if (m->n_ways == m->cap_ways) {
        size_t cap = 2 * m->cap_ways + 32;
        struct way *p = realloc(m->ways, cap * sizeof *p);

        if (!p)
            return -1;
        m->ways = p;
        m->cap_ways = cap;
    }
    m->ways[m->n_ways++] = (struct way){ state, frame };
    return 0;
}

/* The frame that goes on in `state`, above `parent`.  Where nothing is left to do there, it is
 * parent: a list as long as you like then needs no stack. */
static int64_t frame_of(struct matcher *m, uint32_t state, uint32_t parent)
{
    const struct net_state *s = &m->net.states[state];
    const uint32_t words[2] = { state, parent };

    if (s->accepts && s->n_edges == 0 && s->n_calls == 0)
        return parent;
    return table_put(&m->frames, words, 2);
}

/* What a way leads to without reading anything: into the rules it calls, and out of its own. */
static int follow(struct matcher *m, struct way w)
{
    const struct net_state *s = &m->net.states[w.state];

    for (size_t i = 0; i < s->n_calls; i++) {
        const struct net_call *c = &m->net.calls[s->calls + i];
        int64_t frame = frame_of(m, c->to, w.frame);

        if (frame < 0 || add(m, m->net.starts[c->rule], (uint32_t)frame) < 0)
            return -1;
    }
    if (!s->accepts)
        return 0;
    if (w.frame == FRAME_ROOT || w.frame == FRAME_LOCAL) {
        m->flags |= w.frame == FRAME_ROOT ? SET_COMPLETE : SET_ESCAPED;
        return 0;
    }
    return add(m, table_run(&m->frames, w.frame)[0], table_run(&m->frames, w.frame)[1]);
}

static int by_state(const void *a, const void *b)
{
    const struct way *x = a, *y = b;

    if (x->state != y->state)
        return x->state < y->state ? -1 : 1;
    return x->frame < y->frame ? -1 : x->frame > y->frame;
}

/* Puts the set away: of its ways those that read bytes. */
static int32_t keep(struct matcher *m)
{
    size_t kept = 0;
    uint32_t *words;
    int64_t k;

    for (size_t i = 0; i < m->n_ways; i++)
        if (m->net.states[m->ways[i].state].n_edges > 0)
            m->ways[kept++] = m->ways[i];
    if (kept == 0 && m->flags == 0)
        return MATCH_DEAD;
    qsort(m->ways, kept, sizeof *m->ways, by_state);
    words = malloc((1 + 2 * kept) * sizeof *words);
    if (!words)
        return MATCH_FAILED;
    words[0] = m->flags;
    for (size_t i = 0; i < kept; i++) {
        words[1 + 2 * i] = m->ways[i].state;
        words[2 + 2 * i] = m->ways[i].frame;
    }
    k = table_put(&m->sets, words, 1 + 2 * kept);
    free(words);
    return k < 0 || k > INT32_MAX ? MATCH_FAILED : (int32_t)k;
}

static int32_t close_set(struct matcher *m)
{
    for (size_t i = 0; i < m->n_ways; i++)
        if (follow(m, m->ways[i]) < 0)
            return MATCH_FAILED;
    return keep(m);
}

/* --- from outside --- */

int matcher_init(struct matcher *m, struct network *n, struct err *e)
{
    static const uint32_t root[] = { UINT32_MAX, 0 }, local[] = { UINT32_MAX, 1 };

    *m = (struct matcher){ .net = *n };
    *n = (struct network){ 0 };
    if (table_put(&m->frames, root, 2) != FRAME_ROOT ||
        table_put(&m->frames, local, 2) != FRAME_LOCAL) {
        matcher_done(m);
        return err_set(e, ERR_NOMEM, "no memory for reading a grammar");
    }
    return 0;
}

void matcher_done(struct matcher *m)
{
    for (size_t i = 0; i < m->cap_memory; i++)
        free(m->memory[i].next);
    network_done(&m->net);
    table_done(&m->frames);
    table_done(&m->sets);
    free(m->popped);
    free(m->memory);
    free(m->ways);
    free(m->seen);
    free(m->seen_in);
    *m = (struct matcher){ 0 };
}

int32_t matcher_start(struct matcher *m, uint32_t rule)
{
    if (begin(m) < 0 || add(m, m->net.starts[rule], FRAME_ROOT) < 0)
        return MATCH_FAILED;
    return close_set(m);
}

int32_t matcher_local(struct matcher *m, uint32_t state)
{
    if (begin(m) < 0 || add(m, state, FRAME_LOCAL) < 0)
        return MATCH_FAILED;
    return keep(m);
}

int32_t matcher_popped(struct matcher *m, uint32_t frame)
{
    const uint32_t *f = table_run(&m->frames, frame);

    if (frame == FRAME_ROOT || frame == FRAME_LOCAL)
        return MATCH_DEAD;
    if (frame >= m->cap_popped) {
        size_t cap = 2 * (size_t)frame + 64;
        int32_t *p = realloc(m->popped, cap * sizeof *p);

        if (!p)
            return MATCH_FAILED;
        m->popped = p;
        while (m->cap_popped < cap)
            m->popped[m->cap_popped++] = UNKNOWN;
    }
    if (m->popped[frame] == UNKNOWN) {
        uint32_t state = f[0], parent = f[1];

        if (begin(m) < 0 || add(m, state, parent) < 0)
            return MATCH_FAILED;
        m->popped[frame] = close_set(m);
    }
    return m->popped[frame];
}

static int32_t compute_step(struct matcher *m, int32_t set, uint8_t byte)
{
    size_t n = set_ways(m, set);

    if (begin(m) < 0)
        return MATCH_FAILED;
    for (size_t i = 0; i < n; i++) {
        struct way w = set_way(m, set, i);
        const struct net_state *s = &m->net.states[w.state];
        const struct net_edge *e = m->net.edges + s->edges;
        size_t lo = 0, hi = s->n_edges;

        while (lo < hi) {
            size_t middle = (lo + hi) / 2;

            if (e[middle].hi < byte)
                lo = middle + 1;
            else
                hi = middle;
        }
        if (lo < s->n_edges && e[lo].lo <= byte && add(m, e[lo].to, w.frame) < 0)
            return MATCH_FAILED;
    }
    return close_set(m);
}

/* The set's place for what it remembers, or NULL. */
static struct set_memory *memory_of(struct matcher *m, int32_t set)
{
    if ((size_t)set >= m->cap_memory) {
        size_t cap = 2 * (size_t)set + 64;
        struct set_memory *p = realloc(m->memory, cap * sizeof *p);

        if (!p)
            return NULL;
        memset(p + m->cap_memory, 0, (cap - m->cap_memory) * sizeof *p);
        m->memory = p;
        m->cap_memory = cap;
    }
    return &m->memory[set];
}

int32_t matcher_step(struct matcher *m, int32_t set, uint8_t byte)
{
    struct set_memory *memory = memory_of(m, set);
    int32_t *next;

    if (!memory)
        return MATCH_FAILED;
    if (!memory->next) {
        if (++memory->uses < USES_BEFORE_TABLE)
            return compute_step(m, set, byte);
        memory->next = malloc(256 * sizeof *memory->next);
        if (!memory->next)
            return MATCH_FAILED;
        for (size_t i = 0; i < 256; i++)
            memory->next[i] = UNKNOWN;
    }
    next = memory->next;
    if (next[byte] == UNKNOWN) {
        int32_t to = compute_step(m, set, byte);

        next[byte] = to;
    }
    return next[byte];
}

size_t matcher_bytes(const struct matcher *m)
{
    size_t bytes = (m->frames.cap_words + m->sets.cap_words) * sizeof(uint32_t) +
                   (m->frames.cap_runs + m->sets.cap_runs) * sizeof(struct run) +
                   m->cap_memory * sizeof *m->memory + m->cap_popped * sizeof *m->popped;

    for (size_t i = 0; i < m->cap_memory; i++)
        bytes += m->memory[i].next ? 256 * sizeof(int32_t) : 0;
    return bytes;
}
