/* Tables that share an arithmetic multiply to the same bits: a model's text does not depend on
 * which of them the machine has. */
#include <math.h>

#include "tests/brief.h"
#include "tests/kernels/cpu/mm_rig.h"

enum { MAX_N = 33, COLS = 1792, ROWS = 81 };

/* Both tables' results of n rows, and where they differ first. */
static void compare(const char *const *names, const struct quant_format *f, size_t cols,
                    bool prompt)
{
    static const size_t sizes[] = { 1, 3, 4, 5, 16, MAX_N };
    static float x[MAX_N * COLS], y[2][MAX_N * ROWS];
    const struct tensor t = mm_case_tensor(f, ROWS, cols, -1, 1, 5);
    struct weight_store store = { 0 };
    struct mm_scratch scratch = { 0 };
    uint32_t seed = 3;
    struct weight *w;
    struct err e;

    for (size_t i = 0; i < MAX_N * cols; i++)
        x[i] = 4 * mm_case_uniform(&seed);
    assert_int_equal(mm_scratch_reserve(&scratch, MAX_N, cols, 2, &e), 0);
    assert_int_equal(weight_create(&w, &store, &t, WEIGHT_MATMUL, &e), 0);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        for (size_t i = 0; i < 2; i++)
            run(isa(names[i]),
                &(struct matmul){ .n_out = 1,
                                  .n = sizes[k],
                                  .x = x,
                                  .w = { w },
                                  .y = { y[i] },
                                  .prompt = prompt },
                &scratch, 2);
        for (size_t i = 0; i < sizes[k] * ROWS; i++)
            if (memcmp(&y[0][i], &y[1][i], sizeof y[0][i]) != 0)
                fail_msg("%s, %zu columns, n %zu: %s gives %.9g, %s gives %.9g", f->name, cols,
                         sizes[k], names[0], (double)y[0][i], names[1], (double)y[1][i]);
    }
    weight_free_all(w);
    mm_case_free((struct tensor *)&t);
    mm_scratch_done(&scratch);
}

static void chains(const char *name, const struct quant_format *f, size_t cols)
{
    static float x[MAX_N * COLS], y[MAX_N * ROWS], w[COLS];
    const struct tensor t = mm_case_tensor(f, ROWS, cols, -1, 1, 5);
    struct weight_store store = { 0 };
    struct mm_scratch scratch = { 0 };
    struct weight *matrix;
    uint32_t seed = 3;
    struct err e;

    for (size_t i = 0; i < MAX_N * cols; i++)
        x[i] = 4 * mm_case_uniform(&seed);
    assert_int_equal(mm_scratch_reserve(&scratch, MAX_N, cols, 1, &e), 0);
    assert_int_equal(weight_create(&matrix, &store, &t, WEIGHT_MATMUL, &e), 0);
    run(isa(name),
        &(struct matmul){
            .n_out = 1, .n = MAX_N, .x = x, .w = { matrix }, .y = { y }, .prompt = true },
        &scratch, 1);
    for (size_t r = 0; r < ROWS; r++) {
        f->decode(w, (const unsigned char *)t.data + r * (t.bytes / ROWS), cols / f->block_values);
        for (size_t i = 0; i < MAX_N; i++) {
            float sum = 0;

            for (size_t c = 0; c < cols; c++)
                sum = fmaf(x[i * cols + c], w[c], sum);
            if (memcmp(&sum, &y[i * ROWS + r], sizeof sum) != 0)
                fail_msg("%s %s, %zu columns: row %zu of %zu is %.9g, not %.9g", name, f->name,
                         cols, r, i, (double)y[i * ROWS + r], (double)sum);
        }
    }
    weight_free_all(matrix);
    mm_case_free((struct tensor *)&t);
    mm_scratch_done(&scratch);
}

static void same_bits(const char *a, const char *b, bool prompt)
{
    static const size_t cols[] = { 256, 1280, COLS };
    const struct quant_format *const *formats;
    size_t n;

    if (!isa(a) || !isa(b)) {
        print_message("# not both of %s and %s run here\n", a, b);
        skip();
    }
    formats = quant_all(&n);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < sizeof cols / sizeof *cols; k++)
            compare((const char *const[]){ a, b }, formats[i], cols[k], prompt);
}

static void avxvnni_as_avx2(void **state)
{
    (void)state;
    same_bits("avxvnni", "avx2", false);
    same_bits("avxvnni", "avx2", true);
}

/* Of rows of a prompt, weights in BF16 have an arithmetic of their own there. */
static void avx512bf16_as_avx512(void **state)
{
    (void)state;
    same_bits("avx512bf16", "avx512", false);
}

/* Rows of a prompt have an arithmetic of their own there. */
static void amx_as_avx512(void **state)
{
    (void)state;
    same_bits("amx", "avx512", false);
}

/* Panels of floats: sums column after column, as C says them. */
static void panels_are_chains(void **state)
{
    static const char *const names[] = { "avx2", "avx512" };
    static const enum dtype types[] = { DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_F8_E4M3 };
    static const size_t cols[] = { 1, 15, 128, 1085, COLS };
    size_t tables = 0;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!isa(names[i]))
            continue;
        tables++;
        for (size_t t = 0; t < sizeof types / sizeof *types; t++)
            for (size_t c = 0; c < sizeof cols / sizeof *cols; c++)
                if (cols[c] % quant_format(types[t])->block_values == 0)
                    chains(names[i], quant_format(types[t]), cols[c]);
    }
    if (tables == 0)
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(avxvnni_as_avx2),
        cmocka_unit_test(avx512bf16_as_avx512),
        cmocka_unit_test(amx_as_avx512),
        cmocka_unit_test(panels_are_chains),
    };

    brief_begin(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
