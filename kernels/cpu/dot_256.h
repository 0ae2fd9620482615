/* dot_256.h - what dot_avx2.h and dot_avxvnni.h have in common.  They offer, to mm_256.inc and
 * mm_few_256.inc:
 *
 *   DOT_SIGNED       are codes of 8 bits made signed first (else they are 0 .. 255 with MM_ZERO)
 *   dot_fit(bits)    steps that dot_step() may add up before dot_end()
 *   dot_begin, dot_step, dot_end   a part of a sum: steps of 8 rows' codes times four activations
 *                                  each, added up in any width that holds them, and then to sum */
#ifndef AIRSTRIP_CPU_DOT_256_H
#define AIRSTRIP_CPU_DOT_256_H

#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/mm_ops.h"

/* The innermost functions are written once, for constants, and inlined for each set of them.
 * Unrolled, they keep a compiler busy for minutes under UBSan, which is left out; ASan stays. */
#define UNROLLED    __attribute__((no_sanitize("undefined")))
#define SPECIALISED static inline __attribute__((always_inline)) UNROLLED

SPECIALISED __m256i load(const void *p)
{
    return _mm256_load_si256(p);
}

#endif
