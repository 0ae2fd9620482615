/* mxfp4 - 32 values, 17 bytes: 4-bit floats (E2M1) with a power of two for scale (OCP Microscaling
 * Formats 1.0).  The floats are counted in halves: value = 2^(e - 128) * (0, 1, 2, 3, 4, 6, 8 or
 * 12, or less than 0); the codes are these integers with their zero at 16.
 *
 *   byte  0      e        exponent, bias 127
 *         1..16  qs[16]   low nibble of qs[j]: value j; high nibble: value j + 16; bit 3 is the
 * sign */
#include "kernels/quant/block.h"

static void explode(uint8_t *codes, float *scale, float *min, const void *block)
{
    const uint8_t *b = block, *qs = b + 1;
    uint32_t e = b[0];

    (void)min;
    /* 2^(e - 128): the lowest two exponents are subnormal floats */
    scale[0] = float_of_bits(e < 2 ? 0x00200000u << e : (e - 1) << 23);
    for (size_t j = 0; j < 32; j++)
        codes[j] = (uint8_t)(e2m1_halves(qs[j % 16] >> j / 16 * 4 & 15) + 16);
}

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    decode_blocks(&quant_format_mxfp4, y, blocks, n_blocks);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_mxfp4, blocks, x, n_blocks);
}

const struct quant_format quant_format_mxfp4 = {
    .name = "MXFP4",
    .dtype = DTYPE_MXFP4,
    .block_values = 32,
    .block_bytes = 17,
    .code_bits = 5,
    .zero = 16,
    .group = 32,
    .decode = decode,
    .dot = dot,
    .explode = explode,
};
