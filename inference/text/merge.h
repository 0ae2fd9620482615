/* merge.h - joining neighbours, best pair first, until no pair can be joined.
 *
 * The heart of both kinds of BPE (Sennrich et al. 2016; SentencePiece's bpe_model): a word starts
 * as a chain of symbols; of all neighbouring pairs that the vocabulary can join, the one with the
 * lowest order, and of equal ones the leftmost, becomes one symbol; and so on.  O(n log n) for n
 * symbols. One thread at a time. */
#ifndef AIRSTRIP_MERGE_H
#define AIRSTRIP_MERGE_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/base/err.h"

#define MERGE_NEVER UINT32_MAX
#define MERGE_END   UINT32_MAX

struct merge_symbol {
    int32_t id;          /* token, or -1: none stands for it, and it joins with nothing by id */
    uint32_t start, len; /* bytes within the word */
    uint32_t prev, next; /* neighbours in the chain, or MERGE_END */
    uint32_t order;      /* of the pair with the next one; MERGE_NEVER: none */
    int32_t joined;      /* the token of that pair */
};

struct merge_work {
    struct merge_symbol *symbols; /* after merge_run(): a chain from 0 through `next` */
    size_t n, cap;
    uint64_t *heap; /* order << 32 | index of the left symbol */
    size_t n_heap, heap_cap;
};

/* How to order a pair: returns MERGE_NEVER or its order, and in the second case sets *id. */
struct merge_rule {
    uint32_t (*pair)(const struct merge_rule *rule, const struct merge_symbol *left,
                     const struct merge_symbol *right, int32_t *id);
    const void *table;
    const char *word;
};

/* Appends a symbol to the word.  ERR_NOMEM. */
int merge_add(struct merge_work *w, int32_t id, size_t start, size_t len, struct err *e) MUST_CHECK;

/* Joins what can be joined.  w->n stays the number of symbols added; set it to 0 for the next word.
 */
int merge_run(struct merge_work *w, const struct merge_rule *rule, struct err *e) MUST_CHECK;
void merge_done(struct merge_work *w);

#endif
