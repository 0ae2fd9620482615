/* mm_avx512bf16.c - AVX-512 with products of pairs of bf16: rows of a prompt times weights in BF16,
 * in tiles of 14 by 32 sums (mm_panels.h); all else is AVX-512's. */
#include "kernels/cpu/mm_ops.h"
#include "kernels/cpu/transpose_avx512.h"

/* See mm_avx512.c. */
#define UNROLLED    __attribute__((no_sanitize("undefined")))
#define SPECIALISED static inline __attribute__((always_inline)) UNROLLED

#define HEIGHT 14
enum {
    LANES = 16,
    WIDTH = 2 * LANES,
    SQUARE = 2 * LANES, /* columns of 16 pairs */
    PART = 384,         /* as many bytes as mm_panels_avx512.c has */
};

/* Those of 16 that are among the first n. */
SPECIALISED __mmask16 first_of(size_t n)
{
    return (__mmask16)(n >= LANES ? 0xffff : (1u << n) - 1);
}

/* 16 pairs of a row of x from column c on. */
SPECIALISED __m512i rounded(const float *x, size_t c, size_t cols)
{
    const size_t left = cols - c;
    const __m512 low = _mm512_maskz_loadu_ps(first_of(left), x + c);
    const __m512 high = _mm512_maskz_loadu_ps(first_of(left > LANES ? left - LANES : 0),
                                              x + (left > LANES ? c + LANES : c));

    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

static UNROLLED void strip(void *strip, const float *x, size_t cols, size_t rows)
{
    const __mmask16 in_row = first_of(rows);
    uint32_t *to = strip;

    for (size_t c = 0; c < cols; c += SQUARE, to += LANES * rows) {
        __m512i v[LANES];

#pragma GCC unroll 16
        for (size_t r = 0; r < LANES; r++)
            v[r] = r < rows ? rounded(x + r * cols, c, cols) : _mm512_setzero_si512();
        transpose_16(v);
#pragma GCC unroll 16
        for (size_t i = 0; i < LANES; i++)
            if (c + 2 * i < cols)
                _mm512_mask_storeu_epi32(to + i * rows, in_row, v[i]);
    }
}

static UNROLLED void panel(void *panel, const void *w, enum dtype dtype, size_t row_bytes,
                           size_t rows, size_t n_cols)
{
    (void)dtype;
    for (size_t k = 0; k < WIDTH; k += LANES) {
        const unsigned char *from = (const unsigned char *)w + (k < rows ? k : 0) * row_bytes;
        const size_t n = k < rows ? rows - k : 0;
        uint32_t *to = (uint32_t *)panel + k;

        for (size_t c = 0; c < n_cols; c += SQUARE, to += LANES * WIDTH) {
            const __mmask16 m = first_of((n_cols - c) / 2);
            __m512i v[LANES];

#pragma GCC unroll 16
            for (size_t r = 0; r < LANES; r++)
                v[r] = _mm512_maskz_loadu_epi32(r < n ? m : 0,
                                                from + (r < n ? r : 0) * row_bytes + 2 * c);
            transpose_16(v);
#pragma GCC unroll 16
            for (size_t i = 0; i < LANES; i++)
                if (c + 2 * i < n_cols)
                    _mm512_store_epi32(to + i * WIDTH, v[i]);
        }
    }
}

/* Two columns. */
SPECIALISED void step(__m512 sum[HEIGHT][2], const uint32_t *x, const uint32_t *w, const int T)
{
    const __m512bh w0 = (__m512bh)_mm512_load_si512(w);
    const __m512bh w1 = (__m512bh)_mm512_load_si512(w + LANES);

#pragma GCC unroll 14
    for (int r = 0; r < T; r++) {
        __m512i xr = _mm512_set1_epi32((int)x[r]);

        __asm__("" : "+v"(xr)); /* loaded once, not by each of the two */
        sum[r][0] = _mm512_dpbf16_ps(sum[r][0], (__m512bh)xr, w0);
        sum[r][1] = _mm512_dpbf16_ps(sum[r][1], (__m512bh)xr, w1);
    }
}

#define ITEM         uint32_t
#define ITEM_COLUMNS 2
#define VEC          __m512
#define VEC_ZERO     _mm512_setzero_ps
#define VEC_LOAD     _mm512_loadu_ps
#define VEC_STORE    _mm512_storeu_ps
#include "kernels/cpu/mm_panels.inc"

static const struct mm_panels pairs = {
    .height = HEIGHT,
    .width = WIDTH,
    .part = PART,
    .value_bytes = sizeof(uint16_t),
    .strip = strip,
    .panel = panel,
    .tile = tile,
};

const struct mm_ops mm_avx512bf16 = {
    .name = "avx512bf16",
    .quantise = mm_avx512_quantise,
    .expand = mm_avx512_expand,
    .tile = mm_avx512_tile,
    .few = mm_few_avx512,
    .dots = mm_dots_avx512,
    .many_dots = mm_many_dots_avx512,
    .panels = &mm_panels_avx512,
    .pairs = &pairs,
    .spread = mm_spread_avx512,
};
