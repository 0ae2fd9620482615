/* encode_k.c - blocks of 256: the scales of their groups are small integers times a half.  Drawn
 * byte by byte in q4_k.c, q5_k.c and q6_k.c. */
#include "kernels/quant/encode_k.h"

#include <math.h>

#include "kernels/quant/block.h"
#include "kernels/quant/fit.h"

enum { GROUPS = 8, GROUP = 32, SIX_BITS = 63 };

/* Large values count more; the mean of the block keeps groups of small ones from being lost. */
static void weigh(float *weight, const float *x, size_t n, float mean)
{
    for (size_t i = 0; i < n; i++)
        weight[i] = mean + fabsf(x[i]);
}

static float root_mean_square(const float *x, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return (float)sqrt(sum / (double)n);
}

/* d times an integer up to 63 for each of v (none negative): d, a half, at p; integers in out. */
static void store_scales(uint8_t *p, const float *v, uint8_t *out)
{
    float largest = 0, d;

    for (size_t g = 0; g < GROUPS; g++)
        largest = fmaxf(largest, v[g]);
    store_u16(p, quant_to_f16(largest / SIX_BITS));
    d = load_f16(p);
    for (size_t g = 0; g < GROUPS; g++)
        out[g] = (uint8_t)fit_code(v[g], d, 0, 0, SIX_BITS);
}

/* The inverse of load_scale_min(). */
static void pack_scale_min(uint8_t *s, const uint8_t *scale, const uint8_t *min)
{
    for (size_t j = 0; j < 4; j++) {
        s[j] = (uint8_t)(scale[j] | scale[j + 4] >> 4 << 6);
        s[j + 4] = (uint8_t)(min[j] | min[j + 4] >> 4 << 6);
        s[j + 8] = (uint8_t)((scale[j + 4] & 15) | (min[j + 4] & 15) << 4);
    }
}

/* The first 16 bytes of q4_k and q5_k, and the codes, up to hi. */
static void scales_and_codes(uint8_t *b, uint8_t *codes, const float *x, int hi)
{
    float weight[GROUP], scale[GROUPS], min[GROUPS], mean = root_mean_square(x, 256);
    uint8_t sc[GROUPS], m[GROUPS];

    for (size_t g = 0; g < GROUPS; g++) {
        struct fit f;

        weigh(weight, x + GROUP * g, GROUP, mean);
        f = fit_scale_min(x + GROUP * g, weight, GROUP, hi, 0);
        scale[g] = fmaxf(f.scale, 0);
        min[g] = -f.min;
    }
    store_scales(b, scale, sc);
    store_scales(b + 2, min, m);
    pack_scale_min(b + 4, sc, m);
    for (size_t i = 0; i < 256; i++) {
        float d = load_f16(b) * (float)sc[i / GROUP], low = load_f16(b + 2) * (float)m[i / GROUP];

        codes[i] = (uint8_t)fit_code(x[i], d, -low, 0, hi);
    }
}

/* Low nibbles of a pair of groups share bytes. */
static void store_nibbles(uint8_t *qs, const uint8_t *codes)
{
    for (size_t p = 0; p < 4; p++)
        for (size_t j = 0; j < 32; j++)
            qs[32 * p + j] =
                (uint8_t)((codes[64 * p + j] & 15) | (codes[64 * p + 32 + j] & 15) << 4);
}

void encode_q4_k(void *block, const float *x)
{
    uint8_t *b = block, codes[256];

    scales_and_codes(b, codes, x, 15);
    store_nibbles(b + 16, codes);
}

void encode_q5_k(void *block, const float *x)
{
    uint8_t *b = block, codes[256];

    scales_and_codes(b, codes, x, 31);
    memset(b + 16, 0, 32); /* bit g of byte j: fifth bit of value j of group g */
    for (size_t i = 0; i < 256; i++)
        b[16 + i % 32] |= (uint8_t)(codes[i] >> 4 << i / 32);
    store_nibbles(b + 48, codes);
}

void encode_q6_k(void *block, const float *x)
{
    uint8_t *b = block, codes[256];
    float weight[16], scale[16], largest = 0, d, mean = root_mean_square(x, 256);

    for (size_t g = 0; g < 16; g++) {
        weigh(weight, x + 16 * g, 16, mean);
        scale[g] = fit_scale(x + 16 * g, weight, 16, -32, 31).scale;
        if (fabsf(scale[g]) > fabsf(largest))
            largest = scale[g];
    }
    store_u16(b + 208, quant_to_f16(largest / -128)); /* the largest has the code -128 */
    d = load_f16(b + 208);
    for (size_t g = 0; g < 16; g++) {
        int sc = fit_code(scale[g], d, 0, -128, 127);

        b[192 + g] = (uint8_t)(int8_t)sc;
        for (size_t i = 16 * g; i < 16 * g + 16; i++)
            codes[i] = (uint8_t)(fit_code(x[i], d * (float)sc, 0, -32, 31) + 32);
    }
    memset(b, 0, 192);
    for (size_t i = 0; i < 256; i++) {
        size_t h = i / 128, q = i % 128 / 32, j = i % 32;

        b[64 * h + j + q % 2 * 32] |= (uint8_t)((codes[i] & 15) << q / 2 * 4);
        b[128 + 32 * h + j] |= (uint8_t)(codes[i] >> 4 << 2 * q);
    }
}
