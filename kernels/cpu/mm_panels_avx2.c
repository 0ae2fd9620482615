/* mm_panels_avx2.c - tiles of 6 by 16 floats (mm_panels.h): 12 registers of sums, two of weights,
 * one or two of activations. */
#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/mm_panels.h"

/* See mm_avx512.c. */
#define UNROLLED    __attribute__((no_sanitize("undefined")))
#define SPECIALISED static inline __attribute__((always_inline)) UNROLLED

#define HEIGHT 6
enum {
    LANES = 8,
    WIDTH = 2 * LANES,
    PART = 256, /* 16 kB of a panel and twice 6 kB of a strip */
};

SPECIALISED __m256 values(const unsigned char *w, enum dtype dtype, size_t c)
{
    __m128i half;

    if (dtype == DTYPE_F32)
        return _mm256_loadu_ps((const float *)(const void *)(w + 4 * c));
    half = _mm_loadu_si128((const void *)(w + 2 * c));
    if (dtype == DTYPE_F16)
        return _mm256_cvtph_ps(half);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

/* The same where there are fewer than 8 left. */
SPECIALISED __m256 last_values(const unsigned char *w, enum dtype dtype, size_t c, size_t left)
{
    const size_t width = dtype == DTYPE_F32 ? 4 : 2;
    unsigned char bytes[LANES * 4] = { 0 };

    memcpy(bytes, w + c * width, left * width);
    return values(bytes, dtype, 0);
}

/* v: [8][8], rows and columns changed. */
SPECIALISED void transpose_8(__m256 v[LANES])
{
    __m256 t[LANES];

#pragma GCC unroll 4
    for (int i = 0; i < LANES; i += 2) {
        t[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < LANES; i += 4) {
        v[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        v[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        v[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        v[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    /* v[4 a + b] has, in its half c, column 4 c + b of rows 4 a .. 4 a + 3 */
#pragma GCC unroll 4
    for (int b = 0; b < 4; b++) {
        t[b] = _mm256_permute2f128_ps(v[b], v[4 + b], 0x20);
        t[4 + b] = _mm256_permute2f128_ps(v[b], v[4 + b], 0x31);
    }
#pragma GCC unroll 8
    for (int i = 0; i < LANES; i++)
        v[i] = t[i];
}

/* 8 columns from c on of `rows` rows, zeros where there are fewer. */
SPECIALISED void square(__m256 v[LANES], const unsigned char *w, enum dtype dtype, size_t row_bytes,
                        size_t rows, size_t c, size_t n_cols)
{
#pragma GCC unroll 8
    for (size_t r = 0; r < LANES; r++)
        v[r] = r >= rows            ? _mm256_setzero_ps()
               : c + LANES > n_cols ? last_values(w + r * row_bytes, dtype, c, n_cols - c)
                                    : values(w + r * row_bytes, dtype, c);
    transpose_8(v);
}

static UNROLLED void strip(void *strip, const float *x, size_t cols, size_t rows)
{
    float *to = strip;

    for (size_t c = 0; c < cols; c += LANES) {
        __m256 v[LANES];
        float columns[LANES][LANES];

        square(v, (const void *)x, DTYPE_F32, cols * sizeof *x, rows, c, cols);
#pragma GCC unroll 8
        for (size_t i = 0; i < LANES; i++)
            _mm256_storeu_ps(columns[i], v[i]);
        for (size_t i = 0; i < LANES && c + i < cols; i++)
            memcpy(to + (c + i) * rows, columns[i], rows * sizeof *to);
    }
}

SPECIALISED void panel_of(float *to, const unsigned char *w, enum dtype dtype, size_t row_bytes,
                          size_t rows, size_t n_cols)
{
    for (size_t k = 0; k < WIDTH; k += LANES) {
        const size_t first = k < rows ? k : 0, n = rows - first < LANES ? rows - first : LANES;

        for (size_t c = 0; c < n_cols; c += LANES) {
            __m256 v[LANES];

            square(v, w + first * row_bytes, dtype, row_bytes, k < rows ? n : 0, c, n_cols);
#pragma GCC unroll 8
            for (size_t i = 0; i < LANES; i++)
                if (c + i < n_cols)
                    _mm256_store_ps(to + (c + i) * WIDTH + k, v[i]);
        }
    }
}

static UNROLLED void panel(void *to, const void *w, enum dtype dtype, size_t row_bytes, size_t rows,
                           size_t n_cols)
{
    if (dtype == DTYPE_F32)
        panel_of(to, w, DTYPE_F32, row_bytes, rows, n_cols);
    else if (dtype == DTYPE_F16)
        panel_of(to, w, DTYPE_F16, row_bytes, rows, n_cols);
    else
        panel_of(to, w, DTYPE_BF16, row_bytes, rows, n_cols);
}

/* One column. */
SPECIALISED void step(__m256 sum[HEIGHT][2], const float *x, const float *w, const int T)
{
    const __m256 w0 = _mm256_load_ps(w), w1 = _mm256_load_ps(w + LANES);

#pragma GCC unroll 6
    for (int r = 0; r < T; r++) {
        __m256 xr = _mm256_set1_ps(x[r]);

        __asm__("" : "+x"(xr)); /* loaded once, not by each of the two */
        sum[r][0] = _mm256_fmadd_ps(xr, w0, sum[r][0]);
        sum[r][1] = _mm256_fmadd_ps(xr, w1, sum[r][1]);
    }
}

#define ITEM         float
#define ITEM_COLUMNS 1
#define VEC          __m256
#define VEC_ZERO     _mm256_setzero_ps
#define VEC_LOAD     _mm256_loadu_ps
#define VEC_STORE    _mm256_storeu_ps
#include "kernels/cpu/mm_panels.inc"

const struct mm_panels mm_panels_avx2 = {
    .height = HEIGHT,
    .width = WIDTH,
    .part = PART,
    .value_bytes = sizeof(float),
    .strip = strip,
    .panel = panel,
    .tile = tile,
};
