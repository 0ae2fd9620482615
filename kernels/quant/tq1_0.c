/* tq1_0 - 256 values, 54 bytes: -1, 0 or 1 times one scale, five to a byte; codes with their zero
 * at 8.
 *
 *   byte  0..47   qs[48]   five digits of base 3 each: digit n of byte j of the first 32 is value
 *                          32 n + j; of byte j of the other 16 it is value 160 + 16 n + j
 *         48..51  qh[4]    four digits each: digit n of byte j is value 240 + 4 n + j
 *         52..53  d        f16, scale
 *
 * A byte is the fraction 0.digits of base 3 in 256ths, rounded up: times 3^n (modulo 256) moves
 * digit n to the front, times 3 / 256 is the digit. */
#include "kernels/quant/block.h"

static void explode(uint8_t *codes, float *scale, float *min, const void *block)
{
    static const uint8_t power[] = { 1, 3, 9, 27, 81 };
    const uint8_t *b = block;

    (void)min;
    for (size_t g = 0; g < 8; g++)
        scale[g] = load_f16(b + 52);
    for (size_t i = 0; i < 256; i++) {
        size_t byte = i < 160 ? i % 32 : i < 240 ? 32 + i % 16 : 48 + i % 4;
        size_t digit = i < 160 ? i / 32 : i < 240 ? (i - 160) / 16 : (i - 240) / 4;
        uint8_t front = (uint8_t)(b[byte] * power[digit]);

        codes[i] = (uint8_t)(front * 3 / 256 - 1 + 8);
    }
}

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    decode_blocks(&quant_format_tq1_0, y, blocks, n_blocks);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_tq1_0, blocks, x, n_blocks);
}

const struct quant_format quant_format_tq1_0 = {
    .name = "TQ1_0",
    .dtype = DTYPE_TQ1_0,
    .block_values = 256,
    .block_bytes = 54,
    .code_bits = 4,
    .zero = 8,
    .group = 32,
    .decode = decode,
    .dot = dot,
    .explode = explode,
};
