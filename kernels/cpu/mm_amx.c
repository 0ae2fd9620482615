/* mm_amx.c - prompt rows in tiles of bf16; all other rows as on AVX-512.
 *
 * A tile of sums is 16 activation rows by 16 rows of weights; 2 x 2 of them are kept in tile
 * registers while two tiles of activations and two of weights pass by, so that each is loaded once
 * for two products.  Weights are spread out a few blocks at a time, which stay in the nearest cache
 * while all activation rows come by. */
#include "kernels/cpu/mm_ops.h"
#include "kernels/cpu/tiles_amx.h"

/* See mm_avx512.c. */
#define UNROLLED    __attribute__((no_sanitize("undefined")))
#define SPECIALISED static inline __attribute__((always_inline)) UNROLLED

enum { TILE = MM_STRIP * MM_BLOCK }; /* values of bf16 in a tile */

/* --- activations --- */

static void to_bf16(uint16_t *a, const float *x, size_t n_blocks)
{
    for (size_t b = 0; b < n_blocks; b++, a += TILE, x += MM_BLOCK)
        _mm512_store_si512(a, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + 16),
                                                           _mm512_loadu_ps(x)));
}

/* --- weights: a block becomes a tile, line k of it columns 2 k and 2 k + 1 of all 16 rows --- */

/* What turns a code into a value: with its lowest bit where a float of a certain exponent has its
 * ones, a code is a float, less that power of two; one fused multiply-add does the rest. */
struct scaling {
    __m512 scale, offset;
};

SPECIALISED int ones(const int bits)
{
    return bits == 8 ? 15 : 16; /* the bit that is 1 in a float of 256 .. 511, and of 128 .. 255 */
}

SPECIALISED struct scaling scaling_of(const uint16_t *scale, const uint16_t *min, const int bits)
{
    const float power = bits == 8 ? 256 : 128;
    struct scaling s;

    s.scale = _mm512_cvtph_ps(_mm256_load_si256((const void *)scale));
    if (min)
        s.offset = _mm512_fnmadd_ps(_mm512_set1_ps(power), s.scale,
                                    _mm512_cvtph_ps(_mm256_load_si256((const void *)min)));
    else
        s.offset = _mm512_mul_ps(_mm512_set1_ps(-power - (float)(1 << (bits - 1))), s.scale);
    return s;
}

/* The values of the codes whose lowest bit is bit `at` of each lane. */
SPECIALISED __m512 values(__m512i lanes, int at, struct scaling s, const int bits)
{
    const __m512i mask = _mm512_set1_epi32(((1 << bits) - 1) << ones(bits));
    const __m512i power = _mm512_set1_epi32(bits == 8 ? 0x43800000 : 0x43000000);
    const unsigned left = (unsigned)(ones(bits) - at), right = (unsigned)(at - ones(bits));
    __m512i moved = at < ones(bits)   ? _mm512_slli_epi32(lanes, left)
                    : at > ones(bits) ? _mm512_srli_epi32(lanes, right)
                                      : lanes;

    moved = _mm512_ternarylogic_epi32(moved, mask, power, 0xea); /* (moved & mask) | power */
    return _mm512_fmadd_ps(_mm512_castsi512_ps(moved), s.scale, s.offset);
}

/* Lane by lane as bf16, rounded to nearest (ties away from zero: cheaper, and scales times codes
 * have few), the even column below. */
SPECIALISED __m512i pairs(__m512 even, __m512 odd)
{
    const __m512i half = _mm512_set1_epi32(0x8000);
    __m512i e = _mm512_add_epi32(_mm512_castps_si512(even), half);
    __m512i o = _mm512_add_epi32(_mm512_castps_si512(odd), half);

    return _mm512_ternarylogic_epi32(_mm512_srli_epi32(e, 16), o, _mm512_set1_epi32(-65536), 0xf8);
}

/* A step, four columns of each row, as two lines.  The codes stand at bit `at` of each byte. */
SPECIALISED void put_step(uint16_t *out, int step, __m512i lanes, int at, struct scaling s,
                          const int bits)
{
    __m512i *line = (void *)(out + step * 64);

    _mm512_store_si512(line, pairs(values(lanes, at, s, bits), values(lanes, at + 8, s, bits)));
    _mm512_store_si512(line + 1,
                       pairs(values(lanes, at + 16, s, bits), values(lanes, at + 24, s, bits)));
}

/* Bits 4 and up from a plane: low | (plane moved by shift & mask). */
SPECIALISED __m512i upper(__m512i low, __m512i plane, int shift, int mask)
{
    const __m512i by = _mm512_set1_epi16((short)(shift >= 0 ? shift : -shift));
    __m512i moved = shift >= 0 ? _mm512_sllv_epi16(plane, by) : _mm512_srlv_epi16(plane, by);

    return _mm512_ternarylogic_epi64(low, moved, _mm512_set1_epi8((char)mask), 0xf8);
}

SPECIALISED void put_block(uint16_t *out, const uint8_t *in, struct scaling lo, struct scaling hi,
                           const int bits)
{
    const __m512i nibble = _mm512_set1_epi8(15);
    __m512i plane[2];

    if (bits == 5 || bits == 6)
        plane[0] = plane[1] = _mm512_load_si512((const void *)(in + 256));
    if (bits == 6)
        plane[1] = _mm512_load_si512((const void *)(in + 320));
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        __m512i v = _mm512_load_si512((const void *)(in + 64 * k)), w;

        if (bits == 4) {
            put_step(out, k, v, 0, lo, bits);
            put_step(out, k + 4, v, 4, hi, bits);
            continue;
        }
        if (bits == 8) {
            w = _mm512_load_si512((const void *)(in + 64 * (k + 4)));
        } else {
            w = _mm512_and_si512(_mm512_srli_epi16(v, 4), nibble);
            v = _mm512_and_si512(v, nibble);
        }
        if (bits == 5) {
            v = upper(v, plane[0], 4 - k, 16);
            w = upper(w, plane[0], -k, 16);
        } else if (bits == 6) {
            v = upper(v, plane[0], 4 - 2 * k, 48);
            w = upper(w, plane[1], 4 - 2 * k, 48);
        }
        put_step(out, k, v, 0, lo, bits);
        put_step(out, k + 4, w, 0, hi, bits);
    }
}

/* n blocks of a panel, to every stride-th tile. */
SPECIALISED void put_blocks(uint16_t *out, size_t stride, const uint8_t *codes,
                            const uint16_t *scales, size_t n, const int bits, const int subs,
                            const bool has_min)
{
    for (; n > 0; n--, codes += bits * 64, scales += (subs + has_min) * MM_GROUP) {
        struct scaling lo = scaling_of(scales, has_min ? scales + MM_GROUP : NULL, bits), hi = lo;

        if (subs == 2)
            hi = scaling_of(scales + MM_GROUP, NULL, bits);
        put_block(out, codes, lo, hi, bits);
        out += stride;
    }
}

UNROLLED static void widen(uint16_t *out, size_t stride, const struct weight *w,
                           const uint8_t *codes, const uint16_t *scales, size_t n)
{
    if (w->bits == 4 && w->has_min)
        put_blocks(out, stride, codes, scales, n, 4, 1, true);
    else if (w->bits == 4)
        put_blocks(out, stride, codes, scales, n, 4, 1, false);
    else if (w->bits == 5 && w->has_min)
        put_blocks(out, stride, codes, scales, n, 5, 1, true);
    else if (w->bits == 5)
        put_blocks(out, stride, codes, scales, n, 5, 1, false);
    else if (w->bits == 6)
        put_blocks(out, stride, codes, scales, n, 6, 2, false);
    else
        put_blocks(out, stride, codes, scales, n, 8, 1, false);
}

/* --- products --- */

/* T tiles of activations times G of weights, for n blocks; a1 is read where T is 2. */
SPECIALISED void products(const uint16_t *a0, const uint16_t *a1, const uint16_t *w, size_t n,
                          const int T, const int G)
{
    for (; n > 0; n--, a0 += TILE, a1 += TILE, w += G * TILE) {
        _tile_loadd(4, a0, TILE_ROW_BYTES);
        _tile_loadd(6, w, TILE_ROW_BYTES);
        _tile_dpbf16ps(0, 4, 6);
        if (G == 2) {
            _tile_loadd(7, w + TILE, TILE_ROW_BYTES);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (T == 2) {
            _tile_loadd(5, a1, TILE_ROW_BYTES);
            _tile_dpbf16ps(2, 5, 6);
            if (G == 2)
                _tile_dpbf16ps(3, 5, 7);
        }
    }
}

enum { SUMS = MM_STRIP * MM_GROUP };

static void sums_start(const float *acc)
{
    if (!acc) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        return;
    }
    _tile_loadd(0, acc, TILE_ROW_BYTES);
    _tile_loadd(1, acc + SUMS, TILE_ROW_BYTES);
    _tile_loadd(2, acc + 2 * SUMS, TILE_ROW_BYTES);
    _tile_loadd(3, acc + 3 * SUMS, TILE_ROW_BYTES);
}

static void sums_store(float *acc)
{
    _tile_stored(0, acc, TILE_ROW_BYTES);
    _tile_stored(1, acc + SUMS, TILE_ROW_BYTES);
    _tile_stored(2, acc + 2 * SUMS, TILE_ROW_BYTES);
    _tile_stored(3, acc + 3 * SUMS, TILE_ROW_BYTES);
}

/* out, [2][2][16][16], to rows i .. of y; what there is of them. */
static void put_rows(const struct mm_prompt *p, const float *out, size_t i)
{
    size_t rows = p->w->rows - p->group * MM_GROUP, n = p->n - i < 32 ? p->n - i : 32;

    for (size_t g = 0; g < p->n_groups; g++, out += SUMS) {
        size_t left = rows - g * MM_GROUP;
        __mmask16 m = (__mmask16)(left >= MM_GROUP ? 0xffff : (1u << left) - 1);
        float *y = p->y + i * p->y_stride + g * MM_GROUP;
        __m512 bias = _mm512_setzero_ps();

        if (p->bias)
            bias = _mm512_maskz_loadu_ps(m, p->bias + g * MM_GROUP);
        for (size_t r = 0; r < n; r++, y += p->y_stride) {
            const float *sums = out + r / MM_STRIP * 2 * SUMS + r % MM_STRIP * MM_GROUP;

            _mm512_mask_storeu_ps(y, m, _mm512_add_ps(_mm512_load_ps(sums), bias));
        }
    }
}

/* All activation rows times blocks from .. from + n - 1, which stand in the buffer. */
static void multiply(const struct mm_prompt *p, size_t from, size_t n)
{
    size_t strip = p->w->n_blocks * TILE;
    bool last = from + n == p->w->n_blocks;
    struct mm_prompt_buf *buf = p->buf;

    for (size_t i = 0; i < p->n; i += 2 * MM_STRIP) {
        const uint16_t *a0 = p->a + i / MM_STRIP * strip + from * TILE, *a1 = a0 + strip;
        float *acc = buf->acc + i * 2 * MM_GROUP;
        bool two = p->n - i > MM_STRIP;

        sums_start(from > 0 ? acc : NULL);
        if (p->n_groups == 2 && two)
            products(a0, a1, buf->weight, n, 2, 2);
        else if (p->n_groups == 2)
            products(a0, a1, buf->weight, n, 1, 2);
        else if (two)
            products(a0, a1, buf->weight, n, 2, 1);
        else
            products(a0, a1, buf->weight, n, 1, 1);
        sums_store(last ? buf->out : acc);
        if (last)
            put_rows(p, buf->out, i);
    }
}

/* Panels of weights in equal parts that the buffer holds. */
static void prompt(const struct mm_prompt *p)
{
    const struct weight *w = p->w;
    size_t stride = p->n_groups * TILE, scales = (size_t)(w->subs + w->has_min) * MM_GROUP;

    tiles_begin();
    for (size_t panel = 0; panel < w->n_panels; panel++) {
        size_t blocks = weight_blocks(w, panel);
        size_t parts = (blocks + MM_PROMPT_BLOCKS - 1) / MM_PROMPT_BLOCKS;
        size_t step = (blocks + parts - 1) / parts;

        for (size_t b = 0; b < blocks; b += step) {
            size_t n = blocks - b < step ? blocks - b : step;

            for (size_t g = 0; g < p->n_groups; g++)
                widen(p->buf->weight + g * TILE, stride, w,
                      weight_codes(w, p->group + g, panel) + b * w->code_bytes,
                      weight_scales(w, p->group + g, panel) + b * scales, n);
            tiles_see_stores();
            multiply(p, panel * w->panel_blocks + b, n);
        }
    }
    tiles_end();
}

const struct mm_ops mm_amx = {
    .name = "amx",
    .quantise = mm_avx512_quantise,
    .expand = mm_avx512_expand,
    .tile = mm_avx512_tile,
    .few = mm_few_avx512,
    .to_bf16 = to_bf16,
    .prompt = prompt,
    .many = mm_many_amx,
    .dots = mm_avx512_dots,
};
