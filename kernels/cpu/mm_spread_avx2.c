/* mm_spread_avx2.c - rows of small floats as float32, 8 values at a time (mm_ops.h, spread). */
#include <immintrin.h>

#include "kernels/cpu/mm_ops.h"
#include "kernels/cpu/mm_spread_256.h"

enum { AHEAD = 1024, MXFP4_BYTES = 17, F8_BYTES = 36 };

/* Eight bytes, each a float of four bits, the sign the highest, times d. */
static __m256 of_e2m1(__m128i bytes, __m256 d)
{
    const __m256 halves = _mm256_setr_ps(0, 1, 2, 3, 4, 6, 8, 12);
    __m256i x = _mm256_cvtepu8_epi32(bytes); /* the permutation looks at three bits */
    __m256i sign = _mm256_slli_epi32(_mm256_srli_epi32(x, 3), 31);
    __m256 v = _mm256_permutevar8x32_ps(halves, x);

    return _mm256_mul_ps(d, _mm256_xor_ps(v, _mm256_castsi256_ps(sign)));
}

/* Layout of a block: kernels/quant/mxfp4.c.  Values are counted in halves. */
static void spread_mxfp4(float *y, const uint8_t *b, size_t n_blocks)
{
    const __m128i nibble = _mm_set1_epi8(15);

    for (size_t i = 0; i < n_blocks; i++, b += MXFP4_BYTES, y += 32) {
        uint32_t e = b[0], bits = e < 2 ? 0x00200000u << e : (e - 1) << 23;
        __m128i q = _mm_loadu_si128((const void *)(b + 1));
        __m128i low = _mm_and_si128(q, nibble), high = _mm_and_si128(_mm_srli_epi16(q, 4), nibble);
        __m256 d = _mm256_castsi256_ps(_mm256_set1_epi32((int)bits));

        _mm_prefetch((const char *)b + AHEAD, _MM_HINT_T0);
        _mm256_storeu_ps(y, of_e2m1(low, d));
        _mm256_storeu_ps(y + 8, of_e2m1(_mm_srli_si128(low, 8), d));
        _mm256_storeu_ps(y + 16, of_e2m1(high, d));
        _mm256_storeu_ps(y + 24, of_e2m1(_mm_srli_si128(high, 8), d));
    }
}

/* As a half such a float is 2^8 times too small; what is no number has to be made one that is none
 * of the halves either. */
static __m256 of_e4m3(const uint8_t *p)
{
    __m128i x = _mm_cvtepu8_epi16(_mm_loadl_epi64((const void *)p));
    __m128i size = _mm_and_si128(x, _mm_set1_epi16(0x7f));
    __m128i none = _mm_cmpeq_epi16(size, _mm_set1_epi16(0x7f));
    __m128i half = _mm_or_si128(_mm_slli_epi16(_mm_xor_si128(x, size), 8), _mm_slli_epi16(size, 7));

    half = _mm_or_si128(half, _mm_and_si128(none, _mm_set1_epi16(0x7c00)));
    return _mm256_mul_ps(_mm256_cvtph_ps(half), _mm256_set1_ps(256));
}

/* Layout of a block: kernels/quant/f8_e4m3.c. */
static void spread_f8(float *y, const uint8_t *b, size_t n_blocks)
{
    for (size_t i = 0; i < n_blocks; i++, b += F8_BYTES, y += 32) {
        float scale;

        memcpy(&scale, b, sizeof scale);
        _mm_prefetch((const char *)b + AHEAD, _MM_HINT_T0);
        for (size_t k = 0; k < 32; k += 8)
            _mm256_storeu_ps(y + k, _mm256_mul_ps(_mm256_set1_ps(scale), of_e4m3(b + 4 + k)));
    }
}

bool mm_spread_avx2(float *y, const void *blocks, enum dtype dtype, size_t n_blocks)
{
    if (dtype == DTYPE_MXFP4)
        spread_mxfp4(y, blocks, n_blocks);
    else if (dtype == DTYPE_F8_E4M3)
        spread_f8(y, blocks, n_blocks);
    else
        return spread_256(y, blocks, dtype, n_blocks);
    return true;
}
