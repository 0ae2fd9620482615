/* q5_0 - 32 values, 22 bytes: 5-bit codes, one scale; value = d * (code - 16).
 *
 *   byte  0..1   d        f16, scale
 *         2..5   qh       u32, bit i: fifth bit of the code of value i
 *         6..21  qs[16]   low nibble of qs[j]: low bits of value j; high nibble: of value j + 16 */
#include "kernels/quant/block.h"

static void explode(uint8_t *codes, float *scale, float *min, const void *block)
{
    const uint8_t *b = block, *qs = b + 6;
    uint32_t qh = load_u32(b + 2);

    (void)min;
    scale[0] = load_f16(b);
    for (size_t j = 0; j < 16; j++) {
        codes[j] = (uint8_t)((qs[j] & 15) | (qh >> j & 1) << 4);
        codes[j + 16] = (uint8_t)(qs[j] >> 4 | (qh >> (j + 16) & 1) << 4);
    }
}

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    decode_blocks(&quant_format_q5_0, y, blocks, n_blocks);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_q5_0, blocks, x, n_blocks);
}

const struct quant_format quant_format_q5_0 = {
    .name = "Q5_0",
    .dtype = DTYPE_Q5_0,
    .block_values = 32,
    .block_bytes = 22,
    .code_bits = 5,
    .zero = 16,
    .group = 32,
    .decode = decode,
    .dot = dot,
    .explode = explode,
};
