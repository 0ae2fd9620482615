/* q1_0 - 128 values, 18 bytes: one bit, 1 is d, 0 is -d; codes with their zero at 8.
 *
 *   byte  0..1   d        f16, scale
 *         2..17  qs[16]   bit i % 8 of byte i / 8: value i */
#include "kernels/quant/block.h"

static void explode(uint8_t *codes, float *scale, float *min, const void *block)
{
    const uint8_t *b = block, *qs = b + 2;

    (void)min;
    for (size_t g = 0; g < 4; g++)
        scale[g] = load_f16(b);
    for (size_t i = 0; i < 128; i++)
        codes[i] = qs[i / 8] >> i % 8 & 1 ? 9 : 7;
}

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    decode_blocks(&quant_format_q1_0, y, blocks, n_blocks);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_q1_0, blocks, x, n_blocks);
}

const struct quant_format quant_format_q1_0 = {
    .name = "Q1_0",
    .dtype = DTYPE_Q1_0,
    .block_values = 128,
    .block_bytes = 18,
    .code_bits = 4,
    .zero = 8,
    .group = 32,
    .decode = decode,
    .dot = dot,
    .explode = explode,
};
