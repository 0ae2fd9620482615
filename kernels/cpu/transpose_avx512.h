/* transpose_avx512.h - rows and columns changed in registers. */
#ifndef AIRSTRIP_CPU_TRANSPOSE_AVX512_H
#define AIRSTRIP_CPU_TRANSPOSE_AVX512_H

#include <immintrin.h>

/* x: [16][16] 32-bit values, rows and columns changed. */
static inline __attribute__((always_inline)) void transpose_16(__m512i x[16])
{
    __m512i y[16];

#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 4)
#pragma GCC unroll 8
        for (int j = 0; j < 2; j++) {
            x[i + 2 * j] = _mm512_unpacklo_epi64(y[i + j], y[i + 2 + j]);
            x[i + 2 * j + 1] = _mm512_unpackhi_epi64(y[i + j], y[i + 2 + j]);
        }
        /* x[4 a + b] has, in its quarter c, column 4 c + b of rows 4 a .. 4 a + 3 */
#pragma GCC unroll 8
    for (int b = 0; b < 4; b++) {
        y[b] = _mm512_shuffle_i32x4(x[b], x[4 + b], 0x88);
        y[4 + b] = _mm512_shuffle_i32x4(x[b], x[4 + b], 0xdd);
        y[8 + b] = _mm512_shuffle_i32x4(x[8 + b], x[12 + b], 0x88);
        y[12 + b] = _mm512_shuffle_i32x4(x[8 + b], x[12 + b], 0xdd);
    }
#pragma GCC unroll 8
    for (int b = 0; b < 4; b++) {
        x[b] = _mm512_shuffle_i32x4(y[b], y[8 + b], 0x88);
        x[8 + b] = _mm512_shuffle_i32x4(y[b], y[8 + b], 0xdd);
        x[4 + b] = _mm512_shuffle_i32x4(y[4 + b], y[12 + b], 0x88);
        x[12 + b] = _mm512_shuffle_i32x4(y[4 + b], y[12 + b], 0xdd);
    }
}

#endif
