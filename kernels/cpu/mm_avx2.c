/* mm_avx2.c - AVX2: 8 rows are the lanes of one register, a group is two of them (a half each).
 * VPMADDUBSW multiplies unsigned by signed bytes and adds pairs in 16 bits, saturating; so its
 * panels hold the codes unsigned as they are while they fit: with codes up to 15, 31, 63 the pairs
 * of 8, 4, 2 steps stay below 2^15 (2 * 15 * 127 * 8 = 30480, 31496, 32004).  Codes of 8 bits are
 * made signed, and their sign is moved to the activation (2 * 128 * 127 = 32512), each step widened
 * at once. */
#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/mm_ops.h"

/* The innermost functions are written once, for constants, and inlined for each set of them.
 * Unrolled, they keep a compiler busy for minutes under UBSan, which is left out; ASan stays. */
#define UNROLLED    __attribute__((no_sanitize("undefined")))
#define SPECIALISED static inline __attribute__((always_inline)) UNROLLED

enum {
    PREFETCH = 4096, /* bytes ahead of what is being expanded */
    HALF = 8,        /* rows of a register */
};

/* --- activations --- */

SPECIALISED float largest(__m256 v)
{
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));

    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
}

SPECIALISED int32_t total(__m256i v)
{
    __m128i q = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

    q = _mm_add_epi32(q, _mm_shuffle_epi32(q, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(q, _mm_shuffle_epi32(q, 0xb1)));
}

static void quantise(struct act_block *a, const float *x, size_t n_blocks)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    const __m256i limit = _mm256_set1_epi32(-127);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7); /* undoes the packs' lanes */

    for (size_t b = 0; b < n_blocks; b++, a++, x += MM_BLOCK) {
        __m256 v[4], max, inverse;
        __m256i c[4];
        float m;

        for (int i = 0; i < 4; i++)
            v[i] = _mm256_loadu_ps(x + 8 * i);
        max = _mm256_andnot_ps(sign, v[0]);
        for (int i = 1; i < 4; i++)
            max = _mm256_max_ps(max, _mm256_andnot_ps(sign, v[i]));
        m = largest(max);
        inverse = _mm256_set1_ps(m > MM_TINY ? 127 / m : 0);
        for (int i = 0; i < 4; i++)
            c[i] = _mm256_max_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(v[i], inverse)), limit);

        int32_t lo = total(_mm256_add_epi32(c[0], c[1])), hi = total(_mm256_add_epi32(c[2], c[3]));

        c[0] = _mm256_packs_epi16(_mm256_packs_epi32(c[0], c[1]), _mm256_packs_epi32(c[2], c[3]));
        _mm256_storeu_si256((void *)a->code, _mm256_permutevar8x32_epi32(c[0], order));
        a->scale = m > MM_TINY ? m / 127 : 0;
        a->ssum = a->scale * (float)(lo + hi);
        a->start = -MM_ZERO * (lo + hi);
        a->start_hi = -MM_ZERO * hi;
    }
}

/* --- weights --- */

SPECIALISED __m256i load(const void *p)
{
    return _mm256_load_si256(p);
}

/* low | bits of plane moved left by shift (right if negative) and masked */
SPECIALISED __m256i upper(__m256i low, __m256i plane, int shift, __m256i mask)
{
    __m256i moved = shift >= 0 ? _mm256_slli_epi16(plane, shift > 0 ? shift : 0)
                               : _mm256_srli_epi16(plane, shift < 0 ? -shift : 0);

    return _mm256_or_si256(low, _mm256_and_si256(moved, mask));
}

/* Half h of each line: rows 8 h .. 8 h + 7. */
SPECIALISED void expand_half(uint8_t *out, const unsigned char *in, int bits, int h)
{
    const __m256i nibble = _mm256_set1_epi8(15), bit4 = _mm256_set1_epi8(16);
    const __m256i bits45 = _mm256_set1_epi8(48);
    __m256i v[MM_STEPS];

    in += 32 * h;
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        __m256i both = load(in + 64 * k);

        v[k] = _mm256_and_si256(both, nibble);
        v[k + 4] = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
    }
#pragma GCC unroll 8
    for (int k = 0; k < MM_STEPS; k++) {
        if (bits == 5)
            v[k] = upper(v[k], load(in + 256), 4 - k, bit4);
        if (bits == 6)
            v[k] = upper(v[k], load(in + 256 + 64 * (k / 4)), 4 - 2 * (k % 4), bits45);
        _mm256_store_si256((void *)(out + k * MM_STEP_BYTES + 32 * h), v[k]);
    }
}

SPECIALISED void expand_codes(uint8_t *out, const unsigned char *in, size_t n, int bits)
{
    for (; n > 0; n--, in += bits * 64, out += MM_STEPS * MM_STEP_BYTES) {
        expand_half(out, in, bits, 0);
        expand_half(out, in, bits, 1);
    }
}

static void expand_bytes(uint8_t *out, const unsigned char *in, size_t n)
{
    const __m256i zero = _mm256_set1_epi8((char)MM_ZERO);

    for (size_t i = 0; i < n * MM_STEPS * MM_STEP_BYTES; i += 32)
        _mm256_store_si256((void *)(out + i), _mm256_xor_si256(load(in + i), zero));
}

static void put_scales(float *out, const uint16_t *in)
{
    for (size_t r = 0; r < MM_GROUP; r += HALF)
        _mm256_store_ps(out + r, _mm256_cvtph_ps(_mm_load_si128((const void *)(in + r))));
}

static void expand(struct mm_panel *p, struct mm_panel_buf *buf, const struct weight *w,
                   const uint8_t *in, const uint16_t *scales, size_t n)
{
    float *scale = buf->scale;

    *p = (struct mm_panel){ buf->code, buf->scale, buf->min };
    for (size_t i = 0; i < n; i++) {
        for (int s = 0; s < w->subs; s++, scales += MM_GROUP, scale += MM_GROUP)
            put_scales(scale, scales);
        if (w->has_min) {
            put_scales(buf->min + i * MM_GROUP, scales);
            scales += MM_GROUP;
        }
    }
    if (w->bits == 4)
        expand_codes(buf->code, in, n, 4);
    else if (w->bits == 5)
        expand_codes(buf->code, in, n, 5);
    else if (w->bits == 6)
        expand_codes(buf->code, in, n, 6);
    else
        expand_bytes(buf->code, in, n);
}

/* --- half a panel times T activation rows --- */

enum { MAX_T = 4 };

/* What is known of a tile when its code is made. */
struct shape {
    int T, bits, subs;
    bool has_min;
};

/* One half tile: acc is [T][8]. */
struct run {
    const struct mm_tile *t;
    const struct act_block *a;
    int g, h; /* panel, and half of it */
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

/* A sum as it is to be made: integer sums may be reordered, and GCC does so, holding more products
 * than there are registers.  One row has registers to spare. */
SPECIALISED __m256i in_order(__m256i sum, const struct shape s)
{
    if (s.T > 1)
        __asm__("" : "+x"(sum));
    return sum;
}

/* sum[r] += codes of `steps` steps, all of them in 16 bits first. */
SPECIALISED void add_steps(const struct act_block *const *a, const uint8_t *code, __m256i *sum,
                           const struct shape s, int first, int steps)
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i pairs[MAX_T];

#pragma GCC unroll 8
    for (int k = first; k < first + steps; k++) {
        __m256i w = load(code + k * MM_STEP_BYTES);
        __m256i size = s.bits == 8 ? _mm256_abs_epi8(w) : w;

#pragma GCC unroll 4
        for (int r = 0; r < s.T; r++) {
            __m256i four = _mm256_set1_epi32(four_codes(a[r], k));
            __m256i p = _mm256_maddubs_epi16(size, s.bits == 8 ? _mm256_sign_epi8(four, w) : four);

            pairs[r] = k == first ? p : in_order(_mm256_add_epi16(pairs[r], p), s);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < s.T; r++)
        sum[r] = in_order(_mm256_add_epi32(sum[r], _mm256_madd_epi16(pairs[r], ones)), s);
}

/* The zero point's part of the sum: start is for MM_ZERO, the codes' own is 8, 16 or 32. */
SPECIALISED __m256i start_of(const struct act_block *a, const struct shape s, int sub)
{
    int32_t start = s.subs == 1 ? a->start : sub == 0 ? a->start - a->start_hi : a->start_hi;

    if (s.has_min || s.bits == 8)
        return _mm256_setzero_si256();
    return _mm256_srai_epi32(_mm256_set1_epi32(start), 8 - s.bits);
}

SPECIALISED void add_block(const struct run *run, const struct act_block *const *a, size_t b,
                           __m256 *acc, const struct shape s, int sub)
{
    const struct mm_panel *p = &run->t->panel[run->g];
    const uint8_t *code = p->code + b * MM_STEPS * MM_STEP_BYTES + 32 * run->h;
    const int fit = s.bits == 4 ? 8 : s.bits == 5 ? 4 : s.bits == 6 ? 2 : 1;
    const int steps = MM_STEPS / s.subs;
    size_t at = b * (size_t)s.subs + (size_t)sub, half = HALF * (size_t)run->h;
    __m256 scale = _mm256_load_ps(p->scale + at * MM_GROUP + half);
    __m256 min = s.has_min ? _mm256_load_ps(p->min + b * MM_GROUP + half) : scale;
    __m256i sum[MAX_T];

#pragma GCC unroll 4
    for (int r = 0; r < s.T; r++)
        sum[r] = start_of(a[r], s, sub);
#pragma GCC unroll 8
    for (int k = sub * steps; k < (sub + 1) * steps; k += fit)
        add_steps(a, code, sum, s, k, fit);
#pragma GCC unroll 4
    for (int r = 0; r < s.T; r++) {
        __m256 both = _mm256_mul_ps(scale, _mm256_set1_ps(a[r]->scale));

        acc[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[r]), both, acc[r]);
        if (s.has_min)
            acc[r] = _mm256_fmadd_ps(min, _mm256_set1_ps(a[r]->ssum), acc[r]);
    }
}

SPECIALISED void run_blocks(const struct run *run, const struct shape s)
{
    const struct mm_tile *t = run->t;
    const struct act_block *a[MAX_T];
    __m256 acc[MAX_T];

#pragma GCC unroll 4
    for (int r = 0; r < s.T; r++) {
        a[r] = (const void *)((const char *)run->a + (size_t)r * t->a_stride);
        acc[r] = _mm256_load_ps(run->acc + r * HALF);
    }
    for (size_t b = 0; b < t->n_blocks; b++) {
        fetch(t, run->line + b * run->lines, run->lines);
        add_block(run, a, b, acc, s, 0);
        if (s.subs == 2)
            add_block(run, a, b, acc, s, 1);
#pragma GCC unroll 4
        for (int r = 0; r < s.T; r++)
            a[r]++;
    }
#pragma GCC unroll 4
    for (int r = 0; r < s.T; r++)
        _mm256_store_ps(run->acc + r * HALF, acc[r]);
}

#define RUN(NAME, T, BITS, SUBS, MIN)                        \
    UNROLLED static void NAME##_##T(const struct run *r)     \
    {                                                        \
        run_blocks(r, (struct shape){ T, BITS, SUBS, MIN }); \
    }
#define RUNS(NAME, BITS, SUBS, MIN) \
    RUN(NAME, 1, BITS, SUBS, MIN)   \
    RUN(NAME, 2, BITS, SUBS, MIN)   \
    RUN(NAME, 4, BITS, SUBS, MIN)

RUNS(q4_min, 4, 1, true)
RUNS(q4, 4, 1, false)
RUNS(q5_min, 5, 1, true)
RUNS(q5, 5, 1, false)
RUNS(q6, 6, 2, false)
RUNS(q8, 8, 1, false)

/* By the kinds of weights that weight.c packs, and 1, 2 or 4 activation rows. */
static void (*const runs[][3])(const struct run *) = {
    { q4_min_1, q4_min_2, q4_min_4 },
    { q4_1, q4_2, q4_4 },
    { q5_min_1, q5_min_2, q5_min_4 },
    { q5_1, q5_2, q5_4 },
    { q6_1, q6_2, q6_4 },
    { q8_1, q8_2, q8_4 },
};

static size_t kind_of(const struct weight *w)
{
    if (w->bits == 4)
        return w->has_min ? 0 : 1;
    if (w->bits == 5)
        return w->has_min ? 2 : 3;
    return w->bits == 6 ? 4 : 5;
}

SPECIALISED __m256i half_mask(size_t rows)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(rows < HALF ? (int)rows : HALF),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static void acc_start(const struct mm_tile *t, float *acc, const float *y, size_t row, size_t T)
{
    __m256i mask = half_mask(t->rows - row);

    for (size_t r = 0; r < T; r++, y += t->y_stride)
        _mm256_store_ps(acc + r * HALF,
                        t->first ? _mm256_setzero_ps() : _mm256_maskload_ps(y + row, mask));
}

static void acc_finish(const struct mm_tile *t, const float *acc, float *y, size_t row, size_t T)
{
    __m256i mask = half_mask(t->rows - row);

    for (size_t r = 0; r < T; r++, y += t->y_stride) {
        __m256 v = _mm256_load_ps(acc + r * HALF);

        if (t->last && t->bias)
            v = _mm256_add_ps(v, _mm256_maskload_ps(t->bias + row, mask));
        _mm256_maskstore_ps(y + row, mask, v);
    }
}

static void tile(const struct mm_tile *t)
{
    float acc[MAX_T * HALF] __attribute__((aligned(32)));
    size_t kind = kind_of(t->w), halves = (t->rows + HALF - 1) / HALF;
    size_t rounds = (t->n + MAX_T - 1) / MAX_T * halves * t->n_blocks;
    struct run run = { .t = t, .acc = acc, .lines = (t->ahead_lines[0] + rounds - 1) / rounds };

    for (size_t i = 0, T; i < t->n; i += T) {
        float *y = t->y + i * t->y_stride;

        T = t->n - i >= 4 ? 4 : t->n - i >= 2 ? 2 : 1;
        run.a = (const void *)((const char *)t->a + i * t->a_stride);
        for (size_t row = 0; row < t->rows; row += HALF) {
            run.g = (int)(row / MM_GROUP);
            run.h = (int)(row / HALF % 2);
            acc_start(t, acc, y, row, T);
            runs[kind][T / 2](&run);
            acc_finish(t, acc, y, row, T);
            run.line += t->n_blocks * run.lines;
        }
    }
}

/* --- float matrices --- */

SPECIALISED __m256 values(const unsigned char *w, enum dtype dtype, size_t c)
{
    __m128i half;

    if (dtype == DTYPE_F32)
        return _mm256_loadu_ps((const float *)(const void *)(w + 4 * c));
    half = _mm_loadu_si128((const void *)(w + 2 * c));
    if (dtype == DTYPE_F16)
        return _mm256_cvtph_ps(half);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

/* Two sums for each activation row: even and odd runs of 8 columns; what is left of 16 joins them
 * through a copy filled up with zeros. */
SPECIALISED void dots_rows(float *y, size_t y_stride, const unsigned char *w, enum dtype dtype,
                           const float *x, size_t x_stride, size_t cols, const int T)
{
    const size_t width = dtype == DTYPE_F32 ? 4 : 2;
    unsigned char last_w[16 * 4] = { 0 };
    float last_x[16] = { 0 };
    __m256 even[4], odd[4];

    memcpy(last_w, w + cols / 16 * 16 * width, cols % 16 * width);
#pragma GCC unroll 4
    for (int r = 0; r < T; r++)
        even[r] = odd[r] = _mm256_setzero_ps();
    for (size_t c = 0; c + 16 <= cols; c += 16) {
        __m256 w0 = values(w, dtype, c), w1 = values(w, dtype, c + 8);

        _mm_prefetch((const char *)w + c * width + PREFETCH, _MM_HINT_T0);
#pragma GCC unroll 4
        for (int r = 0; r < T; r++) {
            const float *xr = x + (size_t)r * x_stride + c;

            even[r] = _mm256_fmadd_ps(w0, _mm256_loadu_ps(xr), even[r]);
            odd[r] = _mm256_fmadd_ps(w1, _mm256_loadu_ps(xr + 8), odd[r]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < T; r++) {
        __m256 sum;
        __m128 q;

        memcpy(last_x, x + (size_t)r * x_stride + cols / 16 * 16, cols % 16 * sizeof(float));
        even[r] = _mm256_fmadd_ps(values(last_w, dtype, 0), _mm256_loadu_ps(last_x), even[r]);
        odd[r] = _mm256_fmadd_ps(values(last_w, dtype, 8), _mm256_loadu_ps(last_x + 8), odd[r]);
        sum = _mm256_add_ps(even[r], odd[r]);
        q = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1));
        q = _mm_add_ps(q, _mm_movehl_ps(q, q));
        y[(size_t)r * y_stride] = _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
    }
}

SPECIALISED void dots_of(float *y, size_t y_stride, const void *w, enum dtype dtype, const float *x,
                         size_t x_stride, size_t cols, size_t n)
{
    size_t i = 0;

    for (; i + 4 <= n; i += 4)
        dots_rows(y + i * y_stride, y_stride, w, dtype, x + i * x_stride, x_stride, cols, 4);
    for (; i < n; i++)
        dots_rows(y + i * y_stride, y_stride, w, dtype, x + i * x_stride, x_stride, cols, 1);
}

static void dots(float *y, size_t y_stride, const void *w, enum dtype dtype, const float *x,
                 size_t x_stride, size_t cols, size_t n)
{
    if (dtype == DTYPE_F32)
        dots_of(y, y_stride, w, DTYPE_F32, x, x_stride, cols, n);
    else if (dtype == DTYPE_F16)
        dots_of(y, y_stride, w, DTYPE_F16, x, x_stride, cols, n);
    else
        dots_of(y, y_stride, w, DTYPE_BF16, x, x_stride, cols, n);
}

const struct mm_ops mm_avx2 = {
    .name = "avx2",
    .quantise = quantise,
    .expand = expand,
    .tile = tile,
    .few = mm_few_avx2,
    .dots = dots,
};
