/* mm_avx2.c - the multiplication of mm_256.inc in AVX2. */
#include "kernels/cpu/dot_avx2.h"

#define MM_NAME  "avx2"
#define MM_TABLE mm_avx2
#define MM_FEW   mm_few_avx2

#include "kernels/cpu/mm_256.inc"
