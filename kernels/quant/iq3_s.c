/* iq3_s - 256 values, 110 bytes: eight groups of 32, each eight combinations of four from a
 * codebook of 512 and a 4-bit scale; value = (d * (2 sc + 1)) * combination; codes with their zero
 * at 16.
 *
 *   byte  0..1      d           f16, scale of the scales
 *         2..65     qs[64]      low eight bits of the index of combination k
 *         66..73    qh[8]       bit k % 8 of byte k / 8: its upper bit
 *         74..105   signs[32]   bit j of byte i: value 8 i + j is negative
 *         106..109  scales[4]   sc: low nibble of byte g / 2 for even g, high nibble for odd */
#include "kernels/quant/block.h"

static void explode(uint8_t *codes, float *scale, float *min, const void *block)
{
    const uint8_t *b = block;
    float d = load_f16(b);

    (void)min;
    for (size_t g = 0; g < 8; g++)
        scale[g] = d * (float)(1 + 2 * (b[106 + g / 2] >> g % 2 * 4 & 15));
    for (size_t i = 0; i < 256; i++) {
        size_t k = i / 4;
        unsigned high = (unsigned)b[66 + k / 8] >> k % 8 & 1;
        unsigned entry = grid_iq3s[b[2 + k] | high << 8];
        int value = 1 + 2 * (int)(entry >> i % 4 * 3 & 7);

        codes[i] = signed_code(value, (unsigned)b[74 + i / 8] >> i % 8, 16);
    }
}

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    decode_blocks(&quant_format_iq3_s, y, blocks, n_blocks);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_iq3_s, blocks, x, n_blocks);
}

const struct quant_format quant_format_iq3_s = {
    .name = "IQ3_S",
    .dtype = DTYPE_IQ3_S,
    .block_values = 256,
    .block_bytes = 110,
    .code_bits = 5,
    .zero = 16,
    .group = 32,
    .decode = decode,
    .dot = dot,
    .explode = explode,
};
