/* ops.h - what a CPU instruction set must offer the CPU backend.
 *
 * One table per instruction set; isa.c picks one when a device is opened and never changes it.
 * Every function here is a leaf: no allocation, no locks, no failure, no I/O.  Any thread.
 * What is computed for one row never depends on the rows beside it: same bits alone or in a batch.
 */
#ifndef AIRSTRIP_CPU_OPS_H
#define AIRSTRIP_CPU_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/backend.h"
#include "kernels/cpu/mm.h"
#include "kernels/cpu/wide.h"

enum {
    LANES = 16
}; /* columns of `mac` and rows of a transposed K group, whatever the vector's width */

/* c[i, j] (+)= sum over l of a[i, l] * b(l, j), l in order, one fused multiply-add each where the
 * instruction set has them.  b(l, LANES * g + r) stands at b[l * ldb + g * step + r]. */
struct mac {
    float *c; /* [m, n_groups * LANES], rows ldc apart */
    size_t ldc;
    const float *a; /* [m, k], rows lda apart */
    size_t lda;
    const void *b; /* float, IEEE half or bfloat16 */
    size_t ldb, step;
    size_t m, n_groups, k;
    bool accumulate;  /* c += instead of c = */
    const void *next; /* as many bytes as b that are wanted soon, and fetched on the way; or NULL */
};

static inline const float *norm_w(const struct norm *op, size_t row)
{
    return op->w && op->n_w ? op->w + row % op->n_w * op->cols : op->w;
}

struct isa_ops {
    const char *name; /* "scalar", "neon", "avx2", "avxvnni", "avx512", "avx512bf16", "amx" */
    const struct mm_ops *mm;
    const struct peak *peaks;    /* what could be reached at best: peak.h; for airstrip-bench */
    const struct wide_ops *wide; /* attention of given tokens in tiles (wide.h), or NULL */

    /* One row of struct norm: x += add (if any), then y = norm(x) (if y); norm_w() is its w. */
    void (*norm)(const struct norm *op, size_t row);

    /* y = act(gate) * up, or act(gate) where up is NULL; y may be gate.  exp to 1 ulp, tanh in
     * softcap to 3; erf is libm's.
     */
    void (*gated_act)(float *y, const float *gate, const float *up, size_t n, enum act_kind kind);

    void (*softcap)(float *x, size_t n, float cap); /* x = cap * tanh(x / cap) */
    void (*scale)(float *y, const float *x, float factor,
                  size_t n); /* y = x * factor, never -0; y may be x */
    void (*scale_add)(float *y, float a, const float *x, float b, size_t n); /* y = a y + b x */

    /* Lowest index of the largest value; n if all are NaN. */
    size_t (*argmax)(const float *x, size_t n);

    /* y[i] = x[i] * cs[i] + x[partner of i] * cs[n_rot + i], in place, i < n_rot; the sign is in
     * cs. Partner: i ^ 1 (ROPE_NORM), or the same place in the other half (ROPE_NEOX). */
    void (*rope)(float *x, const float *cs, size_t n_rot, enum rope_kind kind);

    /* Round to nearest even; finite values past the largest half become it. */
    void (*to_f16)(uint16_t *y, const float *x, size_t n);
    void (*to_bf16)(uint16_t *y, const float *x, size_t n);
    void (*from_f16)(float *y, const uint16_t *x, size_t n); /* n a multiple of LANES */
    void (*from_bf16)(float *y, const uint16_t *x, size_t n);

    /* Q8_0: blocks of 32 codes of one scale, an F16.  Codes are rounded under the scale as it is
     * kept. */
    void (*to_q8)(int8_t *codes, uint16_t *scales, const float *x, size_t n_blocks);
    void (*q8_rows)(float *y, const int8_t *codes, const uint16_t *scales, size_t n_blocks);
    /* The same for 16 side by side: codes and y [n_blocks][32][LANES], scales [n_blocks][LANES]. */
    void (*q8_lanes)(float *y, const int8_t *codes, const uint16_t *scales, size_t n_blocks);

    void (*mac_f16)(const struct mac *op);
    void (*mac_bf16)(const struct mac *op);
    void (*mac_f32)(const struct mac *op);

    /* One block of an online softmax (Milakov & Gimelshein 2018).  s[0 .. n-1] are scores, n a
     * multiple of LANES; of them [lo, hi) count.  cap: see softcap, 0 for none.  *max and *sum go
     * from the blocks before to those including this one; s becomes exp(s - *max), 0 outside [lo,
     * hi). Returns by what earlier sums are to be multiplied. */
    float (*softmax)(float *s, size_t n, size_t lo, size_t hi, float cap, float *max, float *sum);
};

extern const struct wide_ops wide_amx;

extern const struct isa_ops isa_scalar, isa_neon, isa_avx2, isa_avxvnni, isa_avx512, isa_avx512bf16,
    isa_amx;

/* Multiplies small tiles and compares with plain C: NULL, or what is wrong with AMX on a machine
 * that claims to have it.  One thread at a time; permission to use tiles was asked for before. */
const char *amx_probe(void);

#endif
