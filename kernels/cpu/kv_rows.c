/* kv_rows.c - one position's key and value into a page, and runs of them out of it as floats.
 *
 * What is read is exactly what the type holds: a code of Q8_0 times its scale has 19 bits. */
#include <string.h>

#include "kernels/cpu/kv.h"
#include "kernels/cpu/ops.h"

/* A key goes across its group's 16 columns, a value is a row. */
static void write_codes(const struct isa_ops *ops, const struct kv *kv, unsigned char *keys,
                        size_t at, const float *k, const float *v)
{
    size_t n = kv->shape.head_dim, blocks = n / KV_Q8, lane = at % KV_LANES;
    unsigned char *values = keys + kv->k_bytes;
    int8_t codes[KV_MAX_HEAD_DIM], *to = (int8_t *)keys + at / KV_LANES * KV_LANES * n + lane;
    uint16_t scales[KV_MAX_HEAD_DIM / KV_Q8];
    uint16_t *k_scales = kv_scales(kv, keys, n) + at / KV_LANES * KV_LANES * blocks + lane;

    ops->to_q8(codes, scales, k, blocks);
    for (size_t i = 0; i < n; i++)
        to[i * KV_LANES] = codes[i];
    for (size_t i = 0; i < blocks; i++)
        k_scales[i * KV_LANES] = scales[i];
    ops->to_q8((int8_t *)values + at * n, kv_scales(kv, values, n) + at * blocks, v, blocks);
}

static void write_halves(void (*convert)(uint16_t *y, const float *x, size_t n),
                         const struct kv *kv, unsigned char *keys, size_t at, const float *k,
                         const float *v)
{
    size_t n = kv->shape.head_dim;
    uint16_t *to = (uint16_t *)keys + at / KV_LANES * KV_LANES * n + at % KV_LANES;
    uint16_t halves[KV_MAX_HEAD_DIM];

    convert(halves, k, n);
    for (size_t i = 0; i < n; i++)
        to[i * KV_LANES] = halves[i];
    convert((uint16_t *)(keys + kv->k_bytes) + at * kv->v_cols, v, n);
}

void kv_write(const struct isa_ops *ops, const struct kv *kv, unsigned char *keys, size_t at,
              const float *k, const float *v)
{
    size_t n = kv->shape.head_dim;

    if (kv->shape.dtype == DTYPE_Q8_0) {
        write_codes(ops, kv, keys, at, k, v);
    } else if (kv->shape.dtype != DTYPE_F32) {
        write_halves(kv->shape.dtype == DTYPE_F16 ? ops->to_f16 : ops->to_bf16, kv, keys, at, k, v);
    } else {
        float *to = (float *)keys + at / KV_LANES * KV_LANES * n + at % KV_LANES;

        for (size_t i = 0; i < n; i++)
            to[i * KV_LANES] = k[i];
        memcpy((float *)(keys + kv->k_bytes) + at * kv->v_cols, v, n * sizeof(float));
    }
}

/* n numbers that stand one after the other, n a multiple of LANES. */
static void to_floats(const struct isa_ops *ops, enum dtype t, float *y, const unsigned char *x,
                      size_t n)
{
    if (t == DTYPE_F16)
        ops->from_f16(y, (const uint16_t *)x, n);
    else if (t == DTYPE_BF16)
        ops->from_bf16(y, (const uint16_t *)x, n);
    else
        memcpy(y, x, n * sizeof *y);
}

void kv_read_keys(const struct isa_ops *ops, const struct kv *kv, const unsigned char *keys,
                  size_t at, size_t n_groups, float *y)
{
    size_t dim = kv->shape.head_dim, from = at / KV_LANES * KV_LANES * dim;

    if (kv->shape.dtype == DTYPE_Q8_0)
        ops->q8_lanes(y, (const int8_t *)keys + from, kv_scales(kv, keys, dim) + from / KV_Q8,
                      n_groups * dim / KV_Q8);
    else
        to_floats(ops, kv->shape.dtype, y, keys + from * kv->value_bytes,
                  n_groups * dim * KV_LANES);
}

void kv_read_values(const struct isa_ops *ops, const struct kv *kv, const unsigned char *keys,
                    size_t at, size_t n, float *y)
{
    const unsigned char *values = keys + kv->k_bytes;
    size_t from = at * kv->v_cols;

    if (kv->shape.dtype == DTYPE_Q8_0)
        ops->q8_rows(y, (const int8_t *)values + from,
                     kv_scales(kv, values, kv->v_cols) + from / KV_Q8, n * kv->v_cols / KV_Q8);
    else
        to_floats(ops, kv->shape.dtype, y, values + from * kv->value_bytes, n * kv->v_cols);
}
