/* mm_avxvnni.c - the multiplication of mm_256.inc in AVX-VNNI, 256 bits wide. */
#include "kernels/cpu/dot_avxvnni.h"

#define MM_NAME  "avxvnni"
#define MM_TABLE mm_avxvnni
#define MM_FEW   mm_few_avxvnni

#include "kernels/cpu/mm_256.inc"
