/* attend.h - attention's unit of work, for the files that share it.
 *
 * A tile is some rows of one span times some query heads that read the same kv head.  attend.c
 * walks it in the vectors of any instruction set, attend_wide.c in the tiles of one that has them;
 * how a tile is cut never changes a bit of its rows. */
#ifndef AIRSTRIP_CPU_ATTEND_H
#define AIRSTRIP_CPU_ATTEND_H

#include "kernels/cpu/device.h"

enum {
    ATTEND_BLOCK = 64,       /* positions are walked in blocks that start at multiples of this; */
    ATTEND_WIDE_SPLIT = 512, /* attend_wide.c closes sums at multiples of this */
    ATTEND_HEADS = 16,       /* query heads of a tile */
};

struct tile {
    const struct attend *op;
    const struct kv *kv;
    const struct seq_span *span;
    size_t split;                  /* positions after which sums are closed */
    size_t row, n_rows;            /* within the span */
    size_t kv_head, head, n_heads; /* query heads head .. head+n_heads-1 */
    size_t m;                      /* n_rows * n_heads; vector r * n_heads + h */
    size_t from, to;               /* positions that any row sees: from .. to-1 */
    size_t index;                  /* number of this tile in its op */
    float *q;                      /* [m, head_dim], times scale */
    float *scores;                 /* [m, ATTEND_BLOCK] */
    float *block;                  /* [ATTEND_BLOCK, v_cols], keys or values as floats */
};

/* Tile number `index`; the last rows of a span, which have most to do, come first. */
struct tile tile_at(const struct attend *op, const struct attend_plan *p, size_t index);

/* Splits that hold at least one position the tile sees. */
static inline size_t tile_splits(const struct tile *t)
{
    return (t->to - 1) / t->split - t->from / t->split + 1;
}

/* First position that the row at `pos` sees. */
static inline size_t first_seen(const struct attend *op, size_t pos)
{
    return op->window != 0 && pos + 1 > op->window ? pos + 1 - op->window : 0;
}

/* One behind the last position that it sees. */
static inline size_t end_seen(const struct attend *op, const struct seq_span *s, size_t pos)
{
    if (s->reach == 0)
        return pos + 1;
    return op->window != 0 && s->reach - pos > op->window ? pos + op->window : s->reach;
}

/* --- attend_wide.c --- */

/* Whether tiles of many query vectors take this op; then how they are cut: sets p->rows, and
 * p->split where splits are to be tasks.  `longest` is how far a span reaches. */
bool attend_is_wide(const struct device *d, const struct attend *op);
void attend_wide_cut(const struct device *d, const struct attend *op, size_t longest,
                     struct attend_plan *p);

/* Scratch of one thread; 0 where the instruction set has no tiles. */
size_t attend_wide_bytes(const struct device *d, size_t head_dim);

void attend_wide(struct device *d, const struct tile *t, size_t thread);

/* One split of a tile, into a part of so many bytes; and n parts one after the other into y. */
size_t attend_wide_part_bytes(const struct attend *op, const struct attend_plan *p);
void attend_wide_split(struct device *d, const struct tile *t, size_t thread, size_t split,
                       void *part);
void attend_wide_merge(struct device *d, const struct tile *t, size_t thread, char *parts, size_t n,
                       size_t part_bytes);

#endif
