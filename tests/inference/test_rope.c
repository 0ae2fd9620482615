/* model_rope: angles of scaled positions against the formulas of the papers, written down afresh.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <cmocka.h>

#include "inference/model_rope.h"
#include "inference/weights/build.h"

/* Without rounding of the borders, as gpt-oss has it: pairs that turn more than beta_fast times in
 * the old context keep their speed, those that turn less than beta_slow times are slowed down by
 * the factor, between them the share falls evenly from pair to pair.  The borders are found here by
 * halving intervals, not by a formula. */
static double border(double base, double n_rot, double turns, double old)
{
    double low = -1e4, high = 1e4;

    for (int i = 0; i < 200; i++) {
        double mid = (low + high) / 2;

        if (old * pow(base, -2 * mid / n_rot) / (2 * M_PI) > turns)
            low = mid;
        else
            high = mid;
    }
    return low;
}

static void yarn(void **state)
{
    const struct arch arch = { .name = "llama" };
    struct model m = { .arch = &arch, .n_rot = 64, .n_ctx_train = 131072 };
    double from = border(150000, 64, 32, 4096), to = border(150000, 64, 1, 4096);
    struct keys k = { .prefix = "llama" };
    struct weights *w;
    struct err e;
    float out[32];

    (void)state;
    assert_int_equal(weights_new(&w, "test", &e), 0);
    assert_int_equal(weights_put_copy(w, "llama.rope.scaling.type", (struct str){ "yarn", 4 }, &e),
                     0);
    assert_int_equal(weights_put_f64(w, "llama.rope.freq_base", 150000, &e), 0);
    assert_int_equal(weights_put_f64(w, "llama.rope.scaling.factor", 32, &e), 0);
    assert_int_equal(weights_put_u64(w, "llama.rope.scaling.original_context_length", 4096, &e), 0);
    assert_int_equal(weights_put_bool(w, "llama.rope.scaling.yarn_truncate", false, &e), 0);
    assert_int_equal(weights_seal(w, &e), 0);
    k.w = w;
    assert_int_equal(model_read_rope(&m, &k, &e), 0);
    weights_close(w);
    assert_true(fabs((double)m.rope_mscale - (0.1 * log(32) + 1)) < 1e-6);
    model_inv_freq(&m, false, NULL, out);
    for (int i = 0; i < 32; i++) {
        double plain = pow(150000, -2.0 * i / 64), kept = (to - i) / (to - from), want;

        kept = kept > 1 ? 1 : kept < 0 ? 0 : kept;
        want = plain * kept + plain / 32 * (1 - kept);
        assert_true(fabs((double)out[i] / want - 1) < 1e-6);
    }
    model_inv_freq(&m, true, NULL, out); /* layers with a window are as they were */
    for (int i = 0; i < 32; i++)
        assert_true(fabs((double)out[i] / pow(150000, -2.0 * i / 64) - 1) < 1e-6);
}

static void linear_and_factors(void **state)
{
    const float by[4] = { 1, 2, 4, 8 };
    const struct tensor t = {
        .data = by, .dtype = DTYPE_F32, .n_dims = 1, .shape = { 4, 1, 1, 1 }, .bytes = sizeof by
    };
    struct model m = { .n_rot = 8, .rope_base = { 10000, 100 }, .rope_scale = 4 };
    float out[4];

    (void)state;
    model_inv_freq(&m, false, &t, out);
    for (int i = 0; i < 4; i++)
        assert_true(fabs((double)out[i] * 4 * (double)by[i] / pow(10000, -i / 4.0) - 1) < 1e-6);
    model_inv_freq(&m, true, NULL, out);
    for (int i = 0; i < 4; i++)
        assert_true(fabs((double)out[i] / pow(100, -i / 4.0) - 1) < 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yarn),
        cmocka_unit_test(linear_and_factors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
