/* iq1_m - 256 values, 56 bytes: sixteen groups of 16, each two combinations of eight from the
 * codebook of iq1_s, each with its sign of 1/8, and a 3-bit scale; codes in eighths with their zero
 * at 32.
 *
 *   byte  0..31   qs[32]      low eight bits of the index of combination k
 *         32..47  qh[16]      a nibble for each combination: upper three bits of its index, sign
 *         48..55  scales[4]   u16 for each four groups: four times three bits of sc, and above them
 *                             four bits of d, an f16, lowest first */
#include "kernels/quant/block.h"

static void explode(uint8_t *codes, float *scale, float *min, const void *block)
{
    const uint8_t *b = block;
    unsigned half = 0;
    float d;

    (void)min;
    for (size_t i = 0; i < 4; i++)
        half |= (unsigned)load_u16(b + 48 + 2 * i) >> 12 << 4 * i;
    d = float_of_f16((uint16_t)half);
    for (size_t g = 0; g < 16; g++) {
        unsigned sc = load_u16(b + 48 + g / 4 * 2) >> g % 4 * 3 & 7;

        scale[g] = d * (float)(2 * sc + 1) * 0.125f;
        for (size_t k = 2 * g; k < 2 * g + 2; k++) {
            unsigned qh = b[32 + k / 2] >> k % 2 * 4 & 15;

            iq1_eight(codes + 8 * k, b[k] | (qh & 7) << 8, qh >> 3, 32);
        }
    }
}

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    decode_blocks(&quant_format_iq1_m, y, blocks, n_blocks);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_iq1_m, blocks, x, n_blocks);
}

const struct quant_format quant_format_iq1_m = {
    .name = "IQ1_M",
    .dtype = DTYPE_IQ1_M,
    .block_values = 256,
    .block_bytes = 56,
    .code_bits = 6,
    .zero = 32,
    .group = 16,
    .decode = decode,
    .dot = dot,
    .explode = explode,
};
