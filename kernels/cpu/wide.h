/* wide.h - attention of given tokens in BF16 tiles: what an instruction set that has them offers.
 *
 * Scores stand the other way round, [positions][query vectors]: maxima, sums and masks then go
 * along the vectors of the processor, without sums across one.  Query vectors come in groups of 32,
 * the last filled up with zeros; a group's values stand together:
 *   q    [group][head_dim / 2 in pairs][32][2] bf16, times scale (and 1 / ln 2: exp is 2^x here)
 *   acc  [group][v_dims][32] float, weighted values not yet divided by sum
 * Any thread; each has its own struct wide. */
#ifndef AIRSTRIP_CPU_WIDE_H
#define AIRSTRIP_CPU_WIDE_H

#include <stddef.h>
#include <stdint.h>

enum { WIDE_GROUP = 32, WIDE_BLOCK = 64 };

/* A running softmax, for whole groups: weighted values, and max (in powers of two) and sum of each
 * vector, [n_groups * 32]. */
struct wide_sums {
    float *acc, *max, *sum;
};

struct wide {
    size_t head_dim, k_dims, v_dims; /* k_dims: rounded up to 32; v_dims: to 16 */
    size_t m, n_groups;              /* query vectors, and their groups of 32 */
    size_t n_heads;                  /* vector r * n_heads + h is row r's head h */
    size_t pos;                      /* position of row 0 */
    size_t reach;                    /* as in struct seq_span */
    size_t window;                   /* as in struct attend, and so softcap */
    float softcap, scale;
    uint16_t *q;
    struct wide_sums now;   /* of the split at hand */
    int32_t *last, *before; /* [n_groups * 32] the last position that each vector sees, and the one
                             * before the first (or -1) */

    /* Of the block at hand, from head to toe in tiles of 1 kB. */
    float *k_floats;   /* [4][head_dim][16] as struct kv has K */
    float *v_floats;   /* [64][v_dims] */
    uint16_t *k, *v;   /* BF16, as the A operand wants them */
    float *scores;     /* [64][32] */
    uint16_t *weights; /* [32 pairs][32][2] BF16 */
};

/* q: row 0's first head; rows are ld floats apart, a row's heads head_dim. */
struct wide_ops {
    void (*load)(struct wide *w, const float *q, size_t ld);

    /* A split begins, with nothing seen; it is closed by joining it to those before, in order. */
    void (*start)(struct wide *w);
    void (*merge)(const struct wide *w, struct wide_sums *into, const struct wide_sums *from);

    /* Positions block .. block+63, of which v_floats holds the first n (k_floats: those and
     * anything behind them); n < 64 only where no row sees more. */
    void (*block)(struct wide *w, size_t block, size_t n);

    /* y like q; sinks: [n_heads] or NULL. */
    void (*store)(const struct wide *w, const struct wide_sums *s, float *y, size_t ld,
                  const float *sinks);
};

#endif
