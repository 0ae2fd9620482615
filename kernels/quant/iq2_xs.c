/* iq2_xs - 256 values, 74 bytes: sixteen groups of 16, each two combinations of eight from a
 * codebook of 512 and a 4-bit scale; value = (d * (sc + 1/2) / 4) * combination.
 *
 *   byte  0..1    d           f16, scale of the scales
 *         2..65   qs[32]      u16 for each combination: 9 bits of index, 7 signs
 *         66..73  scales[8]   sc: low nibble of byte g / 2 for even g, high nibble for odd */
#include "kernels/quant/block.h"

static void explode(uint8_t *codes, float *scale, float *min, const void *block)
{
    const uint8_t *b = block;
    float d = load_f16(b);

    (void)min;
    for (size_t g = 0; g < 16; g++)
        scale[g] = d * (0.5f + (float)(b[66 + g / 2] >> g % 2 * 4 & 15)) * 0.25f;
    for (size_t k = 0; k < 32; k++) {
        unsigned q = load_u16(b + 2 + 2 * k);

        iq2_eight(codes + 8 * k, quant_grid_iq2xs[q & 511], seven_signs(q >> 9));
    }
}

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    decode_blocks(&quant_format_iq2_xs, y, blocks, n_blocks);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_iq2_xs, blocks, x, n_blocks);
}

const struct quant_format quant_format_iq2_xs = {
    .name = "IQ2_XS",
    .dtype = DTYPE_IQ2_XS,
    .block_values = 256,
    .block_bytes = 74,
    .code_bits = 8,
    .zero = 128,
    .group = 16,
    .decode = decode,
    .dot = dot,
    .explode = explode,
};
