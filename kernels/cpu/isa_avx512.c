/* isa_avx512.c - the leaf loops of ops.inc in the vectors of vec_avx512.h. */
#include "kernels/cpu/vec_avx512.h"

#define ISA_NAME  "avx512"
#define ISA_TABLE isa_avx512
#define ISA_MM    mm_avx512
#define ISA_PEAKS peaks_avx512
#define ISA_WIDE  NULL

#include "kernels/cpu/ops.inc"
