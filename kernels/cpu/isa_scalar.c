/* isa_scalar.c - plain loops, no intrinsics: the reference, and the choice where nothing else runs.
 */
#include <math.h>
#include <string.h>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/peak.h"
#include "kernels/quant/quant.h"

/* Sums in double: what the fast tables are compared with should not add errors of its own. */
static void norm(const struct norm *op, size_t row)
{
    float *x = op->x + row * op->cols, *y = op->y ? op->y + row * op->cols : NULL;
    const float *w = norm_w(op, row);
    double sum = 0, squares = 0;
    float mean = 0, factor;

    for (size_t i = 0; op->add && i < op->cols; i++)
        x[i] += op->add[row * op->cols + i];
    if (!y)
        return;
    if (op->kind == NORM_LAYER) {
        for (size_t i = 0; i < op->cols; i++)
            sum += (double)x[i];
        mean = (float)(sum / (double)op->cols);
    }
    for (size_t i = 0; i < op->cols; i++)
        squares += (double)(x[i] - mean) * (double)(x[i] - mean);
    factor = 1.0f / sqrtf((float)(squares / (double)op->cols) + op->eps);
    for (size_t i = 0; i < op->cols; i++) {
        float v = (x[i] - mean) * factor;

        if (w)
            v *= w[i];
        y[i] = op->b ? v + op->b[i] : v;
    }
}

static float act(float x, enum act_kind kind)
{
    const float sqrt_2_pi = 0.7978845608f; /* sqrt(2 / pi) */

    switch (kind) {
    case ACT_SILU:
        return x / (1.0f + expf(-x));
    case ACT_GELU_TANH:
        return 0.5f * x * (1.0f + tanhf(sqrt_2_pi * (x + 0.044715f * x * x * x)));
    case ACT_GELU_ERF:
        return 0.5f * x * (1.0f + erff(x * 0.70710678f));
    case ACT_RELU:
    case ACT_SWIGLU_OAI: /* has an up of its own */
        break;
    }
    return x > 0 ? x : 0;
}

static void gated_act(float *y, const float *gate, const float *up, size_t n, enum act_kind kind)
{
    for (size_t i = 0; kind == ACT_SWIGLU_OAI && i < n; i++) {
        float g = fminf(gate[i], 7.0f), u = up ? fmaxf(fminf(up[i], 7.0f), -7.0f) : 0.0f;

        y[i] = g / (1.0f + expf(-1.702f * g)) * (u + 1.0f);
    }
    for (size_t i = 0; kind != ACT_SWIGLU_OAI && i < n; i++)
        y[i] = act(gate[i], kind) * (up ? up[i] : 1.0f);
}

static void softcap(float *x, size_t n, float cap)
{
    for (size_t i = 0; i < n; i++)
        x[i] = cap * tanhf(x[i] / cap);
}

static void scale(float *y, const float *x, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * factor + 0.0f;
}

static void scale_add(float *y, float a, const float *x, float b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = y[i] * a + x[i] * b;
}

/* x == x is false for NaN. */
static size_t argmax(const float *x, size_t n)
{
    size_t best = n;

    for (size_t i = 0; i < n; i++)
        if (x[i] == x[i] && (best == n || x[i] > x[best]))
            best = i;
    return best;
}

static void rope(float *x, const float *cs, size_t n_rot, enum rope_kind kind)
{
    const float *sn = cs + n_rot;
    size_t apart = kind == ROPE_NORM ? 1 : n_rot / 2;

    for (size_t p = 0; p < n_rot / 2; p++) {
        size_t i = kind == ROPE_NORM ? 2 * p : p, j = i + apart;
        float a = x[i], b = x[j];

        x[i] = a * cs[i] + b * sn[i];
        x[j] = b * cs[j] + a * sn[j];
    }
}

static void to_f16(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = quant_to_f16(fminf(fmaxf(x[i], -65504.0f), 65504.0f));
}

static void from_f16(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = quant_f16(x[i]);
}

/* Round to nearest even. */
static void to_bf16(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float v = fminf(fmaxf(x[i], -3.38953139e38f), 3.38953139e38f);
        uint32_t bits;

        memcpy(&bits, &v, sizeof bits);
        y[i] = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    }
}

static void from_bf16(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = quant_bf16(x[i]);
}

static void to_q8(int8_t *codes, uint16_t *scales, const float *x, size_t n_blocks)
{
    for (size_t b = 0; b < n_blocks; b++, x += KV_Q8, codes += KV_Q8) {
        float top = 0, scale;

        for (size_t i = 0; i < KV_Q8; i++)
            top = fmaxf(top, fabsf(fminf(fmaxf(x[i], -8e6f), 8e6f)));
        top /= 127.0f;
        to_f16(&scales[b], &top, 1);
        scale = quant_f16(scales[b]);
        for (size_t i = 0; i < KV_Q8; i++)
            codes[i] =
                (int8_t)(scale > 0 ? fminf(fmaxf(rintf(x[i] * (1.0f / scale)), -127), 127) : 0);
    }
}

static void q8_rows(float *y, const int8_t *codes, const uint16_t *scales, size_t n_blocks)
{
    for (size_t i = 0; i < n_blocks * KV_Q8; i++)
        y[i] = (float)codes[i] * quant_f16(scales[i / KV_Q8]);
}

static void q8_lanes(float *y, const int8_t *codes, const uint16_t *scales, size_t n_blocks)
{
    for (size_t i = 0; i < n_blocks * KV_Q8 * LANES; i++)
        y[i] = (float)codes[i] * quant_f16(scales[i / (KV_Q8 * LANES) * LANES + i % LANES]);
}

/* One row of b at a time, as floats. */
static void mac(const struct mac *op, enum dtype type)
{
    float b[LANES];

    for (size_t g = 0; g < op->n_groups; g++) {
        for (size_t i = 0; !op->accumulate && i < op->m; i++)
            memset(op->c + i * op->ldc + g * LANES, 0, sizeof b);
        for (size_t l = 0; l < op->k; l++) {
            size_t at = l * op->ldb + g * op->step;

            for (size_t r = 0; r < LANES; r++)
                b[r] = type == DTYPE_F16    ? quant_f16(((const uint16_t *)op->b)[at + r])
                       : type == DTYPE_BF16 ? quant_bf16(((const uint16_t *)op->b)[at + r])
                                            : ((const float *)op->b)[at + r];
            for (size_t i = 0; i < op->m; i++)
                for (size_t r = 0; r < LANES; r++)
                    op->c[i * op->ldc + g * LANES + r] += op->a[i * op->lda + l] * b[r];
        }
    }
}

static void mac_f16(const struct mac *op)
{
    mac(op, DTYPE_F16);
}

static void mac_bf16(const struct mac *op)
{
    mac(op, DTYPE_BF16);
}

static void mac_f32(const struct mac *op)
{
    mac(op, DTYPE_F32);
}

/* Masked scores never reach exp: they may be anything, even NaN from a page used before. */
static float softmax(float *s, size_t n, size_t lo, size_t hi, float cap, float *max, float *sum)
{
    float m = *max, before = *max, total = 0, factor;

    for (size_t i = lo; i < hi; i++) {
        if (cap != 0)
            s[i] = cap * tanhf(s[i] / cap);
        m = s[i] > m ? s[i] : m;
    }
    for (size_t i = 0; i < n; i++) {
        s[i] = i >= lo && i < hi && m > -INFINITY ? expf(s[i] - m) : 0;
        total += s[i];
    }
    factor = before == m ? 1.0f : expf(before - m);
    *max = m;
    *sum = *sum * factor + total;
    return factor;
}

const struct isa_ops isa_scalar = {
    .name = "scalar",
    .mm = &mm_scalar,
    .peaks = peaks_scalar,
    .norm = norm,
    .gated_act = gated_act,
    .softcap = softcap,
    .scale = scale,
    .scale_add = scale_add,
    .argmax = argmax,
    .rope = rope,
    .to_f16 = to_f16,
    .to_bf16 = to_bf16,
    .from_f16 = from_f16,
    .from_bf16 = from_bf16,
    .to_q8 = to_q8,
    .q8_rows = q8_rows,
    .q8_lanes = q8_lanes,
    .mac_f16 = mac_f16,
    .mac_bf16 = mac_bf16,
    .mac_f32 = mac_f32,
    .softmax = softmax,
};
