/* mm_avx512.c - AVX-512 with VNNI: 16 rows are the lanes of one register, VPDPBUSD adds four
 * columns of each. Its panels hold unsigned codes with zero point MM_ZERO (0 where the format has
 * minimums), so that act_block.start is what every sum begins with. */
#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/mm_ops.h"

/* The innermost functions are written once, for constants, and inlined for each set of them.
 * Unrolled, they keep a compiler busy for minutes under UBSan, which is left out; ASan stays. */
#define UNROLLED    __attribute__((no_sanitize("undefined")))
#define SPECIALISED static inline __attribute__((always_inline)) UNROLLED

/* --- activations --- */

SPECIALISED __m128i codes_of(__m512 x, __m512 inverse)
{
    __m512i code = _mm512_cvtps_epi32(_mm512_mul_ps(x, inverse));

    return _mm512_cvtsepi32_epi8(_mm512_max_epi32(code, _mm512_set1_epi32(-127)));
}

void mm_avx512_quantise(struct act_block *a, const float *x, size_t n_blocks)
{
    for (size_t b = 0; b < n_blocks; b++, a++, x += MM_BLOCK) {
        __m512 lo = _mm512_loadu_ps(x), hi = _mm512_loadu_ps(x + 16);
        float max = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(lo), _mm512_abs_ps(hi)));
        __m512 inverse = _mm512_set1_ps(max > MM_TINY ? 127 / max : 0);
        __m256i code = _mm256_set_m128i(codes_of(hi, inverse), codes_of(lo, inverse)), sum;
        int32_t sum_lo, sum_hi;

        /* four lanes for each half, then across them */
        sum = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), code);
        sum = _mm256_add_epi32(sum, _mm256_shuffle_epi32(sum, 0x4e));
        sum = _mm256_add_epi32(sum, _mm256_shuffle_epi32(sum, 0xb1));
        sum_lo = _mm256_cvtsi256_si32(sum);
        sum_hi = _mm256_extract_epi32(sum, 4);
        _mm256_storeu_si256((void *)a->code, code);
        a->scale = max > MM_TINY ? max / 127 : 0;
        a->ssum = a->scale * (float)(sum_lo + sum_hi);
        a->start = -MM_ZERO * (sum_lo + sum_hi);
        a->start_hi = -MM_ZERO * sum_hi;
    }
}

/* --- weights --- */

SPECIALISED void put(uint8_t *code, int step, __m512i v)
{
    _mm512_store_si512((void *)(code + step * MM_STEP_BYTES), v);
}

/* Bits 4 and up of a step from a plane: those that `mask` says once `plane` is shifted left by
 * `shift`. */
SPECIALISED __m512i upper(__m512i low, __m512i plane, int shift, __m512i mask)
{
    __m512i by = _mm512_set1_epi16((short)(shift >= 0 ? shift : -shift));
    __m512i moved = shift >= 0 ? _mm512_sllv_epi16(plane, by) : _mm512_srlv_epi16(plane, by);

    return _mm512_ternarylogic_epi64(low, moved, mask, 0xf8); /* low | (moved & mask) */
}

SPECIALISED void expand_codes(uint8_t *out, const unsigned char *in, size_t n, int bits, int bias)
{
    const __m512i nibble = _mm512_set1_epi8(15), bit4 = _mm512_set1_epi8(16);
    const __m512i bits45 = _mm512_set1_epi8(48), add = _mm512_set1_epi8((char)bias);

    for (; n > 0; n--, in += bits * 64, out += MM_STEPS * MM_STEP_BYTES) {
        __m512i v[MM_STEPS];

        for (int k = 0; k < 4; k++) {
            __m512i both = _mm512_load_si512((const void *)(in + 64 * k));

            v[k] = _mm512_and_si512(both, nibble);
            v[k + 4] = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
        }
        if (bits == 5) {
            __m512i plane = _mm512_load_si512((const void *)(in + 256));

#pragma GCC unroll 8
            for (int k = 0; k < MM_STEPS; k++)
                v[k] = upper(v[k], plane, 4 - k, bit4);
        }
        if (bits == 6) {
            __m512i plane[2];

            for (int k = 0; k < 2; k++) {
                plane[k] = _mm512_load_si512((const void *)(in + 256 + 64 * k));
            }
#pragma GCC unroll 8
            for (int k = 0; k < MM_STEPS; k++)
                v[k] = upper(v[k], plane[k / 4], 4 - 2 * (k % 4), bits45);
        }
#pragma GCC unroll 8
        for (int k = 0; k < MM_STEPS; k++)
            put(out, k, bias ? _mm512_add_epi8(v[k], add) : v[k]);
    }
}

static void expand_scales(struct mm_panel_buf *buf, const uint16_t *in, size_t n, size_t subs,
                          bool has_min)
{
    float *scale = buf->scale, *min = buf->min;

    for (; n > 0; n--) {
        for (size_t s = 0; s < subs; s++, in += MM_GROUP, scale += MM_GROUP)
            _mm512_store_ps(scale, _mm512_cvtph_ps(_mm256_load_si256((const void *)in)));
        if (has_min) {
            _mm512_store_ps(min, _mm512_cvtph_ps(_mm256_load_si256((const void *)in)));
            in += MM_GROUP;
            min += MM_GROUP;
        }
    }
}

void mm_avx512_expand(struct mm_panel *p, struct mm_panel_buf *buf, const struct weight *w,
                      const uint8_t *in, const uint16_t *scales, size_t n)
{
    *p = (struct mm_panel){ buf->code, buf->scale, buf->min };
    expand_scales(buf, scales, n, (size_t)w->subs, w->has_min);
    if (w->bits == 8) { /* as they should be already */
        p->code = in;
    } else if (w->bits == 4 && w->has_min) {
        expand_codes(buf->code, in, n, 4, 0);
    } else if (w->bits == 4) {
        expand_codes(buf->code, in, n, 4, MM_ZERO - 8);
    } else if (w->bits == 5 && w->has_min) {
        expand_codes(buf->code, in, n, 5, 0);
    } else if (w->bits == 5) {
        expand_codes(buf->code, in, n, 5, MM_ZERO - 16);
    } else {
        expand_codes(buf->code, in, n, 6, w->has_min ? 0 : MM_ZERO - 32);
    }
}

/* --- G panels times T activation rows --- */

enum { MAX_T = 6, MAX_SUMS = 2 * MAX_T };

/* One tile: acc is [T][G][16], rows of activations start at a.  Written once, made for each shape.
 */
struct run {
    const struct mm_tile *t;
    const struct act_block *a;
    float *acc;
    size_t line,
        lines; /* of what is ahead: the first to be fetched, and how many with each block */
};

/* A part of what comes next, while the multiplications keep the processor busy. */
SPECIALISED void fetch(const struct mm_tile *t, size_t from, size_t lines)
{
    for (size_t k = from; k < from + lines && k < t->ahead_lines[0]; k++) {
        _mm_prefetch(t->ahead[0] + 64 * k, _MM_HINT_T0);
        if (k < t->ahead_lines[1])
            _mm_prefetch(t->ahead[1] + 64 * k, _MM_HINT_T0);
    }
}

/* Four codes of an activation row, to be spread over all lanes. */
SPECIALISED int32_t four_codes(const struct act_block *a, int k)
{
    int32_t four;

    memcpy(&four, a->code + 4 * k, sizeof four);
    return four;
}

/* Adds one sub-block (all steps, or half of them) of block b to acc. */
SPECIALISED void add_block(const struct mm_tile *t, const struct act_block *const *a, size_t b,
                           __m512 *acc, const int G, const int T, const int subs, const int sub,
                           const bool has_min)
{
    const int steps = MM_STEPS / subs;
    __m512i sum[MAX_SUMS];

#pragma GCC unroll 6
    for (int r = 0; r < T; r++) {
        __m512i start = _mm512_setzero_si512();

        if (subs == 2 && sub == 0)
            start = _mm512_set1_epi32(a[r]->start - a[r]->start_hi);
        else if (!has_min)
            start = _mm512_set1_epi32(subs == 1 ? a[r]->start : a[r]->start_hi);
#pragma GCC unroll 2
        for (int g = 0; g < G; g++)
            sum[r * G + g] = start;
    }
#pragma GCC unroll 8
    for (int k = sub * steps; k < (sub + 1) * steps; k++) {
        __m512i w[2];

#pragma GCC unroll 2
        for (int g = 0; g < G; g++)
            w[g] = _mm512_load_si512(
                (const void *)(t->panel[g].code + (b * MM_STEPS + (size_t)k) * MM_STEP_BYTES));
#pragma GCC unroll 6
        for (int r = 0; r < T; r++) {
            __m512i four = _mm512_set1_epi32(four_codes(a[r], k));

#pragma GCC unroll 2
            for (int g = 0; g < G; g++)
                sum[r * G + g] = _mm512_dpbusd_epi32(sum[r * G + g], w[g], four);
        }
    }
#pragma GCC unroll 2
    for (int g = 0; g < G; g++) {
        size_t at = b * (size_t)subs + (size_t)sub;
        __m512 scale = _mm512_load_ps(t->panel[g].scale + at * MM_GROUP);
        __m512 min = has_min ? _mm512_load_ps(t->panel[g].min + b * MM_GROUP) : scale;

#pragma GCC unroll 6
        for (int r = 0; r < T; r++) {
            __m512 s = _mm512_mul_ps(scale, _mm512_set1_ps(a[r]->scale));
            __m512 sums = _mm512_cvtepi32_ps(sum[r * G + g]);

            acc[r * G + g] = _mm512_fmadd_ps(sums, s, acc[r * G + g]);
            if (has_min)
                acc[r * G + g] = _mm512_fmadd_ps(min, _mm512_set1_ps(a[r]->ssum), acc[r * G + g]);
        }
    }
}

SPECIALISED void run_blocks(const struct run *run, const int G, const int T, const int subs,
                            const bool has_min)
{
    const struct mm_tile *t = run->t;
    const struct act_block *a[MAX_T];
    __m512 acc[MAX_SUMS];

#pragma GCC unroll 6
    for (int r = 0; r < T; r++)
        a[r] = (const void *)((const char *)run->a + (size_t)r * t->a_stride);
#pragma GCC unroll 12
    for (int j = 0; j < G * T; j++)
        acc[j] = _mm512_load_ps(run->acc + j * MM_GROUP);
    for (size_t b = 0; b < t->n_blocks; b++) {
        fetch(t, run->line + b * run->lines, run->lines);
        add_block(t, a, b, acc, G, T, subs, 0, has_min);
        if (subs == 2)
            add_block(t, a, b, acc, G, T, subs, 1, has_min);
#pragma GCC unroll 6
        for (int r = 0; r < T; r++)
            a[r]++;
    }
#pragma GCC unroll 12
    for (int j = 0; j < G * T; j++)
        _mm512_store_ps(run->acc + j * MM_GROUP, acc[j]);
}

#define RUN(G, T)                                           \
    UNROLLED static void min_##G##_##T(const struct run *r) \
    {                                                       \
        run_blocks(r, G, T, 1, true);                       \
    }                                                       \
    UNROLLED static void one_##G##_##T(const struct run *r) \
    {                                                       \
        run_blocks(r, G, T, 1, false);                      \
    }                                                       \
    UNROLLED static void two_##G##_##T(const struct run *r) \
    {                                                       \
        run_blocks(r, G, T, 2, false);                      \
    }

RUN(1, 1)
RUN(1, 2)
RUN(1, 3)
RUN(1, 4)
RUN(1, 6)
RUN(2, 1)
RUN(2, 2)
RUN(2, 3)
RUN(2, 4)
RUN(2, 6)

#define RUNS(K, G)                                                            \
    {                                                                         \
        K##_##G##_1, K##_##G##_2, K##_##G##_3, K##_##G##_4, NULL, K##_##G##_6 \
    }

/* By format (minimums; one scale a block; two), panels - 1 and activation rows - 1. */
static void (*const runs[3][2][MAX_T])(const struct run *) = {
    { RUNS(min, 1), RUNS(min, 2) },
    { RUNS(one, 1), RUNS(one, 2) },
    { RUNS(two, 1), RUNS(two, 2) },
};

SPECIALISED __mmask16 row_mask(const struct mm_tile *t, size_t g)
{
    size_t rows = t->rows - g * MM_GROUP;

    return (__mmask16)(rows >= MM_GROUP ? 0xffff : (1u << rows) - 1);
}

static void acc_start(const struct mm_tile *t, float *acc, const float *y, size_t T)
{
    for (size_t r = 0; r < T; r++, y += t->y_stride)
        for (size_t g = 0; g < t->n_panels; g++, acc += MM_GROUP)
            _mm512_store_ps(acc, t->first
                                     ? _mm512_setzero_ps()
                                     : _mm512_maskz_loadu_ps(row_mask(t, g), y + g * MM_GROUP));
}

static void acc_finish(const struct mm_tile *t, const float *acc, float *y, size_t T)
{
    for (size_t r = 0; r < T; r++, y += t->y_stride)
        for (size_t g = 0; g < t->n_panels; g++, acc += MM_GROUP) {
            __mmask16 m = row_mask(t, g);
            __m512 v = _mm512_load_ps(acc);

            if (t->last && t->bias)
                v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(m, t->bias + g * MM_GROUP));
            _mm512_mask_storeu_ps(y + g * MM_GROUP, m, v);
        }
}

/* Activation rows of the next tile: few left are shared out evenly, among the shapes there are. */
static size_t next_rows(size_t left)
{
    static const uint8_t rows[] = { 0, 1, 2, 3, 4, 4, 6, 4, 4, 6, 6, 4 };

    return left < sizeof rows ? rows[left] : MAX_T;
}

void mm_avx512_tile(const struct mm_tile *t)
{
    float acc[MAX_SUMS * MM_GROUP] __attribute__((aligned(64)));
    int format = t->w->has_min ? 0 : t->w->subs;
    size_t tiles = (t->n + MAX_T - 1) / MAX_T * t->n_blocks;
    struct run run = { .t = t, .acc = acc, .lines = (t->ahead_lines[0] + tiles - 1) / tiles };

    for (size_t i = 0, T; i < t->n; i += T) {
        float *y = t->y + i * t->y_stride;

        T = next_rows(t->n - i);
        run.a = (const void *)((const char *)t->a + i * t->a_stride);
        acc_start(t, acc, y, T);
        runs[format][t->n_panels - 1][T - 1](&run);
        acc_finish(t, acc, y, T);
        run.line += t->n_blocks * run.lines;
    }
}

const struct mm_ops mm_avx512 = {
    .name = "avx512",
    .quantise = mm_avx512_quantise,
    .expand = mm_avx512_expand,
    .tile = mm_avx512_tile,
    .few = mm_few_avx512,
    .dots = mm_dots_avx512,
    .many_dots = mm_many_dots_avx512,
    .panels = &mm_panels_avx512,
    .spread = mm_spread_avx512,
};
