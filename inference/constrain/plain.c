#include "inference/constrain/plain.h"

/* UTF-8 (RFC 3629, section 4) byte by byte: where an ordinary character may be cut. */
enum { BOUNDARY, ONE_LEFT, TWO_LEFT, THREE_LEFT, AFTER_E0, AFTER_ED, AFTER_F0, AFTER_F4 };

static const struct move {
    uint8_t from, lo, hi, to;
} MOVES[] = {
    { BOUNDARY, 0x20, 0x21, BOUNDARY }, { BOUNDARY, 0x23, 0x5b, BOUNDARY },
    { BOUNDARY, 0x5d, 0x7f, BOUNDARY }, { BOUNDARY, 0xc2, 0xdf, ONE_LEFT },
    { BOUNDARY, 0xe0, 0xe0, AFTER_E0 }, { BOUNDARY, 0xe1, 0xec, TWO_LEFT },
    { BOUNDARY, 0xed, 0xed, AFTER_ED }, { BOUNDARY, 0xee, 0xef, TWO_LEFT },
    { BOUNDARY, 0xf0, 0xf0, AFTER_F0 }, { BOUNDARY, 0xf1, 0xf3, THREE_LEFT },
    { BOUNDARY, 0xf4, 0xf4, AFTER_F4 }, { ONE_LEFT, 0x80, 0xbf, BOUNDARY },
    { TWO_LEFT, 0x80, 0xbf, ONE_LEFT }, { THREE_LEFT, 0x80, 0xbf, TWO_LEFT },
    { AFTER_E0, 0xa0, 0xbf, ONE_LEFT }, { AFTER_ED, 0x80, 0x9f, ONE_LEFT },
    { AFTER_F0, 0x90, 0xbf, TWO_LEFT }, { AFTER_F4, 0x80, 0x8f, TWO_LEFT },
};

enum { MAX_PAIRS = 400 };

/* What has to read what follows: found breadth first, so with the fewest characters before it. */
struct pair {
    uint32_t state;
    uint8_t cut;
    size_t chars;
};

struct search {
    const struct network *net;
    struct pair pairs[MAX_PAIRS];
    size_t n;
};

static bool add(struct search *s, uint32_t state, uint8_t cut, size_t chars)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->pairs[i].state == state && s->pairs[i].cut == cut)
            return true;
    if (s->n == MAX_PAIRS)
        return false;
    s->pairs[s->n++] = (struct pair){ state, cut, chars };
    return true;
}

/* All bytes of the move lead on from there. */
static bool follow(struct search *s, struct pair p, const struct move *m)
{
    const struct net_state *q = &s->net->states[p.state];
    size_t chars = p.chars + (m->to == BOUNDARY);
    unsigned next = m->lo;

    for (size_t i = 0; i < q->n_edges && next <= m->hi; i++) {
        const struct net_edge *e = &s->net->edges[q->edges + i];

        if (e->hi < next)
            continue;
        if (e->lo > next || !add(s, e->to, m->to, chars))
            return false;
        next = e->hi + 1u;
    }
    return next > m->hi;
}

bool plain_reads(const struct network *n, uint32_t state, size_t most)
{
    struct search s = { .net = n };

    (void)add(&s, state, BOUNDARY, 0);
    for (size_t i = 0; i < s.n; i++) {
        if (s.pairs[i].cut == BOUNDARY && s.pairs[i].chars == most)
            continue;
        for (size_t k = 0; k < sizeof MOVES / sizeof *MOVES; k++)
            if (MOVES[k].from == s.pairs[i].cut && !follow(&s, s.pairs[i], &MOVES[k]))
                return false;
    }
    return true;
}
