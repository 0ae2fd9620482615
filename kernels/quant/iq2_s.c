/* iq2_s - 256 values, 82 bytes: sixteen groups of 16, each two combinations of eight from a
 * codebook of 1024 and a 4-bit scale; value = (d * (sc + 1/2) / 4) * combination.
 *
 *   byte  0..1    d           f16, scale of the scales
 *         2..33   qs[32]      low eight bits of the index of combination k
 *         34..65  signs[32]   bit j of byte k: value j of combination k is negative
 *         66..73  qh[8]       upper two bits of the index: bits 2 (k % 4) and up of byte k / 4
 *         74..81  scales[8]   sc: low nibble of byte g / 2 for even g, high nibble for odd */
#include "kernels/quant/block.h"

static void explode(uint8_t *codes, float *scale, float *min, const void *block)
{
    const uint8_t *b = block;
    float d = load_f16(b);

    (void)min;
    for (size_t g = 0; g < 16; g++)
        scale[g] = d * (0.5f + (float)(b[74 + g / 2] >> g % 2 * 4 & 15)) * 0.25f;
    for (size_t k = 0; k < 32; k++) {
        unsigned high = b[66 + k / 4] >> k % 4 * 2 & 3;

        iq2_eight(codes + 8 * k, quant_grid_iq2s[b[2 + k] | high << 8], b[34 + k]);
    }
}

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    decode_blocks(&quant_format_iq2_s, y, blocks, n_blocks);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_iq2_s, blocks, x, n_blocks);
}

const struct quant_format quant_format_iq2_s = {
    .name = "IQ2_S",
    .dtype = DTYPE_IQ2_S,
    .block_values = 256,
    .block_bytes = 82,
    .code_bits = 8,
    .zero = 128,
    .group = 16,
    .decode = decode,
    .dot = dot,
    .explode = explode,
};
