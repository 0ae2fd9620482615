/* q2_0 - 64 values, 18 bytes: -1, 0, 1 or 2 times one scale; codes with their zero at 8.
 *
 *   byte  0..1   d        f16, scale
 *         2..17  qs[16]   bits 2 (i % 4) and up of byte i / 4: value i + 1 */
#include "kernels/quant/block.h"

static void explode(uint8_t *codes, float *scale, float *min, const void *block)
{
    const uint8_t *b = block, *qs = b + 2;

    (void)min;
    scale[0] = scale[1] = load_f16(b);
    for (size_t i = 0; i < 64; i++)
        codes[i] = (uint8_t)((qs[i / 4] >> i % 4 * 2 & 3) - 1 + 8);
}

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    decode_blocks(&quant_format_q2_0, y, blocks, n_blocks);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_q2_0, blocks, x, n_blocks);
}

const struct quant_format quant_format_q2_0 = {
    .name = "Q2_0",
    .dtype = DTYPE_Q2_0,
    .block_values = 64,
    .block_bytes = 18,
    .code_bits = 4,
    .zero = 8,
    .group = 32,
    .decode = decode,
    .dot = dot,
    .explode = explode,
};
