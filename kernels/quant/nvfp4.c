/* nvfp4 - 64 values, 36 bytes: 4-bit floats (E2M1); four groups of 16, each with an 8-bit float
 * (E4M3, without sign) for scale.  As in mxfp4 the values are counted in halves; codes with their
 * zero at 32.
 *
 *   byte  0..3   d[4]     E4M3, bias 7; 0 and 0x7f (not a number) stand for 0
 *         4..35  qs[32]   8 bytes for each group: low nibble of qs[j]: value j; high: value j + 8
 */
#include "kernels/quant/block.h"

static void explode(uint8_t *codes, float *scale, float *min, const void *block)
{
    const uint8_t *b = block, *qs = b + 4;

    (void)min;
    for (size_t g = 0; g < 4; g++)
        scale[g] = b[g] == 0x7f ? 0 : 0.5f * float_of_e4m3(b[g]);
    for (size_t i = 0; i < 64; i++)
        codes[i] = (uint8_t)(e2m1_halves(qs[i / 16 * 8 + i % 8] >> i / 8 % 2 * 4 & 15) + 32);
}

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    decode_blocks(&quant_format_nvfp4, y, blocks, n_blocks);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_nvfp4, blocks, x, n_blocks);
}

const struct quant_format quant_format_nvfp4 = {
    .name = "NVFP4",
    .dtype = DTYPE_NVFP4,
    .block_values = 64,
    .block_bytes = 36,
    .code_bits = 6,
    .zero = 32,
    .group = 16,
    .decode = decode,
    .dot = dot,
    .explode = explode,
};
