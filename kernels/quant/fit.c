#include "kernels/quant/fit.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

enum {
    LANES = 4,
    STARTS = 14, /* scales that are tried */
    ROUNDS = 3,  /* from the best of them: new codes, new scale */
};

typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t masks __attribute__((vector_size(LANES * sizeof(int32_t))));

/* To the nearest, ties to even, for up to 2^22: the sum has no bits left for a fraction. */
static float nearest(float x)
{
    const float magic = 0x1.8p23f;

    return x + magic - magic;
}

int fit_code(float x, float scale, float min, int lo, int hi)
{
    float q = scale != 0 ? (x - min) / scale : 0;

    if (!(q > (float)lo)) /* NaN too */
        return lo;
    return q < (float)hi ? (int)nearest(q) : hi;
}

/* A group of values padded with weightless ones, and the sums that do not depend on codes. */
struct group {
    lanes x[FIT_MAX / LANES], weight[FIT_MAX / LANES];
    size_t n; /* of lanes */
    float w, wx;
};

static float total(lanes v)
{
    float sum = 0;

    for (int i = 0; i < LANES; i++)
        sum += v[i];
    return sum;
}

static void group_init(struct group *g, const float *x, const float *weight, size_t n)
{
    lanes w = { 0 }, wx = { 0 };

    memset(g, 0, sizeof *g);
    memcpy(g->x, x, n * sizeof *x);
    memcpy(g->weight, weight, n * sizeof *weight);
    g->n = (n + LANES - 1) / LANES;
    for (size_t i = 0; i < g->n; i++) {
        w += g->weight[i];
        wx += g->weight[i] * g->x[i];
    }
    g->w = total(w);
    g->wx = total(wx);
}

/* a where the mask says so, else b. */
static lanes choose(masks m, lanes a, lanes b)
{
    return (lanes)((m & (masks)a) | (~m & (masks)b));
}

/* Weighted sums over the codes that scale and min give. */
struct sums {
    float q, qq, xq;
};

static struct sums sums_of(const struct group *g, float scale, float min, float lo, float hi)
{
    const float magic = 0x1.8p23f;
    lanes wq = { 0 }, wqq = { 0 }, wxq = { 0 };
    lanes least = wq + lo, most = wq + hi;
    float inverse = 1 / scale;

    for (size_t i = 0; i < g->n; i++) {
        lanes q = (g->x[i] - min) * inverse, k;

        q = choose(q < least, least, q);
        q = choose(q > most, most, q);
        q = q + magic - magic;
        k = g->weight[i] * q;
        wq += k;
        wqq += k * q;
        wxq += k * g->x[i];
    }
    return (struct sums){ total(wq), total(wqq), total(wxq) };
}

static float largest_of(const float *x, size_t n)
{
    float largest = 0;

    for (size_t i = 0; i < n; i++)
        largest = fmaxf(largest, fabsf(x[i]));
    return largest;
}

/* The best scale for given codes is sum(w x q) / sum(w q q); it takes the square of the first over
 * the second off the error. */
struct fit fit_scale(const float *x, const float *weight, size_t n, int lo, int hi)
{
    float largest = largest_of(x, n), best_gain = 0;
    struct fit best = { 0, 0 };
    struct group g;

    if (!(largest > FLT_MIN * 256))
        return best;
    group_init(&g, x, weight, n);
    /* the largest value on a code from 3/4 of the range to a little beyond it */
    for (int k = 0; k < 2 * STARTS + ROUNDS; k++) {
        float reach = (float)lo * (0.75f + 0.35f * (float)(k / 2) / (STARTS - 1));
        float scale = k >= 2 * STARTS ? best.scale : (k % 2 ? -largest : largest) / reach;
        struct sums s = sums_of(&g, scale, 0, (float)lo, (float)hi);
        float gain = s.qq > 0 ? s.xq * s.xq / s.qq : 0;

        if (gain > best_gain) {
            best_gain = gain;
            best.scale = s.xq / s.qq;
        }
    }
    return best;
}

/* Scale and minimum that fit codes best, the minimum held at max_min where it would be larger;
 * *error is what is left, but for the constant sum(w x x). */
static struct fit solve(const struct group *g, const struct sums *s, float max_min, float *error)
{
    double det = (double)g->w * (double)s->qq - (double)s->q * (double)s->q, scale, min;

    *error = INFINITY;
    if (!(det > 0))
        return (struct fit){ 0, 0 };
    scale = ((double)g->w * (double)s->xq - (double)s->q * (double)g->wx) / det;
    min = ((double)g->wx - scale * (double)s->q) / (double)g->w;
    if (min > (double)max_min) {
        min = (double)max_min;
        scale = ((double)s->xq - min * (double)s->q) / (double)s->qq;
    }
    *error =
        (float)(scale * scale * (double)s->qq + min * min * (double)g->w +
                2 * (scale * min * (double)s->q - scale * (double)s->xq - min * (double)g->wx));
    return (struct fit){ (float)scale, (float)min };
}

struct fit fit_scale_min(const float *x, const float *weight, size_t n, int hi, float max_min)
{
    float low = x[0], high = x[0], least = INFINITY;
    struct fit best;
    struct group g;

    for (size_t i = 1; i < n; i++) {
        low = fminf(low, x[i]);
        high = fmaxf(high, x[i]);
    }
    low = fminf(low, max_min);
    best = (struct fit){ 0, low };
    if (!(high - low > FLT_MIN * 256))
        return best;
    best.scale = (high - low) / (float)hi;
    group_init(&g, x, weight, n);
    /* the range on 3/4 of the codes up to a little more than all, from the lowest value or above it
     */
    for (int k = 0; k < 2 * STARTS + ROUNDS; k++) {
        float part = 0.75f + 0.45f * (float)(k / 2) / (STARTS - 1);
        float scale = (high - low) / ((float)hi * part), error;
        float min = fminf(low + 0.5f * (float)(k % 2) * scale, max_min);
        struct sums s = k < 2 * STARTS ? sums_of(&g, scale, min, 0, (float)hi)
                                       : sums_of(&g, best.scale, best.min, 0, (float)hi);
        struct fit f = solve(&g, &s, max_min, &error);

        if (error < least && f.scale > 0) {
            least = error;
            best = f;
        }
    }
    return best;
}
