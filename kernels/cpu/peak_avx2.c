/* peak_avx2.c - VPMADDUBSW, whose pairs are added in 16 bits as long as nothing overflows, and FMA.
 */
#include <immintrin.h>

#include "config.h"
#include "kernels/cpu/peak.h"

enum { SUMS = 10 }; /* independent ones: more than the latency times what starts in a cycle */

static double int8(size_t rounds)
{
    __m256i a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(-1), sum[SUMS];

    UNROLL
    for (int i = 0; i < SUMS; i++)
        sum[i] = _mm256_setzero_si256();
    for (size_t r = 0; r < rounds; r++) {
        UNROLL
        for (int i = 0; i < SUMS; i++) {
            __asm__ volatile("" : "+x"(a)); /* might have changed: each product is another one */
            sum[i] = _mm256_add_epi16(sum[i], _mm256_maddubs_epi16(a, b));
        }
    }
    UNROLL
    for (int i = 0; i < SUMS; i++)
        __asm__ volatile("" : "+x"(sum[i]));
    return 2.0 * 32 * SUMS * (double)rounds;
}

static double float32(size_t rounds)
{
    __m256 a = _mm256_set1_ps(1), b = _mm256_set1_ps(-1), sum[SUMS];

    UNROLL
    for (int i = 0; i < SUMS; i++)
        sum[i] = _mm256_setzero_ps();
    for (size_t r = 0; r < rounds; r++) {
        UNROLL
        for (int i = 0; i < SUMS; i++) {
            __asm__ volatile("" : "+x"(a));
            sum[i] = _mm256_fmadd_ps(a, b, sum[i]);
        }
    }
    UNROLL
    for (int i = 0; i < SUMS; i++)
        __asm__ volatile("" : "+x"(sum[i]));
    return 2.0 * 8 * SUMS * (double)rounds;
}

const struct peak peaks_avx2[] = { { "int8", int8 }, { "float32", float32 }, { NULL, NULL } };
