/* peak_amx.c - TDPBSSD and TDPBF16PS: four tiles of sums, two tiles of each factor, as in a tile of
 * 32 rows and 32 columns. */
#include "kernels/cpu/peak.h"
#include "kernels/cpu/tiles_amx.h"

/* Of one instruction: 16 by 16 sums of 64 (bytes) or 32 (bf16) products. */
#define BYTE_OPS (2.0 * TILE_ROWS * TILE_ROWS * TILE_ROW_BYTES)

static void zeros(void)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
}

static double int8(size_t rounds)
{
    tiles_begin();
    zeros();
    for (size_t r = 0; r < rounds; r++) {
        _tile_dpbssd(0, 4, 6);
        _tile_dpbssd(1, 4, 7);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(3, 5, 7);
    }
    tiles_end();
    return 4 * BYTE_OPS * (double)rounds;
}

static double bf16(size_t rounds)
{
    tiles_begin();
    zeros();
    for (size_t r = 0; r < rounds; r++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    tiles_end();
    return 2 * BYTE_OPS * (double)rounds;
}

const struct peak peaks_amx[] = {
    { "int8", int8 }, { "bf16", bf16 }, { "float32", peak_float32_avx512 }, { NULL, NULL }
};
