/* common.cuh - sums over a warp and a block, always in the same order, and 16-bit floats. */
#ifndef AIRSTRIP_CUDA_COMMON_CUH
#define AIRSTRIP_CUDA_COMMON_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "kernels/cuda/launch.h"

enum { WARP = 32 };
#define ALL_LANES 0xffffffffu

/* As in kernels/tensor.h, which has no C++ in mind. */
enum { F32 = 0, F16 = 1, Q8_0 = 8, BF16 = 30, F8 = 1000 };

static __device__ __forceinline__ float warp_sum(float v)
{
#pragma unroll
    for (int o = 16; o; o >>= 1)
        v += __shfl_xor_sync(ALL_LANES, v, o);
    return v;
}

static __device__ __forceinline__ float warp_max(float v)
{
#pragma unroll
    for (int o = 16; o; o >>= 1)
        v = fmaxf(v, __shfl_xor_sync(ALL_LANES, v, o));
    return v;
}

/* Of a block of WARPS warps; every thread gets it.  part: [WARPS] of shared memory, free again
 * after the call. */
template <int WARPS> static __device__ float block_sum(float v, float *part)
{
    v = warp_sum(v);
    if (threadIdx.x % WARP == 0)
        part[threadIdx.x / WARP] = v;
    __syncthreads();
    v = 0;
#pragma unroll
    for (int i = 0; i < WARPS; i++)
        v += part[i];
    __syncthreads();
    return v;
}

static __device__ __forceinline__ float half_bits(uint16_t h)
{
    return __half2float(__ushort_as_half(h));
}

static __device__ __forceinline__ float brain_bits(uint16_t h)
{
    return __uint_as_float((unsigned)h << 16);
}

/* x within what an F16 can hold; a NaN becomes the least, so that what is masked cannot spoil a
 * sum. */
static __device__ __forceinline__ float limited(float x, float most)
{
    return fminf(fmaxf(x, -most), most);
}

static __device__ __forceinline__ unsigned ceil_div(unsigned a, unsigned b)
{
    return (a + b - 1) / b;
}

#endif
