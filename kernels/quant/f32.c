/* f32 - one value, 4 bytes: IEEE binary32.
 *
 *   byte  0..3   value  */
#include "kernels/quant/block.h"

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    const uint8_t *b = blocks;

    for (size_t i = 0; i < n_blocks; i++)
        y[i] = float_of_bits(load_u32(b + 4 * i));
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_f32, blocks, x, n_blocks);
}

const struct quant_format quant_format_f32 = {
    .name = "F32",
    .dtype = DTYPE_F32,
    .block_values = 1,
    .block_bytes = 4,
    .decode = decode,
    .dot = dot,
};
