/* launch.h - the kernels, as C calls them: each enqueues on a stream and cannot fail but by
 * breaking the device.
 *
 * Pointers are device memory.  Matrices are row-major without gaps.  Sizes fit 32 bits where they
 * are unsigned. */
#ifndef AIRSTRIP_CUDA_LAUNCH_H
#define AIRSTRIP_CUDA_LAUNCH_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernels/cuda/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- elementwise and rows --- */
void launch_norm(const struct cuda_norm *op, cudaStream_t s);
void launch_gated_act(float *y, const float *gate, const float *up, uint64_t count, int kind,
                      cudaStream_t s);
void launch_softcap(float *x, uint64_t count, float cap, cudaStream_t s);
void launch_gather(float *y, const float *x, const int32_t *rows, unsigned n, unsigned cols,
                   cudaStream_t s);
/* The k largest of each row, and the logarithm of the sum of its exponentials. */
void launch_top(const struct cuda_top *op, cudaStream_t s);

/* --- ranks --- */
/* y[count] = the sum of parts[n, count], in that order. */
void launch_add_up(float *y, const float *parts, unsigned count, unsigned n, cudaStream_t s);
/* x[rows, cols] into a wider matrix: row i to y + i * stride. */
void launch_place(float *y, const float *x, unsigned rows, unsigned cols, unsigned stride,
                  cudaStream_t s);

/* --- matrices --- */

/* x[n, cols] to blocks of 32 signed bytes with a scale each. */
void launch_quantise(const struct cuda_acts *a, const float *x, unsigned n, unsigned cols,
                     cudaStream_t s);
/* y[n, rows] = x w^T (+ bias), w of integer codes.  The same bits for any n. */
void launch_matmul_codes(const struct cuda_codes *w, const struct cuda_acts *a, float *y,
                         const float *bias, unsigned n, cudaStream_t s);
/* y[n, rows] = x w^T (+ bias), w of floats, by float32 products in one order.  The same bits for
 * any n. */
void launch_matmul_floats(const struct cuda_floats *w, const float *x, float *y, const float *bias,
                          unsigned n, cudaStream_t s);
/* The same for rows of prompts, by tensor cores of sm_80 and later, in 16 bits of significand. */
void launch_matmul_many(const struct cuda_floats *w, const float *x, float *y, const float *bias,
                        unsigned n, cudaStream_t s);

/* --- attention --- */
void launch_rope_table(float2 *table, const struct cuda_row *rows, const float *inv_freq,
                       const float *far_inv_freq, unsigned n, unsigned n_pairs, float mscale,
                       cudaStream_t s);
void launch_rope_kv(const struct cuda_rope_kv *op, cudaStream_t s);
void launch_attend(const struct cuda_attend *op, cudaStream_t s);
/* The same for rows of prompts, by tensor cores of sm_80 and later; head_dim up to 256, keys and
 * values of no more than 16 bits. */
void launch_attend_many(const struct cuda_attend *op, cudaStream_t s);
void launch_kv_copy(const struct cuda_kv *kv, int32_t from, int32_t to, cudaStream_t s);

/* --- experts: each row's experts and shares, rows side by side by expert, and the sums behind ---
 * w: device array of one matrix an expert, all of the same shape and type as `like`. */
void launch_experts_route(const struct cuda_experts *x, cudaStream_t s);
void launch_experts_rows(const struct cuda_experts *x, cudaStream_t s);
void launch_experts_codes(const struct cuda_experts *x, const struct cuda_codes *w,
                          const struct cuda_codes *like, const struct cuda_acts *a, float *y,
                          const float *bias, cudaStream_t s);
void launch_experts_floats(const struct cuda_experts *x, const struct cuda_floats *w,
                           const float *in, float *y, const float *bias, unsigned rows,
                           unsigned cols, int dtype, cudaStream_t s);
void launch_experts_sum(const struct cuda_experts *x, cudaStream_t s);

#ifdef __cplusplus
}
#endif

#endif
