/* iq2_xxs - 256 values, 66 bytes: eight groups of 32, each four combinations of eight from a
 * codebook of 256, four times seven signs and a scale; value = (d * (sc + 1/2) / 4) * combination.
 *
 *   byte  0..1   d         f16, scale of the scales
 *         2..65  8 x { u8 index[4]; u32 signs: 7 bits for each combination, sc above } */
#include "kernels/quant/block.h"

static void explode(uint8_t *codes, float *scale, float *min, const void *block)
{
    const uint8_t *b = block;
    float d = load_f16(b);

    (void)min;
    for (size_t g = 0; g < 8; g++) {
        const uint8_t *index = b + 2 + 8 * g;
        uint32_t signs = load_u32(index + 4);

        scale[g] = d * (0.5f + (float)(signs >> 28)) * 0.25f;
        for (size_t k = 0; k < 4; k++)
            iq2_eight(codes + 32 * g + 8 * k, grid_iq2xxs[index[k]], seven_signs(signs >> 7 * k));
    }
}

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    decode_blocks(&quant_format_iq2_xxs, y, blocks, n_blocks);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_iq2_xxs, blocks, x, n_blocks);
}

const struct quant_format quant_format_iq2_xxs = {
    .name = "IQ2_XXS",
    .dtype = DTYPE_IQ2_XXS,
    .block_values = 256,
    .block_bytes = 66,
    .code_bits = 8,
    .zero = 128,
    .group = 32,
    .decode = decode,
    .dot = dot,
    .explode = explode,
};
