/* mm_dots_avx512.c - rows of floats in AVX-512 (mm_ops.h, dots and many_dots).
 *
 * A product of two rows is two sums, of the even and the odd runs of 16 columns, which at the end
 * become one.  Many rows at once are a matter of what is loaded when: the sums are the same. */
#include <immintrin.h>

#include "kernels/cpu/mm_ops.h"

/* See mm_avx512.c. */
#define UNROLLED    __attribute__((no_sanitize("undefined")))
#define SPECIALISED static inline __attribute__((always_inline)) UNROLLED

enum {
    PREFETCH = 4096, /* ahead in a row, in bytes */

    /* many_dots(): 24 sums stay in registers, four rows of a part's weights in the first-level
     * cache, and what a round has of activations in the second. */
    W_ROWS = 4,
    X_ROWS = 3,
    PART = 1024, /* columns */
    ROUND = 48,  /* rows of x */
};

SPECIALISED __m512 values(const unsigned char *w, enum dtype dtype, size_t c, __mmask16 m)
{
    __m256i half;

    if (dtype == DTYPE_F32)
        return _mm512_maskz_loadu_ps(m, w + 4 * c);
    half = _mm256_maskz_loadu_epi16(m, w + 2 * c);
    if (dtype == DTYPE_F16)
        return _mm512_cvtph_ps(half);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* Those of 16 columns that are among the first `left`. */
SPECIALISED __mmask16 first_of(size_t left)
{
    return (__mmask16)(left >= 16 ? 0xffff : (1u << left) - 1);
}

SPECIALISED __mmask16 second_of(size_t left)
{
    return first_of(left > 16 ? left - 16 : 0);
}

/* What follows 32 columns on by a while: one line, or two. */
SPECIALISED void fetch(const unsigned char *w, enum dtype dtype, size_t c)
{
    const char *at = (const char *)w + c * (dtype == DTYPE_F32 ? 4 : 2) + PREFETCH;

    _mm_prefetch(at, _MM_HINT_T0);
    if (dtype == DTYPE_F32)
        _mm_prefetch(at + 64, _MM_HINT_T0);
}

SPECIALISED void dots_rows(float *y, size_t y_stride, const unsigned char *w, enum dtype dtype,
                           const float *x, size_t x_stride, size_t cols, const int T)
{
    __m512 even[4], odd[4];

#pragma GCC unroll 4
    for (int r = 0; r < T; r++)
        even[r] = odd[r] = _mm512_setzero_ps();
    for (size_t c = 0; c < cols; c += 32) {
        __mmask16 m0 = first_of(cols - c), m1 = second_of(cols - c);
        __m512 w0 = values(w, dtype, c, m0), w1 = values(w, dtype, c + 16, m1);

        fetch(w, dtype, c);
#pragma GCC unroll 4
        for (int r = 0; r < T; r++) {
            const float *xr = x + (size_t)r * x_stride + c;

            even[r] = _mm512_fmadd_ps(w0, _mm512_maskz_loadu_ps(m0, xr), even[r]);
            odd[r] = _mm512_fmadd_ps(w1, _mm512_maskz_loadu_ps(m1, xr + 16), odd[r]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < T; r++)
        y[(size_t)r * y_stride] = _mm512_reduce_add_ps(_mm512_add_ps(even[r], odd[r]));
}

SPECIALISED void dots_of(float *y, size_t y_stride, const void *w, enum dtype dtype, const float *x,
                         size_t x_stride, size_t cols, size_t n)
{
    size_t i = 0;

    for (; i + 4 <= n; i += 4)
        dots_rows(y + i * y_stride, y_stride, w, dtype, x + i * x_stride, x_stride, cols, 4);
    for (; i < n; i++)
        dots_rows(y + i * y_stride, y_stride, w, dtype, x + i * x_stride, x_stride, cols, 1);
}

void mm_dots_avx512(float *y, size_t y_stride, const void *w, enum dtype dtype, const float *x,
                    size_t x_stride, size_t cols, size_t n)
{
    if (dtype == DTYPE_F32)
        dots_of(y, y_stride, w, DTYPE_F32, x, x_stride, cols, n);
    else if (dtype == DTYPE_F16)
        dots_of(y, y_stride, w, DTYPE_F16, x, x_stride, cols, n);
    else
        dots_of(y, y_stride, w, DTYPE_BF16, x, x_stride, cols, n);
}

/* --- many rows --- */

/* The sums of W rows and T activation rows, [X_ROWS][W_ROWS][even and odd][16]. */
typedef float block_sums[X_ROWS][W_ROWS][2][16];

/* 32 columns; at the end of a row there may be fewer. */
SPECIALISED void step(__m512 sum[X_ROWS][W_ROWS][2], const float *w, const float *x, size_t cols,
                      __mmask16 m0, __mmask16 m1, const int W, const int T)
{
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        const __mmask16 m = half ? m1 : m0;
        __m512 wk[W_ROWS];

#pragma GCC unroll 4
        for (int k = 0; k < W; k++)
            wk[k] = _mm512_maskz_loadu_ps(m, w + (size_t)k * cols + half * 16);
#pragma GCC unroll 3
        for (int r = 0; r < T; r++) {
            const __m512 xr = _mm512_maskz_loadu_ps(m, x + (size_t)r * cols + half * 16);

#pragma GCC unroll 4
            for (int k = 0; k < W; k++)
                sum[r][k][half] = _mm512_fmadd_ps(wk[k], xr, sum[r][k][half]);
        }
    }
}

/* Columns c .. end - 1 of W rows from k and T activation rows from i. */
SPECIALISED void block(const struct mm_dots *d, size_t k, size_t i, size_t c, size_t end,
                       block_sums kept, const int W, const int T)
{
    const float *w = d->w + k * d->cols, *x = d->x + i * d->cols;
    const bool first = c == 0, last = end == d->cols;
    __m512 sum[X_ROWS][W_ROWS][2];

#pragma GCC unroll 24
    for (int j = 0; j < T * W * 2; j++) {
        int r = j / 2 / W, q = j / 2 % W;

        sum[r][q][j % 2] = first ? _mm512_setzero_ps() : _mm512_load_ps(kept[r][q][j % 2]);
    }
    for (; c + 32 <= end; c += 32)
        step(sum, w + c, x + c, d->cols, 0xffff, 0xffff, W, T);
    if (c < end)
        step(sum, w + c, x + c, d->cols, first_of(end - c), second_of(end - c), W, T);
    if (!last) {
#pragma GCC unroll 24
        for (int j = 0; j < T * W * 2; j++)
            _mm512_store_ps(kept[j / 2 / W][j / 2 % W][j % 2], sum[j / 2 / W][j / 2 % W][j % 2]);
        return;
    }
#pragma GCC unroll 12
    for (int j = 0; j < T * W; j++)
        d->y[(i + (size_t)(j / W)) * d->y_stride + k + (size_t)(j % W)] =
            _mm512_reduce_add_ps(_mm512_add_ps(sum[j / W][j % W][0], sum[j / W][j % W][1]));
}

SPECIALISED void rows(const struct mm_dots *d, size_t k, size_t i, size_t n, size_t c, size_t end,
                      block_sums *kept, const int W)
{
    for (; n >= X_ROWS; n -= X_ROWS, i += X_ROWS)
        block(d, k, i, c, end, *kept++, W, X_ROWS);
    if (n == 2)
        block(d, k, i, c, end, *kept, W, 2);
    else if (n == 1)
        block(d, k, i, c, end, *kept, W, 1);
}

UNROLLED void mm_many_dots_avx512(const struct mm_dots *d)
{
    block_sums kept[ROUND / X_ROWS] __attribute__((aligned(64)));

    for (size_t i = 0, n; i < d->n; i += n) {
        n = d->n - i < ROUND ? d->n - i : ROUND;
        for (size_t k = 0, W; k < d->n_rows; k += W) {
            W = d->n_rows - k < W_ROWS ? 1 : W_ROWS;
            for (size_t c = 0, end; c < d->cols; c = end) {
                end = d->cols - c < PART ? d->cols : c + PART;
                if (W == 1)
                    rows(d, k, i, n, c, end, kept, 1);
                else
                    rows(d, k, i, n, c, end, kept, W_ROWS);
            }
        }
    }
}
