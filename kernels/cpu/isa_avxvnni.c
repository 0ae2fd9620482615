/* isa_avxvnni.c - the leaf loops of ops.inc in the vectors of vec_avx2.h, and AVX-VNNI for
 * matrices: processors with 8-bit products but without AVX-512. */
#include "kernels/cpu/vec_avx2.h"

#define ISA_NAME  "avxvnni"
#define ISA_TABLE isa_avxvnni
#define ISA_MM    mm_avxvnni
#define ISA_PEAKS peaks_avxvnni
#define ISA_WIDE  NULL

#include "kernels/cpu/ops.inc"
