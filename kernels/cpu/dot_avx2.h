/* dot_avx2.h - VPMADDUBSW multiplies unsigned by signed bytes and adds pairs in 16 bits,
 * saturating.
 *
 * Nothing saturates here.  An activation's code is at most 127 either way; codes of 4, 5, 6 bits
 * are at most 15, 31, 63, so that a pair is at most 3810, 7874, 16002, and 8, 4, 2 of them 30480,
 * 31496, 32004, below 2^15.  Codes of 8 bits are made signed and their sign is moved to the
 * activation: they are at most 128 then, a pair 32512, and each step is widened by itself. */
#ifndef AIRSTRIP_CPU_DOT_AVX2_H
#define AIRSTRIP_CPU_DOT_AVX2_H

#include "kernels/cpu/dot_256.h"

enum { DOT_SIGNED = 1 };

SPECIALISED int dot_fit(const int bits)
{
    return bits == 4 ? 8 : bits == 5 ? 4 : bits == 6 ? 2 : 1;
}

SPECIALISED __m256i dot_begin(__m256i sum)
{
    return sum; /* not looked at */
}

SPECIALISED __m256i dot_step(__m256i part, __m256i w, __m256i four, const int bits,
                             const bool first)
{
    __m256i size = bits == 8 ? _mm256_abs_epi8(w) : w;
    __m256i p = _mm256_maddubs_epi16(size, bits == 8 ? _mm256_sign_epi8(four, w) : four);

    return first ? p : _mm256_add_epi16(part, p);
}

SPECIALISED __m256i dot_end(__m256i sum, __m256i part)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(part, _mm256_set1_epi16(1)));
}

#endif
