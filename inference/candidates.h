/* candidates.h - the tokens that are still in the running for one position.
 *
 * A vocabulary is never sorted, and hardly ever walked: what narrows a choice keeps tokens near the
 * best one, so only these are listed, and more where that was too few (candidates_deepen).  Order
 * is by key descending, then id ascending.  Owned by the sampler, and as short-lived as its call.
 */
#ifndef AIRSTRIP_CANDIDATES_H
#define AIRSTRIP_CANDIDATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct candidate {
    float key;    /* what the order goes by: the logit, but for a while within a stage */
    float weight; /* e^(logit - max) */
    int32_t id;
};

struct candidates {
    const float *x;      /* [n_vocab] logits; borrowed, as the next two */
    const float *tops;   /* [softmax_blocks(n_vocab)] the largest of each block of them */
    struct candidate *c; /* [n_vocab]; the first n are listed and in, n_gone behind them are out */
    size_t n_vocab, n, n_gone;
    float max;        /* of x; finite */
    float floor;      /* all that are in, and not below this logit, are listed */
    bool whole;       /* all that are in are listed */
    double total;     /* weights of all that are in, listed or not; NAN: see candidates_total() */
    double deviation; /* of the logits, once it is known; else NAN */
    double moment;    /* softmax_moment(), likewise */
};

/* Lists those that are not further than `depth` below the best. */
void candidates_list(struct candidates *s, float depth);

/* Lists the k best at least, or all that there are. */
void candidates_list_best(struct candidates *s, size_t k);

/* Begins again with a list that goes further down. */
void candidates_deepen(struct candidates *s);

/* Weights of all that are in. */
double candidates_total(struct candidates *s);

/* The sum of the weights of those listed. */
double candidates_weight(const struct candidates *s);

/* Brings the k best of the list, k <= s->n, to its front; what is behind them is lost. */
void candidates_best(struct candidate *c, size_t n, size_t k);

/* Brings the fewest best of the list whose weights reach `target` to its front; returns how many
 * (all, where together they do not).  What is behind them is lost. */
size_t candidates_reach(struct candidate *c, size_t n, double target);

/* Brings those of at least this key to the front; returns how many. */
size_t candidates_above(struct candidate *c, size_t n, float key);

bool candidate_better(const struct candidate *a, const struct candidate *b);
void candidates_swap(struct candidate *a, struct candidate *b);

/* n > 0. */
struct candidate candidates_first(const struct candidate *c, size_t n);
struct candidate candidates_last(const struct candidate *c, size_t n);

/* Ids and logits of those listed, in order of id.  bits: [n_vocab / 64 + 1], all zero before and
 * after. */
void candidates_by_id(const struct candidates *s, uint64_t *bits, int32_t *ids, float *x);

#endif
