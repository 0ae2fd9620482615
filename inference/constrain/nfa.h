/* nfa.h - one rule as a nondeterministic automaton (Thompson 1968), on its way to network.c. */
#ifndef AIRSTRIP_NFA_H
#define AIRSTRIP_NFA_H

#include "inference/constrain/grammar.h"

enum { NFA_EPSILON = -1, NFA_BYTES = -2 }; /* else the rule that is called */

struct nfa_edge {
    uint32_t to, next; /* next edge of the same state, or NFA_END */
    int32_t kind;
    uint8_t lo, hi;
};

#define NFA_END UINT32_MAX

struct nfa {
    uint32_t *first; /* edge of each state */
    size_t n_states, cap_states;
    struct nfa_edge *edges;
    size_t n_edges, cap_edges;
    size_t max_states;
    uint32_t start, end; /* end has no edges */
    bool failed, too_large;
};

/* From a node of g.  What went wrong is in failed and too_large. */
void nfa_build(struct nfa *a, const struct grammar *g, int32_t node, size_t max_states);
void nfa_done(struct nfa *a);

#endif
