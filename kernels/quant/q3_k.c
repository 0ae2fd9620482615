/* q3_k - 256 values, 110 bytes: 3-bit codes; sixteen groups of 16, each with a 6-bit scale sc;
 * value = (d * (sc - 32)) * (code - 4).  The codes are moved up to 6 bits with their zero at 32, a
 * form that the multiplication knows.
 *
 *   byte  0..31     hmask[32]    bit i / 32 of byte i % 32: upper bit of the code of value i
 *         32..95    qs[64]       lower two bits, in q2_k's order
 *         96..107   scales[12]   low nibbles of sc: bytes 0..7, low half groups 0..7, high half
 *                                groups 8..15; upper two bits: bytes 8..11, bits 2 (g / 4) of byte
 * g % 4 108..109  d            f16, scale of the scales */
#include "kernels/quant/block.h"

static void explode(uint8_t *codes, float *scale, float *min, const void *block)
{
    const uint8_t *b = block, *qs = b + 32, *s = b + 96;
    float d = load_f16(b + 108);

    (void)min;
    for (size_t g = 0; g < 16; g++) {
        int low = s[g % 8] >> g / 8 * 4 & 15, high = s[8 + g % 4] >> g / 4 * 2 & 3;

        scale[g] = d * (float)((low | high << 4) - 32);
    }
    for (size_t i = 0; i < 256; i++) {
        int low = qs[i / 128 * 32 + i % 32] >> i / 32 % 4 * 2 & 3, high = b[i % 32] >> i / 32 & 1;

        codes[i] = (uint8_t)((low | high << 2) - 4 + 32);
    }
}

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    decode_blocks(&quant_format_q3_k, y, blocks, n_blocks);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_q3_k, blocks, x, n_blocks);
}

const struct quant_format quant_format_q3_k = {
    .name = "Q3_K",
    .dtype = DTYPE_Q3_K,
    .block_values = 256,
    .block_bytes = 110,
    .code_bits = 6,
    .zero = 32,
    .group = 16,
    .decode = decode,
    .dot = dot,
    .explode = explode,
};
