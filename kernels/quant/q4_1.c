/* q4_1 - 32 values, 20 bytes: 4-bit codes, scale and minimum; value = d * code + m.
 *
 *   byte  0..1   d        f16, scale
 *         2..3   m        f16, minimum
 *         4..19  qs[16]   low nibble of qs[j]: code of value j; high nibble: of value j + 16  */
#include "kernels/quant/block.h"

static void explode(uint8_t *codes, float *scale, float *min, const void *block)
{
    const uint8_t *b = block, *qs = b + 4;

    scale[0] = load_f16(b);
    min[0] = load_f16(b + 2);
    for (size_t j = 0; j < 16; j++) {
        codes[j] = qs[j] & 15;
        codes[j + 16] = qs[j] >> 4;
    }
}

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    decode_blocks(&quant_format_q4_1, y, blocks, n_blocks);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_q4_1, blocks, x, n_blocks);
}

const struct quant_format quant_format_q4_1 = {
    .name = "Q4_1",
    .dtype = DTYPE_Q4_1,
    .block_values = 32,
    .block_bytes = 20,
    .code_bits = 4,
    .group = 32,
    .codes_at = 4,
    .has_min = true,
    .decode = decode,
    .dot = dot,
    .explode = explode,
};
