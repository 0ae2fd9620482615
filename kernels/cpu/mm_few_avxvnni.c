/* mm_few_avxvnni.c - few rows, by mm_few_256.inc in AVX-VNNI, 256 bits wide. */
#include "kernels/cpu/dot_avxvnni.h"

#define MM_FEW mm_few_avxvnni

#include "kernels/cpu/mm_few_256.inc"
