/* attend_amx.c - struct wide_ops in AMX tiles: scores = K Q^T and acc += V^T weights, both with
 * BF16 factors and float sums (TDPBF16PS); between them softmax in AVX-512.
 *
 * The running maximum of a vector follows the scores only when they pass it by more than SLACK: any
 * reference does as long as nothing overflows, and so acc is seldom scaled.  Sums are those of the
 * rounded weights, so that a mean of equal values is that value.
 * A lane never looks at another one: a row's bits do not depend on the rows beside it. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/tiles_amx.h"
#include "kernels/cpu/wide.h"

enum {
    LANE = 16,          /* floats of a vector; rows of a tile */
    STEP = 32,          /* BF16 values of a tile's row: factors summed up by one instruction */
    TILE = LANE * STEP, /* BF16 values of a tile */
    PAIR_ROW = 2 * WIDE_GROUP * 2, /* bytes of a row of pairs of 32 vectors */
    SLACK = 8,                     /* in powers of two */
};

static const float LOG2_E = 1.44269504f;

/* --- vectors --- */

/* 32 BF16 values: low[0], high[0], low[1], ... */
static inline __m512i pairs(__m512 low, __m512 high)
{
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);

    return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

/* 2^x to 1e-4, x below 127: enough for what is rounded to BF16.  0 for -inf. */
static inline __m512 exp2_rough(__m512 x)
{
    __m512 r = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF), p;

    p = _mm512_fmadd_ps(_mm512_set1_ps(0.0780245140f), r, _mm512_set1_ps(0.226067185f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.695833504f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.999925196f));
    return _mm512_scalef_ps(p, x);
}

/* A tile of the A operand, [16 lanes][32], from up to 32 rows of 16 lanes; missing rows are 0. */
static void pack(uint16_t *to, const float *from, size_t ld, size_t n)
{
    const __m512 zero = _mm512_setzero_ps();
    __m512i x[LANE];

    for (size_t i = 0; i < LANE; i++)
        x[i] = pairs(2 * i < n ? _mm512_loadu_ps(from + 2 * i * ld) : zero,
                     2 * i + 1 < n ? _mm512_loadu_ps(from + (2 * i + 1) * ld) : zero);
    transpose_16(x);
    for (size_t i = 0; i < LANE; i++)
        _mm512_store_si512(to + i * STEP, x[i]);
}

/* --- queries --- */

/* The first n of 16 values, n > 16 being 16, times scale. */
static inline __m512 scaled(const float *q, size_t n, __m512 scale)
{
    __mmask16 some = n >= LANE ? 0xffff : (__mmask16)((1u << n) - 1);

    return _mm512_mul_ps(_mm512_maskz_loadu_ps(some, q), scale);
}

/* 16 vectors from number `first` on, dimensions dim .. dim+31: [16 pairs][16][2] among 32. */
static void load_some(struct wide *w, const float *q, size_t ld, size_t first, size_t dim)
{
    size_t n = w->head_dim - dim, half = first % WIDE_GROUP;
    uint16_t *to = w->q + (first / WIDE_GROUP * w->k_dims + dim) * WIDE_GROUP + half * 2;
    const __m512 scale = _mm512_set1_ps(w->softcap != 0 ? w->scale : w->scale * LOG2_E);
    __m512i x[LANE];

    for (size_t i = 0; i < LANE; i++) {
        size_t v = first + i;
        const float *from = q + v / w->n_heads * ld + v % w->n_heads * w->head_dim + dim;

        x[i] = _mm512_setzero_si512();
        if (v < w->m)
            x[i] = (__m512i)_mm512_cvtne2ps_pbh(n > LANE ? scaled(from + LANE, n - LANE, scale)
                                                         : _mm512_setzero_ps(),
                                                scaled(from, n, scale));
    }
    transpose_16(x);
    for (size_t i = 0; i < LANE; i++)
        _mm512_storeu_si512(to + i * 2 * WIDE_GROUP, x[i]);
}

static void load(struct wide *w, const float *q, size_t ld)
{
    size_t n = w->n_groups * WIDE_GROUP;

    for (size_t v = 0; v < n; v += LANE)
        for (size_t dim = 0; dim < w->k_dims; dim += STEP)
            load_some(w, q, ld, v, dim);
    for (size_t v = 0; v < n; v++) {
        size_t pos = w->pos + (v < w->m ? v : w->m - 1) / w->n_heads, last = pos;

        if (w->reach)
            last =
                w->window != 0 && w->reach - pos > w->window ? pos + w->window - 1 : w->reach - 1;
        w->last[v] = (int32_t)last;
        w->before[v] = w->window != 0 && pos >= w->window ? (int32_t)(pos - w->window) : -1;
    }
}

static void start(struct wide *w)
{
    size_t n = w->n_groups * WIDE_GROUP;

    for (size_t v = 0; v < n; v++) {
        w->now.max[v] = -INFINITY;
        w->now.sum[v] = 0;
    }
    memset(w->now.acc, 0, n * w->v_dims * sizeof *w->now.acc);
}

/* --- scores --- */

/* scores[64][32] = K Q^T of one group: two by two tiles at a time. */
static void multiply_keys(const struct wide *w, size_t group)
{
    size_t steps = w->k_dims / STEP;
    const char *q = (const char *)(w->q + group * w->k_dims * WIDE_GROUP);

    for (size_t p = 0; p < WIDE_BLOCK; p += 2 * LANE) {
        const uint16_t *k = w->k + p / LANE * steps * TILE;
        float *s = w->scores + p * WIDE_GROUP;

        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (size_t i = 0; i < steps; i++) {
            _tile_loadd(4, k + i * TILE, 2 * STEP);
            _tile_loadd(6, q + i * LANE * PAIR_ROW, PAIR_ROW);
            _tile_loadd(5, k + (steps + i) * TILE, 2 * STEP);
            _tile_loadd(7, q + i * LANE * PAIR_ROW + PAIR_ROW / 2, PAIR_ROW);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
        _tile_stored(0, s, WIDE_GROUP * sizeof *s);
        _tile_stored(1, s + LANE, WIDE_GROUP * sizeof *s);
        _tile_stored(2, s + LANE * WIDE_GROUP, WIDE_GROUP * sizeof *s);
        _tile_stored(3, s + LANE * WIDE_GROUP + LANE, WIDE_GROUP * sizeof *s);
    }
}

/* Scores in powers of two where a cap comes between. */
static void cap_scores(const struct wide *w)
{
    isa_amx.softcap(w->scores, WIDE_BLOCK * WIDE_GROUP, w->softcap);
    isa_amx.scale(w->scores, w->scores, LOG2_E, WIDE_BLOCK * WIDE_GROUP);
}

/* What 16 vectors do not see becomes -inf. */
static void mask_scores(const struct wide *w, float *s, size_t first, size_t block)
{
    const __m512 none = _mm512_set1_ps(-INFINITY);
    __m512i last = _mm512_loadu_si512(w->last + first), pos = _mm512_set1_epi32((int)block);
    __m512i before = _mm512_loadu_si512(w->before + first);

    for (size_t p = 0; p < WIDE_BLOCK; p++, s += WIDE_GROUP) {
        __mmask16 seen = _mm512_cmple_epi32_mask(pos, last) & _mm512_cmpgt_epi32_mask(pos, before);

        _mm512_store_ps(s, _mm512_mask_blend_ps(seen, none, _mm512_load_ps(s)));
        pos = _mm512_add_epi32(pos, _mm512_set1_epi32(1));
    }
}

/* s: [64] of 16 vectors, WIDE_GROUP apart. */
static inline __m512 largest(const float *s)
{
    __m512 top[4];

    for (int i = 0; i < 4; i++)
        top[i] = _mm512_load_ps(s + i * WIDE_GROUP);
    for (int p = 4; p < WIDE_BLOCK; p += 4)
        for (int i = 0; i < 4; i++)
            top[i] = _mm512_max_ps(_mm512_load_ps(s + (p + i) * WIDE_GROUP), top[i]);
    return _mm512_max_ps(_mm512_max_ps(top[0], top[1]), _mm512_max_ps(top[2], top[3]));
}

/* Moves the maxima of 16 vectors, and what was summed under the old ones with them. */
static __m512 raise_max(struct wide *w, const float *s, size_t first)
{
    __m512 max = _mm512_loadu_ps(w->now.max + first), top = largest(s), factor, now;
    __mmask16 raised =
        _mm512_cmp_ps_mask(top, _mm512_add_ps(max, _mm512_set1_ps(SLACK)), _CMP_GT_OQ);
    float *acc = w->now.acc + first / WIDE_GROUP * w->v_dims * WIDE_GROUP + first % WIDE_GROUP;

    if (!raised)
        return max;
    now = _mm512_mask_blend_ps(raised, max, top);
    _mm512_storeu_ps(w->now.max + first, now);
    factor = _mm512_mask_blend_ps(raised, _mm512_set1_ps(1), exp2_rough(_mm512_sub_ps(max, now)));
    _mm512_storeu_ps(w->now.sum + first,
                     _mm512_mul_ps(_mm512_loadu_ps(w->now.sum + first), factor));
    if (_mm512_mask_cmp_ps_mask(raised, max, _mm512_set1_ps(-INFINITY), _CMP_NEQ_OQ))
        for (size_t i = 0; i < w->v_dims; i++, acc += WIDE_GROUP)
            _mm512_store_ps(acc, _mm512_mul_ps(_mm512_load_ps(acc), factor));
    return now;
}

/* Scores of 16 vectors become weights in pairs of positions; their sum joins the others. */
static void softmax_some(struct wide *w, size_t first, size_t block, bool masked)
{
    const __m512i ones = _mm512_set1_epi16(0x3f80);
    float *s = w->scores + first % WIDE_GROUP;
    uint16_t *to = w->weights + first % WIDE_GROUP * 2;
    __m512 max, sum[2] = { _mm512_loadu_ps(w->now.sum + first), _mm512_setzero_ps() };

    if (masked)
        mask_scores(w, s, first, block);
    max = raise_max(w, s, first);
    sum[0] = _mm512_loadu_ps(w->now.sum + first);
    /* a vector that has seen nothing yet: -inf - 0, not -inf + inf */
    max = _mm512_mask_blend_ps(_mm512_cmp_ps_mask(max, _mm512_set1_ps(-INFINITY), _CMP_EQ_OQ), max,
                               _mm512_setzero_ps());
    for (size_t p = 0; p < WIDE_BLOCK; p += 4)
        for (size_t i = 0; i < 2; i++, s += 2 * WIDE_GROUP, to += 2 * WIDE_GROUP) {
            __m512i both = pairs(exp2_rough(_mm512_sub_ps(_mm512_load_ps(s), max)),
                                 exp2_rough(_mm512_sub_ps(_mm512_load_ps(s + WIDE_GROUP), max)));

            sum[i] = _mm512_dpbf16_ps(sum[i], (__m512bh)both, (__m512bh)ones);
            _mm512_store_si512(to, both);
        }
    _mm512_storeu_ps(w->now.sum + first, _mm512_add_ps(sum[0], sum[1]));
}

/* --- values --- */

/* acc += V^T weights of one group. */
static void multiply_values(const struct wide *w, size_t group)
{
    const char *b = (const char *)w->weights;
    size_t n_tiles = w->v_dims / LANE;

    for (size_t t = 0; t < n_tiles; t += 2) {
        float *c = w->now.acc + (group * w->v_dims + t * LANE) * WIDE_GROUP;
        const uint16_t *v = w->v + t * 2 * TILE;
        bool two = t + 1 < n_tiles;

        _tile_loadd(0, c, WIDE_GROUP * sizeof *c);
        _tile_loadd(1, c + LANE, WIDE_GROUP * sizeof *c);
        if (two) {
            _tile_loadd(2, c + LANE * WIDE_GROUP, WIDE_GROUP * sizeof *c);
            _tile_loadd(3, c + LANE * WIDE_GROUP + LANE, WIDE_GROUP * sizeof *c);
        }
        for (size_t i = 0; i < WIDE_BLOCK / STEP; i++) {
            _tile_loadd(4, v + i * TILE, 2 * STEP);
            _tile_loadd(6, b + i * LANE * PAIR_ROW, PAIR_ROW);
            _tile_loadd(7, b + i * LANE * PAIR_ROW + PAIR_ROW / 2, PAIR_ROW);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
            if (two) {
                _tile_loadd(5, v + (2 + i) * TILE, 2 * STEP);
                _tile_dpbf16ps(2, 5, 6);
                _tile_dpbf16ps(3, 5, 7);
            }
        }
        _tile_stored(0, c, WIDE_GROUP * sizeof *c);
        _tile_stored(1, c + LANE, WIDE_GROUP * sizeof *c);
        if (two) {
            _tile_stored(2, c + LANE * WIDE_GROUP, WIDE_GROUP * sizeof *c);
            _tile_stored(3, c + LANE * WIDE_GROUP + LANE, WIDE_GROUP * sizeof *c);
        }
    }
}

static void pack_block(struct wide *w, size_t n)
{
    size_t steps = w->k_dims / STEP;

    for (size_t g = 0; g < WIDE_BLOCK / LANE; g++)
        for (size_t i = 0; i < steps; i++)
            pack(w->k + (g * steps + i) * TILE, w->k_floats + (g * w->head_dim + i * STEP) * LANE,
                 LANE, w->head_dim - i * STEP);
    for (size_t t = 0; t < w->v_dims / LANE; t++)
        for (size_t i = 0; i < WIDE_BLOCK / STEP; i++)
            pack(w->v + (t * 2 + i) * TILE, w->v_floats + i * STEP * w->v_dims + t * LANE,
                 w->v_dims, n > i * STEP ? n - i * STEP : 0);
}

static void block(struct wide *w, size_t block_at, size_t n)
{
    pack_block(w, n);
    tiles_begin();
    for (size_t g = 0; g < w->n_groups; g++) {
        size_t first = g * WIDE_GROUP, end = first + WIDE_GROUP - 1; /* neither ever falls */
        int32_t from = (int32_t)block_at, to = from + WIDE_BLOCK - 1;
        bool masked = to > w->last[first] || from <= w->before[end];

        /* nothing there for any of them: zeros would be added to sums of 0 and more */
        if (from > w->last[end] || to <= w->before[first])
            continue;
        multiply_keys(w, g);
        if (w->softcap != 0)
            cap_scores(w);
        softmax_some(w, first, block_at, masked);
        softmax_some(w, first + LANE, block_at, masked);
        multiply_values(w, g);
    }
    tiles_end();
}

/* --- results --- */

/* 2^(x - top); exactly 1 where they are the same, be it -inf. */
static inline __m512 share(__m512 x, __m512 top)
{
    __mmask16 same = _mm512_cmp_ps_mask(x, top, _CMP_EQ_OQ);

    return _mm512_mask_blend_ps(same, exp2_rough(_mm512_sub_ps(x, top)), _mm512_set1_ps(1));
}

/* A vector that has seen nothing in `from` stays what it was to the bit; one that had seen nothing
 * before becomes what `from` has. */
static void merge(const struct wide *w, struct wide_sums *into, const struct wide_sums *from)
{
    for (size_t first = 0; first < w->n_groups * WIDE_GROUP; first += LANE) {
        size_t at = first / WIDE_GROUP * w->v_dims * WIDE_GROUP + first % WIDE_GROUP;
        __m512 a = _mm512_loadu_ps(into->max + first), b = _mm512_loadu_ps(from->max + first);
        __m512 top = _mm512_max_ps(a, b), more;

        if (!_mm512_cmp_ps_mask(b, _mm512_set1_ps(-INFINITY), _CMP_NEQ_OQ))
            continue;
        a = share(a, top);
        b = share(b, top);
        _mm512_storeu_ps(into->max + first, top);
        more = _mm512_mul_ps(_mm512_loadu_ps(from->sum + first), b);
        _mm512_storeu_ps(into->sum + first,
                         _mm512_fmadd_ps(_mm512_loadu_ps(into->sum + first), a, more));
        for (size_t i = 0; i < w->v_dims; i++, at += WIDE_GROUP) {
            more = _mm512_mul_ps(_mm512_load_ps(from->acc + at), b);
            _mm512_store_ps(into->acc + at,
                            _mm512_fmadd_ps(_mm512_load_ps(into->acc + at), a, more));
        }
    }
}

/* By what acc is to be multiplied: 1 / sum, a sink's weight added to sum. */
static void factors(float *f, const struct wide *w, const struct wide_sums *s, size_t first,
                    const float *sinks)
{
    for (size_t i = 0; i < LANE; i++) {
        float sum = s->sum[first + i];

        if (sinks)
            sum += exp2f(sinks[(first + i) % w->n_heads] * LOG2_E - s->max[first + i]);
        f[i] = 1 / sum;
    }
}

static void store(const struct wide *w, const struct wide_sums *s, float *y, size_t ld,
                  const float *sinks)
{
    float f[LANE];

    for (size_t first = 0; first < w->m; first += LANE) {
        const float *acc =
            s->acc + first / WIDE_GROUP * w->v_dims * WIDE_GROUP + first % WIDE_GROUP;

        factors(f, w, s, first, sinks);
        for (size_t dim = 0; dim < w->head_dim; dim += LANE) {
            size_t left = w->head_dim - dim;
            __mmask16 some = left >= LANE ? 0xffff : (__mmask16)((1u << left) - 1);
            __m512i x[LANE];

            for (size_t i = 0; i < LANE; i++) /* + 0: no -0 */
                x[i] = _mm512_castps_si512(
                    _mm512_fmadd_ps(_mm512_load_ps(acc + (dim + i) * WIDE_GROUP),
                                    _mm512_loadu_ps(f), _mm512_setzero_ps()));
            transpose_16(x);
            for (size_t i = 0; i < LANE && first + i < w->m; i++) {
                size_t v = first + i;

                _mm512_mask_storeu_ps(y + v / w->n_heads * ld + v % w->n_heads * w->head_dim + dim,
                                      some, _mm512_castsi512_ps(x[i]));
            }
        }
    }
}

const struct wide_ops wide_amx = {
    .load = load, .start = start, .block = block, .merge = merge, .store = store
};
