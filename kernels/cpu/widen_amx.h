/* widen_amx.h - packed weights as tiles of bf16, for mm_amx.c. */
#ifndef AIRSTRIP_CPU_WIDEN_AMX_H
#define AIRSTRIP_CPU_WIDEN_AMX_H

#include <immintrin.h>

#include "kernels/cpu/mm_ops.h"

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

#endif
