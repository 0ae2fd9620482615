/* peak_avxvnni.c - VPDPBUSD (VNNI) and FMA, 256 bits wide. */
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
            sum[i] = _mm256_dpbusd_avx_epi32(sum[i], a, b);
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

const struct peak peaks_avxvnni[] = { { "int8", int8 }, { "float32", float32 }, { NULL, NULL } };
