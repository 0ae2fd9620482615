/* mm_amx.c - the multiplication on processors with AMX: so far that of AVX-512. */
#include "kernels/cpu/mm_ops.h"

const struct mm_ops mm_amx = {
    .name = "amx",
    .quantise = mm_avx512_quantise,
    .expand = mm_avx512_expand,
    .tile = mm_avx512_tile,
    .few = mm_few_avx512,
    .dots = mm_avx512_dots,
};
