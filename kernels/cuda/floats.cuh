/* floats.cuh - values of matrices of floats, whatever their type. */
#ifndef AIRSTRIP_CUDA_FLOATS_CUH
#define AIRSTRIP_CUDA_FLOATS_CUH

#include "kernels/cuda/common.cuh"

template <class T> static __device__ __forceinline__ float value(T v);
template <> __device__ __forceinline__ float value<float>(float v)
{
    return v;
}
template <> __device__ __forceinline__ float value<__half>(__half v)
{
    return __half2float(v);
}
template <> __device__ __forceinline__ float value<__nv_bfloat16>(__nv_bfloat16 v)
{
    return __bfloat162float(v);
}

/* Four values from p on, by one load where all rows are aligned to it. */
template <class T>
static __device__ __forceinline__ void load_four(float (&v)[4], const T *p, unsigned left,
                                                 bool aligned)
{
    struct alignas(4 * sizeof(T)) Four {
        T t[4];
    };

    if (aligned) {
        const Four f = *(const Four *)p;
#pragma unroll
        for (int k = 0; k < 4; k++)
            v[k] = value<T>(f.t[k]);
        return;
    }
#pragma unroll
    for (int k = 0; k < 4; k++)
        v[k] = k < (int)left ? value<T>(p[k]) : 0;
}

#endif
