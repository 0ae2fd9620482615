#include "inference/softmax.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 4 };

typedef float vec __attribute__((vector_size(16)));
typedef int32_t ivec __attribute__((vector_size(16)));

static vec load(const float *x)
{
    vec v;

    memcpy(&v, x, sizeof v); /* not aligned */
    return v;
}

static vec all(float x)
{
    return (vec){ x, x, x, x };
}

static vec pick(ivec mask, vec yes, vec no)
{
    return (vec)((mask & (ivec)yes) | (~mask & (ivec)no));
}

/* x = r ln 2 + f with |f| <= ln 2 / 2, then Taylor's series of e^f to the seventh power. */
static vec exp4(vec x)
{
    ivec in = x >= all(-87.0f); /* not where x is NaN */
    vec c = pick(in, x, all(-87.0f));
    vec r = (c * 1.44269504f + 12582912.0f) - 12582912.0f; /* 1.5 * 2^23 rounds to an integer */
    vec f = (c - r * 0.693359375f) + r * 2.12194440e-4f;   /* ln 2 in two parts (Cody and Waite) */
    vec p = f * (1.0f / 5040) + 1.0f / 720;

    p = p * f + 1.0f / 120;
    p = p * f + 1.0f / 24;
    p = p * f + 1.0f / 6;
    p = p * f + 0.5f;
    p = p * f + 1.0f;
    p = p * f + 1.0f;
    p *= (vec)((__builtin_convertvector(r, ivec) + 127) << 23); /* 2^r, from its bits */
    return (vec)(in & (ivec)p);
}

float softmax_exp(float x)
{
    return exp4(all(x))[0];
}

static float total(vec a)
{
    return (a[0] + a[1]) + (a[2] + a[3]);
}

/* Of n values, a whole block or what is left at the end: missing ones count as -INFINITY. */
static float block_sum(const float *x, size_t n, float max, float scale)
{
    vec a = all(0), b = all(0);
    float padded[SOFTMAX_BLOCK];

    if (n < SOFTMAX_BLOCK) {
        for (size_t i = 0; i < SOFTMAX_BLOCK; i++)
            padded[i] = i < n ? x[i] : -INFINITY;
        x = padded;
    }
    for (size_t i = 0; i < SOFTMAX_BLOCK; i += 2 * LANES) {
        a += exp4((load(x + i) - max) * scale);
        b += exp4((load(x + i + LANES) - max) * scale);
    }
    return total(a + b);
}

static size_t block_len(size_t n, size_t i)
{
    return n - i < SOFTMAX_BLOCK ? n - i : SOFTMAX_BLOCK;
}

double softmax_sum(const float *x, size_t n, float max, float scale, double *sums)
{
    double sum = 0;

    for (size_t i = 0; i < n; i += SOFTMAX_BLOCK) {
        double s = (double)block_sum(x + i, block_len(n, i), max, scale);

        if (sums)
            sums[i / SOFTMAX_BLOCK] = s;
        sum += s;
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
        sum += (double)softmax_exp((x[i] - max) * scale);
        if (sum > target)
            return i;
    }
    for (i = n; i-- > 1;) /* everything was passed over by a hair: the last term above 0 */
        if (softmax_exp((x[i] - max) * scale) > 0)
            break;
    return i;
}

float softmax_max(const float *x, size_t n, size_t *at)
{
    vec m = all(-INFINITY);
    float best = -INFINITY;
    size_t i = 0;

    for (; n - i >= LANES; i += LANES) {
        vec v = load(x + i);

        m = pick(v > m, v, m);
    }
    for (; i < n; i++)
        best = x[i] > best ? x[i] : best;
    for (size_t k = 0; k < LANES; k++)
        best = m[k] > best ? m[k] : best;
    for (i = 0; i < n && !(x[i] == best); i++)
        ;
    *at = i < n ? i : 0;
    return best;
}

bool softmax_any(const float *x, float t)
{
    ivec found = { 0 };
    uint64_t bits[2];

    for (size_t i = 0; i < SOFTMAX_BLOCK; i += LANES)
        found |= load(x + i) >= all(t);
    memcpy(bits, &found, sizeof bits);
    return bits[0] | bits[1];
}
