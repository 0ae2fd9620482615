/* q2_k - 256 values, 84 bytes: 2-bit codes; sixteen groups of 16, each with a 4-bit scale sc and a
 * 4-bit minimum m; value = (d * sc) * code - (dmin * m).
 *
 *   byte  0..15    scales[16]   low nibble: sc of group g; high nibble: m
 *         16..79   qs[64]       32 bytes for each half (128 values)
 *         80..81   d            f16, scale of the scales
 *         82..83   dmin         f16, scale of the minima
 *
 * A half is four quarters q of 32 values: value j of quarter q is bits 2 q and 2 q + 1 of byte j.
 */
#include "kernels/quant/block.h"

static void explode(uint8_t *codes, float *scale, float *min, const void *block)
{
    const uint8_t *b = block, *qs = b + 16;
    float d = load_f16(b + 80), dmin = load_f16(b + 82);

    for (size_t g = 0; g < 16; g++) {
        scale[g] = d * (float)(b[g] & 15);
        min[g] = -(dmin * (float)(b[g] >> 4));
    }
    for (size_t i = 0; i < 256; i++)
        codes[i] = (uint8_t)(qs[i / 128 * 32 + i % 32] >> i / 32 % 4 * 2 & 3);
}

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    decode_blocks(&quant_format_q2_k, y, blocks, n_blocks);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_q2_k, blocks, x, n_blocks);
}

const struct quant_format quant_format_q2_k = {
    .name = "Q2_K",
    .dtype = DTYPE_Q2_K,
    .block_values = 256,
    .block_bytes = 84,
    .code_bits = 2,
    .group = 16,
    .has_min = true,
    .decode = decode,
    .dot = dot,
    .explode = explode,
};
