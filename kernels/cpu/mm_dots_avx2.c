/* mm_dots_avx2.c - rows of floats in AVX2 (mm_ops.h, dots and many_dots).
 *
 * A product of two rows is two sums, of the even and the odd runs of 8 columns, which at the end
 * become one; what is left of 16 columns joins them through a copy filled up with zeros.  Many rows
 * at once are a matter of what is loaded when: the sums are the same. */
#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/mm_ops.h"

/* See mm_avx512.c. */
#define UNROLLED    __attribute__((no_sanitize("undefined")))
#define SPECIALISED static inline __attribute__((always_inline)) UNROLLED

enum {
    PREFETCH = 4096, /* ahead in a row, in bytes */

    /* many_dots(): 12 sums stay in registers, the weights and activations of a round's part in the
     * caches. */
    W_ROWS = 3,
    X_ROWS = 2,
    PART = 1024, /* columns, a multiple of 16 */
    ROUND = 48,  /* rows of x */
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

SPECIALISED float total(__m256 even, __m256 odd)
{
    __m256 sum = _mm256_add_ps(even, odd);
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1));

    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}

SPECIALISED void dots_rows(float *y, size_t y_stride, const unsigned char *w, enum dtype dtype,
                           const float *x, size_t x_stride, size_t cols, const int T)
{
    const size_t width = dtype == DTYPE_F32 ? 4 : 2;
    unsigned char last_w[16 * 4] = { 0 };
    float last_x[16] = { 0 };
    __m256 even[4], odd[4];

    memcpy(last_w, w + cols / 16 * 16 * width, cols % 16 * width);
#pragma GCC unroll 4
    for (int r = 0; r < T; r++)
        even[r] = odd[r] = _mm256_setzero_ps();
    for (size_t c = 0; c + 16 <= cols; c += 16) {
        __m256 w0 = values(w, dtype, c), w1 = values(w, dtype, c + 8);

        _mm_prefetch((const char *)w + c * width + PREFETCH, _MM_HINT_T0);
#pragma GCC unroll 4
        for (int r = 0; r < T; r++) {
            const float *xr = x + (size_t)r * x_stride + c;

            even[r] = _mm256_fmadd_ps(w0, _mm256_loadu_ps(xr), even[r]);
            odd[r] = _mm256_fmadd_ps(w1, _mm256_loadu_ps(xr + 8), odd[r]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < T; r++) {
        memcpy(last_x, x + (size_t)r * x_stride + cols / 16 * 16, cols % 16 * sizeof(float));
        even[r] = _mm256_fmadd_ps(values(last_w, dtype, 0), _mm256_loadu_ps(last_x), even[r]);
        odd[r] = _mm256_fmadd_ps(values(last_w, dtype, 8), _mm256_loadu_ps(last_x + 8), odd[r]);
        y[(size_t)r * y_stride] = total(even[r], odd[r]);
    }
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

void mm_dots_avx2(float *y, size_t y_stride, const void *w, enum dtype dtype, const float *x,
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

/* The sums of W rows and T activation rows, [X_ROWS][W_ROWS][even and odd][8]. */
typedef float block_sums[X_ROWS][W_ROWS][2][8];

/* Loaded into a register, rather than by each instruction that wants it: loads are what there are
 * not enough of. */
SPECIALISED __m256 once(const float *p)
{
    __m256 v = _mm256_loadu_ps(p);

    __asm__("" : "+x"(v));
    return v;
}

/* 16 columns of rows that lie w_stride and x_stride apart. */
SPECIALISED void step(__m256 sum[X_ROWS][W_ROWS][2], const float *w, size_t w_stride,
                      const float *x, size_t x_stride, const int W, const int T)
{
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        __m256 wk[W_ROWS];

#pragma GCC unroll 4
        for (int k = 0; k < W; k++)
            wk[k] = once(w + (size_t)k * w_stride + half * 8);
#pragma GCC unroll 4
        for (int r = 0; r < T; r++) {
            const __m256 xr = once(x + (size_t)r * x_stride + half * 8);

#pragma GCC unroll 4
            for (int k = 0; k < W; k++)
                sum[r][k][half] = _mm256_fmadd_ps(wk[k], xr, sum[r][k][half]);
        }
    }
}

/* What is left of 16 columns, as in dots_rows(). */
SPECIALISED void last_step(__m256 sum[X_ROWS][W_ROWS][2], const struct mm_dots *d, const float *w,
                           const float *x, const int W, const int T)
{
    const size_t left = d->cols % 16, at = d->cols - left;
    float last_w[W_ROWS][16] = { 0 }, last_x[X_ROWS][16] = { 0 };

    for (int k = 0; k < W; k++)
        memcpy(last_w[k], w + (size_t)k * d->cols + at, left * sizeof *w);
    for (int r = 0; r < T; r++)
        memcpy(last_x[r], x + (size_t)r * d->cols + at, left * sizeof *x);
    step(sum, last_w[0], 16, last_x[0], 16, W, T);
}

/* Columns c .. end - 1 of W rows from k and T activation rows from i. */
SPECIALISED void block(const struct mm_dots *d, size_t k, size_t i, size_t c, size_t end,
                       block_sums kept, const int W, const int T)
{
    const float *w = d->w + k * d->cols, *x = d->x + i * d->cols;
    const bool first = c == 0, last = end == d->cols;
    __m256 sum[X_ROWS][W_ROWS][2];

#pragma GCC unroll 12
    for (int j = 0; j < T * W * 2; j++) {
        int r = j / 2 / W, q = j / 2 % W;

        sum[r][q][j % 2] = first ? _mm256_setzero_ps() : _mm256_load_ps(kept[r][q][j % 2]);
    }
    for (; c + 16 <= end; c += 16)
        step(sum, w + c, d->cols, x + c, d->cols, W, T);
    if (!last) {
#pragma GCC unroll 12
        for (int j = 0; j < T * W * 2; j++)
            _mm256_store_ps(kept[j / 2 / W][j / 2 % W][j % 2], sum[j / 2 / W][j / 2 % W][j % 2]);
        return;
    }
    last_step(sum, d, w, x, W, T);
#pragma GCC unroll 6
    for (int j = 0; j < T * W; j++)
        d->y[(i + (size_t)(j / W)) * d->y_stride + k + (size_t)(j % W)] =
            total(sum[j / W][j % W][0], sum[j / W][j % W][1]);
}

SPECIALISED void rows(const struct mm_dots *d, size_t k, size_t i, size_t n, size_t c, size_t end,
                      block_sums *kept, const int W)
{
    for (; n >= X_ROWS; n -= X_ROWS, i += X_ROWS)
        block(d, k, i, c, end, *kept++, W, X_ROWS);
    if (n == 1)
        block(d, k, i, c, end, *kept, W, 1);
}

UNROLLED void mm_many_dots_avx2(const struct mm_dots *d)
{
    block_sums kept[ROUND / X_ROWS] __attribute__((aligned(32)));

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
