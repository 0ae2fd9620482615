/* matmul_floats.cu - matrices of floats times float32 activations, products and sums in float32.
 * (Rows of prompts: matmul_many.cu.)
 *
 * A warp has a row of w; lane l adds up the groups of four columns l, l + 32, ... in order, the
 * lanes' sums are added as a tree.  The order depends on the number of columns alone. */
#include "kernels/cuda/floats.cuh"

enum { WARPS = 4, FEW = 8 };

/* Up to FEW rows of x times one row of w; every lane gets the results. */
template <class T>
static __device__ void dot_row(float (&y)[FEW], const T *w, const float *x, unsigned cols,
                               unsigned n)
{
    const bool aligned = cols % 4 == 0;

#pragma unroll
    for (int c = 0; c < FEW; c++)
        y[c] = 0;
    for (unsigned i = threadIdx.x % WARP * 4; i < cols; i += WARP * 4) {
        float a[4], b[4];

        load_four<T>(a, w + i, cols - i, aligned);
#pragma unroll
        for (int c = 0; c < FEW; c++) {
            if (c >= (int)n)
                break;
            load_four<float>(b, x + (size_t)c * cols + i, cols - i, aligned);
#pragma unroll
            for (int k = 0; k < 4; k++)
                y[c] = __fmaf_rn(a[k], b[k], y[c]);
        }
    }
#pragma unroll
    for (int c = 0; c < FEW; c++)
        y[c] = warp_sum(y[c]);
}

template <class T>
static __global__ void __launch_bounds__(WARPS *WARP)
    floats_kernel(const T *w, const float *x, float *y, const float *bias, unsigned rows,
                  unsigned cols, unsigned n)
{
    const unsigned row = blockIdx.x * WARPS + threadIdx.x / WARP, first = blockIdx.y * FEW;
    float out[FEW];

    if (row >= rows)
        return;
    dot_row<T>(out, w + (size_t)row * cols, x + (size_t)first * cols, cols,
               min(n - first, (unsigned)FEW));
#pragma unroll
    for (int c = 0; c < FEW; c++)
        if (threadIdx.x % WARP == (unsigned)c && first + c < n)
            y[(size_t)(first + c) * rows + row] = bias ? out[c] + bias[row] : out[c];
}

template <class T>
static void launch(const cuda_floats *w, const float *x, float *y, const float *bias, unsigned n,
                   cudaStream_t s)
{
    const dim3 grid((w->rows + WARPS - 1) / WARPS, (n + FEW - 1) / FEW);

    floats_kernel<T>
        <<<grid, WARPS * WARP, 0, s>>>((const T *)w->data, x, y, bias, w->rows, w->cols, n);
}

void launch_matmul_floats(const struct cuda_floats *w, const float *x, float *y, const float *bias,
                          unsigned n, cudaStream_t s)
{
    if (w->dtype == F32)
        launch<float>(w, x, y, bias, n, s);
    else if (w->dtype == F16)
        launch<__half>(w, x, y, bias, n, s);
    else
        launch<__nv_bfloat16>(w, x, y, bias, n, s);
}

/* --- experts: rows start[e] .. start[e + 1] - 1 of x belong to matrix e --- */

template <class T>
static __global__ void __launch_bounds__(WARPS *WARP)
    experts_kernel(const cuda_floats *w, const int32_t *start, const float *x, float *y,
                   const float *bias, unsigned rows, unsigned cols)
{
    const unsigned row = blockIdx.x * WARPS + threadIdx.x / WARP, e = blockIdx.y;
    const unsigned first = (unsigned)start[e] + blockIdx.z * FEW, end = (unsigned)start[e + 1];
    float out[FEW];

    if (row >= rows || first >= end)
        return;
    dot_row<T>(out, (const T *)w[e].data + (size_t)row * cols, x + (size_t)first * cols, cols,
               min(end - first, (unsigned)FEW));
#pragma unroll
    for (int c = 0; c < FEW; c++)
        if (threadIdx.x % WARP == (unsigned)c && first + c < end)
            y[(size_t)(first + c) * rows + row] =
                bias ? out[c] + bias[(size_t)e * rows + row] : out[c];
}

template <class T>
static void launch_experts(const cuda_experts *x, const cuda_floats *w, const float *in, float *y,
                           const float *bias, unsigned rows, unsigned cols, cudaStream_t s)
{
    const dim3 grid((rows + WARPS - 1) / WARPS, x->n_expert, (x->n * x->n_used + FEW - 1) / FEW);

    experts_kernel<T><<<grid, WARPS * WARP, 0, s>>>(w, x->start, in, y, bias, rows, cols);
}

void launch_experts_floats(const struct cuda_experts *x, const struct cuda_floats *w,
                           const float *in, float *y, const float *bias, unsigned rows,
                           unsigned cols, int dtype, cudaStream_t s)
{
    if (dtype == F32)
        launch_experts<float>(x, w, in, y, bias, rows, cols, s);
    else if (dtype == F16)
        launch_experts<__half>(x, w, in, y, bias, rows, cols, s);
    else
        launch_experts<__nv_bfloat16>(x, w, in, y, bias, rows, cols, s);
}
