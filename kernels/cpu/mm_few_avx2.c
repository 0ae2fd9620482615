/* mm_few_avx2.c - few rows, by mm_few_256.inc in AVX2. */
#include "kernels/cpu/dot_avx2.h"

#define MM_FEW mm_few_avx2

#include "kernels/cpu/mm_few_256.inc"
