/* Encoders: what comes back is as near as the format's bits allow, and nothing special breaks them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernels/quant/encode.h"

enum { COUNT = 1 << 14, MAX_BLOCK = 1 << 16 };

/* Root mean square error of normally distributed values, over their own, that may be expected: a
 * little more than what llama-quantize leaves on trained weights' shapes. */
static const struct {
    enum dtype dtype;
    double error;
} kinds[] = {
    { DTYPE_F32, 0 },       { DTYPE_F16, 3e-4 },    { DTYPE_BF16, 2e-3 },
    { DTYPE_Q8_0, 5.6e-3 }, { DTYPE_Q4_0, 8.6e-2 }, { DTYPE_Q4_1, 7.4e-2 },
    { DTYPE_Q4_K, 7.6e-2 }, { DTYPE_Q5_K, 3.8e-2 }, { DTYPE_Q6_K, 1.9e-2 },
};

enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

static float uniform(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(*seed >> 8) / (float)(1 << 24);
}

static float normal(uint32_t *seed)
{
    float sum = -6;

    for (int i = 0; i < 12; i++)
        sum += uniform(seed);
    return sum;
}

/* y = decode(encode(x)); returns the root mean square of y - x over that of x. */
static double there_and_back(enum dtype dtype, const float *x, float *y)
{
    static unsigned char blocks[MAX_BLOCK];
    const struct quant_format *f = quant_format(dtype);
    double error = 0, size = 0;

    assert_true(quant_can_encode(dtype));
    quant_encode(dtype, blocks, x, COUNT / f->block_values);
    f->decode(y, blocks, COUNT / f->block_values);
    for (size_t i = 0; i < COUNT; i++) {
        error += pow((double)y[i] - (double)x[i], 2);
        size += pow((double)x[i], 2);
    }
    return size > 0 ? sqrt(error / size) : sqrt(error);
}

static void errors_are_small(void **state)
{
    static float x[COUNT], y[COUNT];

    (void)state;
    for (size_t k = 0; k < N_KINDS; k++)
        for (int shift = -12; shift <= 4; shift += 8) {
            uint32_t seed = 5;

            for (size_t i = 0; i < COUNT; i++)
                x[i] = ldexpf(normal(&seed), shift);
            double error = there_and_back(kinds[k].dtype, x, y);

            if (!(error <= kinds[k].error && (kinds[k].error == 0 || error > 0)))
                fail_msg("%s, 2^%d: error %g", quant_format(kinds[k].dtype)->name, shift, error);
        }
}

/* Values that a block can hold exactly come back so, or nearly. */
static void what_fits_stays(void **state)
{
    static float x[COUNT], y[COUNT];

    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        for (size_t i = 0; i < COUNT; i++)
            x[i] = 0;
        assert_true(there_and_back(kinds[k].dtype, x, y) == 0);
        for (size_t i = 0; i < COUNT; i++) /* 15 steps, both ends in every group of 16 */
            x[i] = 0.25f * ((float)(i % 16 < 2 ? i % 16 * 15 : i * 7 % 16) - 8);
        assert_true(there_and_back(kinds[k].dtype, x, y) < 5e-3);
    }
}

static void extremes_do_no_harm(void **state)
{
    static float x[COUNT], y[COUNT];
    uint32_t seed = 3;

    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        double error;

        for (size_t i = 0; i < COUNT; i++) /* all alike; all positive; one far out; tiny */
            x[i] = i < 4096    ? -0.3f
                   : i < 8192  ? 2 + uniform(&seed)
                   : i < 12288 ? (i % 256 == 77 ? 100.0f : normal(&seed) / 100)
                               : 1e-30f * normal(&seed);
        error = there_and_back(kinds[k].dtype, x, y);
        for (size_t i = 0; i < COUNT; i++)
            assert_true(isfinite(y[i]));
        assert_true(error < 0.2);
        for (size_t i = 12288; i < COUNT; i++)
            assert_true(fabsf(y[i]) < 1e-6f);
    }
    assert_false(quant_can_encode(DTYPE_Q2_K));
    assert_false(quant_can_encode(DTYPE_IQ4_NL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_small),
        cmocka_unit_test(what_fits_stays),
        cmocka_unit_test(extremes_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
