/* codes.cuh - products of integer codes with quantised activations: the arithmetic that few rows
 * and many share.
 *
 * Within a block of 32 columns sums are of integers and exact.  A result is the sum of 16 parts;
 * part p adds up blocks p, p + 16, ... in order, and parts are added as a tree.  So it has the same
 * bits whichever kernel makes it. */
#ifndef AIRSTRIP_CUDA_CODES_CUH
#define AIRSTRIP_CUDA_CODES_CUH

#include "kernels/cuda/common.cuh"

enum { PARTS = 16 };

/* How codes are kept; see struct cuda_codes. */
template <int BITS, int SUBS, bool MIN> struct Format {
    enum {
        bits = BITS,
        subs = SUBS,
        low_bytes = BITS == 8 ? 32 : 16,
        high_bytes = BITS == 5   ? 4
                     : BITS == 6 ? 8
                                 : 0
    };
    static const bool has_min = MIN;
};

/* Bits 0 .. 3 of v as bit 4 of four bytes; pairs of bits 0 .. 7 as bits 4 and 5. */
static __device__ __forceinline__ unsigned spread_bits(unsigned v)
{
    return (v & 1) << 4 | (v & 2) << 11 | (v & 4) << 18 | (v & 8) << 25;
}

static __device__ __forceinline__ unsigned spread_pairs(unsigned v)
{
    return (v & 3) << 4 | (v & 0xc) << 10 | (v & 0x30) << 16 | (v & 0xc0) << 22;
}

/* Codes 4 q .. 4 q + 3 of a block, and the four that come 16 later.  low: 4 bytes of nibbles, with
 * 8 bits those of the first four, low2 of the others. */
template <class F>
static __device__ __forceinline__ void unfold(unsigned low, unsigned low2, const uint8_t *high,
                                              unsigned q, unsigned *first, unsigned *second)
{
    if (F::bits == 8) {
        *first = low;
        *second = low2;
        return;
    }
    *first = low & 0x0f0f0f0f;
    *second = low >> 4 & 0x0f0f0f0f;
    if (F::bits == 5) {
        const unsigned bits = *(const unsigned *)high;
        *first |= spread_bits(bits >> 4 * q);
        *second |= spread_bits(bits >> (16 + 4 * q));
    } else if (F::bits == 6) {
        const uint2 bits = *(const uint2 *)high;
        *first |= spread_pairs(bits.x >> 8 * q);
        *second |= spread_pairs(bits.y >> 8 * q);
    }
}

struct Scales {
    float scale[2], min[2];
};

template <int SUBS>
static __device__ __forceinline__ void halves_of(float (&v)[2], const uint16_t *from, size_t block)
{
    if (SUBS == 1) {
        v[0] = half_bits(from[block]);
        return;
    }
    const unsigned both = *(const unsigned *)(from + 2 * block);
    v[0] = half_bits((uint16_t)both);
    v[1] = half_bits((uint16_t)(both >> 16));
}

template <class F>
static __device__ __forceinline__ Scales scales_of(const cuda_codes &w, size_t block)
{
    Scales s = {};

    halves_of<F::subs>(s.scale, w.scale, block);
    if (F::has_min)
        halves_of<F::subs>(s.min, w.min, block);
    return s;
}

/* All of it by one load. */
static __device__ __forceinline__ cuda_act act_of(const cuda_acts &a, size_t block)
{
    const int4 raw = *(const int4 *)&a.act[block];
    const cuda_act act = { __int_as_float(raw.x), { raw.y, raw.z }, 0 };

    return act;
}

/* One block more: sums of codes times activations over columns 0 .. 15 and 16 .. 31. */
template <class F>
static __device__ __forceinline__ float add_block(float acc, const Scales &s, const cuda_act &a,
                                                  int zero, int sum0, int sum1)
{
    if (F::subs == 1) {
        const int all = a.sum[0] + a.sum[1];

        acc = __fmaf_rn(__fmul_rn(s.scale[0], a.scale), (float)(sum0 + sum1 - zero * all), acc);
        if (F::has_min)
            acc = __fmaf_rn(s.min[0], __fmul_rn(a.scale, (float)all), acc);
    } else {
        acc = __fmaf_rn(__fmul_rn(s.scale[0], a.scale), (float)(sum0 - zero * a.sum[0]), acc);
        acc = __fmaf_rn(__fmul_rn(s.scale[1], a.scale), (float)(sum1 - zero * a.sum[1]), acc);
        if (F::has_min) {
            acc = __fmaf_rn(s.min[0], __fmul_rn(a.scale, (float)a.sum[0]), acc);
            acc = __fmaf_rn(s.min[1], __fmul_rn(a.scale, (float)a.sum[1]), acc);
        }
    }
    return acc;
}

/* Up to NC rows of activations times one row of w, by a warp: two lanes a block, 16 blocks at a
 * time.  Every lane gets the results. */
template <class F, int NC>
static __device__ __forceinline__ void dot_row(float (&y)[NC], const cuda_codes &w, unsigned row,
                                               const cuda_acts &a, unsigned n)
{
    const unsigned lane = threadIdx.x % WARP, part = lane / 2, half = lane % 2;
    const size_t first = (size_t)row * w.blocks;

#pragma unroll
    for (int c = 0; c < NC; c++)
        y[c] = 0;
    for (unsigned b0 = 0; b0 < w.blocks;
         b0 += PARTS) { /* the same for all lanes, so that they shuffle together */
        const unsigned b = b0 + part;
        const bool there = b < w.blocks;
        unsigned code[4] = { 0, 0, 0, 0 };
        Scales s = {};

        if (there) {
            const uint8_t *low = w.low + (first + b) * F::low_bytes,
                          *high = w.high + (first + b) * F::high_bytes;
            uint4 l = {};

            if (F::bits == 8)
                l = *(const uint4 *)(low + 16 * half);
            else
                *(uint2 *)&l = *(const uint2 *)(low + 8 * half);
            unfold<F>(l.x, l.z, high, 2 * half, &code[0], &code[2]);
            unfold<F>(l.y, l.w, high, 2 * half + 1, &code[1], &code[3]);
            s = scales_of<F>(w, first + b);
        }
#pragma unroll
        for (int c = 0; c < NC; c++) {
            int sum0 = 0, sum1 = 0;

            if (c >= (int)n)
                break;
            if (there) {
                const int8_t *from = a.code + ((size_t)c * w.blocks + b) * CUDA_BLOCK + 16 * half;
                const int4 x = *(const int4 *)from;

                sum0 = __dp4a((int)code[1], x.y, __dp4a((int)code[0], x.x, 0));
                sum1 = __dp4a((int)code[3], x.w, __dp4a((int)code[2], x.z, 0));
            }
            if (F::subs == 1)
                sum0 += sum1, sum1 = 0;
            sum0 += __shfl_xor_sync(ALL_LANES, sum0, 1);
            if (F::subs == 2)
                sum1 += __shfl_xor_sync(ALL_LANES, sum1, 1);
            if (there)
                y[c] =
                    add_block<F>(y[c], s, act_of(a, (size_t)c * w.blocks + b), w.zero, sum0, sum1);
        }
    }
#pragma unroll
    for (int c = 0; c < NC; c++)
#pragma unroll
        for (int o = 2; o < WARP; o *= 2)
            y[c] += __shfl_xor_sync(ALL_LANES, y[c], o);
}

/* CALL((Format<...>)) for the format that a matrix has; all that there are, see weight.c. */
#define WITH_FORMAT(bits, subs, min, CALL)        \
    do {                                          \
        if ((bits) == 4 && (subs) == 1 && !(min)) \
            CALL((Format<4, 1, false>));          \
        else if ((bits) == 4 && (subs) == 1)      \
            CALL((Format<4, 1, true>));           \
        else if ((bits) == 4)                     \
            CALL((Format<4, 2, true>));           \
        else if ((bits) == 5 && !(min))           \
            CALL((Format<5, 1, false>));          \
        else if ((bits) == 5)                     \
            CALL((Format<5, 1, true>));           \
        else if ((bits) == 6)                     \
            CALL((Format<6, 2, false>));          \
        else if ((subs) == 1)                     \
            CALL((Format<8, 1, false>));          \
        else                                      \
            CALL((Format<8, 2, false>));          \
    } while (0)

#endif
