/* types.h - what kernels and the C around them share: matrices in the device's own order, rows of a
 * batch, caches. */
#ifndef AIRSTRIP_CUDA_TYPES_H
#define AIRSTRIP_CUDA_TYPES_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stdint.h>

enum { CUDA_BLOCK = 32 }; /* columns that share a scale, or two */

/* A matrix of integer codes [rows, blocks of 32 columns], row after row in each array:
 *
 *   low    bits 4 .. 6: 16 bytes a block, code j in the low nibble of byte j, code j + 16 in the
 *          high one; bits 8: 32 signed bytes, code - zero, in the order of CUDA_BYTE_OF()
 *   high   bits 5: 4 bytes a block, bit j is bit 4 of code j; bits 6: 8 bytes, bits 2 j and 2 j + 1
 *          of the first 4 are bits 4 and 5 of code j, of the others of j + 16
 *   scale  subs halves a block; min: the same, or NULL
 *
 * value = scale (code - zero) + min. */
struct cuda_codes {
    const uint8_t *low;
    const uint8_t *high;
    const uint16_t *scale, *min;
    unsigned rows, blocks;
    int bits, zero, subs; /* zero: 0 where bits is 8, codes are signed then */
};

/* A matrix of floats [rows, cols]; dtype as in tensor.h: F32, F16 or BF16. */
struct cuda_floats {
    const void *data;
    unsigned rows, cols;
    int dtype;
};

/* Activations in blocks of 32: x = scale * code, code = -127 .. 127. */
struct cuda_act {
    float scale;  /* max|x| / 127 */
    int sum[2];   /* of the codes 0 .. 15 and 16 .. 31 */
    float unused; /* 16 bytes, read at once */
};

/* Where code j of a block of signed bytes stands: 0 .. 7, 16 .. 23, 8 .. 15, 24 .. 31.  So what
 * belongs to bytes 0 .. 7 of a block of nibbles are 16 bytes side by side, and to 8 .. 15. */
#define CUDA_BYTE_OF(j) ((j) / 8 % 2 * 16 + (j) / 16 * 8 + (j) % 8)

struct cuda_acts {
    int8_t *code;         /* [n, blocks, 32] in the order of CUDA_BYTE_OF() */
    struct cuda_act *act; /* [n, blocks] */
};

struct cuda_norm {
    int kind; /* enum norm_kind */
    float *y, *x;
    const float *add, *w, *b;
    unsigned n, cols, n_w;
    float eps;
};

/* A row of a batch: its position, where its sequence's pages begin in the table of pages. */
struct cuda_row {
    int32_t pos, pages;
    int32_t far;   /* rotates by far_inv_freq */
    int32_t reach; /* struct seq_span's */
};

/* Keys and values [page][layer][kv head][K, V][position][head_dim]; in Q8_0 codes, then behind
 * those of a head's K and V the scales, [position][head_dim / 32] halves each. */
struct cuda_kv {
    uint8_t *base;
    unsigned n_layers, n_kv, head_dim, page_tokens;
    int dtype;
    uint64_t head_bytes; /* K and V of a page and head */
    uint64_t page_bytes; /* of all layers */
};

struct cuda_rope_kv {
    float *q;
    const float *k, *v;
    const float *q_norm, *k_norm;
    const float2 *table; /* [n, n_rot / 2] cos and sin, or NULL */
    const struct cuda_row *rows;
    const int32_t *pages;
    unsigned n, n_head, n_rot, layer;
    int kind; /* enum rope_kind */
    float eps;
    struct cuda_kv kv;
};

enum { CUDA_TILE_ROWS = 32 };

/* Rows row .. row + n - 1 of a batch, up to CUDA_TILE_ROWS, at consecutive positions of a sequence.
 */
struct cuda_tile {
    int32_t row, n;
};

struct cuda_attend {
    float *y;
    const float *q;
    const float *sinks, *slopes;
    const struct cuda_row *rows;
    const int32_t *pages;
    float *parts; /* [n, n_head, n_splits, head_dim + 2]: weighted values, maximum, sum */
    const struct cuda_tile *tiles; /* [n_tiles] all rows, for launch_attend_many() */
    unsigned n_tiles;
    unsigned n, n_head, layer, window, n_splits;
    float scale, softcap;
    struct cuda_kv kv;
};

enum { CUDA_TOP_SEGMENT = 4096 }; /* values of a row that a block of threads looks at */

struct cuda_best {
    float value;
    int32_t at; /* INT32_MAX: none */
};

struct cuda_top {
    int32_t *ids;
    float *values; /* or NULL */
    const float *x;
    struct cuda_best *part; /* [rows, segments, k] */
    float *sums;            /* [rows, segments] of e^(x - the segment's largest) */
    unsigned rows, cols, k, segments;
    int32_t none; /* the id where there is none */
};

enum { CUDA_SPLIT = 256 }; /* positions that a block of threads walks; a multiple of any page */

struct cuda_experts {
    float *y;
    const float *x;
    const float *router, *router_bias, *shared_gate;
    float *rows, *gate_rows;
    float *scores, *shares;
    int32_t *expert, *place, *row, *start; /* parts of struct experts.places */
    unsigned n, cols, n_ff, n_expert, n_used;
    bool renormalise, shared;
    float scale;
};

#endif
