/* mm_dots_neon.c - rows of floats in NEON (mm_ops.h, dots and many_dots).
 *
 * A product of two rows is four sums, each of every fourth run of 4 columns; what is left of 16
 * columns they begin with, through copies filled up with zeros. */
#include <arm_neon.h>
#include <string.h>

#include "kernels/cpu/mm_ops.h"

#define SPECIALISED static inline __attribute__((always_inline))

/* many_dots(): 24 sums stay in registers, the weights and activations of a part in the caches. */
enum { W_ROWS = 2, X_ROWS = 3, SUMS = 4, ROUND = 48 };

SPECIALISED float32x4_t values(const unsigned char *w, enum dtype dtype, size_t c)
{
    uint16x4_t half;

    if (dtype == DTYPE_F32)
        return vreinterpretq_f32_u8(vld1q_u8(w + 4 * c));
    half = vreinterpret_u16_u8(vld1_u8(w + 2 * c));
    if (dtype == DTYPE_F16)
        return vcvt_f32_f16(vreinterpret_f16_u16(half));
    return vreinterpretq_f32_u32(vshll_n_u16(half, 16));
}

SPECIALISED float total(const float32x4_t sum[SUMS])
{
    return vaddvq_f32(vaddq_f32(vaddq_f32(sum[0], sum[1]), vaddq_f32(sum[2], sum[3])));
}

SPECIALISED float dot(const unsigned char *w, enum dtype dtype, const float *x, size_t cols)
{
    const size_t width = dtype == DTYPE_F32 ? 4 : 2, whole = cols / 16 * 16;
    unsigned char last_w[16 * 4] = { 0 };
    float last_x[16] = { 0 };
    float32x4_t sum[SUMS];

    memcpy(last_w, w + whole * width, (cols - whole) * width);
    memcpy(last_x, x + whole, (cols - whole) * sizeof *x);
    for (size_t j = 0; j < SUMS; j++)
        sum[j] = vmulq_f32(values(last_w, dtype, 4 * j), vld1q_f32(last_x + 4 * j));
    for (size_t c = 0; c < whole; c += 16)
        for (size_t j = 0; j < SUMS; j++)
            sum[j] = vfmaq_f32(sum[j], values(w, dtype, c + 4 * j), vld1q_f32(x + c + 4 * j));
    return total(sum);
}

void mm_dots_neon(float *y, size_t y_stride, const void *w, enum dtype dtype, const float *x,
                  size_t x_stride, size_t cols, size_t n)
{
    for (size_t i = 0; i < n; i++, y += y_stride, x += x_stride) {
        if (dtype == DTYPE_F32)
            *y = dot(w, DTYPE_F32, x, cols);
        else if (dtype == DTYPE_F16)
            *y = dot(w, DTYPE_F16, x, cols);
        else
            *y = dot(w, DTYPE_BF16, x, cols);
    }
}

/* --- many rows --- */

/* What is left of 16 columns, as in dot(). */
SPECIALISED void first_step(float32x4_t sum[X_ROWS][W_ROWS][SUMS], const float *w, const float *x,
                            size_t cols, const int W, const int T)
{
    const size_t left = cols % 16, at = cols - left;
    float last_w[W_ROWS][16] = { 0 }, last_x[X_ROWS][16] = { 0 };

    for (int k = 0; k < W; k++)
        memcpy(last_w[k], w + (size_t)k * cols + at, left * sizeof *w);
    for (int r = 0; r < T; r++)
        memcpy(last_x[r], x + (size_t)r * cols + at, left * sizeof *x);
    for (int r = 0; r < T; r++)
        for (int k = 0; k < W; k++)
            for (int j = 0; j < SUMS; j++)
                sum[r][k][j] =
                    vmulq_f32(vld1q_f32(last_w[k] + 4 * j), vld1q_f32(last_x[r] + 4 * j));
}

/* W rows from k times T activation rows from i. */
SPECIALISED void block(const struct mm_dots *d, size_t k, size_t i, const int W, const int T)
{
    const float *w = d->w + k * d->cols, *x = d->x + i * d->cols;
    float32x4_t sum[X_ROWS][W_ROWS][SUMS];

    first_step(sum, w, x, d->cols, W, T);
    for (size_t c = 0; c + 16 <= d->cols; c += 16)
#pragma GCC unroll 4
        for (int j = 0; j < SUMS; j++) {
            float32x4_t wk[W_ROWS];

#pragma GCC unroll 2
            for (int q = 0; q < W; q++)
                wk[q] = vld1q_f32(w + (size_t)q * d->cols + c + (size_t)(4 * j));
#pragma GCC unroll 3
            for (int r = 0; r < T; r++) {
                const float32x4_t xr = vld1q_f32(x + (size_t)r * d->cols + c + (size_t)(4 * j));

#pragma GCC unroll 2
                for (int q = 0; q < W; q++)
                    sum[r][q][j] = vfmaq_f32(sum[r][q][j], wk[q], xr);
            }
        }
    for (int r = 0; r < T; r++)
        for (int q = 0; q < W; q++)
            d->y[(i + (size_t)r) * d->y_stride + k + (size_t)q] = total(sum[r][q]);
}

SPECIALISED void rows(const struct mm_dots *d, size_t k, size_t i, size_t n, const int W)
{
    for (; n >= X_ROWS; n -= X_ROWS, i += X_ROWS)
        block(d, k, i, W, X_ROWS);
    for (; n > 0; n--, i++)
        block(d, k, i, W, 1);
}

void mm_many_dots_neon(const struct mm_dots *d)
{
    for (size_t i = 0, n; i < d->n; i += n) {
        n = d->n - i < ROUND ? d->n - i : ROUND;
        for (size_t k = 0, W; k < d->n_rows; k += W) {
            W = d->n_rows - k < W_ROWS ? 1 : W_ROWS;
            if (W == 1)
                rows(d, k, i, n, 1);
            else
                rows(d, k, i, n, W_ROWS);
        }
    }
}
