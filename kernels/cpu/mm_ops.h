/* mm_ops.h - what an instruction set offers the matrix multiplication, and the orders it works on.
 * Seen by mm*.c, weight.c and pack.c only; everybody else includes mm.h.
 *
 * Packed weights.  A group is 16 rows, a block 32 columns of a group, a step 4 columns of a block:
 * 64 codes, byte 4 r + c = row r, column 4 step + c.  A panel is a run of blocks of one group:
 * panel_blocks of them, the last of a group may have fewer.  Groups lie in order, 64-aligned, so
 * that an op is one walk through memory.
 *
 *   codes   n_blocks x code_bytes, by bits:
 *           4: 4 x 64 bytes, low nibbles of line i are step i, high ones step i + 4
 *           5: as 4, then 64 bytes, bit s is bit 4 of the codes of step s
 *           6: as 4, then 2 x 64 bytes, bits 2 s and 2 s + 1 of line p are bits 4 and 5 of the
 *              codes of step 4 p + s
 *           8: 8 x 64 bytes, line i is step i
 *   scales  n_blocks x { f16 scale[subs][16]; f16 min[16] if has_min }, then up to 64 bytes
 *
 * Rows past the last are zeros.  For the inner loop a panel is spread out: one byte a code, biased
 * as the instruction set likes it, float32 scales.  All storage formats meet there.
 *
 * The arithmetic, for each row and activation row, block after block, with fused multiply-adds:
 *
 *   acc += (scale * act.scale) * sum(code * act.code)   for each sub-block (16 columns if subs is
 *                                                       2); integers, zero point taken off exactly
 *   acc += min * act.ssum                               if has_min
 *
 * and at the end y = acc + bias.
 *
 * Prompt rows (struct matmul.prompt) have another arithmetic where mm_ops.prompt is not NULL:
 * weights scale * code + min and activations are rounded to bf16 (8 bits of significand), products
 * of pairs of columns are added to acc in float32, pair after pair as the tile unit does it, and y
 * = acc + bias. The activations lie in strips of 16 rows: [n_blocks][16][32], so that a tile is one
 * run of memory.
 *
 * There float matrices of whole blocks are multiplied in the same tiles, a number being the sum of
 * two of bf16, high + low (16 bits of significand): high high + high low + low high.  A low part
 * of a weight in BF16 is 0 and left out.
 *
 * Where mm_ops.panels is not NULL, float matrices and prompt rows are multiplied as mm_panels.h
 * says. */
#ifndef AIRSTRIP_CPU_MM_OPS_H
#define AIRSTRIP_CPU_MM_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/pool.h"
#include "kernels/cpu/mm.h"
#include "kernels/cpu/mm_panels.h"
#include "kernels/quant/quant.h"

enum {
    MM_GROUP = 16,        /* rows */
    MM_BLOCK = 32,        /* columns */
    MM_STEPS = 8,         /* of a block */
    MM_STEP_BYTES = 64,   /* codes of a step in a panel */
    MM_PANEL_BLOCKS = 24, /* two panels and the activations of a tile stay in 48 kB */
    MM_FEW_ROWS = 4,      /* activation rows that mm_ops.few takes */
    MM_MANY_DOTS = 48,    /* activation rows from which on mm_ops.many_dots is quicker */
    MM_ZERO = 128,        /* the zero point that act_block.start takes off */

    MM_STRIP = 16,         /* activation rows of a tile */
    MM_PROMPT_ROWS = 512,  /* the most that mm_ops.prompt takes at once */
    MM_PROMPT_BLOCKS = 24, /* blocks it spreads out at once: a panel */
};

enum weight_kind {
    WEIGHT_PACKED, /* codes in groups, see above */
    WEIGHT_FLOAT,  /* F32, F16, BF16, or what has to be decoded to floats: rows as in the file */
    WEIGHT_ROWS,   /* only weight_row() */
};

struct weight {
    enum weight_kind kind;
    const struct quant_format *format;
    size_t rows, cols;
    const unsigned char *source; /* borrowed, or packed; NULL where it is no longer read */
    size_t row_bytes;            /* of the source */

    /* WEIGHT_PACKED; of WEIGHT_FLOAT the slab and the groups, 16 rows each, and where these are
     * whole blocks of floats their number, as one panel, else 0 */
    struct weight_slab *slab;
    unsigned char *packed; /* [n_groups][group_bytes], in the slab */
    size_t n_groups, n_blocks;
    size_t panel_blocks, n_panels;  /* of a group */
    size_t code_bytes, scale_bytes; /* of a block */
    size_t panel_bytes, group_bytes;
    int bits, zero; /* of the codes, as in quant_format */
    int subs;       /* scales per row and block: 1 or 2 */
    bool has_min;   /* only with subs 1; zero is 0 then */

    bool rounds; /* WEIGHT_FLOAT: activations may be rounded as the weights in the file are */
};

/* 32 quantised activations: x = scale * code, code = -127 .. 127. */
struct act_block {
    int8_t code[MM_BLOCK];
    float scale;      /* max|x| / 127 */
    float ssum;       /* scale * sum(code) */
    int32_t start;    /* -MM_ZERO * sum(code) */
    int32_t start_hi; /* the part of it that comes from codes 16 .. 31 */
};

/* A block of 16 activation rows, those that there are not being zero: struct act_block's values in
 * the order of a tile. */
struct act_tile {
    int8_t code[MM_STRIP][MM_BLOCK];
    float scale[MM_STRIP], ssum[MM_STRIP];
} __attribute__((aligned(64)));

struct mm_panel_buf {
    uint8_t code[MM_PANEL_BLOCKS * MM_STEPS * MM_STEP_BYTES];
    float scale[MM_PANEL_BLOCKS * 2 * MM_GROUP]; /* [blocks][subs][16] */
    float min[MM_PANEL_BLOCKS * MM_GROUP];       /* [blocks][16], has_min only */
} __attribute__((aligned(64)));

struct mm_panel {
    const uint8_t *code; /* the buffer's, or the packed weights themselves */
    const float *scale, *min;
};

/* One or two panels times n rows of activations, added to y. */
struct mm_tile {
    const struct weight *w;
    struct mm_panel panel[2];
    size_t n_panels; /* 1 or 2 */
    size_t rows;     /* of weights: 1 .. 16 * n_panels; y has no others */
    size_t n_blocks;
    const struct act_block *a; /* [n][n_blocks ..], the panel's first block */
    size_t a_stride;           /* in bytes */
    size_t n;
    float *y;              /* [n][rows], in between it holds acc */
    size_t y_stride;       /* in floats */
    bool first, last;      /* acc starts at 0; y = acc + bias */
    const char *ahead[2];  /* what will be read next, to be prefetched on the way */
    size_t ahead_lines[2]; /* of 64 bytes; 0 = nothing */
    const float *bias;     /* [rows] or NULL */
};

/* A run of units times n rows of a prompt; see "Prompt rows" above.  A unit is two groups of one
 * matrix (the last may have but one), or with `join` a group of a gate and the same of its up. */
struct mm_prompt {
    const struct weight *w[2]; /* the matrix twice, or gate and up */
    size_t unit, n_units;
    const uint16_t *a;    /* strips, the first row's first; up to the next even one is read */
    const uint16_t *low;  /* the same of low parts, for float matrices; else NULL */
    size_t n;             /* 1 .. MM_PROMPT_ROWS */
    const float *bias[2]; /* of the whole matrices, or NULL */

    /* Where results go: rows of y, or after join the strips of the next product. */
    float *y; /* [n][y_stride] */
    const struct mm_join *join;
    uint16_t *strips; /* as a, of as many blocks as there are rows of weights */
    struct mm_prompt_buf *buf;
};

struct mm_prompt_buf {
    uint16_t weight[2][MM_PROMPT_BLOCKS * 2 * MM_GROUP * MM_BLOCK];
    float acc[MM_PROMPT_ROWS * 2 * MM_GROUP]; /* sums over the blocks so far */
    float out[2][4 * MM_STRIP * MM_GROUP];
} __attribute__((aligned(64)));

/* Groups group .. group_end - 1 of a matrix times n activation rows. */
struct mm_many {
    const struct weight *w;
    size_t group, group_end;
    const struct act_tile *a; /* [ceil(n / 16)][w->n_blocks] */
    size_t n;
    float *y;            /* [n][w->rows] */
    const float *bias;   /* [w->rows] or NULL */
    struct fetch *fetch; /* asked for some at each block, or NULL */
};

/* y[i * y_stride + k] = w[k] . x[i]; the rows of w and x lie cols floats apart. */
struct mm_dots {
    const float *w, *x;
    size_t cols, n_rows, n; /* n_rows of w, n of x */
    float *y;
    size_t y_stride;
};

struct mm_ops {
    const char *name;

    /* x[n_blocks * 32] into blocks: code = round to even(x * (127 / max|x|)), all 0 where max|x| is
     * too small to divide by. */
    void (*quantise)(struct act_block *a, const float *x, size_t n_blocks);

    /* Spreads n blocks out; buf->code may end up unused.  n <= MM_PANEL_BLOCKS. */
    void (*expand)(struct mm_panel *p, struct mm_panel_buf *buf, const struct weight *w,
                   const uint8_t *codes, const uint16_t *scales, size_t n);
    void (*tile)(const struct mm_tile *t);

    /* expand() and tile() of one panel at once, for n <= MM_FEW_ROWS, without the buffer; the same
     * results to the bit.  NULL where there is none. */
    void (*few)(const struct mm_tile *t, const uint8_t *codes, const uint16_t *scales);

    /* Prompt rows, both NULL where there is no arithmetic of their own.  to_bf16: one row of
     * activations into its strip, block b to a + b * MM_STRIP * MM_BLOCK; low parts likewise to
     * low, where that is not NULL. */
    void (*to_bf16)(uint16_t *a, uint16_t *low, const float *x, size_t n_blocks);
    void (*prompt)(const struct mm_prompt *p);

    /* As tile() and few(), and with the same results to the bit, for more than MM_FEW_ROWS
     * generated rows.  NULL where there is none. */
    void (*many)(const struct mm_many *s);

    /* y[i * y_stride] = sum of w[c] * x[i][c], i < n, always in the same order whatever n is.
     * w: cols values of F32, F16 or BF16, unaligned. */
    void (*dots)(float *y, size_t y_stride, const void *w, enum dtype dtype, const float *x,
                 size_t x_stride, size_t cols, size_t n);

    /* The same of many rows, to the bit.  NULL where there is none. */
    void (*many_dots)(const struct mm_dots *d);

    /* Rows of a prompt times float matrices.  NULL where they are multiplied by dots(), or in tiles
     * of bf16. */
    const struct mm_panels *panels;

    /* The same of weights in BF16 that are not WEIGHT_EXACT, of an even number of columns; of the
     * same height.  NULL where they are multiplied as the others are. */
    const struct mm_panels *pairs;

    /* y[32 * n_blocks] = decode() of the format, faster; -0 may stand for 0.  False, and nothing is
     * done, where it knows no better way.  May be NULL. */
    bool (*spread)(float *y, const void *blocks, enum dtype dtype, size_t n_blocks);
};

/* Blocks of panel p. */
static inline size_t weight_blocks(const struct weight *w, size_t p)
{
    return p + 1 < w->n_panels ? w->panel_blocks : w->n_blocks - p * w->panel_blocks;
}

static inline uint8_t *weight_codes(const struct weight *w, size_t group, size_t p)
{
    return w->packed + group * w->group_bytes + p * w->panel_bytes;
}

static inline uint16_t *weight_scales(const struct weight *w, size_t group, size_t p)
{
    return (uint16_t *)(void *)(weight_codes(w, group, p) + weight_blocks(w, p) * w->code_bytes);
}

/* pack.c: is there a packed order for the format; and all groups of w, whose shapes and memory are
 * set, by the pool's threads (NULL: the caller alone).  mapped: as in struct tensor. */
bool pack_can(const struct quant_format *f);
void pack_groups(struct weight *w, bool mapped, struct pool *pool);

void mm_few_avx2(const struct mm_tile *t, const uint8_t *codes, const uint16_t *scales);
void mm_few_avxvnni(const struct mm_tile *t, const uint8_t *codes, const uint16_t *scales);
void mm_few_avx512(const struct mm_tile *t, const uint8_t *codes, const uint16_t *scales);

void mm_many_amx(const struct mm_many *s);

void mm_dots_avx2(float *y, size_t y_stride, const void *w, enum dtype dtype, const float *x,
                  size_t x_stride, size_t cols, size_t n);
void mm_dots_avx512(float *y, size_t y_stride, const void *w, enum dtype dtype, const float *x,
                    size_t x_stride, size_t cols, size_t n);
void mm_dots_neon(float *y, size_t y_stride, const void *w, enum dtype dtype, const float *x,
                  size_t x_stride, size_t cols, size_t n);
void mm_many_dots_neon(const struct mm_dots *d);
void mm_many_dots_avx2(const struct mm_dots *d);
void mm_many_dots_avx512(const struct mm_dots *d);

bool mm_spread_avx2(float *y, const void *blocks, enum dtype dtype, size_t n_blocks);
bool mm_spread_avx512(float *y, const void *blocks, enum dtype dtype, size_t n_blocks);

/* mm_avx512.c: what the AMX table takes over. */
void mm_avx512_quantise(struct act_block *a, const float *x, size_t n_blocks);
void mm_avx512_expand(struct mm_panel *p, struct mm_panel_buf *buf, const struct weight *w,
                      const uint8_t *codes, const uint16_t *scales, size_t n);
void mm_avx512_tile(const struct mm_tile *t);

/* Below this a block is taken for zeros: its reciprocal would overflow. */
#define MM_TINY 1e-30f

/* Prompt rows in strips of bf16: packed matrices, and floats in whole blocks. */
static inline bool mm_in_strips(const struct mm_ops *ops, const struct matmul *op,
                                const struct weight *w)
{
    return op->prompt && ops->prompt && w->n_blocks > 0;
}

/* Prompt rows times floats in panels, however few they are: no row may depend on how many.  NULL:
 * some other way. */
static inline const struct mm_panels *mm_panels_of(const struct mm_ops *ops,
                                                   const struct matmul *op, const struct weight *w)
{
    if (!op->prompt || w->kind != WEIGHT_FLOAT)
        return NULL;
    return ops->pairs && w->rounds ? ops->pairs : ops->panels;
}

/* mm_float.c: rows r .. r + n_rows - 1 of a float matrix times activation rows i .. i + n - 1 of
 * op.  strips: those of rows i on, where it is multiplied in panels.  memory: [MM_FLOAT_ROWS][cols]
 * floats of this thread. */
enum { MM_FLOAT_ROWS = 64 };
static inline bool mm_many_floats(const struct mm_ops *ops, const struct matmul *op)
{
    return ops->many_dots && op->n >= MM_MANY_DOTS;
}

void mm_float(const struct mm_ops *ops, const struct matmul *op, size_t matrix, size_t r,
              size_t n_rows, size_t i, size_t n, const void *strips, float *memory);

/* Rows as aligned floats: the source itself where it is that, else a copy in panel. */
const float *mm_rows_as_floats(const struct mm_ops *ops, const struct weight *w, size_t row,
                               size_t n_rows, float *panel);

/* mm_panels.c: mm_float() of rows of a prompt in panels. */
void mm_panels(const struct mm_ops *ops, const struct matmul *op, size_t matrix, size_t r,
               size_t n_rows, size_t i, size_t n, const void *strips, float *memory);

#endif
