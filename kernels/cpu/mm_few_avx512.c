/* mm_few_avx512.c - few activation rows: the packed weights are spread out in registers and used at
 * once, since writing panels out would cost more than multiplying.  One walk through memory, in
 * order.  The arithmetic is that of mm_avx512.c's tiles, bit for bit: integer sums are exact
 * however they are split, and the float operations are the same in the same order. */
#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/mm_ops.h"

/* See mm_avx512.c. */
#define UNROLLED    __attribute__((no_sanitize("undefined")))
#define SPECIALISED static inline __attribute__((always_inline)) UNROLLED

SPECIALISED __m512i four_codes(const struct act_block *a, int k)
{
    int32_t four;

    memcpy(&four, a->code + 4 * k, sizeof four);
    return _mm512_set1_epi32(four);
}

/* Bits 4 and up from a plane, to where they belong: low | (plane moved by shift & mask). */
SPECIALISED __m512i upper(__m512i low, __m512i plane, int shift, __m512i mask)
{
    __m512i by = _mm512_set1_epi16((short)(shift >= 0 ? shift : -shift));
    __m512i moved = shift >= 0 ? _mm512_sllv_epi16(plane, by) : _mm512_srlv_epi16(plane, by);

    return _mm512_ternarylogic_epi64(low, moved, mask, 0xf8);
}

/* The 8 steps of a block, one code a byte.  4 bits: v[4 .. 7] hold 16 times the code. */
SPECIALISED void spread(__m512i *v, const uint8_t *in, const int bits)
{
    const __m512i nibble = _mm512_set1_epi8(15);

#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        __m512i both = _mm512_load_si512((const void *)(in + 64 * k));

        v[k] = _mm512_and_si512(both, nibble);
        v[k + 4] = bits == 4 ? _mm512_andnot_si512(nibble, both)
                             : _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
    }
    if (bits == 5) {
        const __m512i plane = _mm512_load_si512((const void *)(in + 256));

#pragma GCC unroll 8
        for (int k = 0; k < MM_STEPS; k++)
            v[k] = upper(v[k], plane, 4 - k, _mm512_set1_epi8(16));
    }
    if (bits == 6) {
        const __m512i p0 = _mm512_load_si512((const void *)(in + 256));
        const __m512i p1 = _mm512_load_si512((const void *)(in + 320));

#pragma GCC unroll 8
        for (int k = 0; k < MM_STEPS; k++)
            v[k] = upper(v[k], k < 4 ? p0 : p1, 4 - 2 * (k % 4), _mm512_set1_epi8(48));
    }
}

/* Steps from .. from + steps - 1 of a block times one activation row, zero point included. */
SPECIALISED __m512i block_sum(const __m512i *v, const struct act_block *a, const int bits, int from,
                              int steps, int32_t start)
{
    __m512i low = _mm512_set1_epi32(start), high = _mm512_setzero_si512();
    const int half = from + steps / 2;

#pragma GCC unroll 4
    for (int k = from; k < half; k++)
        low = _mm512_dpbusd_epi32(low, v[k], four_codes(a, k));
#pragma GCC unroll 4
    for (int k = half; k < from + steps; k++)
        high = _mm512_dpbusd_epi32(high, v[k], four_codes(a, k));
    return _mm512_add_epi32(low, bits == 4 ? _mm512_srai_epi32(high, 4) : high);
}

SPECIALISED __m512 halves(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_load_si256((const void *)p));
}

/* act_block.start takes off MM_ZERO; codes that were not biased have their zero point lower. */
SPECIALISED int32_t start_of(int32_t start, const int bits, const bool has_min)
{
    return has_min ? 0 : start >> (8 - bits);
}

SPECIALISED void run(const struct mm_tile *t, const uint8_t *codes, const uint16_t *scales,
                     __m512 *acc, const int T, const int bits, const int subs, const bool has_min)
{
    /* The next panel, scales included, is fetched while this one is used: so many lines a block. */
    const int lines = bits + (subs + has_min + 1) / 2;
    const char *ahead = (const char *)codes + t->w->panel_bytes;
    const struct act_block *a[MM_FEW_ROWS];

#pragma GCC unroll 4
    for (int r = 0; r < T; r++)
        a[r] = (const void *)((const char *)t->a + (size_t)r * t->a_stride);
    for (size_t b = 0; b < t->n_blocks; b++, codes += bits * 64) {
        __m512i v[MM_STEPS];

#pragma GCC unroll 10
        for (int k = 0; k < lines; k++)
            _mm_prefetch(ahead + 64 * k, _MM_HINT_T1);
        ahead += 64 * lines;
        if (bits == 8) {
#pragma GCC unroll 8
            for (int k = 0; k < MM_STEPS; k++)
                v[k] = _mm512_load_si512((const void *)(codes + 64 * k));
        } else {
            spread(v, codes, bits);
        }
#pragma GCC unroll 2
        for (int s = 0; s < subs; s++, scales += MM_GROUP) {
            const __m512 scale = halves(scales);

#pragma GCC unroll 4
            for (int r = 0; r < T; r++) {
                int32_t start = subs == 1 ? a[r]->start
                                : s == 0  ? a[r]->start - a[r]->start_hi
                                          : a[r]->start_hi;
                __m512i sum = block_sum(v, a[r], bits, s * (MM_STEPS / subs), MM_STEPS / subs,
                                        start_of(start, bits, has_min));

                acc[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum),
                                         _mm512_mul_ps(scale, _mm512_set1_ps(a[r]->scale)), acc[r]);
            }
        }
        if (has_min) {
            const __m512 min = halves(scales);

            scales += MM_GROUP;
#pragma GCC unroll 4
            for (int r = 0; r < T; r++)
                acc[r] = _mm512_fmadd_ps(min, _mm512_set1_ps(a[r]->ssum), acc[r]);
        }
#pragma GCC unroll 4
        for (int r = 0; r < T; r++)
            a[r]++;
    }
}

SPECIALISED void rows(const struct mm_tile *t, const uint8_t *codes, const uint16_t *scales,
                      const int T, const int bits, const int subs, const bool has_min)
{
    const __mmask16 m = (__mmask16)(t->rows >= MM_GROUP ? 0xffff : (1u << t->rows) - 1);
    __m512 acc[MM_FEW_ROWS];

#pragma GCC unroll 4
    for (int r = 0; r < T; r++)
        acc[r] = t->first ? _mm512_setzero_ps()
                          : _mm512_maskz_loadu_ps(m, t->y + (size_t)r * t->y_stride);
    run(t, codes, scales, acc, T, bits, subs, has_min);
#pragma GCC unroll 4
    for (int r = 0; r < T; r++) {
        if (t->last && t->bias)
            acc[r] = _mm512_add_ps(acc[r], _mm512_maskz_loadu_ps(m, t->bias));
        _mm512_mask_storeu_ps(t->y + (size_t)r * t->y_stride, m, acc[r]);
    }
}

typedef void few_fn(const struct mm_tile *t, const uint8_t *codes, const uint16_t *scales);

#define FEW(NAME, T, BITS, SUBS, MIN)                                                             \
    UNROLLED static void NAME##_##T(const struct mm_tile *t, const uint8_t *c, const uint16_t *s) \
    {                                                                                             \
        rows(t, c, s, T, BITS, SUBS, MIN);                                                        \
    }
#define FEWS(NAME, BITS, SUBS, MIN) \
    FEW(NAME, 1, BITS, SUBS, MIN)   \
    FEW(NAME, 2, BITS, SUBS, MIN)   \
    FEW(NAME, 3, BITS, SUBS, MIN)   \
    FEW(NAME, 4, BITS, SUBS, MIN)   \
    static few_fn *const NAME[] = { NAME##_1, NAME##_2, NAME##_3, NAME##_4 };

FEWS(bits4_min, 4, 1, true)
FEWS(bits4, 4, 1, false)
FEWS(bits5_min, 5, 1, true)
FEWS(bits5, 5, 1, false)
FEWS(bits6, 6, 2, false)
FEWS(bits8, 8, 1, false)

void mm_few_avx512(const struct mm_tile *t, const uint8_t *codes, const uint16_t *scales)
{
    const struct weight *w = t->w;
    few_fn *const *by_rows = w->bits == 4   ? w->has_min ? bits4_min : bits4
                             : w->bits == 5 ? w->has_min ? bits5_min : bits5
                             : w->bits == 6 ? bits6
                                            : bits8;

    by_rows[t->n - 1](t, codes, scales);
}
