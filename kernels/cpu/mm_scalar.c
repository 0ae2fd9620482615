/* mm_scalar.c - the obvious way, for reference and for machines without anything better.
 * Its panels hold codes with the zero point taken off, as int8. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/mm_ops.h"

static void quantise(struct act_block *a, const float *x, size_t n_blocks)
{
    for (size_t b = 0; b < n_blocks; b++, a++, x += MM_BLOCK) {
        float max = 0, inverse;
        int32_t sum[2] = { 0, 0 };

        for (size_t i = 0; i < MM_BLOCK; i++)
            max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
        inverse = max > MM_TINY ? 127 / max : 0;
        for (size_t i = 0; i < MM_BLOCK; i++) {
            float v = rintf(x[i] * inverse);

            a->code[i] = (int8_t)(v >= -127 && v <= 127 ? v : 0); /* else not a number */
            sum[i / 16] += a->code[i];
        }
        a->scale = max > MM_TINY ? max / 127 : 0;
        a->ssum = a->scale * (float)(sum[0] + sum[1]);
        a->start = -MM_ZERO * (sum[0] + sum[1]);
        a->start_hi = -MM_ZERO * sum[1];
    }
}

/* Code j of step k in a packed block. */
static int code_at(const unsigned char *p, int bits, size_t k, size_t j)
{
    size_t shift = 2 * (k % 4);
    int low;

    if (bits == 8)
        return p[64 * k + j];
    low = p[64 * (k % 4) + j] >> (k < 4 ? 0 : 4) & 15;
    if (bits == 5)
        return low | (p[256 + j] >> k & 1) << 4;
    if (bits == 6)
        return low | (p[256 + 64 * (k / 4) + j] >> shift & 3) << 4;
    return low;
}

static void expand(struct mm_panel *p, struct mm_panel_buf *buf, const struct weight *w,
                   const uint8_t *codes, const uint16_t *scales, size_t n)
{
    size_t n_scales = (size_t)w->subs * MM_GROUP;

    *p = (struct mm_panel){ buf->code, buf->scale, buf->min };
    for (size_t i = 0; i < n; i++, codes += w->code_bytes) {
        for (size_t k = 0; k < MM_STEPS; k++)
            for (size_t j = 0; j < MM_STEP_BYTES; j++)
                buf->code[(i * MM_STEPS + k) * MM_STEP_BYTES + j] =
                    (uint8_t)(code_at(codes, w->bits, k, j) - w->zero);
        for (size_t j = 0; j < n_scales; j++)
            buf->scale[i * n_scales + j] = quant_f16(*scales++);
        for (size_t j = 0; w->has_min && j < MM_GROUP; j++)
            buf->min[i * MM_GROUP + j] = quant_f16(*scales++);
    }
}

/* sum of code * act.code for row r over steps k .. end - 1 of one block. */
static int32_t block_dot(const uint8_t *code, const struct act_block *a, size_t r, size_t k,
                         size_t end)
{
    int32_t sum = 0;

    for (; k < end; k++)
        for (size_t c = 0; c < 4; c++)
            sum += (int8_t)code[k * MM_STEP_BYTES + 4 * r + c] * a->code[4 * k + c];
    return sum;
}

static float row_dot(const struct mm_tile *t, const struct mm_panel *p, const struct act_block *a,
                     size_t r, float acc)
{
    size_t subs = (size_t)t->w->subs, steps = MM_STEPS / subs;

    for (size_t b = 0; b < t->n_blocks; b++, a++) {
        const uint8_t *code = p->code + b * MM_STEPS * MM_STEP_BYTES;

        for (size_t s = 0; s < subs; s++)
            acc += p->scale[(b * subs + s) * MM_GROUP + r] * a->scale *
                   (float)block_dot(code, a, r, s * steps, (s + 1) * steps);
        if (t->w->has_min)
            acc += p->min[b * MM_GROUP + r] * a->ssum;
    }
    return acc;
}

static void tile(const struct mm_tile *t)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct act_block *a = (const void *)((const char *)t->a + i * t->a_stride);
        float *y = t->y + i * t->y_stride;

        for (size_t k = 0; k < t->rows; k++) {
            size_t g = k / MM_GROUP, r = k % MM_GROUP;
            float acc = row_dot(t, &t->panel[g], a, r, t->first ? 0 : y[k]);

            if (t->last && t->bias)
                acc += t->bias[k];
            y[k] = acc;
        }
    }
}

static float value_at(const unsigned char *w, enum dtype dtype, size_t c)
{
    uint16_t half;
    float f;

    if (dtype == DTYPE_F32) {
        memcpy(&f, w + 4 * c, sizeof f);
        return f;
    }
    memcpy(&half, w + 2 * c, sizeof half);
    return dtype == DTYPE_F16 ? quant_f16(half) : quant_bf16(half);
}

static void dots(float *y, size_t y_stride, const void *w, enum dtype dtype, const float *x,
                 size_t x_stride, size_t cols, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float sum[8] = { 0 }; /* eight short sums lose less than a long one */

        for (size_t c = 0; c < cols; c++)
            sum[c % 8] += value_at(w, dtype, c) * x[i * x_stride + c];
        y[i * y_stride] =
            ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
    }
}

const struct mm_ops mm_scalar = {
    .name = "scalar",
    .quantise = quantise,
    .expand = expand,
    .tile = tile,
    .dots = dots,
};
