/* q8_0 - 32 values, 34 bytes: signed bytes, one scale; value = d * qs.
 *
 *   byte  0..1   d        f16, scale
 *         2..33  qs[32]   int8, value j; the code is qs + 128, so that codes are unsigned  */
#include "kernels/quant/block.h"

static void explode(uint8_t *codes, float *scale, float *min, const void *block)
{
    const uint8_t *b = block, *qs = b + 2;

    (void)min;
    scale[0] = load_f16(b);
    for (size_t j = 0; j < 32; j++)
        codes[j] = qs[j] ^ 0x80; /* two's complement + 128 */
}

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    decode_blocks(&quant_format_q8_0, y, blocks, n_blocks);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_q8_0, blocks, x, n_blocks);
}

const struct quant_format quant_format_q8_0 = {
    .name = "Q8_0",
    .dtype = DTYPE_Q8_0,
    .block_values = 32,
    .block_bytes = 34,
    .code_bits = 8,
    .zero = 128,
    .group = 32,
    .codes_at = 2,
    .decode = decode,
    .dot = dot,
    .explode = explode,
};
