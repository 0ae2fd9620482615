/* mm_spread_avx512.c - rows of small floats as float32, 16 values at a time (mm_ops.h, spread). */
#include <immintrin.h>

#include "kernels/cpu/mm_ops.h"
#include "kernels/cpu/mm_spread_256.h"

enum { AHEAD = 1024, MXFP4_BYTES = 17, F8_BYTES = 36 };

/* Layout of a block: kernels/quant/mxfp4.c.  Values are counted in halves. */
static void spread_mxfp4(float *y, const uint8_t *b, size_t n_blocks)
{
    const __m512 halves = _mm512_setr_ps(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
    const __m128i nibble = _mm_set1_epi8(15);

    for (size_t i = 0; i < n_blocks; i++, b += MXFP4_BYTES, y += 32) {
        uint32_t e = b[0], bits = e < 2 ? 0x00200000u << e : (e - 1) << 23;
        __m128i q = _mm_loadu_si128((const void *)(b + 1));
        __m512 d = _mm512_castsi512_ps(_mm512_set1_epi32((int)bits));
        __m512i low = _mm512_cvtepu8_epi32(_mm_and_si128(q, nibble));
        __m512i high = _mm512_cvtepu8_epi32(_mm_and_si128(_mm_srli_epi16(q, 4), nibble));

        _mm_prefetch((const char *)b + AHEAD, _MM_HINT_T0);
        _mm512_storeu_ps(y, _mm512_mul_ps(d, _mm512_permutexvar_ps(low, halves)));
        _mm512_storeu_ps(y + 16, _mm512_mul_ps(d, _mm512_permutexvar_ps(high, halves)));
    }
}

/* As a half such a float is 2^8 times too small; what is no number has to be made one that is none
 * of the halves either. */
static __m512 of_e4m3(const uint8_t *p)
{
    __m256i x = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)p));
    __m256i size = _mm256_and_si256(x, _mm256_set1_epi16(0x7f));
    __m256i none = _mm256_cmpeq_epi16(size, _mm256_set1_epi16(0x7f));
    __m256i half = _mm256_or_si256(_mm256_slli_epi16(_mm256_xor_si256(x, size), 8),
                                   _mm256_slli_epi16(size, 7));

    half = _mm256_or_si256(half, _mm256_and_si256(none, _mm256_set1_epi16(0x7c00)));
    return _mm512_mul_ps(_mm512_cvtph_ps(half), _mm512_set1_ps(256));
}

/* Layout of a block: kernels/quant/f8_e4m3.c. */
static void spread_f8(float *y, const uint8_t *b, size_t n_blocks)
{
    for (size_t i = 0; i < n_blocks; i++, b += F8_BYTES, y += 32) {
        float scale;
        __m512 d;

        memcpy(&scale, b, sizeof scale);
        d = _mm512_set1_ps(scale);
        _mm_prefetch((const char *)b + AHEAD, _MM_HINT_T0);
        _mm512_storeu_ps(y, _mm512_mul_ps(d, of_e4m3(b + 4)));
        _mm512_storeu_ps(y + 16, _mm512_mul_ps(d, of_e4m3(b + 20)));
    }
}

bool mm_spread_avx512(float *y, const void *blocks, enum dtype dtype, size_t n_blocks)
{
    if (dtype == DTYPE_MXFP4)
        spread_mxfp4(y, blocks, n_blocks);
    else if (dtype == DTYPE_F8_E4M3)
        spread_f8(y, blocks, n_blocks);
    else
        return spread_256(y, blocks, dtype, n_blocks);
    return true;
}
