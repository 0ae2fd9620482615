/* block.h - what the format files share: unaligned loads, half floats, and decode and dot made from
 * explode.
 *
 * Private to kernels/quant.  Everything is inline, so that each format's compiler sees its own
 * constant table and the generic loops become its own.  Any thread. */
#ifndef AIRSTRIP_QUANT_BLOCK_H
#define AIRSTRIP_QUANT_BLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/quant/quant.h"

enum {
    BLOCK_MAX_VALUES = 256, /* of any format */
    BLOCK_MAX_GROUPS = 16,  /* q6_k: 256 values, 16 to a scale */
};

extern const struct quant_format quant_format_f32, quant_format_f16, quant_format_bf16;
extern const struct quant_format quant_format_q4_0, quant_format_q4_1, quant_format_q5_0;
extern const struct quant_format quant_format_q5_1, quant_format_q8_0;
extern const struct quant_format quant_format_q2_k, quant_format_q3_k;
extern const struct quant_format quant_format_q4_k, quant_format_q5_k, quant_format_q6_k;
extern const struct quant_format quant_format_iq1_s, quant_format_iq1_m;
extern const struct quant_format quant_format_iq2_xxs, quant_format_iq2_xs, quant_format_iq2_s;
extern const struct quant_format quant_format_iq3_xxs, quant_format_iq3_s;
extern const struct quant_format quant_format_iq4_nl, quant_format_iq4_xs;
extern const struct quant_format quant_format_tq1_0, quant_format_tq2_0;
extern const struct quant_format quant_format_mxfp4, quant_format_nvfp4;
extern const struct quant_format quant_format_f8_e4m3;
extern const struct quant_format quant_format_q1_0, quant_format_q2_0;

/* iq_grids.c */
extern const uint16_t grid_iq1s[2048], grid_iq2xxs[256], grid_iq3xxs[256], grid_iq3s[512];

static inline uint16_t load_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline void store_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline uint32_t load_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline float float_of_bits(uint32_t bits)
{
    float f;

    memcpy(&f, &bits, sizeof f);
    return f;
}

/* IEEE binary16 to binary32: the 5-bit exponent (bias 15) is moved to 8 bits (bias 127).  A
 * subnormal has no hidden one: it gets one in the exponent of 2^-14, and 2^-14 is taken away again,
 * which is exact.  That way no subnormal float is ever computed with, and a thread's flush-to-zero
 * mode does not matter. */
static inline float float_of_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t bits = (uint32_t)(h & 0x7fff) << 13;
    uint32_t exponent = bits & 0x0f800000;

    bits += (uint32_t)(127 - 15) << 23;
    if (exponent == 0x0f800000) {           /* infinity or NaN */
        bits += (uint32_t)(127 - 15) << 23; /* 31 to 255 */
    } else if (exponent == 0) {
        float f = float_of_bits(bits + (1u << 23)) - 0x1p-14f;

        memcpy(&bits, &f, sizeof bits);
    }
    return float_of_bits(sign | bits);
}

static inline float load_f16(const uint8_t *p)
{
    return float_of_f16(load_u16(p));
}

/* What a code of iq4_nl and iq4_xs stands for. */
static const int8_t iq4_values[16] = { -127, -104, -83, -65, -49, -35, -22, -10,
                                       1,    13,   25,  38,  53,  69,  89,  113 };

/* A float of four bits (sign, two of exponent, one of mantissa), in halves. */
static inline int e2m1_halves(unsigned bits)
{
    static const uint8_t halves[8] = { 0, 1, 2, 3, 4, 6, 8, 12 };
    int v = halves[bits & 7];

    return bits & 8 ? -v : v;
}

/* 8 bits, the lowest of sign: 4 of exponent (bias 7), 3 of mantissa. */
static inline float float_of_e4m3(uint8_t bits)
{
    float m = (float)(bits & 7);
    uint32_t e = bits >> 3 & 15;

    return e == 0 ? m * 0x1p-9f : (8 + m) * float_of_bits((e - 7 - 3 + 127) << 23);
}

static inline uint8_t signed_code(int value, unsigned negative, int zero)
{
    return (uint8_t)(negative & 1 ? zero - value : zero + value);
}

/* Seven signs and an eighth that makes their number even. */
static inline unsigned seven_signs(uint32_t bits)
{
    bits &= 127;
    return bits | (unsigned)__builtin_parity(bits) << 7;
}

/* Eight codes of the iq2 formats from an entry of a codebook; bit j of signs: value j is negative.
 */
static inline void iq2_eight(uint8_t *codes, unsigned entry, unsigned signs)
{
    static const uint8_t values[4] = { 8, 25, 43, 0 };

    for (size_t j = 0; j < 8; j++)
        codes[j] = signed_code(values[entry >> 2 * j & 3], signs >> j, 128);
}

/* Eight codes of the iq1 formats, in eighths: -8, 0 or 8, and 1 more, or less if negative. */
static inline void iq1_eight(uint8_t *codes, unsigned index, unsigned negative, int zero)
{
    unsigned entry = grid_iq1s[index];

    for (size_t j = 0; j < 8; j++)
        codes[j] = (uint8_t)(zero + 8 * ((int)(entry >> 2 * j & 3) - 1) + (negative ? -1 : 1));
}

/* The 12 bytes s of q4_k and q5_k hold eight 6-bit scales and eight 6-bit mins.  Scale and min j <
 * 4 are the low six bits of s[j] and s[j+4]; for j >= 4 the low four bits are the nibbles of s[j+4]
 * (low: scale, high: min) and the upper two are the top bits of s[j-4] and s[j]. */
static inline void load_scale_min(const uint8_t *s, size_t j, uint8_t *scale, uint8_t *min)
{
    if (j < 4) {
        *scale = s[j] & 63;
        *min = s[j + 4] & 63;
    } else {
        *scale = (uint8_t)((s[j + 4] & 15) | (s[j - 4] >> 6) << 4);
        *min = (uint8_t)(s[j + 4] >> 4 | (s[j] >> 6) << 4);
    }
}

/* y[block_values] of one block through the format's explode: value = scale * (code - zero) (+ min).
 * Without a min nothing is added, so that -0 stays -0. */
static inline void decode_exploded(const struct quant_format *f, float *y, const uint8_t *block)
{
    uint8_t codes[BLOCK_MAX_VALUES];
    float scale[BLOCK_MAX_GROUPS], min[BLOCK_MAX_GROUPS];

    f->explode(codes, scale, min, block);
    for (size_t i = 0; i < f->block_values; i++) {
        y[i] = scale[i / f->group] * (float)(codes[i] - f->zero);
        if (f->has_min)
            y[i] += min[i / f->group];
    }
}

static inline void decode_blocks(const struct quant_format *f, float *y, const void *blocks,
                                 size_t n_blocks)
{
    const uint8_t *b = blocks;

    for (size_t i = 0; i < n_blocks; i++)
        decode_exploded(f, y + i * f->block_values, b + i * f->block_bytes);
}

/* The sum is kept in double: its own error then never hides that of the kernel it is compared with.
 */
static inline float dot_blocks(const struct quant_format *f, const void *blocks, const float *x,
                               size_t n_blocks)
{
    const uint8_t *b = blocks;
    float y[BLOCK_MAX_VALUES];
    double sum = 0;

    for (size_t i = 0; i < n_blocks; i++) {
        f->decode(y, b + i * f->block_bytes, 1);
        for (size_t j = 0; j < f->block_values; j++)
            sum += (double)y[j] * (double)x[i * f->block_values + j];
    }
    return (float)sum;
}

#endif
