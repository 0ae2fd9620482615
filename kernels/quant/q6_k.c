/* q6_k - 256 values, 210 bytes: 6-bit codes; sixteen groups of 16, each with an 8-bit signed scale
 * sc; value = (d * sc) * (code - 32).
 *
 *   byte  0..127    ql[128]     low four bits, 64 bytes for each half (128 values) of the block
 *         128..191  qh[64]      upper two bits, 32 bytes for each half
 *         192..207  scales[16]  int8, sc of groups 0..15
 *         208..209  d           f16, scale of the scales
 *
 * A half is four quarters q of 32 values.  Value j of quarter q: its low bits are in byte j + 32 (q
 * % 2) of the half's ql, low nibble for q < 2, else high; its upper bits are bits 2 q and 2 q + 1
 * of byte j of qh.  */
#include "kernels/quant/block.h"

static void explode(uint8_t *codes, float *scale, float *min, const void *block)
{
    const uint8_t *b = block;
    float d = load_f16(b + 208);

    (void)min;
    for (size_t g = 0; g < 16; g++)
        scale[g] = d * (float)(int8_t)b[192 + g];
    for (size_t h = 0; h < 2; h++) {
        const uint8_t *ql = b + 64 * h, *qh = b + 128 + 32 * h;

        for (size_t q = 0; q < 4; q++)
            for (size_t j = 0; j < 32; j++)
                codes[128 * h + 32 * q + j] =
                    (uint8_t)((ql[j + q % 2 * 32] >> q / 2 * 4 & 15) | (qh[j] >> 2 * q & 3) << 4);
    }
}

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    decode_blocks(&quant_format_q6_k, y, blocks, n_blocks);
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_q6_k, blocks, x, n_blocks);
}

const struct quant_format quant_format_q6_k = {
    .name = "Q6_K",
    .dtype = DTYPE_Q6_K,
    .block_values = 256,
    .block_bytes = 210,
    .code_bits = 6,
    .zero = 32,
    .group = 16,
    .decode = decode,
    .dot = dot,
    .explode = explode,
};
