/* vec_neon.h - the vector operations that ops.inc is written in, 4 floats at a time.
 * Included by isa_neon.c only.  Where one operand of v_min or v_max is NaN, the second is the
 * result. */
#ifndef AIRSTRIP_CPU_VEC_H
#define AIRSTRIP_CPU_VEC_H

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Tiles of more than 6 rows, for the switch in ops.inc. */
#define MAC_CASE_WIDE

#define VEC float32x4_t
enum {
    VF = 4,
    MAC_M = 6,      /* rows of a register tile */
    MAC_M_WIDE = 6, /* all are four vectors wide: 24 sums, 4 of b and one of a in 32 registers */
    MAC_MIN = 4,    /* vectors of a group of LANES */
};

static inline float32x4_t v_set(float x)
{
    return vdupq_n_f32(x);
}

static inline float32x4_t v_load(const float *p)
{
    return vld1q_f32(p);
}

static inline void v_store(float *p, float32x4_t x)
{
    vst1q_f32(p, x);
}

/* The first n < VF, the rest zero. */
static inline float32x4_t v_load_n(const float *p, size_t n)
{
    float four[VF] = { 0 };

    memcpy(four, p, (n < VF ? n : VF) * sizeof *p);
    return vld1q_f32(four);
}

static inline void v_store_n(float *p, float32x4_t x, size_t n)
{
    float four[VF];

    vst1q_f32(four, x);
    memcpy(p, four, (n < VF ? n : VF) * sizeof *p);
}

static inline float32x4_t v_load_half(const uint16_t *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}

static inline void v_store_half(uint16_t *p, float32x4_t x)
{
    vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(x)));
}

static inline float32x4_t v_load_bf16(const uint16_t *p)
{
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}

/* To nearest even; finite values only. */
static inline void v_store_bf16(uint16_t *p, float32x4_t v)
{
    uint32x4_t x = vreinterpretq_u32_f32(v);
    uint32x4_t odd = vandq_u32(vshrq_n_u32(x, 16), vdupq_n_u32(1));

    x = vaddq_u32(x, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    vst1_u16(p, vshrn_n_u32(x, 16));
}

static inline float32x4_t v_load_codes(const int8_t *p)
{
    uint32_t four;

    memcpy(&four, p, sizeof four);
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(four)))));
}

static inline float32x4_t v_add(float32x4_t a, float32x4_t b)
{
    return vaddq_f32(a, b);
}

static inline float32x4_t v_sub(float32x4_t a, float32x4_t b)
{
    return vsubq_f32(a, b);
}

static inline float32x4_t v_mul(float32x4_t a, float32x4_t b)
{
    return vmulq_f32(a, b);
}

static inline float32x4_t v_div(float32x4_t a, float32x4_t b)
{
    return vdivq_f32(a, b);
}

static inline float32x4_t v_fma(float32x4_t a, float32x4_t b, float32x4_t c)
{
    return vfmaq_f32(c, a, b);
}

/* c - a * b */
static inline float32x4_t v_fnma(float32x4_t a, float32x4_t b, float32x4_t c)
{
    return vfmsq_f32(c, a, b);
}

/* FMIN and FMAX would give NaN, FMINNM and FMAXNM the number wherever it stands. */
static inline float32x4_t v_min(float32x4_t a, float32x4_t b)
{
    return vbslq_f32(vcltq_f32(a, b), a, b);
}

static inline float32x4_t v_max(float32x4_t a, float32x4_t b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}

static inline float32x4_t v_round(float32x4_t x)
{
    return vrndnq_f32(x);
}

/* x * 2^n, n a whole number, |n| <= 250: in two steps, since 2^n alone may be out of range. */
static inline float32x4_t v_scale(float32x4_t x, float32x4_t n)
{
    int32x4_t all = vcvtnq_s32_f32(n), half = vshrq_n_s32(all, 1), rest = vsubq_s32(all, half);
    int32x4_t bias = vdupq_n_s32(127);

    x = vmulq_f32(x, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23)));
    return vmulq_f32(x, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(rest, bias), 23)));
}

/* |x| < limit ? small : large */
static inline float32x4_t v_pick_small(float32x4_t x, float limit, float32x4_t small,
                                       float32x4_t large)
{
    return vbslq_f32(vcaltq_f32(x, v_set(limit)), small, large);
}

/* Lane i of x where lo <= i < hi, else of other; lo <= hi. */
static inline float32x4_t v_within(float32x4_t x, ptrdiff_t lo, ptrdiff_t hi, float32x4_t other)
{
    const int32x4_t lanes = { 0, 1, 2, 3 };
    int32_t from = lo >= VF ? VF : lo <= 0 ? 0 : (int32_t)lo;
    int32_t to = hi >= VF ? VF : hi <= 0 ? 0 : (int32_t)hi;
    uint32x4_t m =
        vandq_u32(vcgeq_s32(lanes, vdupq_n_s32(from)), vcltq_s32(lanes, vdupq_n_s32(to)));

    return vbslq_f32(m, x, other);
}

/* Neighbours changed: lanes 1 0 3 2. */
static inline float32x4_t v_swap(float32x4_t x)
{
    return vrev64q_f32(x);
}

/* The lowest lane that equals x, or VF. */
static inline size_t v_find(float32x4_t a, float32x4_t x)
{
    uint64_t m = vget_lane_u64(vreinterpret_u64_u16(vmovn_u32(vceqq_f32(a, x))), 0);

    return m ? (size_t)__builtin_ctzll(m) / 16 : VF;
}

static inline float v_sum(float32x4_t x)
{
    return vaddvq_f32(x);
}

static inline float v_largest(float32x4_t x)
{
    return vmaxnmvq_f32(x);
}

#endif
