/* vec_avx2.h - the vector operations that ops.inc is written in, 8 floats at a time.
 * Included by isa_avx2.c only.  Where one operand of v_min or v_max is NaN, the second is the
 * result. */
#ifndef AIRSTRIP_CPU_VEC_H
#define AIRSTRIP_CPU_VEC_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

/* Tiles of more than 6 rows, for the switch in ops.inc. */
#define MAC_CASE_WIDE

#define VEC __m256
enum {
    VF = 8,
    MAC_M = 6,      /* rows of a register tile */
    MAC_M_WIDE = 2, /* up to so many rows it is four vectors wide, else two: 12 of 16 registers */
    MAC_MIN = 2,    /* vectors of a group of LANES */
};

static inline __m256i v_mask(size_t n)
{
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lanes);
}

static inline __m256 v_set(float x)
{
    return _mm256_set1_ps(x);
}

static inline __m256 v_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

static inline void v_store(float *p, __m256 x)
{
    _mm256_storeu_ps(p, x);
}

/* The first n < VF, the rest zero. */
static inline __m256 v_load_n(const float *p, size_t n)
{
    return _mm256_maskload_ps(p, v_mask(n));
}

static inline void v_store_n(float *p, __m256 x, size_t n)
{
    _mm256_maskstore_ps(p, v_mask(n), x);
}

static inline __m256 v_load_half(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

static inline void v_store_half(uint16_t *p, __m256 x)
{
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

static inline __m256 v_load_bf16(const uint16_t *p)
{
    __m256i x = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));

    return _mm256_castsi256_ps(_mm256_slli_epi32(x, 16));
}

/* To nearest even; finite values only. */
static inline void v_store_bf16(uint16_t *p, __m256 v)
{
    __m256i x = _mm256_castps_si256(v);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(x, 16), _mm256_set1_epi32(1));

    x = _mm256_add_epi32(x, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    x = _mm256_srli_epi32(x, 16);
    _mm_storeu_si128((__m128i *)p,
                     _mm_packus_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1)));
}

static inline __m256 v_load_codes(const int8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}

static inline __m256 v_add(__m256 a, __m256 b)
{
    return _mm256_add_ps(a, b);
}

static inline __m256 v_sub(__m256 a, __m256 b)
{
    return _mm256_sub_ps(a, b);
}

static inline __m256 v_mul(__m256 a, __m256 b)
{
    return _mm256_mul_ps(a, b);
}

static inline __m256 v_div(__m256 a, __m256 b)
{
    return _mm256_div_ps(a, b);
}

static inline __m256 v_fma(__m256 a, __m256 b, __m256 c)
{
    return _mm256_fmadd_ps(a, b, c);
}

/* c - a * b */
static inline __m256 v_fnma(__m256 a, __m256 b, __m256 c)
{
    return _mm256_fnmadd_ps(a, b, c);
}

static inline __m256 v_min(__m256 a, __m256 b)
{
    return _mm256_min_ps(a, b);
}

static inline __m256 v_max(__m256 a, __m256 b)
{
    return _mm256_max_ps(a, b);
}

static inline __m256 v_round(__m256 x)
{
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* x * 2^n, n a whole number, |n| <= 250: in two steps, since 2^n alone may be out of range. */
static inline __m256 v_scale(__m256 x, __m256 n)
{
    __m256i all = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(all, 1);
    __m256i rest = _mm256_sub_epi32(all, half), bias = _mm256_set1_epi32(127);

    x = _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23)));
    return _mm256_mul_ps(x,
                         _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23)));
}

/* |x| < limit ? small : large */
static inline __m256 v_pick_small(__m256 x, float limit, __m256 small, __m256 large)
{
    __m256 size = _mm256_andnot_ps(v_set(-0.0f), x);

    return _mm256_blendv_ps(large, small, _mm256_cmp_ps(size, v_set(limit), _CMP_LT_OQ));
}

/* Lane i of x where lo <= i < hi, else of other; lo <= hi. */
static inline __m256 v_within(__m256 x, ptrdiff_t lo, ptrdiff_t hi, __m256 other)
{
    size_t below_hi = hi >= VF ? VF : hi <= 0 ? 0 : (size_t)hi;
    size_t below_lo = lo >= VF ? VF : lo <= 0 ? 0 : (size_t)lo;
    __m256i m = _mm256_andnot_si256(v_mask(below_lo), v_mask(below_hi));

    return _mm256_blendv_ps(other, x, _mm256_castsi256_ps(m));
}

/* Neighbours changed: lanes 1 0 3 2 ... */
static inline __m256 v_swap(__m256 x)
{
    return _mm256_permute_ps(x, 0xb1);
}

/* The lowest lane that equals x, or VF. */
static inline size_t v_find(__m256 a, __m256 x)
{
    unsigned m = (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, x, _CMP_EQ_OQ));

    return m ? (size_t)__builtin_ctz(m) : VF;
}

static inline float v_sum(__m256 x)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));

    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

static inline float v_largest(__m256 x)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));

    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

#endif
