/* isa_amx.c - the leaf loops of ops.inc in the vectors of vec_avx512.h, and tiles for matrices. */
#include "kernels/cpu/vec_avx512.h"

#define ISA_NAME  "amx"
#define ISA_TABLE isa_amx
#define ISA_MM    mm_amx
#define ISA_PEAKS peaks_amx
#define ISA_WIDE  &wide_amx

#include "kernels/cpu/ops.inc"
