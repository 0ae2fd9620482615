/* q4_0 - 32 values, 18 bytes: 4-bit codes, one scale; value = d * (code - 8).
 *
 *   byte  0..1   d        f16, scale
 *         2..17  qs[16]   low nibble of qs[j]: code of value j; high nibble: of value j + 16  */
#include "kernels/quant/block.h"

static void explode(uint8_t *codes, float *scale, float *min, const void *block)
{
    const uint8_t *b = block, *qs = b + 2;

    (void)min;
    scale[0] = load_f16(b);
    for (size_t j = 0; j < 16; j++) {
        codes[j] = qs[j] & 15;
        codes[j + 16] = qs[j] >> 4;
    }
}

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    decode_blocks(&quant_format_q4_0, y, blocks, n_blocks);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_q4_0, blocks, x, n_blocks);
}

const struct quant_format quant_format_q4_0 = {
    .name = "Q4_0",
    .dtype = DTYPE_Q4_0,
    .block_values = 32,
    .block_bytes = 18,
    .code_bits = 4,
    .zero = 8,
    .group = 32,
    .codes_at = 2,
    .decode = decode,
    .dot = dot,
    .explode = explode,
};
