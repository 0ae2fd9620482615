/* trie.h - the vocabulary as a tree of bytes, for walking it with an automaton.
 *
 * Nodes lie in preorder: the children of node i begin at i + 1, what follows its subtree at
 * skip[i]. Made once per tokenizer, read-only afterwards: any thread. */
#ifndef AIRSTRIP_TRIE_H
#define AIRSTRIP_TRIE_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/base/err.h"

struct trie {
    size_t n_nodes; /* node 0 is the root */
    uint8_t *byte;  /* that leads to the node */
    uint8_t *depth; /* 0 of the root; tokens of more than TRIE_MAX_DEPTH bytes are never allowed */
    uint32_t *skip;
    int32_t *token; /* that ends here, or -1; with TRIE_MORE where same[] has another one */
    int32_t *same;  /* [n_vocab] of the same bytes, maybe with TRIE_MORE again */
    size_t n_vocab;
    unsigned max_depth;
    struct slice *slices; /* [n_slices], the longest first; see trie_slice() */
    size_t n_slices;
};

/* Tokens that are ordinary characters of a JSON string, `most` of them at most: what reads any such
 * text takes them all together, and only the rest need be tried. */
struct slice {
    size_t most;
    uint64_t *mask;   /* those tokens */
    struct trie rest; /* all others */
};

enum { TRIE_MAX_DEPTH = 255, TRIE_MORE = 1 << 30 };

struct trie_token {
    const char *data;
    size_t len; /* 0: no text, never allowed (control tokens) */
};

/* tokens[n_vocab], needed only during the call. */
int trie_init(struct trie *t, const struct trie_token *tokens, size_t n_vocab,
              struct err *e) MUST_CHECK;
void trie_done(struct trie *t);

/* Adds a slice, shorter than those before; the tokens are those of trie_init(). */
int trie_slice(struct trie *t, const struct trie_token *tokens, size_t most,
               struct err *e) MUST_CHECK;

#endif
