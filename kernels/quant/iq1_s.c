/* iq1_s - 256 values, 50 bytes: eight groups of 32, each four combinations of eight from a codebook
 * of 2048, a 3-bit scale and a sign; value = (d * (2 sc + 1)) * (-1, 0 or 1 + or - 1/8).  Counted
 * in eighths these are integers; codes with their zero at 16.
 *
 *   byte  0..1    d        f16, scale of the scales
 *         2..33   qs[32]   low eight bits of the index of combination k
 *         34..49  qh[8]    u16 for each group: upper three bits of its four indices, then sc, then
 *                          the sign of 1/8 */
#include "kernels/quant/block.h"

static void explode(uint8_t *codes, float *scale, float *min, const void *block)
{
    const uint8_t *b = block;
    float d = load_f16(b);

    (void)min;
    for (size_t g = 0; g < 8; g++) {
        unsigned qh = load_u16(b + 34 + 2 * g);

        scale[g] = d * (float)(2 * (qh >> 12 & 7) + 1) * 0.125f;
        for (size_t k = 0; k < 4; k++)
            iq1_eight(codes + 32 * g + 8 * k, b[2 + 4 * g + k] | (qh >> 3 * k & 7) << 8,
                      qh >> 15 & 1, 16);
    }
}

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    decode_blocks(&quant_format_iq1_s, y, blocks, n_blocks);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_iq1_s, blocks, x, n_blocks);
}

const struct quant_format quant_format_iq1_s = {
    .name = "IQ1_S",
    .dtype = DTYPE_IQ1_S,
    .block_values = 256,
    .block_bytes = 50,
    .code_bits = 5,
    .zero = 16,
    .group = 32,
    .decode = decode,
    .dot = dot,
    .explode = explode,
};
