/* bf16 - one value, 2 bytes: the upper half of an IEEE binary32 (1 sign, 8 exponent, 7 mantissa
 * bits).
 *
 *   byte  0..1   value  */
#include "kernels/quant/block.h"

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    const uint8_t *b = blocks;

    for (size_t i = 0; i < n_blocks; i++)
        y[i] = float_of_bits((uint32_t)load_u16(b + 2 * i) << 16);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_bf16, blocks, x, n_blocks);
}

const struct quant_format quant_format_bf16 = {
    .name = "BF16",
    .dtype = DTYPE_BF16,
    .block_values = 1,
    .block_bytes = 2,
    .decode = decode,
    .dot = dot,
};
