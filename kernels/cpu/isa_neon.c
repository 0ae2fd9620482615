/* isa_neon.c - the leaf loops of ops.inc in the vectors of vec_neon.h. */
#include "kernels/cpu/vec_neon.h"

#define ISA_NAME  "neon"
#define ISA_TABLE isa_neon
#define ISA_MM    mm_neon
#define ISA_PEAKS peaks_neon
#define ISA_WIDE  NULL

#include "kernels/cpu/ops.inc"
