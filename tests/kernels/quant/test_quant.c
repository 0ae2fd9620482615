/* Every storage format through the same battery: recorded values, explode, dot; and half floats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernels/quant/quant.h"

enum { MAX_BYTES = 1 << 17, MAX_VALUES = 1 << 15 };

/* Values of a block layout: name, geometry and codes as the formats are published. */
static const struct {
    const char *name;
    int dtype;
    size_t values, bytes, group;
    int bits, zero;
    bool has_min;
} known[] = {
    { "F32", 0, 1, 4, 0, 0, 0, false },
    { "F16", 1, 1, 2, 0, 0, 0, false },
    { "BF16", 30, 1, 2, 0, 0, 0, false },
    { "Q4_0", 2, 32, 18, 32, 4, 8, false },
    { "Q4_1", 3, 32, 20, 32, 4, 0, true },
    { "Q5_0", 6, 32, 22, 32, 5, 16, false },
    { "Q5_1", 7, 32, 24, 32, 5, 0, true },
    { "Q8_0", 8, 32, 34, 32, 8, 128, false },
    { "Q4_K", 12, 256, 144, 32, 4, 0, true },
    { "Q5_K", 13, 256, 176, 32, 5, 0, true },
    { "Q6_K", 14, 256, 210, 16, 6, 32, false },
    { "Q2_K", 10, 256, 84, 16, 2, 0, true },
    { "Q3_K", 11, 256, 110, 16, 6, 32, false },
    { "IQ2_XXS", 16, 256, 66, 32, 8, 128, false },
    { "IQ2_XS", 17, 256, 74, 16, 8, 128, false },
    { "IQ3_XXS", 18, 256, 98, 32, 8, 128, false },
    { "IQ1_S", 19, 256, 50, 32, 5, 16, false },
    { "IQ4_NL", 20, 32, 18, 32, 8, 128, false },
    { "IQ3_S", 21, 256, 110, 32, 5, 16, false },
    { "IQ2_S", 22, 256, 82, 16, 8, 128, false },
    { "IQ4_XS", 23, 256, 136, 32, 8, 128, false },
    { "IQ1_M", 29, 256, 56, 16, 6, 32, false },
    { "TQ1_0", 34, 256, 54, 32, 4, 8, false },
    { "TQ2_0", 35, 256, 66, 32, 4, 8, false },
    { "MXFP4", 39, 32, 17, 32, 5, 16, false },
    { "NVFP4", 40, 64, 36, 16, 6, 32, false },
    { "Q1_0", 41, 128, 18, 32, 4, 8, false },
    { "Q2_0", 42, 64, 18, 32, 4, 8, false },
    { "F8_E4M3", 1000, 32, 36, 0, 0, 0, false },
};

/* Reads tests/data/dequant/NAME.EXT; returns its size, 0 if it is not there. */
static size_t read_golden(const char *name, const char *ext, void *out, size_t room)
{
    const char *srcdir = getenv("srcdir");
    char path[512];
    size_t n;
    FILE *f;

    snprintf(path, sizeof path, "%s/tests/data/dequant/%s.%s", srcdir ? srcdir : ".", name, ext);
    f = fopen(path, "rb");
    if (!f)
        return 0;
    n = fread(out, 1, room, f);
    fclose(f);
    return n;
}

/* Plain floats have no recorded file of their own: their bytes are the values. */
static size_t blocks_of(const struct quant_format *f, uint8_t *out)
{
    size_t n = read_golden(f->name, "bin", out, MAX_BYTES);

    if (f->dtype == DTYPE_F32)
        n = read_golden("Q4_0", "f32", out, MAX_BYTES);
    assert_true(n > 0 && n % f->block_bytes == 0);
    return n / f->block_bytes;
}

static void table_is_as_published(void **state)
{
    size_t n;
    const struct quant_format *const *all = quant_all(&n);

    (void)state;
    assert_int_equal(n, sizeof known / sizeof known[0]);
    for (size_t i = 0; i < n; i++) {
        const struct quant_format *f = quant_by_name(known[i].name);

        assert_non_null(f);
        assert_ptr_equal(f, quant_format((enum dtype)known[i].dtype));
        assert_string_equal(f->name, known[i].name);
        assert_int_equal(f->block_values, known[i].values);
        assert_int_equal(f->block_bytes, known[i].bytes);
        assert_int_equal(f->code_bits, known[i].bits);
        assert_int_equal(f->zero, known[i].zero);
        assert_int_equal(f->group, known[i].group);
        assert_int_equal(f->has_min, known[i].has_min);
        assert_int_equal(f->explode != NULL, f->code_bits != 0);
        assert_ptr_equal(quant_format(all[i]->dtype), all[i]);
    }
    assert_ptr_equal(quant_by_name("q4_k"), quant_by_name("Q4_K"));
    assert_null(quant_by_name("Q4_2"));
    assert_null(quant_by_name(""));
    assert_null(quant_format((enum dtype)4));
    assert_null(quant_format((enum dtype) - 1));
}

static void decode_equals_recorded_bits(void **state)
{
    static uint8_t blocks[MAX_BYTES + 1];
    static float want[MAX_VALUES], got[MAX_VALUES];
    size_t n;
    const struct quant_format *const *all = quant_all(&n);

    (void)state;
    for (size_t i = 0; i < n; i++) {
        const struct quant_format *f = all[i];
        size_t n_blocks = blocks_of(f, blocks), bytes;

        if (f->dtype == DTYPE_F32)
            memcpy(want, blocks, bytes = n_blocks * 4);
        else
            bytes = read_golden(f->name, "f32", want, sizeof want);
        assert_int_equal(bytes, n_blocks * f->block_values * sizeof(float));
        f->decode(got, blocks, n_blocks);
        assert_memory_equal(got, want, bytes);
        memset(got, 0, sizeof got);
        memmove(blocks + 1, blocks, n_blocks * f->block_bytes); /* unaligned */
        f->decode(got, blocks + 1, n_blocks);
        assert_memory_equal(got, want, bytes);
        got[0] = 42;
        f->decode(got, blocks, 0);
        assert_true(got[0] == 42);
    }
}

/* The one value of 8 bits without a sign that is not recorded: it is no number. */
static void eight_bits_that_are_no_number(void **state)
{
    uint8_t block[36] = { 0, 0, 0x80, 0x3f, 0x7f, 0xff, 0x7e, 0xfe };
    float y[32];

    (void)state;
    quant_format(DTYPE_F8_E4M3)->decode(y, block, 1);
    assert_true(isnan(y[0]) && isnan(y[1]) && y[2] == 448 && y[3] == -448 && y[4] == 0);
}

static void explode_gives_the_same_values(void **state)
{
    static uint8_t blocks[MAX_BYTES];
    size_t n;
    const struct quant_format *const *all = quant_all(&n);

    (void)state;
    for (size_t i = 0; i < n; i++) {
        const struct quant_format *f = all[i];
        size_t n_blocks = blocks_of(f, blocks);

        for (size_t b = 0; f->explode && b < n_blocks; b++) {
            uint8_t codes[257];
            float scale[17], min[17], y[256];
            size_t n_groups = f->block_values / f->group;

            codes[f->block_values] = 77;
            scale[n_groups] = min[n_groups] = 77;
            if (!f->has_min)
                min[0] = 77;
            f->decode(y, blocks + b * f->block_bytes, 1);
            f->explode(codes, scale, min, blocks + b * f->block_bytes);
            assert_true(codes[f->block_values] == 77 && scale[n_groups] == 77);
            assert_true(min[f->has_min ? n_groups : 0] == 77);
            for (size_t j = 0; j < f->block_values; j++) {
                double m = f->has_min ? (double)min[j / f->group] : 0;
                double v = (double)scale[j / f->group] * (codes[j] - f->zero) + m;

                assert_true(codes[j] < 1 << f->code_bits);
                assert_true(fabs(v - (double)y[j]) <= 1e-6 * (fabs(v) + fabs(m)) + 1e-40);
            }
        }
    }
}

static void dot_is_the_sum_over_decoded_values(void **state)
{
    static uint8_t blocks[MAX_BYTES];
    static float y[MAX_VALUES], x[MAX_VALUES];
    size_t n;
    const struct quant_format *const *all = quant_all(&n);

    (void)state;
    for (size_t i = 0; i < MAX_VALUES; i++)
        x[i] = (float)sin((double)i * 0.7) * 3.0f;
    for (size_t i = 0; i < n; i++) {
        const struct quant_format *f = all[i];
        size_t n_blocks = blocks_of(f, blocks);

        f->decode(y, blocks, n_blocks);
        for (size_t k = 0; k <= n_blocks; k = k * 2 + 1) {
            double sum = 0, magnitude = 0;

            for (size_t j = 0; j < k * f->block_values; j++) {
                sum += (double)y[j] * (double)x[j];
                magnitude += fabs((double)y[j] * (double)x[j]);
            }
            assert_true(fabs((double)f->dot(blocks, x, k) - sum) <= 1e-6 * magnitude);
        }
    }
}

/* What binary16 means, spelled out in double. */
static double half_value(unsigned h)
{
    double sign = h & 0x8000 ? -1 : 1;
    int exponent = (int)(h >> 10 & 31), mantissa = (int)(h & 0x3ff);

    if (exponent == 31)
        return mantissa ? (double)NAN : sign * (double)INFINITY;
    return sign * (exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24));
}

static void halves_go_there_and_back(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 65536; h++) {
        float f = quant_f16((uint16_t)h);
        double want = half_value(h);

        assert_true(isnan(want) ? isnan(f) : (double)f == want && !signbit(f) == !(h & 0x8000));
        assert_int_equal(quant_to_f16(f), h);
    }
    assert_true(quant_bf16(0x3f80) == 1.0f && quant_bf16(0xc040) == -3.0f);
    assert_true(isinf(quant_bf16(0x7f80)) && isnan(quant_bf16(0x7fc0)));
}

/* Between two neighbouring halves the nearer one is taken, the even one from the middle. */
static void floats_round_to_the_nearest_even_half(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 0x7bff; h++) {
        float a = quant_f16((uint16_t)h), b = quant_f16((uint16_t)(h + 1));
        float middle = (float)(((double)a + (double)b) / 2);
        unsigned even = h & 1 ? h + 1 : h;

        assert_int_equal(quant_to_f16(middle), even);
        assert_int_equal(quant_to_f16(-middle), even | 0x8000);
        assert_int_equal(quant_to_f16(nextafterf(middle, a)), h);
        assert_int_equal(quant_to_f16(nextafterf(middle, b)), h + 1);
    }
    assert_int_equal(quant_to_f16(65504), 0x7bff);
    assert_int_equal(quant_to_f16(65519.996f), 0x7bff);
    assert_int_equal(quant_to_f16(65520), 0x7c00);
    assert_int_equal(quant_to_f16(-1e30f), 0xfc00);
    assert_int_equal(quant_to_f16(INFINITY), 0x7c00);
    assert_int_equal(quant_to_f16(1e-30f), 0);
    assert_true(isnan(quant_f16(quant_to_f16(NAN))));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_as_published),
        cmocka_unit_test(decode_equals_recorded_bits),
        cmocka_unit_test(eight_bits_that_are_no_number),
        cmocka_unit_test(explode_gives_the_same_values),
        cmocka_unit_test(dot_is_the_sum_over_decoded_values),
        cmocka_unit_test(halves_go_there_and_back),
        cmocka_unit_test(floats_round_to_the_nearest_even_half),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
