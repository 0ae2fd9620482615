/* encode.c - the plain floats, and the formats of 32 values with a half for scale. */
#include "kernels/quant/encode.h"

#include <math.h>

#include "kernels/quant/block.h"
#include "kernels/quant/encode_k.h"
#include "kernels/quant/fit.h"

static void encode_f32(void *block, const float *x)
{
    memcpy(block, x, sizeof *x);
}

static void encode_f16(void *block, const float *x)
{
    store_u16(block, quant_to_f16(*x));
}

/* To the nearest, ties to even. */
static void encode_bf16(void *block, const float *x)
{
    uint32_t bits;

    memcpy(&bits, x, sizeof bits);
    bits += 0x7fff + (bits >> 16 & 1);
    store_u16(block, (uint16_t)(bits >> 16));
}

/* How much an error in a value matters: all of them, and large ones more (they meet large
 * activations as often as others, but carry more of the result). */
static void weigh(float *weight, const float *x, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    for (size_t i = 0; i < n; i++)
        weight[i] = (float)sqrt(sum / (double)n) + fabsf(x[i]);
}

static void encode_q8_0(void *block, const float *x)
{
    uint8_t *b = block;
    float largest = 0, d;

    for (size_t i = 0; i < 32; i++)
        largest = fmaxf(largest, fabsf(x[i]));
    store_u16(b, quant_to_f16(largest / 127));
    d = load_f16(b);
    for (size_t i = 0; i < 32; i++)
        b[2 + i] = (uint8_t)(int8_t)fit_code(x[i], d, 0, -127, 127);
}

/* Low nibbles are the first 16 values, high ones the others. */
static void store_nibbles(uint8_t *qs, const uint8_t *codes)
{
    for (size_t j = 0; j < 16; j++)
        qs[j] = (uint8_t)(codes[j] | codes[j + 16] << 4);
}

static void encode_q4_0(void *block, const float *x)
{
    uint8_t *b = block, codes[32];
    float weight[32], d;

    weigh(weight, x, 32);
    store_u16(b, quant_to_f16(fit_scale(x, weight, 32, -8, 7).scale));
    d = load_f16(b);
    for (size_t i = 0; i < 32; i++)
        codes[i] = (uint8_t)(fit_code(x[i], d, 0, -8, 7) + 8);
    store_nibbles(b + 2, codes);
}

static void encode_q4_1(void *block, const float *x)
{
    uint8_t *b = block, codes[32];
    float weight[32], d, m;
    struct fit f;

    weigh(weight, x, 32);
    f = fit_scale_min(x, weight, 32, 15, INFINITY);
    store_u16(b, quant_to_f16(f.scale));
    store_u16(b + 2, quant_to_f16(f.min));
    d = load_f16(b);
    m = load_f16(b + 2);
    for (size_t i = 0; i < 32; i++)
        codes[i] = (uint8_t)fit_code(x[i], d, m, 0, 15);
    store_nibbles(b + 4, codes);
}

static const struct {
    enum dtype dtype;
    void (*encode)(void *block, const float *x);
} encoders[] = {
    { DTYPE_F32, encode_f32 },   { DTYPE_F16, encode_f16 },   { DTYPE_BF16, encode_bf16 },
    { DTYPE_Q8_0, encode_q8_0 }, { DTYPE_Q4_0, encode_q4_0 }, { DTYPE_Q4_1, encode_q4_1 },
    { DTYPE_Q4_K, encode_q4_k }, { DTYPE_Q5_K, encode_q5_k }, { DTYPE_Q6_K, encode_q6_k },
};

enum { N_ENCODERS = sizeof encoders / sizeof encoders[0] };

bool quant_can_encode(enum dtype dtype)
{
    for (size_t i = 0; i < N_ENCODERS; i++)
        if (encoders[i].dtype == dtype)
            return true;
    return false;
}

void quant_encode(enum dtype dtype, void *blocks, const float *x, size_t n_blocks)
{
    const struct quant_format *f = quant_format(dtype);
    uint8_t *b = blocks;

    for (size_t i = 0; i < N_ENCODERS; i++)
        for (size_t k = 0; encoders[i].dtype == dtype && k < n_blocks; k++)
            encoders[i].encode(b + k * f->block_bytes, x + k * f->block_values);
}
