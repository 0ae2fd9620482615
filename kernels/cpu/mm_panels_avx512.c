/* mm_panels_avx512.c - tiles of 14 by 32 floats (mm_panels.h): 28 registers of sums, two of
 * weights, one or two of activations. */
#include "kernels/cpu/mm_panels.h"
#include "kernels/cpu/transpose_avx512.h"

/* See mm_avx512.c. */
#define UNROLLED    __attribute__((no_sanitize("undefined")))
#define SPECIALISED static inline __attribute__((always_inline)) UNROLLED

#define HEIGHT 14
enum {
    LANES = 16,
    WIDTH = 2 * LANES,
    FETCH = 96, /* columns ahead in rows that become a strip */
    PART = 192, /* 24 kB of a panel and twice 11 kB of a strip */
};

/* Those of 16 that are among the first n. */
SPECIALISED __mmask16 first_of(size_t n)
{
    return (__mmask16)(n >= LANES ? 0xffff : (1u << n) - 1);
}

SPECIALISED __m512i values(const unsigned char *w, enum dtype dtype, size_t c, __mmask16 m)
{
    __m256i half;

    if (dtype == DTYPE_F32)
        return _mm512_maskz_loadu_epi32(m, w + 4 * c);
    half = _mm256_maskz_loadu_epi16(m, w + 2 * c);
    if (dtype == DTYPE_F16)
        return _mm512_castps_si512(_mm512_cvtph_ps(half));
    return _mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16);
}

static UNROLLED void strip(void *strip, const float *x, size_t cols, size_t rows)
{
    const __mmask16 in_row = first_of(rows);
    /* columns whose store may run over into those behind, which come later */
    const size_t over = (LANES - 1) / rows + 1, whole = cols > over ? cols - over : 0;
    float *to = strip;

    for (size_t c = 0; c < cols; c += LANES) {
        const __mmask16 m = first_of(cols - c);
        __m512i v[LANES];

#pragma GCC unroll 16
        for (size_t r = 0; r < LANES; r++) {
            const float *from = x + (r < rows ? r : 0) * cols + c;

            _mm_prefetch((const char *)(from + FETCH), _MM_HINT_T0);
            v[r] = _mm512_maskz_loadu_epi32(r < rows ? m : 0, from);
        }
        transpose_16(v);
#pragma GCC unroll 16
        for (size_t i = 0; i < LANES; i++)
            if (c + i < whole)
                _mm512_storeu_epi32(to + (c + i) * rows, v[i]);
            else if (c + i < cols)
                _mm512_mask_storeu_epi32(to + (c + i) * rows, in_row, v[i]);
    }
}

/* Half a panel: 16 rows, some of which there may not be. */
SPECIALISED void half_panel(float *to, const unsigned char *w, enum dtype dtype, size_t row_bytes,
                            size_t rows, size_t n_cols)
{
    for (size_t c = 0; c < n_cols; c += LANES) {
        const __mmask16 m = first_of(n_cols - c);
        __m512i v[LANES];

#pragma GCC unroll 16
        for (size_t r = 0; r < LANES; r++)
            v[r] = values(w + (r < rows ? r : 0) * row_bytes, dtype, c, r < rows ? m : 0);
        transpose_16(v);
#pragma GCC unroll 16
        for (size_t i = 0; i < LANES; i++)
            if (c + i < n_cols)
                _mm512_store_epi32(to + (c + i) * WIDTH, v[i]);
    }
}

SPECIALISED void panel_of(float *to, const unsigned char *w, enum dtype dtype, size_t row_bytes,
                          size_t rows, size_t n_cols)
{
    for (size_t k = 0; k < WIDTH; k += LANES)
        half_panel(to + k, w + (k < rows ? k : 0) * row_bytes, dtype, row_bytes,
                   k < rows ? rows - k : 0, n_cols);
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
SPECIALISED void step(__m512 sum[HEIGHT][2], const float *x, const float *w, const int T)
{
    const __m512 w0 = _mm512_load_ps(w), w1 = _mm512_load_ps(w + LANES);

#pragma GCC unroll 14
    for (int r = 0; r < T; r++) {
        __m512 xr = _mm512_set1_ps(x[r]);

        __asm__("" : "+v"(xr)); /* loaded once, not by each of the two */
        sum[r][0] = _mm512_fmadd_ps(xr, w0, sum[r][0]);
        sum[r][1] = _mm512_fmadd_ps(xr, w1, sum[r][1]);
    }
}

#define ITEM         float
#define ITEM_COLUMNS 1
#define VEC          __m512
#define VEC_ZERO     _mm512_setzero_ps
#define VEC_LOAD     _mm512_loadu_ps
#define VEC_STORE    _mm512_storeu_ps
#include "kernels/cpu/mm_panels.inc"

const struct mm_panels mm_panels_avx512 = {
    .height = HEIGHT,
    .width = WIDTH,
    .part = PART,
    .value_bytes = sizeof(float),
    .strip = strip,
    .panel = panel,
    .tile = tile,
};
