/* ranks.cu - what ranks' devices do with each other's values. */
#include "kernels/cuda/common.cuh"
#include "kernels/cuda/launch.h"

enum { THREADS = 256 };

/* Always from rank 0 on: all ranks have the same bits, wherever a value stands. */
static __global__ void add_up(float *y, const float *parts, unsigned count, unsigned n)
{
    const unsigned i = blockIdx.x * THREADS + threadIdx.x;
    float sum;

    if (i >= count)
        return;
    sum = parts[i];
    for (unsigned r = 1; r < n; r++)
        sum += parts[(size_t)r * count + i];
    y[i] = sum;
}

static __global__ void place(float *y, const float *x, unsigned cols, unsigned stride)
{
    const unsigned c = blockIdx.x * THREADS + threadIdx.x;

    if (c < cols)
        y[(size_t)blockIdx.y * stride + c] = x[(size_t)blockIdx.y * cols + c];
}

void launch_add_up(float *y, const float *parts, unsigned count, unsigned n, cudaStream_t s)
{
    add_up<<<(count + THREADS - 1) / THREADS, THREADS, 0, s>>>(y, parts, count, n);
}

void launch_place(float *y, const float *x, unsigned rows, unsigned cols, unsigned stride,
                  cudaStream_t s)
{
    enum { AT_ONCE = 65535 };

    for (unsigned row = 0; row < rows; row += AT_ONCE) {
        const unsigned n = rows - row < AT_ONCE ? rows - row : AT_ONCE;

        place<<<dim3((cols + THREADS - 1) / THREADS, n), THREADS, 0, s>>>(y + (size_t)row * stride,
                                                                          x + (size_t)row * cols,
                                                                          cols, stride);
    }
}
