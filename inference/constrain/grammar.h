/* grammar.h - what a generated text may be, as expressions over characters and rules that call each
 * other.
 *
 * The common ground of JSON Schema, regular expressions and GBNF: each is turned into a grammar by
 * calls to these functions, and network.h makes automata of it.  Nodes are numbers; one may be used
 * any number of times.  Errors stick: once memory or the limit of nodes is reached, every call
 * gives GRAMMAR_NONE, and network_compile() says so.  One thread at a time. */
#ifndef AIRSTRIP_GRAMMAR_H
#define AIRSTRIP_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/err.h"

enum { GRAMMAR_NONE = -1 };

#define GRAMMAR_UNBOUNDED SIZE_MAX

/* Code points lo .. hi. */
struct code_range {
    uint32_t lo, hi;
};

enum gnode_kind {
    GNODE_EMPTY,
    GNODE_NEVER,
    GNODE_BYTES,
    GNODE_CLASS,
    GNODE_SEQ,
    GNODE_ALT,
    GNODE_REPEAT,
    GNODE_CALL,
    GNODE_AUTOMATON
};

struct gnode {
    enum gnode_kind kind;
    int32_t a, b;    /* SEQ, ALT: operands; REPEAT: a; CALL: a is the rule */
    size_t at, len;  /* BYTES: in grammar.bytes; CLASS: in grammar.ranges; AUTOMATON: in edges */
    size_t min, max; /* REPEAT; AUTOMATON: min states */
};

enum { AUTO_START = 0, AUTO_END = 1 };

/* Of an automaton: reading node, or where that is GRAMMAR_NONE one byte of lo .. hi. */
struct auto_edge {
    uint32_t from, to;
    int32_t node;
    uint8_t lo, hi;
};

struct grammar {
    struct gnode *nodes;
    size_t n_nodes, cap_nodes, max_nodes;
    unsigned char *bytes;
    size_t n_bytes, cap_bytes;
    struct code_range *ranges;
    size_t n_ranges, cap_ranges;
    struct auto_edge *edges;
    size_t n_edges, cap_edges;
    int32_t *rules; /* the node of each, GRAMMAR_NONE while it is not defined */
    size_t n_rules, cap_rules;
    bool failed;    /* a node is missing: */
    bool no_memory; /* for want of memory, not because of max_nodes */
};

/* max_nodes bounds nodes, bytes, ranges, edges and rules alike. */
void grammar_init(struct grammar *g, size_t max_nodes);
void grammar_done(struct grammar *g);

/* Whether it is whole: 0, ERR_LIMIT or ERR_NOMEM. */
int grammar_check(const struct grammar *g, struct err *e) MUST_CHECK;

int32_t grammar_empty(struct grammar *g); /* "" */
int32_t grammar_never(struct grammar *g); /* nothing at all, not even "" */
int32_t grammar_bytes(struct grammar *g, const void *bytes, size_t len);
int32_t grammar_text(struct grammar *g, const char *s);

/* One character, as UTF-8, out of any of the ranges; surrogates are left out.  No ranges: never. */
int32_t grammar_class(struct grammar *g, const struct code_range *ranges, size_t n);

int32_t grammar_seq(struct grammar *g, int32_t a, int32_t b); /* a, then b */
int32_t grammar_alt(struct grammar *g, int32_t a, int32_t b); /* a or b */
int32_t grammar_repeat(struct grammar *g, int32_t a, size_t min, size_t max);
int32_t grammar_optional(struct grammar *g, int32_t a);

/* All of nodes in order; any of them.  Balanced, so that thousands of them nest little. */
int32_t grammar_seq_all(struct grammar *g, const int32_t *nodes, size_t n);
int32_t grammar_alt_all(struct grammar *g, const int32_t *nodes, size_t n);

/* All texts on a way from state AUTO_START to AUTO_END, out of which no edge leads.  The edges are
 * copied. */
int32_t grammar_automaton(struct grammar *g, size_t n_states, const struct auto_edge *edges,
                          size_t n);

/* A rule may be called before it is defined, and from within itself. */
int32_t grammar_rule(struct grammar *g);
void grammar_define(struct grammar *g, int32_t rule, int32_t node);
int32_t grammar_call(struct grammar *g, int32_t rule);

#endif
