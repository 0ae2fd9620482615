/* widen_amx.h - weights as tiles of bf16, for mm_amx.c. */
#ifndef AIRSTRIP_CPU_WIDEN_AMX_H
#define AIRSTRIP_CPU_WIDEN_AMX_H

#include <immintrin.h>

#include "kernels/cpu/mm_ops.h"
#include "kernels/cpu/tiles_amx.h"

/* See mm_avx512.c. */
#define UNROLLED    __attribute__((no_sanitize("undefined")))
#define SPECIALISED static inline __attribute__((always_inline)) UNROLLED

enum { TILE = MM_STRIP * MM_BLOCK }; /* values of bf16 in a tile */

/* A block becomes a tile, line k of it columns 2 k and 2 k + 1 of all 16 rows. */

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

/* n blocks from codes and scales on, to every stride-th value of out. */
UNROLLED static inline void widen(uint16_t *out, size_t stride, const struct weight *w,
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

/* --- floats --- */

/* 32 numbers as sums of two of bf16, up to 2^-17 of them. */
struct terms {
    __m512i high, low;
};

SPECIALISED __m512 rest(__m512 x, __m256i high)
{
    return _mm512_sub_ps(x,
                         _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16)));
}

SPECIALISED struct terms terms(__m512 x0, __m512 x1)
{
    struct terms t;

    t.high = (__m512i)_mm512_cvtne2ps_pbh(x1, x0);
    t.low = (__m512i)_mm512_cvtne2ps_pbh(rest(x1, _mm512_extracti64x4_epi64(t.high, 1)),
                                         rest(x0, _mm512_castsi512_si256(t.high)));
    return t;
}

/* Where a buffer of spread weights has their low parts; 0 where there are none. */
static inline size_t low_at(const struct weight *w)
{
    return w->kind == WEIGHT_FLOAT && w->format->dtype != DTYPE_BF16
               ? (size_t)MM_PROMPT_BLOCKS / 2 * 2 * TILE
               : 0;
}

SPECIALISED void put_tile(uint16_t *out, __m512i x[TILE_ROWS])
{
    transpose_16(x);
#pragma GCC unroll 16
    for (int i = 0; i < TILE_ROWS; i++)
        _mm512_store_si512(out + i * MM_BLOCK, x[i]);
}

/* Block `block` of a group: its 16 rows stand in the order of the file.  What a group has no rows
 * for is memory all the same, and nobody reads its results. */
SPECIALISED void put_floats(uint16_t *out, const unsigned char *from, size_t row_bytes, size_t low,
                            const enum dtype dtype)
{
    __m512i high[TILE_ROWS], rest[TILE_ROWS];

#pragma GCC unroll 16
    for (int i = 0; i < TILE_ROWS; i++, from += row_bytes) {
        struct terms t;

        if (dtype == DTYPE_BF16) {
            high[i] = _mm512_loadu_si512(from);
            continue;
        }
        t = dtype == DTYPE_F32
                ? terms(_mm512_loadu_ps(from), _mm512_loadu_ps(from + 64))
                : terms(_mm512_cvtph_ps(_mm256_loadu_si256((const void *)from)),
                        _mm512_cvtph_ps(_mm256_loadu_si256((const void *)(from + 32))));
        high[i] = t.high;
        rest[i] = t.low;
    }
    put_tile(out, high);
    if (dtype != DTYPE_BF16)
        put_tile(out + low, rest);
}

/* The same of floats in a form of their own. */
UNROLLED static inline void put_decoded(uint16_t *out, const unsigned char *from,
                                        const struct weight *w, size_t low)
{
    float x[TILE_ROWS][MM_BLOCK];

    for (size_t i = 0; i < TILE_ROWS; i++, from += w->row_bytes)
        if (!mm_spread_avx512(x[i], from, w->format->dtype, MM_BLOCK / w->format->block_values))
            w->format->decode(x[i], from, MM_BLOCK / w->format->block_values);
    put_floats(out, (const void *)x, sizeof x[0], low, DTYPE_F32);
}

/* As widen(), from block `block` of a group of floats on. */
UNROLLED static inline void widen_floats(uint16_t *out, size_t stride, const struct weight *w,
                                         size_t group, size_t block, size_t n)
{
    const size_t bytes = w->row_bytes / w->n_blocks, low = low_at(w);
    const unsigned char *from = w->source + group * w->group_bytes + block * bytes;

    for (; n > 0; n--, out += stride, from += bytes) {
        if (w->format->dtype == DTYPE_BF16)
            put_floats(out, from, w->row_bytes, low, DTYPE_BF16);
        else if (w->format->dtype == DTYPE_F16)
            put_floats(out, from, w->row_bytes, low, DTYPE_F16);
        else if (w->format->dtype == DTYPE_F32)
            put_floats(out, from, w->row_bytes, low, DTYPE_F32);
        else
            put_decoded(out, from, w, low);
    }
}

#endif
