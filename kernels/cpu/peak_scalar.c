/* peak_scalar.c - what the compiler makes of plain loops. */
#include <stdint.h>

#include "kernels/cpu/peak.h"

enum { N = 64 };

static double int8(size_t rounds)
{
    int8_t a[N], b[N];
    int32_t sum[N] = { 0 };

    for (int i = 0; i < N; i++) {
        a[i] = (int8_t)i;
        b[i] = (int8_t)-i;
    }
    for (size_t r = 0; r < rounds; r++) {
        __asm__ volatile(""
                         : "+m"(a),
                           "+m"(b)); /* might have changed: nothing is taken out of the loop */
        for (int i = 0; i < N; i++)
            sum[i] += a[i] * b[i];
    }
    __asm__ volatile("" : "+m"(sum));
    return 2.0 * N * (double)rounds;
}

static double float32(size_t rounds)
{
    float a[N], sum[N] = { 0 };

    for (int i = 0; i < N; i++)
        a[i] = (float)i;
    for (size_t r = 0; r < rounds; r++) {
        __asm__ volatile("" : "+m"(a));
        for (int i = 0; i < N; i++)
            sum[i] += a[i] * a[N - 1 - i];
    }
    __asm__ volatile("" : "+m"(sum));
    return 2.0 * N * (double)rounds;
}

const struct peak peaks_scalar[] = { { "int8", int8 }, { "float32", float32 }, { NULL, NULL } };
