/* mm_neon.c - 64-bit ARM with SDOT: signed bytes, four products added to each 32-bit lane at once.
 * A step of 16 rows is four registers.  Panels hold codes with the zero point taken off, so that
 * sums need nothing else; 16 of them, for four activation rows, stay in registers for a block. */
#include <arm_neon.h>
#include <string.h>

#include "kernels/cpu/mm_ops.h"

/* Written once, for constants, and inlined for each set of them. */
#define SPECIALISED static inline __attribute__((always_inline))

enum { QUARTERS = 4 }; /* registers of 4 rows in a group */

/* --- activations --- */

static void quantise(struct act_block *a, const float *x, size_t n_blocks)
{
    const int32x4_t limit = vdupq_n_s32(-127);

    for (size_t b = 0; b < n_blocks; b++, a++, x += MM_BLOCK) {
        float32x4_t max = vdupq_n_f32(0);
        int16x4_t c[8];
        int32_t sum[2] = { 0, 0 };
        float m, inverse;

        for (size_t i = 0; i < 8; i++)
            max = vmaxnmq_f32(max, vabsq_f32(vld1q_f32(x + 4 * i)));
        m = vmaxnmvq_f32(max);
        inverse = m > MM_TINY ? 127 / m : 0;
        for (size_t i = 0; i < 8; i++) {
            int32x4_t v = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 4 * i), inverse));

            v = vmaxq_s32(v, limit);
            c[i] = vqmovn_s32(v);
            sum[i / 4] += vaddvq_s32(v);
        }
        for (size_t i = 0; i < 4; i++)
            vst1_s8(a->code + 8 * i, vqmovn_s16(vcombine_s16(c[2 * i], c[2 * i + 1])));
        a->scale = m > MM_TINY ? m / 127 : 0;
        a->ssum = a->scale * (float)(sum[0] + sum[1]);
        a->start = -MM_ZERO * (sum[0] + sum[1]);
        a->start_hi = -MM_ZERO * sum[1];
    }
}

/* --- weights --- */

/* 16 codes of step k, quarter q, from a packed block, without the zero point. */
SPECIALISED int8x16_t step(const uint8_t *in, int k, int q, const int bits, uint8x16_t zero)
{
    uint8x16_t v, plane;

    if (bits == 8)
        return vreinterpretq_s8_u8(vsubq_u8(vld1q_u8(in + 64 * k + 16 * q), zero));
    v = vld1q_u8(in + 64 * (k % 4) + 16 * q);
    v = k < 4 ? vandq_u8(v, vdupq_n_u8(15)) : vshrq_n_u8(v, 4);
    if (bits == 5) {
        plane = vld1q_u8(in + 256 + 16 * q);
        plane = vandq_u8(vshlq_u8(plane, vdupq_n_s8((int8_t)(4 - k))), vdupq_n_u8(16));
        v = vorrq_u8(v, plane);
    }
    if (bits == 6) {
        plane = vld1q_u8(in + 256 + 64 * (k / 4) + 16 * q);
        plane = vandq_u8(vshlq_u8(plane, vdupq_n_s8((int8_t)(4 - 2 * (k % 4)))), vdupq_n_u8(48));
        v = vorrq_u8(v, plane);
    }
    return vreinterpretq_s8_u8(vsubq_u8(v, zero));
}

SPECIALISED void expand_codes(uint8_t *out, const uint8_t *in, size_t n, const int bits, int zero)
{
    const uint8x16_t z = vdupq_n_u8((uint8_t)zero);

    for (; n > 0; n--, in += 64 * bits)
        for (int k = 0; k < MM_STEPS; k++)
            for (int q = 0; q < QUARTERS; q++, out += 16)
                vst1q_s8((int8_t *)out, step(in, k, q, bits, z));
}

static void put_halves(float *out, const uint16_t *in, size_t n)
{
    for (size_t i = 0; i < n; i += 4)
        vst1q_f32(out + i, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(in + i))));
}

static void expand(struct mm_panel *p, struct mm_panel_buf *buf, const struct weight *w,
                   const uint8_t *codes, const uint16_t *scales, size_t n)
{
    size_t n_scales = (size_t)w->subs * MM_GROUP;

    *p = (struct mm_panel){ buf->code, buf->scale, buf->min };
    for (size_t i = 0; i < n; i++, scales += n_scales) {
        put_halves(buf->scale + i * n_scales, scales, n_scales);
        if (w->has_min) {
            put_halves(buf->min + i * MM_GROUP, scales + n_scales, MM_GROUP);
            scales += MM_GROUP;
        }
    }
    if (w->bits == 4)
        expand_codes(buf->code, codes, n, 4, w->zero);
    else if (w->bits == 5)
        expand_codes(buf->code, codes, n, 5, w->zero);
    else if (w->bits == 6)
        expand_codes(buf->code, codes, n, 6, w->zero);
    else
        expand_codes(buf->code, codes, n, 8, w->zero);
}

/* --- a panel times T activation rows --- */

enum { MAX_T = 4 };

/* Four activations of a row, in all lanes. */
SPECIALISED int8x16_t four_codes(const struct act_block *a, int k)
{
    int32_t four;

    memcpy(&four, a->code + 4 * k, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

/* Four steps from `first` on: 16 columns. */
SPECIALISED void add_steps(int32x4_t sum[][QUARTERS], const struct act_block *const *a,
                           const uint8_t *code, const int first, const int T)
{
    int8x16_t w[QUARTERS];

#pragma GCC unroll 4
    for (int k = first; k < first + 4; k++) {
#pragma GCC unroll 4
        for (int q = 0; q < QUARTERS; q++)
            w[q] = vld1q_s8((const int8_t *)code + k * MM_STEP_BYTES + 16 * q);
#pragma GCC unroll 4
        for (int r = 0; r < T; r++) {
            int8x16_t four = four_codes(a[r], k);

#pragma GCC unroll 4
            for (int q = 0; q < QUARTERS; q++)
                sum[r][q] = vdotq_s32(sum[r][q], w[q], four);
        }
    }
}

/* acc += scale * sum, for each of T rows; sum is 0 again. */
SPECIALISED void take(float32x4_t acc[][QUARTERS], int32x4_t sum[][QUARTERS], const float *scale,
                      const struct act_block *const *a, const int T)
{
#pragma GCC unroll 4
    for (int q = 0; q < QUARTERS; q++) {
        float32x4_t s = vld1q_f32(scale + 4 * q);

#pragma GCC unroll 4
        for (int r = 0; r < T; r++) {
            acc[r][q] = vfmaq_f32(acc[r][q], vcvtq_f32_s32(sum[r][q]), vmulq_n_f32(s, a[r]->scale));
            sum[r][q] = vdupq_n_s32(0);
        }
    }
}

SPECIALISED void run_blocks(const struct mm_tile *t, size_t g, const struct act_block **a,
                            float32x4_t acc[][QUARTERS], const int T)
{
    const struct mm_panel *p = &t->panel[g];
    const float *scale = p->scale, *min = p->min;
    const uint8_t *code = p->code;
    int32x4_t sum[MAX_T][QUARTERS];

    for (int r = 0; r < T; r++)
        for (int q = 0; q < QUARTERS; q++)
            sum[r][q] = vdupq_n_s32(0);
    for (size_t b = 0; b < t->n_blocks; b++, code += MM_STEPS * MM_STEP_BYTES) {
        add_steps(sum, a, code, 0, T);
        if (t->w->subs == 2) {
            take(acc, sum, scale, a, T);
            scale += MM_GROUP;
        }
        add_steps(sum, a, code, 4, T);
        take(acc, sum, scale, a, T);
        scale += MM_GROUP;
        for (int q = 0; t->w->has_min && q < QUARTERS; q++)
            for (int r = 0; r < T; r++)
                acc[r][q] = vfmaq_n_f32(acc[r][q], vld1q_f32(min + 4 * q), a[r]->ssum);
        min += MM_GROUP;
        for (int r = 0; r < T; r++)
            a[r]++;
    }
}

/* T activation rows from i on times the rows of panel g. */
SPECIALISED void tile_rows(const struct mm_tile *t, size_t g, size_t i, const int T)
{
    size_t rows = t->rows - g * MM_GROUP < MM_GROUP ? t->rows - g * MM_GROUP : MM_GROUP;
    const struct act_block *a[MAX_T];
    float32x4_t acc[MAX_T][QUARTERS];
    float buf[MM_GROUP] = { 0 };

    for (int r = 0; r < T; r++) {
        const float *y = t->y + (i + (size_t)r) * t->y_stride + g * MM_GROUP;

        a[r] = (const void *)((const char *)t->a + (i + (size_t)r) * t->a_stride);
        if (!t->first)
            memcpy(buf, y, rows * sizeof *y);
        for (int q = 0; q < QUARTERS; q++)
            acc[r][q] = vld1q_f32(buf + 4 * q);
    }
    run_blocks(t, g, a, acc, T);
    for (int r = 0; r < T; r++) {
        float *y = t->y + (i + (size_t)r) * t->y_stride + g * MM_GROUP;

        for (int q = 0; q < QUARTERS; q++)
            vst1q_f32(buf + 4 * q, acc[r][q]);
        for (size_t k = 0; t->last && t->bias && k < rows; k++)
            buf[k] += t->bias[g * MM_GROUP + k];
        memcpy(y, buf, rows * sizeof *y);
    }
}

static void tile(const struct mm_tile *t)
{
    for (size_t g = 0; g < t->n_panels; g++) {
        size_t i = 0;

        for (; i + 4 <= t->n; i += 4)
            tile_rows(t, g, i, 4);
        for (; i < t->n; i++)
            tile_rows(t, g, i, 1);
    }
}

const struct mm_ops mm_neon = {
    .name = "neon",
    .quantise = quantise,
    .expand = expand,
    .tile = tile,
    .dots = mm_dots_neon,
    .many_dots = mm_many_dots_neon,
};
