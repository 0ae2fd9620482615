/* mm_case.h - made-up matrices for tests and benchmarks of the multiplication: any storage format,
 * any shape, repeatable. */
#ifndef AIRSTRIP_TESTS_MM_CASE_H
#define AIRSTRIP_TESTS_MM_CASE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/quant/quant.h"

static inline uint32_t mm_case_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* -1 .. 1 */
static inline float mm_case_uniform(uint32_t *seed)
{
    return (float)mm_case_random(seed) / (float)(1 << 23) - 1;
}

static inline void mm_case_half(unsigned char *p, float f)
{
    uint16_t h = quant_to_f16(f);

    memcpy(p, &h, sizeof h);
}

/* Where the half that scales a block lies. */
static inline size_t mm_case_scale_at(const struct quant_format *f)
{
    switch (f->dtype) {
    case DTYPE_Q2_K:
        return 80;
    case DTYPE_Q3_K:
        return 108;
    case DTYPE_Q6_K:
        return 208;
    case DTYPE_TQ1_0:
        return 52;
    case DTYPE_TQ2_0:
        return 64;
    default:
        return 0;
    }
}

/* The scales that are not a half at some place. */
static inline void mm_case_small_floats(unsigned char *p, const struct quant_format *f, float scale)
{
    uint16_t h = quant_to_f16(scale / 32);
    float eighth = scale / 8;

    if (f->dtype == DTYPE_F8_E4M3) {
        memcpy(p, &eighth, sizeof eighth);
        for (size_t i = sizeof eighth; i < f->block_bytes; i++)
            if ((p[i] & 0x7f) == 0x7f) /* not a number */
                p[i]--;
    }

    if (f->dtype == DTYPE_MXFP4) /* 2^(e - 128) */
        p[0] = (unsigned char)(scale < 1e-3f ? 110 : 118 + p[1] % 8);
    for (size_t i = 0; f->dtype == DTYPE_NVFP4 && i < 4; i++) /* up to 2^-3 */
        p[i] &= 0x1f;
    for (size_t i = 0; f->dtype == DTYPE_IQ1_M && i < 4; i++) /* a nibble in each of four numbers */
        p[49 + 2 * i] = (unsigned char)((p[49 + 2 * i] & 15) | (h >> 4 * i & 15) << 4);
}

/* One block: every byte is `fill`, or random if fill < 0; scales are sane numbers all the same,
 * with -2 very small ones. */
static inline void mm_case_block(unsigned char *p, const struct quant_format *f, int fill,
                                 uint32_t *seed)
{
    float scale = 0.01f + 0.02f * (float)(mm_case_random(seed) % 256) / 256;
    size_t at = mm_case_scale_at(f);
    float value = mm_case_uniform(seed);

    if (fill == -2 && f->name[0] != 'I') /* the IQ formats divide it once more */
        scale /= 4096;
    for (size_t i = 0; i < f->block_bytes; i++)
        p[i] = (unsigned char)(fill < 0 ? (int)(mm_case_random(seed) & 255) : fill);
    if (f->dtype == DTYPE_F32) {
        memcpy(p, &value, sizeof value);
    } else if (f->dtype == DTYPE_F16) {
        mm_case_half(p, value);
    } else if (f->dtype == DTYPE_BF16) {
        memcpy(p, (unsigned char *)&value + 2, 2);
    } else if (f->dtype == DTYPE_MXFP4 || f->dtype == DTYPE_NVFP4 || f->dtype == DTYPE_IQ1_M ||
               f->dtype == DTYPE_F8_E4M3) {
        mm_case_small_floats(p, f, scale);
    } else {
        mm_case_half(p + at, f->block_values > 32 ? scale / 32 : scale);
        if (f->has_min) /* minima in the K formats are subtracted */
            mm_case_half(p + at + 2, f->block_values > 32 ? scale / 4 : -8 * scale);
    }
}

/* A matrix; its bytes start one past an aligned address where `odd`.  Free with mm_case_free(). */
static inline struct tensor mm_case_tensor(const struct quant_format *f, size_t rows, size_t cols,
                                           int fill, int odd, uint32_t seed)
{
    size_t bytes = rows * cols / f->block_values * f->block_bytes;
    unsigned char *p = aligned_alloc(64, (bytes + 64) / 64 * 64 + 64);
    struct tensor t = { .name = f->name, .dtype = f->dtype, .n_dims = 2, .bytes = bytes };

    if (!p)
        abort();
    t.data = p + (odd != 0);
    t.shape[0] = rows;
    t.shape[1] = cols;
    t.shape[2] = t.shape[3] = 1;
    for (size_t i = 0; i < bytes; i += f->block_bytes)
        mm_case_block(p + (odd != 0) + i, f, fill, &seed);
    return t;
}

static inline void mm_case_free(struct tensor *t)
{
    free((void *)((uintptr_t)t->data & ~(uintptr_t)63));
}

#endif
