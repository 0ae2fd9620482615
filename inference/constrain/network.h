/* network.h - a grammar compiled: one deterministic automaton over bytes for each rule, whose
 * states may also call other rules.
 *
 * Within a rule a byte leads to at most one state.  A state may have calls beside its bytes, so
 * that a text can be read in several ways at once; matcher.h keeps all of them.  Every state that
 * is left can be finished: what leads nowhere was cut off.  Read-only once compiled: any thread. */
#ifndef AIRSTRIP_NETWORK_H
#define AIRSTRIP_NETWORK_H

#include "inference/constrain/grammar.h"

#define NET_UNREACHED UINT32_MAX

struct net_edge {
    uint8_t lo, hi; /* bytes, inclusive */
    uint32_t to;
};

struct net_call {
    uint32_t rule, to; /* where to go on after it */
};

struct net_state {
    uint32_t edges, calls; /* the first of each */
    uint32_t n_edges, n_calls;
    bool accepts; /* the rule may end here */
};

struct network {
    struct net_state *states;
    size_t n_states, cap_states;
    struct net_edge *edges;
    size_t n_edges, cap_edges;
    struct net_call *calls;
    size_t n_calls, cap_calls;
    uint32_t *starts; /* of each rule; NET_UNREACHED */
    size_t n_rules;
};

/* Of all rules of g that `root` reaches; rule numbers stay.  Errors: ERR_NOMEM; ERR_LIMIT where
 * more than max_states would be needed, or the work for that many; ERR_INVALID where a rule is not defined or calls itself
 * before it has read anything; ERR_NOTFOUND where nothing at all matches root. */
int network_compile(struct network *n, const struct grammar *g, int32_t root, size_t max_states,
                    struct err *e) MUST_CHECK;
void network_done(struct network *n);

#endif
