/* peak_avx512bf16.c - VDPBF16PS, 512 bits wide. */
#include <immintrin.h>

#include "config.h"
#include "kernels/cpu/peak.h"

enum { SUMS = 16 }; /* independent ones: more than the latency times what starts in a cycle */

static double bf16(size_t rounds)
{
    __m512i a = _mm512_set1_epi32(0x3f803f80), b = _mm512_set1_epi32((int)0xbf80bf80);
    __m512 sum[SUMS];

    UNROLL
    for (int i = 0; i < SUMS; i++)
        sum[i] = _mm512_setzero_ps();
    for (size_t r = 0; r < rounds; r++) {
        UNROLL
        for (int i = 0; i < SUMS; i++) {
            __asm__ volatile("" : "+v"(a)); /* might have changed: each product is another one */
            sum[i] = _mm512_dpbf16_ps(sum[i], (__m512bh)a, (__m512bh)b);
        }
    }
    UNROLL
    for (int i = 0; i < SUMS; i++)
        __asm__ volatile("" : "+v"(sum[i]));
    return 2.0 * 32 * SUMS * (double)rounds;
}

const struct peak peaks_avx512bf16[] = { { "int8", peak_int8_avx512 },
                                         { "bf16", bf16 },
                                         { "float32", peak_float32_avx512 },
                                         { NULL, NULL } };
