/* peak_neon.c - SDOT and FMLA. */
#include <arm_neon.h>

#include "config.h"
#include "kernels/cpu/peak.h"

enum { SUMS = 24 }; /* independent ones: more than the latency times what starts in a cycle */

static double int8(size_t rounds)
{
    int8x16_t a = vdupq_n_s8(1), b = vdupq_n_s8(-1);
    int32x4_t sum[SUMS];

    for (int i = 0; i < SUMS; i++)
        sum[i] = vdupq_n_s32(0);
    for (size_t r = 0; r < rounds; r++) {
#pragma GCC unroll 24
        for (int i = 0; i < SUMS; i++) {
            __asm__ volatile("" : "+w"(a)); /* might have changed: each product is another one */
            sum[i] = vdotq_s32(sum[i], a, b);
        }
    }
    for (int i = 0; i < SUMS; i++)
        __asm__ volatile("" : "+w"(sum[i]));
    return 2.0 * 16 * SUMS * (double)rounds;
}

static double float32(size_t rounds)
{
    float32x4_t a = vdupq_n_f32(1), b = vdupq_n_f32(-1), sum[SUMS];

    for (int i = 0; i < SUMS; i++)
        sum[i] = vdupq_n_f32(0);
    for (size_t r = 0; r < rounds; r++) {
#pragma GCC unroll 24
        for (int i = 0; i < SUMS; i++) {
            __asm__ volatile("" : "+w"(a));
            sum[i] = vfmaq_f32(sum[i], a, b);
        }
    }
    for (int i = 0; i < SUMS; i++)
        __asm__ volatile("" : "+w"(sum[i]));
    return 2.0 * 4 * SUMS * (double)rounds;
}

const struct peak peaks_neon[] = { { "int8", int8 }, { "float32", float32 }, { NULL, NULL } };
