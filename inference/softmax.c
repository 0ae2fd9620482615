/* softmax.c - each loop over `LANES` is one vector operation, or a few; see configure.ac for what
 * VECTOR_CLONES is.  What stands at the end of a vocabulary is padded to a block. */
#include "inference/softmax.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "config.h"

enum { LANES = 16 };

#define INLINE static inline __attribute__((always_inline))

/* x = r ln 2 + f with |f| <= ln 2 / 2, then Taylor's series of e^f to the seventh power. */
INLINE float exp_one(float x)
{
    float c = x >= -87.0f ? x : -87.0f;                      /* NaN too */
    float r = (c * 1.44269504f + 12582912.0f) - 12582912.0f; /* 1.5 * 2^23 rounds to an integer */
    float f = (c - r * 0.693359375f) + r * 2.12194440e-4f; /* ln 2 in two parts (Cody and Waite) */
    float p = f * (1.0f / 5040) + 1.0f / 720, power;
    int32_t bits = ((int32_t)r + 127) << 23; /* 2^r */

    p = p * f + 1.0f / 120;
    p = p * f + 1.0f / 24;
    p = p * f + 1.0f / 6;
    p = p * f + 0.5f;
    p = p * f + 1.0f;
    p = p * f + 1.0f;
    memcpy(&power, &bits, sizeof power);
    p *= power;
    return x >= -87.0f ? p : 0;
}

float softmax_exp(float x)
{
    return exp_one(x);
}

/* The block at x + i, or a copy of what is left of it, filled up. */
INLINE const float *block_at(const float *x, size_t n, size_t i, float fill, float *padded)
{
    size_t left = n - i;

    if (left >= SOFTMAX_BLOCK)
        return x + i;
    for (size_t k = 0; k < SOFTMAX_BLOCK; k++)
        padded[k] = k < left ? x[i + k] : fill;
    return padded;
}

INLINE float total(float *t)
{
    for (size_t half = LANES / 2; half >= 4; half /= 2)
        for (size_t k = 0; k < half; k++)
            t[k] += t[k + half];
    return (t[0] + t[2]) + (t[1] + t[3]);
}

VECTOR_CLONES void softmax_allow(float *y, const float *x, size_t n, const uint64_t *mask)
{
    for (size_t i = 0; i < n; i += 32) {
        uint32_t bits = (uint32_t)(mask[i / 64] >> i % 64);
        size_t left = n - i < 32 ? n - i : 32;

        if (left == 32 && bits == UINT32_MAX)
            memcpy(y + i, x + i, 32 * sizeof *y);
        else if (left == 32)
            for (uint32_t k = 0; k < 32; k++)
                y[i + k] = bits >> k & 1 ? x[i + k] : -INFINITY;
        else
            for (uint32_t k = 0; k < left; k++)
                y[i + k] = bits >> k & 1 ? x[i + k] : -INFINITY;
    }
}

VECTOR_CLONES double softmax_sum(const float *x, size_t n, float max, float scale,
                                 const float *tops, double *sums)
{
    float padded[SOFTMAX_BLOCK];
    double sum = 0;

    for (size_t i = 0; i < n; i += SOFTMAX_BLOCK) {
        const float *v = block_at(x, n, i, -INFINITY, padded);
        float t[LANES];
        double s;

        if (tops && !((tops[i / SOFTMAX_BLOCK] - max) * scale >= -87.0f)) { /* nothing but 0 */
            if (sums)
                sums[i / SOFTMAX_BLOCK] = 0;
            continue;
        }
        for (size_t k = 0; k < LANES; k++)
            t[k] = exp_one((v[k] - max) * scale);
        for (size_t k = 0; k < LANES; k++)
            t[k] += exp_one((v[LANES + k] - max) * scale);
        for (size_t k = 0; k < LANES; k++)
            t[k] += exp_one((v[2 * LANES + k] - max) * scale);
        for (size_t k = 0; k < LANES; k++)
            t[k] += exp_one((v[3 * LANES + k] - max) * scale);
        s = (double)total(t);
        if (sums)
            sums[i / SOFTMAX_BLOCK] = s;
        sum += s;
    }
    return sum;
}

VECTOR_CLONES double softmax_moment(const float *x, size_t n, float max)
{
    float padded[SOFTMAX_BLOCK];
    double sum = 0;

    for (size_t i = 0; i < n; i += SOFTMAX_BLOCK) {
        const float *v = block_at(x, n, i, -INFINITY, padded);
        float t[LANES] = { 0 };

        for (size_t k = 0; k < SOFTMAX_BLOCK; k += LANES)
            for (size_t l = 0; l < LANES; l++) {
                float d = v[k + l] - max;

                t[l] += exp_one(d) * (d >= -87.0f ? d : 0);
            }
        sum += (double)total(t);
    }
    return sum;
}

size_t softmax_find(const float *x, size_t n, float max, float scale, const double *sums,
                    double target)
{
    double sum = 0;
    size_t i = 0;

    for (; n - i > SOFTMAX_BLOCK && sum + sums[i / SOFTMAX_BLOCK] <= target; i += SOFTMAX_BLOCK)
        sum += sums[i / SOFTMAX_BLOCK];
    for (; i < n; i++) {
        sum += (double)exp_one((x[i] - max) * scale);
        if (sum > target)
            return i;
    }
    for (i = n; i-- > 1;) /* everything was passed over by a hair: the last term above 0 */
        if (exp_one((x[i] - max) * scale) > 0)
            break;
    return i;
}

INLINE float block_max(const float *v)
{
    float m[LANES];

    for (size_t k = 0; k < LANES; k++)
        m[k] = v[k] >= -INFINITY ? v[k] : -INFINITY;
    for (size_t i = LANES; i < SOFTMAX_BLOCK; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            m[k] = v[i + k] > m[k] ? v[i + k] : m[k];
    for (size_t half = LANES / 2; half; half /= 2)
        for (size_t k = 0; k < half; k++)
            m[k] = m[k + half] > m[k] ? m[k + half] : m[k];
    return m[0];
}

VECTOR_CLONES float softmax_max(const float *x, size_t n, size_t *at, float *tops)
{
    float padded[SOFTMAX_BLOCK], best = -INFINITY;
    size_t i, first = 0;

    for (i = 0; i < n; i += SOFTMAX_BLOCK) {
        float m = block_max(block_at(x, n, i, -INFINITY, padded));

        if (tops)
            tops[i / SOFTMAX_BLOCK] = m;
        first = m > best ? i : first;
        best = m > best ? m : best;
    }
    for (i = first; i < n && !(x[i] == best); i++)
        ;
    *at = i < n ? i : 0;
    return best;
}

/* Eight bytes of 0 or 1 as the bits of one. */
INLINE uint64_t pack_bits(uint64_t eight)
{
    return eight * 0x0102040810204080u >> 56;
}

VECTOR_CLONES uint64_t softmax_above(const float *x, size_t n, size_t i, float t)
{
    float padded[SOFTMAX_BLOCK];
    const float *v = block_at(x, n, i, -INFINITY, padded);
    unsigned char in[SOFTMAX_BLOCK];
    uint64_t bits = 0;

    for (size_t k = 0; k < SOFTMAX_BLOCK; k++)
        in[k] = v[k] >= t;
    for (size_t k = 0; k < SOFTMAX_BLOCK; k += 8) {
        uint64_t eight = 0;

        for (size_t l = 0; l < 8; l++)
            eight |= (uint64_t)in[k + l] << 8 * l;
        bits |= pack_bits(eight) << k;
    }
    return bits;
}

VECTOR_CLONES void softmax_terms(const float *x, size_t n, size_t i, float max, float *terms)
{
    float padded[SOFTMAX_BLOCK];
    const float *v = block_at(x, n, i, -INFINITY, padded);

    for (size_t k = 0; k < SOFTMAX_BLOCK; k += LANES) {
        float t[LANES];

        for (size_t l = 0; l < LANES; l++)
            t[l] = exp_one(v[k + l] - max);
        memcpy(terms + k, t, sizeof t);
    }
}

/* About the mean: a value of each block. */
static float pilot(const float *x, size_t n)
{
    double sum = 0, count = 0;

    for (size_t i = 0; i < n; i += SOFTMAX_BLOCK)
        if (x[i] > -INFINITY) {
            sum += (double)x[i];
            count++;
        }
    return count > 0 ? (float)(sum / count) : 0;
}

/* One walk for both sums: of what values are away from about their mean, and of the squares. */
VECTOR_CLONES double softmax_deviation(const float *x, size_t n)
{
    float padded[SOFTMAX_BLOCK], about = pilot(x, n);
    double sum = 0, squares = 0, count = 0, mean;

    for (size_t i = 0; i < n; i += SOFTMAX_BLOCK) {
        const float *v = block_at(x, n, i, -INFINITY, padded);
        float t[LANES] = { 0 }, u[LANES] = { 0 }, c[LANES] = { 0 };

        for (size_t b = 0; b < SOFTMAX_BLOCK; b += LANES) {
            float d[LANES];

            for (size_t l = 0; l < LANES; l++)
                d[l] = v[b + l] > -INFINITY ? v[b + l] - about : 0.0f;
            for (size_t l = 0; l < LANES; l++)
                t[l] += d[l];
            for (size_t l = 0; l < LANES; l++)
                u[l] += d[l] * d[l];
            for (size_t l = 0; l < LANES; l++)
                c[l] += v[b + l] > -INFINITY ? 1.0f : 0.0f;
        }
        sum += (double)total(t);
        squares += (double)total(u);
        count += (double)total(c);
    }
    if (count <= 0)
        return 0;
    mean = sum / count;
    return sqrt(fmax(squares / count - mean * mean, 0));
}
