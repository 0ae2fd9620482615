/* dot_avxvnni.h - VPDPBUSD multiplies unsigned by signed bytes and adds four products to 32 bits at
 * once: nothing can saturate, and codes of 8 bits are used as they are packed. */
#ifndef AIRSTRIP_CPU_DOT_AVXVNNI_H
#define AIRSTRIP_CPU_DOT_AVXVNNI_H

#include "kernels/cpu/dot_256.h"

enum { DOT_SIGNED = 0 };

SPECIALISED int dot_fit(const int bits)
{
    (void)bits;
    return MM_STEPS;
}

SPECIALISED __m256i dot_begin(__m256i sum)
{
    return sum;
}

SPECIALISED __m256i dot_step(__m256i part, __m256i w, __m256i four, const int bits,
                             const bool first)
{
    (void)bits;
    (void)first;
    return _mm256_dpbusd_avx_epi32(part, w, four);
}

SPECIALISED __m256i dot_end(__m256i sum, __m256i part)
{
    (void)sum;
    return part;
}

#endif
