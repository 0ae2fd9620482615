/* f8_e4m3 - 32 values, 36 bytes: 8-bit floats (E4M3 as in OCP's 8-bit Floating Point Specification
 * 1.0) with a float32 for scale.  No GGUF file has it: so weights of folders are kept whose scales
 * are in a tensor beside (inference/hf_fp8.c).
 *
 *   byte  0..3   d        float32
 *         4..35  f[32]    sign, 4 bits of exponent (bias 7), 3 of mantissa; 0x7f and 0xff are no
 *                         numbers */
#include "kernels/quant/block.h"

enum { VALUES = 32, BYTES = 4 + VALUES };

static void decode(float *y, const void *blocks, size_t n_blocks)
{
    const uint8_t *b = blocks;

    for (size_t i = 0; i < n_blocks; i++, b += BYTES) {
        float d = float_of_bits(load_u32(b));

        for (size_t j = 0; j < VALUES; j++) {
            unsigned bits = b[4 + j];
            float v = (bits & 0x7f) == 0x7f ? float_of_bits(0x7fc00000)
                                            : float_of_e4m3((uint8_t)(bits & 0x7f));

            *y++ = d * (bits & 0x80 ? -v : v);
        }
    }
}

static float dot(const void *blocks, const float *x, size_t n_blocks)
{
    return dot_blocks(&quant_format_f8_e4m3, blocks, x, n_blocks);
}

const struct quant_format quant_format_f8_e4m3 = {
    .name = "F8_E4M3",
    .dtype = DTYPE_F8_E4M3,
    .block_values = VALUES,
    .block_bytes = BYTES,
    .decode = decode,
    .dot = dot,
};
