/* tiles_amx.h - AMX tiles, for the files that are compiled for them.
 *
 * All eight tiles are full: 16 rows of 64 bytes.  What is smaller is padded with zeros, so that one
 * configuration does for everything.  A thread configures its tiles, multiplies, and lets go of
 * them: as long as it holds them, a task switch saves and restores 8 kB. */
#ifndef AIRSTRIP_CPU_TILES_AMX_H
#define AIRSTRIP_CPU_TILES_AMX_H

#include <immintrin.h>
#include <stdint.h>

#include "kernels/cpu/transpose_avx512.h"

enum { TILE_ROWS = 16, TILE_ROW_BYTES = 64 };

/* As LDTILECFG reads it (Intel SDM vol. 1, 18.2). */
struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} __attribute__((aligned(64)));

extern const struct tile_config tiles_full;

static inline void tiles_begin(void)
{
    _tile_loadconfig(&tiles_full);
}

/* Between ordinary stores and tile loads of the same memory: the compiler does not see that the
 * latter read it. */
static inline void tiles_see_stores(void)
{
    __asm__ volatile("" ::: "memory");
}

static inline void tiles_end(void)
{
    _tile_release();
}

#endif
