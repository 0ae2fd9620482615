/* mm_spread_256.h - blocks of 256 values that the packed order has no place for, because 16 of them
 * share a scale: as float32, 8 at a time, for the tables with AVX2 and beyond (mm_ops.h, spread).
 *
 * Layouts: kernels/quant/q2_k.c, iq2_xs.c, iq2_s.c.  The operations are decode()'s, in its order.
 */
#ifndef AIRSTRIP_CPU_MM_SPREAD_256_H
#define AIRSTRIP_CPU_MM_SPREAD_256_H

#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/mm_ops.h"

enum {
    SPREAD_AHEAD = 1024,
    Q2_K_BYTES = 84,
    IQ2_XS_BYTES = 74,
    IQ2_S_BYTES = 82,
};

static inline float spread_half(const uint8_t *p)
{
    uint16_t h;

    memcpy(&h, p, sizeof h);
    return _cvtsh_ss(h);
}

/* 16 bytes times scale, plus min. */
static inline void spread_codes(float *y, __m128i codes, __m256 scale, __m256 min)
{
    __m256 low = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(codes));
    __m256 high = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_unpackhi_epi64(codes, codes)));

    _mm256_storeu_ps(y, _mm256_add_ps(_mm256_mul_ps(scale, low), min));
    _mm256_storeu_ps(y + 8, _mm256_add_ps(_mm256_mul_ps(scale, high), min));
}

static inline void spread_q2_k(float *y, const uint8_t *b, size_t n_blocks)
{
    const __m128i two = _mm_set1_epi8(3);

    for (size_t i = 0; i < n_blocks; i++, b += Q2_K_BYTES) {
        float d = spread_half(b + 80), dmin = spread_half(b + 82);

        _mm_prefetch((const char *)b + SPREAD_AHEAD, _MM_HINT_T0);
        _mm_prefetch((const char *)b + SPREAD_AHEAD + 64, _MM_HINT_T0);
        for (int g = 0; g < 16; g++, y += 16) { /* two groups of 16 bytes a quarter of a half */
            __m128i q = _mm_loadu_si128((const void *)(b + 16 + g / 8 * 32 + g % 2 * 16));
            float scale = d * (float)(b[g] & 15), min = -(dmin * (float)(b[g] >> 4));

            q = _mm_and_si128(_mm_srl_epi16(q, _mm_cvtsi32_si128(g % 8 / 2 * 2)), two);
            spread_codes(y, q, _mm256_set1_ps(scale), _mm256_set1_ps(min));
        }
    }
}

/* Eight values of a codebook's entry, two bits each, times scale; bit j of signs: value j is
 * negative. */
static inline void spread_eight(float *y, unsigned entry, unsigned signs, __m256 scale)
{
    const __m256 values = _mm256_setr_ps(8, 25, 43, 0, 8, 25, 43, 0);
    const __m256i places = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
    const __m256i to_top = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);
    __m256i at = _mm256_srlv_epi32(_mm256_set1_epi32((int)entry), places);
    __m256i sign = _mm256_sllv_epi32(_mm256_set1_epi32((int)signs), to_top);
    __m256 v = _mm256_permutevar_ps(values, at); /* reads two bits of each */

    sign = _mm256_and_si256(sign, _mm256_set1_epi32((int)0x80000000));
    _mm256_storeu_ps(y, _mm256_mul_ps(scale, _mm256_xor_ps(v, _mm256_castsi256_ps(sign))));
}

/* Of group g, two combinations; scales: a nibble each. */
static inline __m256 spread_iq2_scale(float d, const uint8_t *scales, int g)
{
    return _mm256_set1_ps(d * (0.5f + (float)(scales[g / 2] >> g % 2 * 4 & 15)) * 0.25f);
}

static inline void spread_iq2_xs(float *y, const uint8_t *b, size_t n_blocks)
{
    for (size_t i = 0; i < n_blocks; i++, b += IQ2_XS_BYTES) {
        float d = spread_half(b);

        _mm_prefetch((const char *)b + SPREAD_AHEAD, _MM_HINT_T0);
        _mm_prefetch((const char *)b + SPREAD_AHEAD + 64, _MM_HINT_T0);
        for (int k = 0; k < 32; k++, y += 8) {
            uint16_t q;
            unsigned signs;

            memcpy(&q, b + 2 + 2 * k, sizeof q);
            signs = q >> 9; /* seven; the eighth makes their number even */
            signs |= (unsigned)__builtin_parity(signs) << 7;
            spread_eight(y, quant_grid_iq2xs[q & 511], signs, spread_iq2_scale(d, b + 66, k / 2));
        }
    }
}

static inline void spread_iq2_s(float *y, const uint8_t *b, size_t n_blocks)
{
    for (size_t i = 0; i < n_blocks; i++, b += IQ2_S_BYTES) {
        float d = spread_half(b);

        _mm_prefetch((const char *)b + SPREAD_AHEAD, _MM_HINT_T0);
        _mm_prefetch((const char *)b + SPREAD_AHEAD + 64, _MM_HINT_T0);
        for (int k = 0; k < 32; k++, y += 8) {
            unsigned high = b[66 + k / 4] >> k % 4 * 2 & 3;

            spread_eight(y, quant_grid_iq2s[b[2 + k] | high << 8], b[34 + k],
                         spread_iq2_scale(d, b + 74, k / 2));
        }
    }
}

/* False where dtype is none of them. */
static inline bool spread_256(float *y, const void *blocks, enum dtype dtype, size_t n_blocks)
{
    if (dtype == DTYPE_Q2_K)
        spread_q2_k(y, blocks, n_blocks);
    else if (dtype == DTYPE_IQ2_XS)
        spread_iq2_xs(y, blocks, n_blocks);
    else if (dtype == DTYPE_IQ2_S)
        spread_iq2_s(y, blocks, n_blocks);
    else
        return false;
    return true;
}

#endif
