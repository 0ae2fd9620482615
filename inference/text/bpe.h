/* bpe.h - the tables of byte-pair encoding: private to bpe.c, which makes them, and bpe_encode.c.
 */
#ifndef AIRSTRIP_BPE_H
#define AIRSTRIP_BPE_H

#include "inference/text/encoder.h"

struct pair_slot {
    uint32_t left, right;
    uint32_t rank;
    int32_t id; /* -1: free */
};

struct bpe {
    const struct vocab *vocab;
    struct pretok *pretok;
    struct pair_slot *pairs;
    size_t mask;
    struct bpe_options options;
    int32_t byte_id[256];     /* -1: the vocabulary has no token for this byte */
    int32_t fallback_id[256]; /* chars: the token <0xXX>, or -1 */
    struct strindex words;    /* pieces (chars: texts) of the normal tokens */
    uint8_t *whole; /* [n_vocab] 1: merging is known to make this token of its own piece; set
                     * by any thread, in an atomic store */
    uint32_t joins[256][8]; /* chars: bit b of joins[a]: some merge has a left side that ends in
                             * byte   a, and a right one that begins with byte b */
};

/* The slot of a pair, or the free one where it would go. */
static inline struct pair_slot *bpe_pair(const struct bpe *b, uint32_t left, uint32_t right)
{
    uint64_t h = ((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(h >> 32) & b->mask;

    while (b->pairs[i].id >= 0 && (b->pairs[i].left != left || b->pairs[i].right != right))
        i = (i + 1) & b->mask;
    return &b->pairs[i];
}

#endif
