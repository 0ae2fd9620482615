/* Keys and values come back from a page exactly as their type keeps them, in every instruction set.
 */
#include "battery.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/kv.h"
#include "kernels/cpu/ops.h"
#include "kernels/quant/quant.h"

enum { TOKENS = 32, MAX_DIM = 128 };

static const enum dtype types[] = { DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_Q8_0 };
static const size_t dims[] = { 32, 64, 128, 24, 40, 1 };

static uint16_t to_bf16(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void ref_store(float *y, const float *x, size_t n, enum dtype t)
{
    for (size_t i = 0; i < n; i++) {
        float top = 0, scale, code;

        y[i] = t == DTYPE_F16    ? quant_f16(quant_to_f16(x[i]))
               : t == DTYPE_BF16 ? quant_bf16(to_bf16(x[i]))
                                 : x[i];
        if (t != DTYPE_Q8_0)
            continue;
        for (size_t j = i / KV_Q8 * KV_Q8; j < i / KV_Q8 * KV_Q8 + KV_Q8; j++)
            top = fmaxf(top, fabsf(x[j]));
        scale = quant_f16(quant_to_f16(top / 127.0f));
        code = scale > 0 ? rintf(x[i] * (1.0f / scale)) : 0;
        y[i] = fminf(fmaxf(code, -127), 127) * scale;
    }
}

static const struct isa_ops *ops_of(void **state)
{
    struct err e;
    const struct isa_ops *ops = isa_pick(*state, &e);

    if (!ops) {
        print_message("# %s\n", e.text);
        skip();
    }
    return ops;
}

static void check(const struct isa_ops *ops, enum dtype t, size_t dim)
{
    struct kv_shape shape = { 1, 1, dim, 1, TOKENS, t, 0 };
    size_t v_cols = (dim + 15) / 16 * 16;
    float k[TOKENS][MAX_DIM], v[TOKENS][MAX_DIM], want[MAX_DIM];
    float *got = malloc(TOKENS * v_cols * sizeof *got);
    struct kv *kv;

    assert_int_equal(kv_create(&kv, &shape, NULL), 0);
    for (size_t p = 0; p < TOKENS; p++) {
        fill(k[p], dim, p == 3 ? 0 : powf(10, (float)p / 5 - 4), p);
        fill(v[p], dim, p == 5 ? 1e-9f : 3, p + 100);
        kv_write(ops, kv, kv_keys(kv, 0, 0, 0), p, k[p], v[p]);
    }
    kv_read_keys(ops, kv, kv_keys(kv, 0, 0, 0), 16, 1, got);
    for (size_t p = 16; p < TOKENS; p++) {
        ref_store(want, k[p], dim, t);
        for (size_t i = 0; i < dim; i++)
            assert_true(got[i * 16 + p - 16] == want[i]);
    }
    kv_read_values(ops, kv, kv_keys(kv, 0, 0, 0), 1, TOKENS - 1, got);
    for (size_t p = 1; p < TOKENS; p++) {
        ref_store(want, v[p], dim, t);
        for (size_t i = 0; i < dim; i++)
            assert_true(got[(p - 1) * v_cols + i] == want[i]);
    }
    kv_free(kv);
    free(got);
}

static void rows_come_back(void **state)
{
    const struct isa_ops *ops = ops_of(state);

    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
            if (types[t] != DTYPE_Q8_0 || dims[i] % KV_Q8 == 0)
                check(ops, types[t], dims[i]);
}

/* A weight of 0 must stay 0 for what a masked position holds. */
static void what_is_not_finite_becomes_so(void **state)
{
    const struct isa_ops *ops = ops_of(state);

    for (size_t t = 1; t < sizeof types / sizeof *types; t++) {
        struct kv_shape shape = { 1, 1, KV_Q8, 1, 16, types[t], 0 };
        float x[KV_Q8] = { NAN, INFINITY, -INFINITY, 1e38f, -3.4e38f }, got[16 * KV_Q8];
        struct kv *kv;

        assert_int_equal(kv_create(&kv, &shape, NULL), 0);
        kv_write(ops, kv, kv_keys(kv, 0, 0, 0), 2, x, x);
        kv_read_keys(ops, kv, kv_keys(kv, 0, 0, 0), 0, 1, got);
        for (size_t i = 0; i < KV_Q8; i++)
            assert_true(isfinite(got[i * 16 + 2]));
        kv_read_values(ops, kv, kv_keys(kv, 0, 0, 0), 0, 16, got);
        for (size_t i = 0; i < KV_Q8; i++)
            assert_true(isfinite(got[2 * KV_Q8 + i]));
        kv_free(kv);
    }
}

static void sizes(void **state)
{
    struct kv_shape q8 = { 2, 3, 64, 5, 64, DTYPE_Q8_0, 0 }, f16 = q8, bad = q8;
    struct kv *a, *b;
    struct err e;

    (void)state;
    f16.dtype = DTYPE_F16;
    assert_int_equal(kv_create(&a, &q8, NULL), 0);
    assert_int_equal(kv_create(&b, &f16, NULL), 0);
    assert_int_equal(a->total_bytes, 2 * 3 * 5 * 64 * 2 * 68);
    assert_int_equal(b->total_bytes, 2 * 3 * 5 * 64 * 2 * 128);
    kv_free(a);
    kv_free(b);
    bad.head_dim = 80;
    assert_int_equal(kv_create(&a, &bad, &e), ERR_UNSUPPORTED);
    assert_non_null(strstr(e.text, "multiple of 32"));
    bad.dtype = DTYPE_F8_E4M3;
    assert_int_equal(kv_create(&a, &bad, &e), ERR_UNSUPPORTED);
    assert_non_null(strstr(e.text, "GPU"));
    bad.dtype = DTYPE_Q4_0;
    assert_int_equal(kv_create(&a, &bad, &e), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_back),
        cmocka_unit_test(what_is_not_finite_becomes_so),
        cmocka_unit_test(sizes),
    };

    brief_begin(NULL);
    return run_battery("kv", tests, sizeof tests / sizeof *tests);
}
