/* iq3_xxs - 256 values, 98 bytes: eight groups of 32, each eight combinations of four from a
 * codebook of 256, four times seven signs and a scale; value = (d * (sc + 1/2) / 2) * combination.
 *
 *   byte  0..1    d         f16, scale of the scales
 *         2..65   qs[64]    index of combination k
 *         66..97  8 x u32   signs: 7 bits for each eight values, sc above */
#include "kernels/quant/block.h"

static void explode(uint8_t *codes, float *scale, float *min, const void *block)
{
    static const uint8_t values[] = { 4, 12, 20, 28, 36, 44, 52, 62 };
    const uint8_t *b = block;
    float d = load_f16(b);

    (void)min;
    for (size_t g = 0; g < 8; g++) {
        uint32_t signs = load_u32(b + 66 + 4 * g);

        scale[g] = d * (0.5f + (float)(signs >> 28)) * 0.5f;
        for (size_t j = 0; j < 32; j++) {
            unsigned entry = grid_iq3xxs[b[2 + 8 * g + j / 4]];
            int value = values[entry >> j % 4 * 3 & 7];

            codes[32 * g + j] = signed_code(value, seven_signs(signs >> j / 8 * 7) >> j % 8, 128);
        }
    }
}

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    decode_blocks(&quant_format_iq3_xxs, y, blocks, n_blocks);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_iq3_xxs, blocks, x, n_blocks);
}

const struct quant_format quant_format_iq3_xxs = {
    .name = "IQ3_XXS",
    .dtype = DTYPE_IQ3_XXS,
    .block_values = 256,
    .block_bytes = 98,
    .code_bits = 8,
    .zero = 128,
    .group = 32,
    .decode = decode,
    .dot = dot,
    .explode = explode,
};
