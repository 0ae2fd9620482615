/* tq2_0 - 256 values, 66 bytes: -1, 0 or 1 (or 2) times one scale; codes with their zero at 8.
 *
 *   byte  0..63   qs[64]   32 bytes for each half, in q2_k's order; value + 1
 *         64..65  d        f16, scale */
#include "kernels/quant/block.h"

static void explode(uint8_t *codes, float *scale, float *min, const void *block)
{
    const uint8_t *b = block;

    (void)min;
    for (size_t g = 0; g < 8; g++)
        scale[g] = load_f16(b + 64);
    for (size_t i = 0; i < 256; i++)
        codes[i] = (uint8_t)((b[i / 128 * 32 + i % 32] >> i / 32 % 4 * 2 & 3) - 1 + 8);
}

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    decode_blocks(&quant_format_tq2_0, y, blocks, n_blocks);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_tq2_0, blocks, x, n_blocks);
}

const struct quant_format quant_format_tq2_0 = {
    .name = "TQ2_0",
    .dtype = DTYPE_TQ2_0,
    .block_values = 256,
    .block_bytes = 66,
    .code_bits = 4,
    .zero = 8,
    .group = 32,
    .decode = decode,
    .dot = dot,
    .explode = explode,
};
