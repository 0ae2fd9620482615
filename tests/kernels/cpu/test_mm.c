/* Matrix multiplication: every instruction set that runs here, every storage format, awkward
 * shapes, against sums in double of the decoded weights times the activations as they are rounded.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/brief.h"
#include "tests/kernels/cpu/mm_rig.h"

enum { MAX_N = 600, MAX_ROWS = 576, MAX_COLS = 1792 };

/* What the kernels are to compute with: blocks of 32 codes of 8 bits. */
static void quantised(double *a, const float *x, size_t cols)
{
    for (size_t b = 0; b < cols; b += 32) {
        float max = 0;

        for (size_t i = 0; i < 32; i++)
            max = fmaxf(max, fabsf(x[b + i]));
        for (size_t i = 0; i < 32; i++)
            a[b + i] =
                max > 1e-30f ? (double)(max / 127) * (double)rintf(x[b + i] * (127 / max)) : 0;
    }
}

/* x rounded to 8 bits of significand, ties to even. */
static float as_bf16(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    bits += 0x7fff + (bits >> 16 & 1);
    bits &= 0xffff0000;
    memcpy(&x, &bits, sizeof x);
    return fabsf(x) < 1.2e-38f ? 0 : x; /* smaller ones are flushed */
}

/* Are these weights multiplied in bf16 for rows of a prompt? */
static bool in_bf16(const struct mm_ops *ops, const struct weight *w, bool prompt)
{
    return prompt && ops->prompt && w->kind == WEIGHT_PACKED;
}

/* Are activations rounded to bf16, beside weights that are bf16 as they stand? */
static bool in_pairs(const struct mm_ops *ops, const struct weight *w, bool prompt)
{
    return prompt && ops->pairs && w->rounds;
}

/* How activations are made; FILL_EXACT: at random, and WEIGHT_EXACT is asked for. */
enum fill { FILL_RANDOM, FILL_EXACT, FILL_ZERO, FILL_MAX, FILL_MIN, FILL_SIGNS, FILL_SPIKE };

static void activations(float *x, size_t count, enum fill fill, uint32_t seed)
{
    for (size_t i = 0; i < count; i++)
        x[i] = fill <= FILL_EXACT   ? mm_case_uniform(&seed) * (i % 37 == 0 ? 9 : 1)
               : fill == FILL_ZERO  ? 0
               : fill == FILL_MAX   ? 3
               : fill == FILL_MIN   ? -3
               : fill == FILL_SIGNS ? (i % 2 ? 3.f : -3.f)
                                    : (i % 32 == 5 ? 1e-3f : 1e-36f);
}

struct shape {
    size_t n_out, rows[3], cols, n;
    bool bias;
    int weight_fill; /* as in mm_case_block() */
    enum fill fill;
};

/* y[r] against the sum in double; the tolerance is relative to the sum of what could have been
 * added. */
static void check_row(const struct tensor *t, const double *a, const float *bias, const float *y,
                      double tolerance, const char *what)
{
    const struct quant_format *f = quant_format(t->dtype);
    size_t cols = tensor_cols(t), row_bytes = cols / f->block_values * f->block_bytes;
    static float w[MAX_COLS];

    for (size_t r = 0; r < tensor_rows(t); r++) {
        double sum = bias ? (double)bias[r] : 0, size = fabs(sum), largest = 0, all = 0;

        f->decode(w, (const unsigned char *)t->data + r * row_bytes, cols / f->block_values);
        for (size_t c = 0; c < cols; c++) {
            sum += (double)w[c] * a[c];
            size += fabs((double)w[c] * a[c]);
            largest = fmax(largest, fabs((double)w[c]));
            all += fabs(a[c]);
        }
        size += largest * all;
        if (!(fabs((double)y[r] - sum) <= tolerance * size + 1e-30))
            fail_msg("%s: row %zu is %.9g, not %.9g (error %.3g of %.3g)", what, r, (double)y[r],
                     sum, fabs((double)y[r] - sum), size);
    }
}

static void check_shape(const struct mm_ops *ops, const char *isa_name,
                        const struct quant_format *f, const struct shape *s, bool prompt)
{
    /* scales that are products are kept as halves: 2^-12 of each at most */
    double tolerance;
    struct matmul op = { .n_out = s->n_out, .n = s->n, .prompt = prompt };
    unsigned use = WEIGHT_MATMUL | (s->fill == FILL_EXACT ? WEIGHT_EXACT : 0);
    struct weight_store store = { 0 };
    struct mm_scratch scratch = { 0 };
    struct weight *w[3] = { 0 };
    struct tensor t[3];
    float *x = malloc(s->n * s->cols * sizeof *x), *bias[3], *y[3];
    double *a = malloc(s->cols * sizeof *a);
    char what[128];
    struct err e;
    bool packed;

    snprintf(what, sizeof what, "%s %s rows %zu cols %zu n %zu fill %d %d%s", isa_name, f->name,
             s->rows[0], s->cols, s->n, s->weight_fill, (int)s->fill, prompt ? " prompt" : "");
    activations(x, s->n * s->cols, s->fill, 7);
    assert_int_equal(mm_scratch_reserve(&scratch, s->n, s->cols, 3, &e), 0);
    op.x = x;
    for (size_t m = 0; m < s->n_out; m++) {
        t[m] = mm_case_tensor(f, s->rows[m], s->cols, s->weight_fill, m == 1, (uint32_t)(m + 1));
        assert_int_equal(weight_create(&w[m], &store, &t[m], use, &e), 0);
        bias[m] = malloc(s->rows[m] * sizeof(float));
        y[m] = malloc(s->n * s->rows[m] * sizeof(float));
        activations(bias[m], s->rows[m], FILL_RANDOM, 99);
        op.w[m] = w[m];
        op.y[m] = y[m];
        op.bias[m] = s->bias ? bias[m] : NULL;
    }
    run(ops, &op, &scratch, 3);
    packed = w[0]->kind == WEIGHT_PACKED;
    /* scales that are products are kept as halves: 2^-12 of each at most, more where an eighth of
     * a half may be below the normal range */
    tolerance = !packed                                       ? 5e-6
                : f->block_values == 32                       ? 1e-6
                : f->dtype >= DTYPE_IQ2_XXS && f->dtype <= 29 ? 1e-3
                                                              : 2.5e-4;
    /* half a unit of 8 bits for each weight; float32 sums of pairs */
    if (in_bf16(ops, w[0], prompt))
        tolerance += 1.0 / 512 + 2e-6;
    for (size_t i = 0; i < s->n; i++) {
        if (in_bf16(ops, w[0], prompt) || in_pairs(ops, w[0], prompt))
            for (size_t c = 0; c < s->cols; c++)
                a[c] = (double)as_bf16(x[i * s->cols + c]);
        else if (packed)
            quantised(a, x + i * s->cols, s->cols);
        else
            for (size_t c = 0; c < s->cols; c++)
                a[c] = (double)x[i * s->cols + c];
        for (size_t m = 0; m < s->n_out; m++)
            check_row(&t[m], a, op.bias[m], y[m] + i * s->rows[m], tolerance, what);
    }
    for (size_t m = 0; m < s->n_out; m++) {
        weight_free_all(w[m]);
        mm_case_free(&t[m]);
        free(bias[m]);
        free(y[m]);
    }
    assert_null(store.open);
    mm_scratch_done(&scratch);
    free(x);
    free(a);
}

static void every_shape(const char *isa_name, bool prompt)
{
    static const struct shape shapes[] = {
        { 1, { 1 }, 256, 1, false, -1, FILL_RANDOM },
        { 1, { 7 }, 512, 2, true, -1, FILL_RANDOM },
        { 1, { 15 }, 256, 3, false, -1, FILL_RANDOM },
        { 1, { 16 }, 1792, 5, true, -1, FILL_RANDOM },
        { 1, { 17 }, 256, 8, true, -1, FILL_RANDOM },
        { 1, { 31 }, 512, 13, false, -1, FILL_RANDOM },
        { 1, { 48 }, 1280, 16, true, -1, FILL_RANDOM },
        { 1, { 33 }, 256, 33, false, -1, FILL_RANDOM },
        { 2, { 48, 47 }, 256, 64, true, -1, FILL_RANDOM },
        { 3, { 64, 16, 17 }, 512, 4, true, -1, FILL_RANDOM },
        { 3, { 1, 100, 31 }, 256, 7, false, -1, FILL_RANDOM },
        { 1, { 70 }, 256, 200, true, -1, FILL_RANDOM },
        { 1, { 576 }, 32, 9, false, -1, FILL_RANDOM },
        { 1, { 17 }, 64, 6, true, -1, FILL_RANDOM },
        { 2, { 192, 17 }, 576, 11, false, -1, FILL_RANDOM },
        { 1, { 17 }, 256, 7, true, -1, FILL_ZERO },
        { 1, { 17 }, 256, 7, false, 255, FILL_MAX },
        { 1, { 17 }, 256, 7, false, 255, FILL_MIN },
        { 1, { 17 }, 256, 7, false, 255, FILL_SIGNS },
        { 1, { 17 }, 256, 7, false, 0, FILL_MAX },
        { 1, { 17 }, 256, 7, false, 0, FILL_MIN },
        { 1, { 17 }, 256, 7, false, 0x80, FILL_MAX },
        { 1, { 17 }, 256, 7, false, 0x80, FILL_MIN },
        { 1, { 17 }, 256, 7, false, 0x7f, FILL_SIGNS },
        { 1, { 17 }, 256, 7, false, -1, FILL_SPIKE },
        { 1, { 17 }, 512, 7, false, -2, FILL_RANDOM },
        { 1, { 35 }, 512, 1, true, -1, FILL_EXACT },
        { 2, { 35, 16 }, 256, 37, false, -1, FILL_EXACT },
    };
    enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };
    const struct mm_ops *ops = isa(isa_name);
    const struct quant_format *const *formats;
    size_t n;

    if (!ops)
        skip();
    formats = quant_all(&n);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < N_SHAPES; k++)
            if (shapes[k].cols % formats[i]->block_values == 0 &&
                !brief_leaves_out(i * N_SHAPES + k, 3))
                check_shape(ops, isa_name, formats[i], &shapes[k], prompt);
}

/* A row's result is the same bit for bit whatever else is in the batch, however it is cut. */
static void same_whatever_n(const char *isa_name, bool prompt)
{
    static const size_t sizes[] = { 1,  2,  3,  4,  5,  6,  7,   8,   11,
                                    12, 13, 16, 25, 33, 64, 193, 200, 600 };
    const struct mm_ops *ops = isa(isa_name);
    const struct quant_format *const *formats;
    size_t n_formats, cols = 1792, rows[2] = { 81, 16 };
    size_t most = brief() ? 33 : prompt ? MAX_N : 200; /* rows of a prompt are cut from 438 on */
    size_t more_threads = brief() ? 64 : 8;
    static float x[MAX_N * 1792], all[2][MAX_N * 81], y[2][MAX_N * 81];

    if (!ops)
        skip();
    formats = quant_all(&n_formats);
    activations(x, most * cols, FILL_RANDOM, 3);
    for (size_t i = 0; i < n_formats; i++) {
        struct weight_store store = { 0 };
        struct mm_scratch scratch = { 0 };
        struct matmul op = { .n_out = 2, .x = x, .prompt = prompt };
        struct weight *w[2];
        struct tensor t[2];
        struct err e;

        assert_int_equal(mm_scratch_reserve(&scratch, MAX_N, cols, 64, &e), 0);
        for (size_t m = 0; m < 2; m++) {
            t[m] = mm_case_tensor(formats[i], rows[m], cols, -1, 1, 5);
            assert_int_equal(weight_create(&w[m], &store, &t[m], WEIGHT_MATMUL, &e), 0);
            op.w[m] = w[m];
        }
        for (size_t k = sizeof sizes / sizeof sizes[0]; k-- > 0;) {
            size_t n = sizes[k];
            bool keep = n == most; /* the largest is first */

            if (n > most)
                continue;
            for (size_t threads = 1; threads <= 64; threads *= more_threads) {
                op.n = n;
                for (size_t m = 0; m < 2; m++)
                    op.y[m] = keep && threads == 1 ? all[m] : y[m];
                run(ops, &op, &scratch, threads);
                for (size_t m = 0; m < 2; m++)
                    if (memcmp(op.y[m], all[m], n * rows[m] * sizeof(float)) != 0)
                        fail_msg("%s %s: n %zu, %zu threads differ from n %zu", isa_name,
                                 formats[i]->name, n, threads, most);
            }
        }
        for (size_t m = 0; m < 2; m++) {
            weight_free_all(w[m]);
            mm_case_free(&t[m]);
        }
        mm_scratch_done(&scratch);
    }
}

static void scalar_shapes(void **state)
{
    (void)state;
    every_shape("scalar", false);
}

static void avx2_shapes(void **state)
{
    (void)state;
    every_shape("avx2", false);
}

static void avxvnni_shapes(void **state)
{
    (void)state;
    every_shape("avxvnni", false);
}

static void neon_shapes(void **state)
{
    (void)state;
    every_shape("neon", false);
}

static void avx512_shapes(void **state)
{
    (void)state;
    every_shape("avx512", false);
}

static void amx_shapes(void **state)
{
    (void)state;
    every_shape("amx", false);
}

static void scalar_same(void **state)
{
    (void)state;
    same_whatever_n("scalar", false);
}

static void avx2_same(void **state)
{
    (void)state;
    same_whatever_n("avx2", false);
}

static void avxvnni_same(void **state)
{
    (void)state;
    same_whatever_n("avxvnni", false);
}

static void neon_same(void **state)
{
    (void)state;
    same_whatever_n("neon", false);
}

static void avx512_same(void **state)
{
    (void)state;
    same_whatever_n("avx512", false);
}

static void amx_same(void **state)
{
    (void)state;
    same_whatever_n("amx", false);
}

/* Rows of a prompt, on tables that have an arithmetic for them: for all matrices, or for floats. */
static void avx2_prompt_shapes(void **state)
{
    (void)state;
    every_shape("avx2", true);
}

static void avx512_prompt_shapes(void **state)
{
    (void)state;
    every_shape("avx512", true);
}

static void avx512bf16_prompt_shapes(void **state)
{
    (void)state;
    every_shape("avx512bf16", true);
}

static void amx_prompt_shapes(void **state)
{
    (void)state;
    every_shape("amx", true);
}

static void avx512_prompt_same(void **state)
{
    (void)state;
    same_whatever_n("avx512", true);
}

static void amx_prompt_same(void **state)
{
    (void)state;
    same_whatever_n("amx", true);
}

/* One op's matrices of floats and of codes: each result is that of the matrix alone. */
static void mixed(const char *isa_name, size_t n)
{
    enum { COLS = 1056, ROWS = 81 };
    static const enum dtype types[3] = { DTYPE_F32, DTYPE_Q8_0, DTYPE_BF16 };
    static float x[100 * COLS], y[3][100 * ROWS], alone[100 * ROWS];
    const struct mm_ops *ops = isa(isa_name);
    struct matmul op = { .n_out = 3, .x = x, .n = n, .prompt = true };
    struct weight_store store = { 0 };
    struct mm_scratch scratch = { 0 };
    struct weight *w[3];
    struct tensor t[3];
    struct err e;

    activations(x, n * COLS, FILL_RANDOM, 3);
    assert_int_equal(mm_scratch_reserve(&scratch, n, COLS, 2, &e), 0);
    for (size_t m = 0; m < 3; m++) {
        t[m] = mm_case_tensor(quant_format(types[m]), ROWS, COLS, -1, 1, 5);
        assert_int_equal(weight_create(&w[m], &store, &t[m], WEIGHT_MATMUL, &e), 0);
        op.w[m] = w[m];
        op.y[m] = y[m];
    }
    run(ops, &op, &scratch, 2);
    op.n_out = 1;
    op.y[0] = alone;
    for (size_t m = 0; m < 3; m++) {
        op.w[0] = w[m];
        run(ops, &op, &scratch, 1);
        if (memcmp(alone, y[m], n * ROWS * sizeof *alone) != 0)
            fail_msg("%s, n %zu: matrix %zu is another one beside others", isa_name, n, m);
    }
    for (size_t m = 0; m < 3; m++) {
        weight_free_all(w[m]);
        mm_case_free(&t[m]);
    }
    mm_scratch_done(&scratch);
}

static void mixed_ops(void **state)
{
    (void)state;
    for (const char *const *name = isa_names(); *name; name++)
        for (size_t n = 3; isa(*name) && n <= 100; n += 97)
            mixed(*name, n);
}

/* Rows of floats in every number up to FLOAT_ROWS: each has the bits of the row alone, as one of a
 * prompt and as a generated one.  cols: of parts, of whole steps, and with something left over. */
static void float_rows_alone(const char *isa_name, const struct quant_format *f, size_t cols,
                             bool prompt)
{
    enum { FLOAT_ROWS = 200, ROWS = 81 };
    static float x[FLOAT_ROWS * MAX_COLS], alone[FLOAT_ROWS * ROWS], y[FLOAT_ROWS * ROWS];
    const struct mm_ops *ops = isa(isa_name);
    struct tensor t = mm_case_tensor(f, ROWS, cols, -1, 1, 5);
    struct weight_store store = { 0 };
    struct mm_scratch scratch = { 0 };
    struct matmul op = { .n_out = 1, .prompt = prompt };
    struct weight *w;
    struct err e;

    activations(x, FLOAT_ROWS * cols, FILL_RANDOM, 3);
    assert_int_equal(mm_scratch_reserve(&scratch, FLOAT_ROWS, cols, 3, &e), 0);
    assert_int_equal(weight_create(&w, &store, &t, WEIGHT_MATMUL, &e), 0);
    assert_int_equal(w->kind, WEIGHT_FLOAT);
    op.w[0] = w;
    for (size_t i = 0; i < FLOAT_ROWS; i++) {
        op.n = 1;
        op.x = x + i * cols;
        op.y[0] = alone + i * ROWS;
        run(ops, &op, &scratch, 1);
    }
    op.x = x;
    op.y[0] = y;
    for (op.n = 2; op.n <= FLOAT_ROWS; op.n += brief() ? 13 : 1) {
        run(ops, &op, &scratch, 1 + op.n % 3);
        if (memcmp(y, alone, op.n * ROWS * sizeof *y) != 0)
            fail_msg("%s %s, %zu columns%s: among %zu a row is another than alone", isa_name,
                     f->name, cols, prompt ? ", prompt" : "", op.n);
    }
    weight_free_all(w);
    mm_case_free(&t);
    mm_scratch_done(&scratch);
}

static void floats_same(const char *isa_name)
{
    static const enum dtype types[] = { DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_F8_E4M3 };
    static const size_t cols[] = { 2, 32, 76, 256, 1024, 1085, 1792 };
    size_t most = strcmp(isa_name, "scalar") == 0 ? 256 : MAX_COLS;

    if (!isa(isa_name))
        skip();
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        for (size_t c = 0; c < sizeof cols / sizeof *cols && cols[c] <= most; c++)
            if (cols[c] % quant_format(types[i])->block_values == 0) {
                float_rows_alone(isa_name, quant_format(types[i]), cols[c], false);
                float_rows_alone(isa_name, quant_format(types[i]), cols[c], true);
            }
}

static void scalar_floats(void **state)
{
    (void)state;
    floats_same("scalar");
}

static void avx2_floats(void **state)
{
    (void)state;
    floats_same("avx2");
}

static void avxvnni_floats(void **state)
{
    (void)state;
    floats_same("avxvnni");
}

static void neon_floats(void **state)
{
    (void)state;
    floats_same("neon");
}

static void avx512_floats(void **state)
{
    (void)state;
    floats_same("avx512");
}

static void avx512bf16_floats(void **state)
{
    (void)state;
    floats_same("avx512bf16");
}

static void amx_floats(void **state)
{
    (void)state;
    floats_same("amx");
}

/* --- what weights keep, and what they refuse --- */

static void rows_are_exact(void **state)
{
    static const unsigned uses[] = { WEIGHT_MATMUL, WEIGHT_EMBED, WEIGHT_MATMUL | WEIGHT_EMBED,
                                     WEIGHT_MATMUL | WEIGHT_EXACT,
                                     WEIGHT_MATMUL | WEIGHT_EMBED | WEIGHT_EXACT };
    const struct quant_format *const *formats;
    size_t n, cols = 512;
    float y[512], expected[512];

    (void)state;
    formats = quant_all(&n);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < sizeof uses / sizeof *uses; k++) {
            unsigned use = uses[k];
            struct tensor t = mm_case_tensor(formats[i], 19, cols, -1, 1, 11);
            struct weight_store store = { 0 };
            struct weight *w;
            struct err e;

            assert_int_equal(weight_create(&w, &store, &t, use, &e), 0);
            assert_int_equal(weight_needs_source(w),
                             w->kind != WEIGHT_FLOAT && (use & WEIGHT_EMBED) != 0);
            if (use & WEIGHT_EXACT)
                assert_int_equal(w->kind, WEIGHT_FLOAT);
            assert_int_equal(weight_rows(w), 19);
            assert_int_equal(weight_cols(w), cols);
            for (size_t r = 0; (use & WEIGHT_EMBED) && r < 19; r++) {
                formats[i]->decode(expected, (const unsigned char *)t.data + r * (t.bytes / 19),
                                   cols / formats[i]->block_values);
                weight_row(w, r, y);
                assert_memory_equal(y, expected, sizeof y);
            }
            weight_free_all(w);
            mm_case_free(&t);
        }
    weight_free_all(NULL);
}

/* Faster ways to decode give the same values, wherever they begin. */
static void spread_is_decode(void **state)
{
    static const char *const names[] = { "scalar", "neon",       "avx2", "avxvnni",
                                         "avx512", "avx512bf16", "amx" };
    static float y[MAX_COLS], expected[MAX_COLS];
    const struct quant_format *const *formats;
    size_t n, known = 0, tables = 0;

    (void)state;
    formats = quant_all(&n);
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        const struct mm_ops *ops = isa(names[k]);

        if (!ops || !ops->spread)
            continue;
        tables++;
        for (size_t i = 0; i < n; i++)
            for (int odd = 0; odd < 2; odd++) {
                struct tensor t = mm_case_tensor(formats[i], 1, 256, -1, odd, (uint32_t)i + 5);
                size_t n_blocks = 256 / formats[i]->block_values;

                formats[i]->decode(expected, t.data, n_blocks);
                y[256] = 77;
                if (ops->spread(y, t.data, formats[i]->dtype, n_blocks)) {
                    known++;
                    for (size_t c = 0; c < 256; c++)
                        assert_true(y[c] == expected[c]);
                }
                assert_true(y[256] == 77);
                mm_case_free(&t);
            }
    }
    if (tables == 0)
        skip();
    assert_int_equal(known, 10 * tables); /* five formats, at both places */
}

/* What was made in memory for a tensor is used where it lies. */
static void made_ones_are_not_copied(void **state)
{
    struct tensor t = mm_case_tensor(quant_format(DTYPE_F8_E4M3), 19, 256, -1, 1, 11);
    struct weight_store store = { 0 };
    struct weight *w;
    struct err e;

    (void)state;
    t.made = true;
    assert_int_equal(weight_create(&w, &store, &t, WEIGHT_MATMUL, &e), 0);
    assert_int_equal(w->kind, WEIGHT_FLOAT);
    assert_ptr_equal(w->source, t.data);
    assert_true(weight_needs_source(w));
    assert_null(store.open);
    weight_free_all(w);
    mm_case_free(&t);
}

static void bad_tensors(void **state)
{
    const struct quant_format *f = quant_format(DTYPE_Q4_K);
    struct tensor good = mm_case_tensor(f, 4, 512, -1, 0, 1), t;
    struct weight_store store = { 0 };
    struct weight *w = NULL;
    struct err e;

    (void)state;
    t = good;
    t.bytes--;
    assert_int_equal(weight_create(&w, &store, &t, WEIGHT_MATMUL, &e), ERR_FORMAT);
    t = good;
    t.shape[1] = 511;
    assert_int_equal(weight_create(&w, &store, &t, WEIGHT_MATMUL, &e), ERR_FORMAT);
    t = good;
    t.shape[0] = SIZE_MAX / 2048;
    assert_int_equal(weight_create(&w, &store, &t, WEIGHT_MATMUL, &e), ERR_FORMAT);
    t = good;
    t.shape[0] = 0;
    assert_int_equal(weight_create(&w, &store, &t, WEIGHT_EMBED, &e), ERR_FORMAT);
    t = good;
    t.dtype = (enum dtype)31;
    assert_int_equal(weight_create(&w, &store, &t, WEIGHT_EMBED, &e), ERR_UNSUPPORTED);
    assert_null(w);
    assert_null(store.open);
    mm_case_free(&good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_ones_are_not_copied),
        cmocka_unit_test(rows_are_exact),
        cmocka_unit_test(spread_is_decode),
        cmocka_unit_test(bad_tensors),
        cmocka_unit_test(scalar_shapes),
        cmocka_unit_test(avx2_shapes),
        cmocka_unit_test(avx512_shapes),
        cmocka_unit_test(scalar_same),
        cmocka_unit_test(avx2_same),
        cmocka_unit_test(avx512_same),
        cmocka_unit_test(avx2_prompt_shapes),
        cmocka_unit_test(avx512_prompt_shapes),
        cmocka_unit_test(avx512bf16_prompt_shapes),
        cmocka_unit_test(amx_prompt_shapes),
        cmocka_unit_test(avx512_prompt_same),
        cmocka_unit_test(amx_prompt_same),
        cmocka_unit_test(mixed_ops),
        cmocka_unit_test(scalar_floats),
        cmocka_unit_test(avx2_floats),
        cmocka_unit_test(avxvnni_floats),
        cmocka_unit_test(neon_floats),
        cmocka_unit_test(avx512_floats),
        cmocka_unit_test(avx512bf16_floats),
        cmocka_unit_test(amx_floats),
        cmocka_unit_test(amx_shapes),
        cmocka_unit_test(amx_same),
        cmocka_unit_test(avxvnni_shapes),
        cmocka_unit_test(avxvnni_same),
        cmocka_unit_test(neon_shapes),
        cmocka_unit_test(neon_same),
    };

    brief_begin("every third case of shapes and formats, and batches of up to 33 rows");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
