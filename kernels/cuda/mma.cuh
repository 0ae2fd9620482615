/* mma.cuh - products by tensor cores: 16 x 8 results of a warp, c += a b.
 *
 * Lane l = 4 g + t holds of c rows g (c[0], c[1]) and g + 8 (c[2], c[3]), columns 2 t and 2 t + 1
 * (PTX ISA, "Matrix Fragments for mma.m16n8k16"). */
#ifndef AIRSTRIP_CUDA_MMA_CUH
#define AIRSTRIP_CUDA_MMA_CUH

#include "kernels/cuda/common.cuh"

/* Signed bytes, 16 columns of a: a0 of row g, a1 of g + 8, bytes 4 t .. of b's column g.  Before
 * sm_80 the rows come eight at a time. */
static __device__ __forceinline__ void mma_k16(int (&c)[4], unsigned a0, unsigned a1, unsigned b0)
{
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5}, {%6}, "
                 "{%0,%1,%2,%3};"
                 : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
                 : "r"(a0), "r"(a1), "r"(b0));
#else
    asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};"
                 : "+r"(c[0]), "+r"(c[1])
                 : "r"(a0), "r"(b0));
    asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};"
                 : "+r"(c[2]), "+r"(c[3])
                 : "r"(a1), "r"(b0));
#endif
}

/* 32 columns: a[0], a[1] as above, a[2], a[3] of columns 16 more; likewise b0, b1. */
static __device__ __forceinline__ void mma_k32(int (&c)[4], const unsigned (&a)[4], unsigned b0,
                                               unsigned b1)
{
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
                 "{%8,%9}, {%0,%1,%2,%3};"
                 : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    mma_k16(c, a[0], a[1], b0);
    mma_k16(c, a[2], a[3], b1);
#endif
}

/* BF16, 16 columns: a[0] row g, columns 2 t and the next, a[1] row g + 8, a[2], a[3] of columns 8
 * more; b[0] likewise of b's column g, b[1] of columns 8 more.  From sm_80 on. */
static __device__ __forceinline__ void mma_bf16(float (&c)[4], const unsigned (&a)[4], unsigned b0,
                                                unsigned b1)
{
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, "
                 "{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    __trap(); /* launch_matmul_many() is for later ones */
#endif
}

/* The same of F16. */
static __device__ __forceinline__ void mma_half(float (&c)[4], const unsigned (&a)[4], unsigned b0,
                                                unsigned b1)
{
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, "
                 "{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    __trap(); /* launch_attend_many() is for later ones */
#endif
}

/* Four matrices of 8 x 8 halves from shared memory; p: of this lane, the row that lane 8 k + r says
 * of matrix k. */
static __device__ __forceinline__ void load_matrices(unsigned (&m)[4], const void *p)
{
    const unsigned at = (unsigned)__cvta_generic_to_shared(p);

    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
                 : "r"(at)
                 : "memory");
}

/* The same, each matrix transposed. */
static __device__ __forceinline__ void load_transposed(unsigned (&m)[4], const void *p)
{
    const unsigned at = (unsigned)__cvta_generic_to_shared(p);

    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
                 : "r"(at)
                 : "memory");
}

/* x as the sum of two BF16, 16 bits of significand. */
static __device__ __forceinline__ void split_bf16(float x, __nv_bfloat16 *high, __nv_bfloat16 *low)
{
    *high = __float2bfloat16_rn(x);
    const float rest = x - __bfloat162float(*high);
    *low = __float2bfloat16_rn(isfinite(rest) ? rest : 0.0f);
}

/* As the sum of two F16, 22 bits, as far as F16 reaches. */
static __device__ __forceinline__ void split_half(float x, __half *high, __half *low)
{
    const float most = 65504.0f, bounded = limited(x, most);

    *high = __float2half_rn(bounded);
    *low = __float2half_rn(bounded - __half2float(*high));
}

/* Two in a register, the first in the low half. */
static __device__ __forceinline__ unsigned pack_half(__half a, __half b)
{
    return (unsigned)__half_as_ushort(b) << 16 | __half_as_ushort(a);
}

#endif
