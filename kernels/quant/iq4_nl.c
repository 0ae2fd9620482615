/* iq4_nl - 32 values, 18 bytes: 4-bit codes into a table of 16 values; value = d * table[code].
 *
 *   byte  0..1   d        f16, scale
 *         2..17  qs[16]   low nibble of qs[j]: code of value j; high nibble: of value j + 16 */
#include "kernels/quant/block.h"

static void explode(uint8_t *codes, float *scale, float *min, const void *block)
{
    const uint8_t *b = block, *qs = b + 2;

    (void)min;
    scale[0] = load_f16(b);
    for (size_t j = 0; j < 32; j++)
        codes[j] = (uint8_t)(iq4_values[qs[j % 16] >> j / 16 * 4 & 15] + 128);
}

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    decode_blocks(&quant_format_iq4_nl, y, blocks, n_blocks);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_iq4_nl, blocks, x, n_blocks);
}

const struct quant_format quant_format_iq4_nl = {
    .name = "IQ4_NL",
    .dtype = DTYPE_IQ4_NL,
    .block_values = 32,
    .block_bytes = 18,
    .code_bits = 8,
    .zero = 128,
    .group = 32,
    .decode = decode,
    .dot = dot,
    .explode = explode,
};
