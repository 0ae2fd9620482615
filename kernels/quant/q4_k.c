/* q4_k - 256 values, 144 bytes: 4-bit codes; eight groups of 32, each with a 6-bit scale sc and a
 * 6-bit minimum m; value = (d * sc) * code - (dmin * m).
 *
 *   byte  0..1     d            f16, scale of the scales
 *         2..3     dmin         f16, scale of the minima
 *         4..15    scales[12]   sc and m of groups 0..7, packed as load_scale_min() says
 *         16..143  qs[128]      32 bytes for each pair of groups: byte j of pair p holds, in its
 * low nibble, the code of value 64 p + j, in its high nibble of 64 p + 32 + j  */
#include "kernels/quant/block.h"

static void explode(uint8_t *codes, float *scale, float *min, const void *block)
{
    const uint8_t *b = block, *qs = b + 16;
    float d = load_f16(b), dmin = load_f16(b + 2);
    uint8_t sc, m;

    for (size_t g = 0; g < 8; g++) {
        load_scale_min(b + 4, g, &sc, &m);
        scale[g] = d * (float)sc;
        min[g] = -(dmin * (float)m);
        for (size_t j = 0; j < 32; j++)
            codes[32 * g + j] = (uint8_t)(qs[g / 2 * 32 + j] >> g % 2 * 4 & 15);
    }
}

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    decode_blocks(&quant_format_q4_k, y, blocks, n_blocks);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_q4_k, blocks, x, n_blocks);
}

const struct quant_format quant_format_q4_k = {
    .name = "Q4_K",
    .dtype = DTYPE_Q4_K,
    .block_values = 256,
    .block_bytes = 144,
    .code_bits = 4,
    .group = 32,
    .has_min = true,
    .decode = decode,
    .dot = dot,
    .explode = explode,
};
