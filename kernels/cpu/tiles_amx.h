/* tiles_amx.h - AMX tiles, for the files that are compiled for them.
 *
 * All eight tiles are full: 16 rows of 64 bytes.  What is smaller is padded with zeros, so that one
 * configuration does for everything.  A thread configures its tiles, multiplies, and lets go of
 * them: as long as it holds them, a task switch saves and restores 8 kB. */
#ifndef AIRSTRIP_CPU_TILES_AMX_H
#define AIRSTRIP_CPU_TILES_AMX_H

#include <immintrin.h>
#include <stdint.h>

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

/* x: [16][16] 32-bit values, rows and columns changed. */
static inline void tile_transpose(__m512i x[TILE_ROWS])
{
    __m512i y[TILE_ROWS];

    for (int i = 0; i < TILE_ROWS; i += 2) {
        y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    for (int i = 0; i < TILE_ROWS; i += 4)
        for (int j = 0; j < 2; j++) {
            x[i + 2 * j] = _mm512_unpacklo_epi64(y[i + j], y[i + 2 + j]);
            x[i + 2 * j + 1] = _mm512_unpackhi_epi64(y[i + j], y[i + 2 + j]);
        }
    /* x[4 a + b] has, in its quarter c, column 4 c + b of rows 4 a .. 4 a + 3 */
    for (int b = 0; b < 4; b++) {
        y[b] = _mm512_shuffle_i32x4(x[b], x[4 + b], 0x88);
        y[4 + b] = _mm512_shuffle_i32x4(x[b], x[4 + b], 0xdd);
        y[8 + b] = _mm512_shuffle_i32x4(x[8 + b], x[12 + b], 0x88);
        y[12 + b] = _mm512_shuffle_i32x4(x[8 + b], x[12 + b], 0xdd);
    }
    for (int b = 0; b < 4; b++) {
        x[b] = _mm512_shuffle_i32x4(y[b], y[8 + b], 0x88);
        x[8 + b] = _mm512_shuffle_i32x4(y[b], y[8 + b], 0xdd);
        x[4 + b] = _mm512_shuffle_i32x4(y[4 + b], y[12 + b], 0x88);
        x[12 + b] = _mm512_shuffle_i32x4(y[4 + b], y[12 + b], 0xdd);
    }
}

#endif
