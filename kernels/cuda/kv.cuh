/* kv.cuh - where keys and values lie, how they are written and read; the order is struct cuda_kv's.
 */
#ifndef AIRSTRIP_CUDA_KV_CUH
#define AIRSTRIP_CUDA_KV_CUH

#include "kernels/cuda/common.cuh"

static __device__ __forceinline__ uint8_t *kv_keys(const cuda_kv &kv, unsigned layer, unsigned page,
                                                   unsigned head)
{
    return kv.base + page * kv.page_bytes + (uint64_t)(layer * kv.n_kv + head) * kv.head_bytes;
}

static __device__ __forceinline__ uint8_t *kv_values(const cuda_kv &kv, unsigned layer,
                                                     unsigned page, unsigned head)
{
    return kv_keys(kv, layer, page, head) + kv.head_bytes / 2;
}

/* Scales of Q8_0 stand behind the codes of a page. */
static __device__ __forceinline__ __half *kv_scales(const cuda_kv &kv, uint8_t *codes)
{
    return (__half *)(codes + (size_t)kv.page_tokens * kv.head_dim);
}

/* E4M3 (Micikevicius et al. 2022, FP8 formats for deep learning): a sign, four bits of exponent
 * that lie 120 below float32's, three of significand.  Multiplied by 2^-120 a float32 has them at
 * the same place, denormal ones too.  To the nearest, the even one of two; never a NaN. */
static __device__ __forceinline__ uint8_t to_f8(float x)
{
    const unsigned bits = __float_as_uint(limited(x, 448.0f) * 0x1p-120f), size = bits & 0x7fffffff;

    return (uint8_t)((bits >> 24 & 0x80) | ((size + 0x7ffff + (size >> 20 & 1)) >> 20));
}

static __device__ __forceinline__ float from_f8(uint8_t x)
{
    return __uint_as_float((x & 0x80u) << 24 | (x & 0x7fu) << 20) * 0x1p120f;
}

/* Position `at` of a page's K or V, from shared memory, by a block of THREADS threads. */
template <int THREADS>
static __device__ void kv_store(const cuda_kv &kv, uint8_t *to, unsigned at, const float *head)
{
    const unsigned dim = kv.head_dim;
    const size_t first = (size_t)at * dim;

    if (kv.dtype == F32) {
        for (unsigned d = threadIdx.x; d < dim; d += THREADS)
            ((float *)to)[first + d] = head[d];
    } else if (kv.dtype == F16) {
        for (unsigned d = threadIdx.x; d < dim; d += THREADS)
            ((__half *)to)[first + d] = __float2half_rn(limited(head[d], 65504.0f));
    } else if (kv.dtype == BF16) {
        for (unsigned d = threadIdx.x; d < dim; d += THREADS)
            ((__nv_bfloat16 *)to)[first + d] =
                __float2bfloat16_rn(limited(head[d], 3.38953139e38f));
    } else if (kv.dtype == F8) {
        for (unsigned d = threadIdx.x; d < dim; d += THREADS)
            to[first + d] = to_f8(head[d]);
    } else {
        for (unsigned b = threadIdx.x / WARP; b < dim / WARP;
             b += THREADS / WARP) { /* a warp a block of 32 */
            const unsigned d = b * WARP + threadIdx.x % WARP;
            const float x = limited(head[d], 8e6f);
            const __half scale = __float2half_rn(warp_max(fabsf(x)) / 127.0f);
            const float s = __half2float(scale), inverse = s > 0 ? 1.0f / s : 0.0f;

            ((int8_t *)to)[first + d] = (int8_t)limited(rintf(x * inverse), 127.0f);
            if (threadIdx.x % WARP == 0)
                kv_scales(kv, to)[(size_t)at * (dim / WARP) + b] = scale;
        }
    }
}

/* Value d of position `at`. */
template <int DTYPE>
static __device__ __forceinline__ float kv_load(const cuda_kv &kv, const uint8_t *from, unsigned at,
                                                unsigned d)
{
    const size_t i = (size_t)at * kv.head_dim + d;

    if (DTYPE == F32)
        return ((const float *)from)[i];
    if (DTYPE == F16)
        return __half2float(((const __half *)from)[i]);
    if (DTYPE == BF16)
        return __bfloat162float(((const __nv_bfloat16 *)from)[i]);
    if (DTYPE == F8)
        return from_f8(from[i]);
    return (float)((const int8_t *)from)[i] *
           __half2float(kv_scales(kv, (uint8_t *)from)[i / WARP]);
}

#endif
