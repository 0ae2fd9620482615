/* mm_few_avx2.c - few activation rows: the packed weights are spread out in registers and used at
 * once, since writing panels out would cost more than multiplying.  The arithmetic is that of
 * mm_avx2.c's tiles, bit for bit: integer sums are exact however they are split, and the float
 * operations are the same in the same order.
 *
 * Nothing saturates: VPMADDUBSW adds two products in 16 bits, and an activation's code is at most
 * 127 either way.  Codes of 4, 5, 6 bits are at most 15, 31, 63, so that a pair is at most 3810,
 * 7874, 16002, and 8, 4, 2 of them 30480, 31496, 32004, below 2^15.  Codes of 8 bits, made signed,
 * are at most 128 without their sign, and a pair 32512: each is widened by itself. */
#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/mm_ops.h"

/* See mm_avx2.c. */
#define UNROLLED    __attribute__((no_sanitize("undefined")))
#define SPECIALISED static inline __attribute__((always_inline)) UNROLLED

enum { HALF = 8 }; /* rows of a register */

/* What is known of a run when its code is made: activation rows, and the weights' kind. */
struct shape {
    int T, bits, subs;
    bool has_min;
};

SPECIALISED __m256i load(const uint8_t *p)
{
    return _mm256_load_si256((const void *)p);
}

SPECIALISED __m256i four_codes(const struct act_block *a, int k)
{
    int32_t four;

    memcpy(&four, a->code + 4 * k, sizeof four);
    return _mm256_set1_epi32(four);
}

/* low | bits of plane moved left by shift (right if negative) and masked */
SPECIALISED __m256i upper(__m256i low, __m256i plane, int shift, __m256i mask)
{
    __m256i moved = shift >= 0 ? _mm256_slli_epi16(plane, shift > 0 ? shift : 0)
                               : _mm256_srli_epi16(plane, shift < 0 ? -shift : 0);

    return _mm256_or_si256(low, _mm256_and_si256(moved, mask));
}

/* Step k of a block, one code a byte: unsigned, 8 bits signed.  in: the half's part of line 0. */
SPECIALISED __m256i step(const uint8_t *in, const int k, const int bits)
{
    __m256i both, v;

    if (bits == 8)
        return _mm256_xor_si256(load(in + 64 * k), _mm256_set1_epi8((char)MM_ZERO));
    both = load(in + 64 * (k % 4));
    v = _mm256_and_si256(k < 4 ? both : _mm256_srli_epi16(both, 4), _mm256_set1_epi8(15));
    if (bits == 5)
        v = upper(v, load(in + 256), 4 - k, _mm256_set1_epi8(16));
    if (bits == 6)
        v = upper(v, load(in + 256 + 64 * (k / 4)), 4 - 2 * (k % 4), _mm256_set1_epi8(48));
    return v;
}

/* See mm_avx2.c. */
SPECIALISED __m256i in_order(__m256i sum, const struct shape s)
{
    if (s.T > 1)
        __asm__("" : "+x"(sum));
    return sum;
}

/* sum[r] += `fit` steps from the `first` one on, added up in 16 bits.  Where a scale is for the
 * whole block, both steps of a line follow each other: one load. */
SPECIALISED void add_steps(const struct act_block *const *a, const uint8_t *in, __m256i *sum,
                           const struct shape s, const int first, const int fit)
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i pairs[MM_FEW_ROWS];

#pragma GCC unroll 8
    for (int i = first; i < first + fit; i++) {
        const int k = s.subs == 1 && s.bits < 8 ? i / 2 + i % 2 * 4 : i;
        __m256i w = step(in, k, s.bits), size = s.bits == 8 ? _mm256_abs_epi8(w) : w;

#pragma GCC unroll 4
        for (int r = 0; r < s.T; r++) {
            __m256i four = four_codes(a[r], k);
            __m256i p = _mm256_maddubs_epi16(size, s.bits == 8 ? _mm256_sign_epi8(four, w) : four);

            pairs[r] = i == first ? p : in_order(_mm256_add_epi16(pairs[r], p), s);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < s.T; r++)
        sum[r] = in_order(_mm256_add_epi32(sum[r], _mm256_madd_epi16(pairs[r], ones)), s);
}

/* The zero point's part of the sum: start is for MM_ZERO, the codes' own is 8, 16 or 32. */
SPECIALISED __m256i start_of(const struct act_block *a, const struct shape s, const int sub)
{
    int32_t start = s.subs == 1 ? a->start : sub == 0 ? a->start - a->start_hi : a->start_hi;

    if (s.has_min || s.bits == 8)
        return _mm256_setzero_si256();
    return _mm256_set1_epi32(start >> (8 - s.bits));
}

SPECIALISED __m256 halves(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_load_si128((const void *)p));
}

/* Half of a block's rows times T activation rows. */
SPECIALISED void add_block(const struct act_block *const *a, const uint8_t *in,
                           const uint16_t *scales, __m256 *acc, const struct shape s)
{
    const int fit = s.bits == 4 ? 8 : s.bits == 5 ? 4 : s.bits == 6 ? 2 : 1;
    const int steps = MM_STEPS / s.subs;

#pragma GCC unroll 2
    for (int sub = 0; sub < s.subs; sub++) {
        const __m256 scale = halves(scales + sub * MM_GROUP);
        __m256i sum[MM_FEW_ROWS];

#pragma GCC unroll 4
        for (int r = 0; r < s.T; r++)
            sum[r] = start_of(a[r], s, sub);
#pragma GCC unroll 8
        for (int i = sub * steps; i < (sub + 1) * steps; i += fit)
            add_steps(a, in, sum, s, i, fit);
#pragma GCC unroll 4
        for (int r = 0; r < s.T; r++)
            acc[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[r]),
                                     _mm256_mul_ps(scale, _mm256_set1_ps(a[r]->scale)), acc[r]);
    }
    if (s.has_min) {
        const __m256 min = halves(scales + MM_GROUP);

#pragma GCC unroll 4
        for (int r = 0; r < s.T; r++)
            acc[r] = _mm256_fmadd_ps(min, _mm256_set1_ps(a[r]->ssum), acc[r]);
    }
}

/* One half of the group's rows: a panel stays in the first-level cache for the other half, and both
 * at once would need more registers than there are.  ahead: what to fetch on the way, half of the
 * panel that comes next in memory, into the second-level cache. */
SPECIALISED void run(const struct mm_tile *t, const uint8_t *codes, const uint16_t *scales,
                     const uint8_t *ahead, __m256 *acc, const struct shape s)
{
    const int per_block = s.subs + s.has_min;       /* rows of scales */
    const int bytes = 32 * s.bits + 16 * per_block; /* of a block and half */
    const struct act_block *a[MM_FEW_ROWS];

#pragma GCC unroll 4
    for (int r = 0; r < s.T; r++)
        a[r] = (const void *)((const char *)t->a + (size_t)r * t->a_stride);
    for (size_t b = 0; b < t->n_blocks; b++) {
#pragma GCC unroll 5
        for (int k = 0; k < (bytes + 63) / 64; k++)
            _mm_prefetch((const char *)ahead + 64 * k, _MM_HINT_T1);
        ahead += bytes;
        add_block(a, codes, scales, acc, s);
        codes += 64 * s.bits;
        scales += MM_GROUP * per_block;
#pragma GCC unroll 4
        for (int r = 0; r < s.T; r++)
            a[r]++;
    }
}

SPECIALISED __m256i half_mask(size_t rows)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(rows < HALF ? (int)rows : HALF),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

SPECIALISED void rows(const struct mm_tile *t, const uint8_t *codes, const uint16_t *scales,
                      const struct shape s)
{
    const uint8_t *ahead = codes + t->w->panel_bytes;

    for (size_t row = 0; row < t->rows; row += HALF) {
        const __m256i mask = half_mask(t->rows - row);
        __m256 acc[MM_FEW_ROWS];

#pragma GCC unroll 4
        for (int r = 0; r < s.T; r++)
            acc[r] = t->first ? _mm256_setzero_ps()
                              : _mm256_maskload_ps(t->y + (size_t)r * t->y_stride + row, mask);
        run(t, codes + 4 * row, scales + row, ahead, acc, s);
        ahead += t->w->panel_bytes / 2;
#pragma GCC unroll 4
        for (int r = 0; r < s.T; r++) {
            if (t->last && t->bias)
                acc[r] = _mm256_add_ps(acc[r], _mm256_maskload_ps(t->bias + row, mask));
            _mm256_maskstore_ps(t->y + (size_t)r * t->y_stride + row, mask, acc[r]);
        }
    }
}

typedef void few_fn(const struct mm_tile *t, const uint8_t *codes, const uint16_t *scales);

#define FEW(NAME, T, BITS, SUBS, MIN)                                                             \
    UNROLLED static void NAME##_##T(const struct mm_tile *t, const uint8_t *c, const uint16_t *s) \
    {                                                                                             \
        rows(t, c, s, (struct shape){ T, BITS, SUBS, MIN });                                      \
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

void mm_few_avx2(const struct mm_tile *t, const uint8_t *codes, const uint16_t *scales)
{
    const struct weight *w = t->w;
    few_fn *const *by_rows = w->bits == 4   ? w->has_min ? bits4_min : bits4
                             : w->bits == 5 ? w->has_min ? bits5_min : bits5
                             : w->bits == 6 ? bits6
                                            : bits8;

    by_rows[t->n - 1](t, codes, scales);
}
