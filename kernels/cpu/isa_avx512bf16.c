/* isa_avx512bf16.c - the leaf loops of ops.inc in the vectors of vec_avx512.h, and products of bf16
 * for matrices: Zen 4 and later, Cooper Lake, Xeons from Sapphire Rapids on whose tiles are off. */
#include "kernels/cpu/vec_avx512.h"

#define ISA_NAME  "avx512bf16"
#define ISA_TABLE isa_avx512bf16
#define ISA_MM    mm_avx512bf16
#define ISA_PEAKS peaks_avx512bf16
#define ISA_WIDE  NULL

#include "kernels/cpu/ops.inc"
