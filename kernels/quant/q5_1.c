/* q5_1 - 32 values, 24 bytes: 5-bit codes, scale and minimum; value = d * code + m.
 *
 *   byte  0..1   d        f16, scale
 *         2..3   m        f16, minimum
 *         4..7   qh       u32, bit i: fifth bit of the code of value i
 *         8..23  qs[16]   low nibble of qs[j]: low bits of value j; high nibble: of value j + 16 */
#include "kernels/quant/block.h"

static void explode(uint8_t *codes, float *scale, float *min, const void *block)
{
    const uint8_t *b = block, *qs = b + 8;
    uint32_t qh = load_u32(b + 4);

    scale[0] = load_f16(b);
    min[0] = load_f16(b + 2);
    for (size_t j = 0; j < 16; j++) {
        codes[j] = (uint8_t)((qs[j] & 15) | (qh >> j & 1) << 4);
        codes[j + 16] = (uint8_t)(qs[j] >> 4 | (qh >> (j + 16) & 1) << 4);
    }
}

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    decode_blocks(&quant_format_q5_1, y, blocks, n_blocks);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_q5_1, blocks, x, n_blocks);
}

const struct quant_format quant_format_q5_1 = {
    .name = "Q5_1",
    .dtype = DTYPE_Q5_1,
    .block_values = 32,
    .block_bytes = 24,
    .code_bits = 5,
    .group = 32,
    .has_min = true,
    .decode = decode,
    .dot = dot,
    .explode = explode,
};
