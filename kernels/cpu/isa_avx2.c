/* isa_avx2.c - the leaf loops of ops.inc in the vectors of vec_avx2.h. */
#include "kernels/cpu/vec_avx2.h"

#define ISA_NAME  "avx2"
#define ISA_TABLE isa_avx2
#define ISA_MM    mm_avx2
#define ISA_PEAKS peaks_avx2
#define ISA_WIDE  NULL

#include "kernels/cpu/ops.inc"
