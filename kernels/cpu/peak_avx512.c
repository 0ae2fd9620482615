/* peak_avx512.c - VPDPBUSD (VNNI) and FMA, 512 bits wide. */
#include <immintrin.h>

#include "config.h"
#include "kernels/cpu/peak.h"

enum { SUMS = 12 }; /* independent ones: more than the latency times what starts in a cycle */

double peak_int8_avx512(size_t rounds)
{
    __m512i a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(-1), sum[SUMS];

    UNROLL
    for (int i = 0; i < SUMS; i++)
        sum[i] = _mm512_setzero_si512();
    for (size_t r = 0; r < rounds; r++) {
        UNROLL
        for (int i = 0; i < SUMS; i++) {
            __asm__ volatile("" : "+v"(a)); /* might have changed: each product is another one */
            sum[i] = _mm512_dpbusd_epi32(sum[i], a, b);
        }
    }
    UNROLL
    for (int i = 0; i < SUMS; i++)
        __asm__ volatile("" : "+v"(sum[i]));
    return 2.0 * 64 * SUMS * (double)rounds;
}

double peak_float32_avx512(size_t rounds)
{
    __m512 a = _mm512_set1_ps(1), b = _mm512_set1_ps(-1), sum[SUMS];

    UNROLL
    for (int i = 0; i < SUMS; i++)
        sum[i] = _mm512_setzero_ps();
    for (size_t r = 0; r < rounds; r++) {
        UNROLL
        for (int i = 0; i < SUMS; i++) {
            __asm__ volatile("" : "+v"(a));
            sum[i] = _mm512_fmadd_ps(a, b, sum[i]);
        }
    }
    UNROLL
    for (int i = 0; i < SUMS; i++)
        __asm__ volatile("" : "+v"(sum[i]));
    return 2.0 * 16 * SUMS * (double)rounds;
}

const struct peak peaks_avx512[] = { { "int8", peak_int8_avx512 },
                                     { "float32", peak_float32_avx512 },
                                     { NULL, NULL } };
