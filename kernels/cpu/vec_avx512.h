/* vec_avx512.h - the vector operations that ops.inc is written in, 16 floats at a time.
 * Included by isa_avx512.c and isa_amx.c.  Where one operand of v_min or v_max is NaN, the second
 * is the result. */
#ifndef AIRSTRIP_CPU_VEC_H
#define AIRSTRIP_CPU_VEC_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

/* Tiles of more than 6 rows, for the switch in ops.inc. */
#define MAC_CASE_WIDE MAC_CASE(7) MAC_CASE(8) MAC_CASE(9) MAC_CASE(10) MAC_CASE(11) MAC_CASE(12)

#define VEC __m512
enum {
    VF = 16,
    MAC_M = 12,     /* rows of a register tile */
    MAC_M_WIDE = 6, /* up to so many rows it is four vectors wide, else two: 24 of 32 registers */
    MAC_MIN = 1,    /* vectors of a group of LANES */
};

static inline __mmask16 v_mask(size_t n)
{
    return (__mmask16)((1u << n) - 1);
}

static inline __m512 v_set(float x)
{
    return _mm512_set1_ps(x);
}

static inline __m512 v_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

static inline void v_store(float *p, __m512 x)
{
    _mm512_storeu_ps(p, x);
}

/* The first n < VF, the rest zero. */
static inline __m512 v_load_n(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(v_mask(n), p);
}

static inline void v_store_n(float *p, __m512 x, size_t n)
{
    _mm512_mask_storeu_ps(p, v_mask(n), x);
}

static inline __m512 v_load_half(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

static inline void v_store_half(uint16_t *p, __m512 x)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

static inline __m512 v_load_bf16(const uint16_t *p)
{
    __m512i x = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));

    return _mm512_castsi512_ps(_mm512_slli_epi32(x, 16));
}

/* To nearest even; finite values only. */
static inline void v_store_bf16(uint16_t *p, __m512 v)
{
    __m512i x = _mm512_castps_si512(v);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(x, 16), _mm512_set1_epi32(1));

    x = _mm512_add_epi32(x, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(_mm512_srli_epi32(x, 16)));
}

static inline __m512 v_load_codes(const int8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

static inline __m512 v_add(__m512 a, __m512 b)
{
    return _mm512_add_ps(a, b);
}

static inline __m512 v_sub(__m512 a, __m512 b)
{
    return _mm512_sub_ps(a, b);
}

static inline __m512 v_mul(__m512 a, __m512 b)
{
    return _mm512_mul_ps(a, b);
}

static inline __m512 v_div(__m512 a, __m512 b)
{
    return _mm512_div_ps(a, b);
}

static inline __m512 v_fma(__m512 a, __m512 b, __m512 c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* c - a * b */
static inline __m512 v_fnma(__m512 a, __m512 b, __m512 c)
{
    return _mm512_fnmadd_ps(a, b, c);
}

static inline __m512 v_min(__m512 a, __m512 b)
{
    return _mm512_min_ps(a, b);
}

static inline __m512 v_max(__m512 a, __m512 b)
{
    return _mm512_max_ps(a, b);
}

static inline __m512 v_round(__m512 x)
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* x * 2^n, n a whole number. */
static inline __m512 v_scale(__m512 x, __m512 n)
{
    return _mm512_scalef_ps(x, n);
}

/* |x| < limit ? small : large */
static inline __m512 v_pick_small(__m512 x, float limit, __m512 small, __m512 large)
{
    __mmask16 m = _mm512_cmp_ps_mask(_mm512_abs_ps(x), v_set(limit), _CMP_LT_OQ);

    return _mm512_mask_blend_ps(m, large, small);
}

/* Lane i of x where lo <= i < hi, else of other; lo <= hi. */
static inline __m512 v_within(__m512 x, ptrdiff_t lo, ptrdiff_t hi, __m512 other)
{
    unsigned below_hi = hi >= VF ? 0xffffu : hi <= 0 ? 0 : (1u << hi) - 1;
    unsigned below_lo = lo >= VF ? 0xffffu : lo <= 0 ? 0 : (1u << lo) - 1;

    return _mm512_mask_blend_ps((__mmask16)(below_hi & ~below_lo), other, x);
}

/* Neighbours changed: lanes 1 0 3 2 ... */
static inline __m512 v_swap(__m512 x)
{
    return _mm512_permute_ps(x, 0xb1);
}

/* The lowest lane that equals x, or VF. */
static inline size_t v_find(__m512 a, __m512 x)
{
    __mmask16 m = _mm512_cmp_ps_mask(a, x, _CMP_EQ_OQ);

    return m ? (size_t)__builtin_ctz(m) : VF;
}

static inline float v_sum(__m512 x)
{
    return _mm512_reduce_add_ps(x);
}

static inline float v_largest(__m512 x)
{
    return _mm512_reduce_max_ps(x);
}

#endif
