/* iq4_xs - 256 values, 136 bytes: 4-bit codes into a table of 16 values; eight groups of 32, each
 * with a 6-bit scale sc; value = (d * (sc - 32)) * table[code].
 *
 *   byte  0..1     d            f16, scale of the scales
 *         2..3     scales_h     u16, bits 2 g and 2 g + 1: upper bits of sc of group g
 *         4..7     scales_l[4]  low bits: low nibble of byte g / 2 for even g, high nibble for odd
 *         8..135   qs[128]      16 bytes for each group, as in iq4_nl */
#include "kernels/quant/block.h"

static void explode(uint8_t *codes, float *scale, float *min, const void *block)
{
    const uint8_t *b = block, *qs = b + 8;
    float d = load_f16(b);
    unsigned high = load_u16(b + 2);

    (void)min;
    for (size_t g = 0; g < 8; g++) {
        int sc = (b[4 + g / 2] >> g % 2 * 4 & 15) | (int)(high >> 2 * g & 3) << 4;

        scale[g] = d * (float)(sc - 32);
        for (size_t j = 0; j < 32; j++)
            codes[32 * g + j] = (uint8_t)(iq4_values[qs[16 * g + j % 16] >> j / 16 * 4 & 15] + 128);
    }
}

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    decode_blocks(&quant_format_iq4_xs, y, blocks, n_blocks);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_iq4_xs, blocks, x, n_blocks);
}

const struct quant_format quant_format_iq4_xs = {
    .name = "IQ4_XS",
    .dtype = DTYPE_IQ4_XS,
    .block_values = 256,
    .block_bytes = 136,
    .code_bits = 8,
    .zero = 128,
    .group = 32,
    .decode = decode,
    .dot = dot,
    .explode = explode,
};
