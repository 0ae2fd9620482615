/* quant.h - what a storage format of weights must offer; one format a file, quant.c is their table.
 *
 * Adding a format: one file with its block drawn byte by byte, one line in quant.c, one in dtype.
 * The CPU backend needs nothing else: it repacks any format that has `explode` into its own order,
 * and decodes the others.  All functions are leaves: no allocation, no failure.  Any thread.
 * Blocks may be unaligned; all multi-byte fields are little-endian. */
#ifndef AIRSTRIP_QUANT_H
#define AIRSTRIP_QUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/tensor.h"

struct quant_format {
    const char *name; /* "Q4_1", as GGUF tools print it */
    enum dtype dtype;
    size_t block_values; /* 1 for plain floats, else 32 or 256 */
    size_t block_bytes;

    /* Integer codes: value = scale[g] * (code - zero) + min[g], g = index / group.
     * code_bits 0: not such a format (floats, alone or with a scale), explode is NULL. */
    int code_bits; /* bits that `code` needs, unsigned: 2, 4, 5, 6 or 8 */
    int zero;     /* the code that stands for 0 where there is no min: 8, 16, 32, 128; 0 with min */
    size_t group; /* values per scale: 16 or 32 */
    bool has_min;

    /* Not 0 where a block is halves, scale and then min if there is one, and from this byte on 32
     * codes: 4 bits, code j and j + 16 the nibbles of byte j; or signed bytes, code - zero. */
    size_t codes_at;

    /* y[n_blocks * block_values] = the values, float32, exactly as ggml computes them:
     * scale * code (- min) with each product and sum rounded to float32, no fused multiply-add. */
    void (*decode)(float *y, const void *blocks, size_t n_blocks);

    /* Sum of y[i] * x[i] over n_blocks blocks, plain and in order, kept in double and rounded once:
     * the reference for fast kernels. */
    float (*dot)(const void *blocks, const float *x, size_t n_blocks);

    /* One block into codes[block_values], scale and min[block_values / group] (min untouched
     * unless has_min, it may be NULL then).  The products are those of decode up to float32
     * rounding. */
    void (*explode)(uint8_t *codes, float *scale, float *min, const void *block);
};

/* The format of a dtype, or NULL for a number this build does not know. */
const struct quant_format *quant_format(enum dtype dtype);

/* By name, upper or lower case; NULL if unknown. */
const struct quant_format *quant_by_name(const char *name);

/* All formats in table order; *n is set to their number. */
const struct quant_format *const *quant_all(size_t *n);

/* IEEE half and bfloat16 to float32, exact. */
float quant_f16(uint16_t h);
float quant_bf16(uint16_t h);
uint16_t quant_to_f16(float f); /* round to nearest even */

/* Codebooks, for who decodes with vectors: an entry is eight values, value j bits 2 j and 2 j + 1,
 * which stand for 8, 25 and 43. */
extern const uint16_t quant_grid_iq2xs[512], quant_grid_iq2s[1024];

/* The bfloat16 nearest to a finite number, the even one of two, as a float32. */
static inline float quant_round_bf16(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    bits += 0x7fff + (bits >> 16 & 1);
    bits &= 0xffff0000;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif
