/* The matmul op of a backend against sums in double: every storage format, rows that fill tiles and
 * do not, and each row bit for bit in any company.  (test_mm.c looks into the CPU's more closely.)
 */
#include "tests/kernels/cpu/battery.h"
#include "tests/kernels/cpu/mm_case.h"

enum { MAX_N = 70, MAX_ROWS = 83, MAX_COLS = 1024, WITHOUT_BIAS = 13 };

struct shape {
    size_t rows, cols;
};

/* Activations as integer products see them: blocks of 32 codes of 8 bits. */
static void quantised(double *a, const float *x, size_t cols)
{
    for (size_t b = 0; b < cols; b += 32) {
        float max = 0;

        for (size_t i = b; i < b + 32; i++)
            max = fmaxf(max, fabsf(x[i]));
        for (size_t i = b; i < b + 32; i++)
            a[i] = max > 1e-30f ? (double)(max / 127) * (double)rintf(x[i] * (127 / max)) : 0;
    }
}

/* What a product may be off, of the sum of its terms' sizes: sums of floats; scales that are kept
 * in 16 bits, whose differences to minima are small beside either; factors of 16 bits or, with AMX
 * and avx512bf16, of 8. */
static double allowed(const char *isa, const struct quant_format *f, bool prompt)
{
    if (f->explode && prompt && strcmp(isa, "amx") == 0)
        return 1e-2;
    if (f->explode)
        return strcmp(isa, "cuda") != 0 ? 3e-3 : 7e-4;
    if (prompt && strcmp(isa, "avx512bf16") == 0 && f->dtype == DTYPE_BF16)
        return 1e-2;
    return prompt ? 4e-5 : 3e-6;
}

struct job {
    const struct rig *r;
    const char *isa;
    const struct quant_format *f;
    struct shape shape;
    struct weight *w;
    const float *decoded; /* [rows, cols] */
    float *x, *y, *bias;  /* bias: or NULL */
};

static void compare(const struct job *j, size_t n, bool prompt)
{
    double a[MAX_COLS];

    for (size_t i = 0; i < n; i++) {
        const float *x = j->x + i * j->shape.cols;

        for (size_t c = 0; c < j->shape.cols; c++)
            a[c] = (double)x[c];
        if (j->f->explode && !(prompt && strcmp(j->isa, "amx") == 0))
            quantised(a, x, j->shape.cols);
        for (size_t r = 0; r < j->shape.rows; r++) {
            double sum = j->bias ? (double)j->bias[r] : 0, size = fabs(sum);

            for (size_t c = 0; c < j->shape.cols; c++) {
                double term = (double)j->decoded[r * j->shape.cols + c] * a[c];

                sum += term;
                size += fabs(term);
            }
            if (!(fabs((double)j->y[i * j->shape.rows + r] - sum) <=
                  allowed(j->isa, j->f, prompt) * size))
                fail_msg("%s, %zu x %zu, row %zu of %zu%s, value %zu: %.9g is not %.9g (%.3g)",
                         j->f->name, j->shape.rows, j->shape.cols, i, n,
                         prompt ? " of a prompt" : "", r, (double)j->y[i * j->shape.rows + r], sum,
                         fabs((double)j->y[i * j->shape.rows + r] - sum) / size);
        }
    }
}

static void run(const struct job *j, size_t n, bool prompt)
{
    for (size_t i = 0; i < n * j->shape.rows; i++)
        j->y[i] = NAN;
    j->r->b->matmul(j->r->d, &(struct matmul){ .n_out = 1,
                                               .w = { j->w },
                                               .y = { j->y },
                                               .bias = { j->bias },
                                               .x = j->x,
                                               .n = n,
                                               .prompt = prompt });
    j->r->b->sync(j->r->d);
}

/* The first rows of more are what they are of fewer. */
static void check_rows(const struct job *j, bool prompt)
{
    static const size_t ns[] = { 1, 3, 8, 9, 33, MAX_N };
    float *most = malloc(MAX_N * j->shape.rows * sizeof *most);

    run(j, MAX_N, prompt);
    memcpy(most, j->y, MAX_N * j->shape.rows * sizeof *most);
    compare(j, MAX_N, prompt);
    for (size_t i = 0; i + 1 < sizeof ns / sizeof *ns; i++) {
        run(j, ns[i], prompt);
        assert_memory_equal(most, j->y, ns[i] * j->shape.rows * sizeof *most);
    }
    free(most);
}

static void check(const struct rig *r, const char *isa, const struct quant_format *f,
                  struct shape shape)
{
    struct tensor t = mm_case_tensor(f, shape.rows, shape.cols, -1, 0, (uint32_t)shape.cols);
    float *decoded = malloc(shape.rows * shape.cols * sizeof *decoded);
    struct job j = { r, isa, f, shape, NULL, decoded, NULL, NULL, NULL };
    float *bias;

    f->decode(decoded, t.data, shape.rows * shape.cols / f->block_values);
    assert_int_equal(r->b->upload(r->d, &t, WEIGHT_MATMUL, &j.w, NULL), 0);
    assert_int_equal(r->b->reserve(r->d, MAX_N, NULL), 0);
    j.x = rig_floats(r, MAX_N * shape.cols);
    j.y = rig_floats(r, MAX_N * shape.rows);
    j.bias = rig_floats(r, shape.rows);
    fill(j.x, MAX_N * shape.cols, 2, 21);
    fill(j.bias, shape.rows, 1, 22);
    for (size_t c = 0; c < shape.cols; c += 37)
        j.x[c] *= 9;
    check_rows(&j, false);
    check_rows(&j, true);
    bias = j.bias;
    j.bias = NULL;
    for (int prompt = 0; prompt < 2; prompt++) {
        run(&j, WITHOUT_BIAS, prompt);
        compare(&j, WITHOUT_BIAS, prompt);
    }
    r->b->free(r->d, j.x);
    r->b->free(r->d, j.y);
    r->b->free(r->d, bias);
    r->b->weight_free(r->d, j.w);
    mm_case_free(&t);
    free(decoded);
}

static const char *const formats[] = { "F32",    "F16",    "BF16",   "Q4_0",  "Q4_1",  "Q5_0",
                                       "Q5_1",   "Q8_0",   "Q2_K",   "Q3_K",  "Q4_K",  "Q5_K",
                                       "Q6_K",   "IQ4_NL", "IQ4_XS", "MXFP4", "IQ1_S", "IQ1_M",
                                       "IQ2_XS", "IQ3_S",  "TQ2_0",  "NVFP4" };

static void every_format(void **state)
{
    struct rig r = rig_open(state, 2);

    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        const struct quant_format *f = quant_by_name(formats[i]);
        struct shape shape = { i % 2 ? 16 : MAX_ROWS, f->block_values > 32 ? 512 : 544 };

        assert_non_null(f);
        check(&r, *state, f, shape);
    }
    rig_close(&r);
}

/* Rows and columns that all tiles fit: tests/cuda/test_counters.py counts memory accesses. */
static void whole_tiles(void **state)
{
    struct rig r = rig_open(state, 2);

    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        check(&r, *state, quant_by_name(formats[i]), (struct shape){ 64, MAX_COLS });
    rig_close(&r);
}

/* Columns that no tile, no vector and no four fit. */
static void odd_columns(void **state)
{
    static const struct shape shapes[] = {
        { 1, 1 }, { 65, 7 }, { 64, 33 }, { 17, 130 }, { 5, 1000 }
    };
    struct rig r = rig_open(state, 2);

    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t k = 0; k < 3; k++)
            check(&r, *state, quant_by_name(formats[k]), shapes[i]);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format),
        cmocka_unit_test(whole_tiles),
        cmocka_unit_test(odd_columns),
    };

    brief_begin(NULL);
    return run_battery("matmul", tests, sizeof tests / sizeof *tests);
}
