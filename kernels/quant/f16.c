/* f16 - one value, 2 bytes: IEEE binary16 (1 sign, 5 exponent, 10 mantissa bits).
 *
 *   byte  0..1   value  */
#include "kernels/quant/block.h"

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    const uint8_t *b = blocks;

    for (size_t i = 0; i < n_blocks; i++)
        y[i] = load_f16(b + 2 * i);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_f16, blocks, x, n_blocks);
}

const struct quant_format quant_format_f16 = {
    .name = "F16",
    .dtype = DTYPE_F16,
    .block_values = 1,
    .block_bytes = 2,
    .decode = decode,
    .dot = dot,
};
