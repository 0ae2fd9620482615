/* norm, gated_act, softcap, write, gather, embed, argmax, and the queue, against double references.
 */
#include "battery.h"

static const size_t sizes[] = { 1, 7, 8, 9, 15, 16, 17, 31, 64, 80, 100, 576, 1000 };

enum { N_SIZES = sizeof sizes / sizeof *sizes, MAX_COLS = 1000, MAX_ROWS = 40 };

static void check_norm(const struct rig *r, enum norm_kind kind, size_t rows, size_t cols,
                       unsigned with)
{
    float *x = rig_floats(r, rows * cols), *y = rig_floats(r, rows * cols);
    float *add = rig_floats(r, rows * cols), *w = rig_floats(r, cols), *b = rig_floats(r, cols);
    float *before = malloc(rows * cols * sizeof *before);
    struct norm op = { .kind = kind, .x = x, .n = rows, .cols = cols, .eps = 1e-5f };

    op.y = with & 8 ? NULL : with & 1 ? y : x;
    op.add = with & 9 ? add : NULL;
    op.w = with & 2 ? w : NULL;
    op.b = with & 4 ? b : NULL;
    fill(x, rows * cols, 2, 1);
    fill(add, rows * cols, 1, 2);
    fill(w, cols, 1, 3);
    fill(b, cols, 1, 4);
    memcpy(before, x, rows * cols * sizeof *x);
    r->b->norm(r->d, &op);
    r->b->sync(r->d);
    for (size_t i = 0; i < rows; i++) {
        double sum = 0, squares = 0, mean = 0, factor;

        for (size_t c = 0; c < cols; c++) {
            if (op.add)
                before[i * cols + c] += add[i * cols + c];
            sum += before[i * cols + c];
        }
        if (kind == NORM_LAYER)
            mean = sum / (double)cols;
        for (size_t c = 0; c < cols; c++)
            squares += pow((double)before[i * cols + c] - mean, 2);
        factor = 1 / sqrt(squares / (double)cols + 1e-5);
        for (size_t c = 0; c < cols; c++) {
            double want = ((double)before[i * cols + c] - mean) * factor;

            if (op.y != x)
                assert_true(x[i * cols + c] == before[i * cols + c]);
            if (op.y)
                assert_near(op.y[i * cols + c],
                            want * (double)(op.w ? w[c] : 1) + (double)(op.b ? b[c] : 0), 2e-6,
                            2e-6);
        }
    }
    free(before);
    r->b->free(r->d, x);
    r->b->free(r->d, y);
    r->b->free(r->d, add);
    r->b->free(r->d, w);
    r->b->free(r->d, b);
}

/* Heads with weights of their own: as so many norms of one row each. */
static void head_norms(void **state)
{
    enum { HEADS = 5, COLS = 40, ROWS = 4 * HEADS };
    struct rig r = rig_open(state, 2);
    float *x = rig_floats(&r, ROWS * COLS), *y = rig_floats(&r, ROWS * COLS),
          *one = rig_floats(&r, COLS), *w = rig_floats(&r, HEADS * COLS);
    struct norm op = { .kind = NORM_LAYER, .x = x, .y = y, .w = w, .eps = 1e-5f };

    fill(x, ROWS * COLS, 2, 1);
    fill(w, HEADS * COLS, 1, 3);
    op.n = ROWS;
    op.cols = COLS;
    op.n_w = HEADS;
    r.b->norm(r.d, &op);
    op.n = 1;
    op.n_w = 0;
    op.y = one;
    for (size_t i = 0; i < ROWS; i++) {
        op.x = x + i * COLS;
        op.w = w + i % HEADS * COLS;
        r.b->norm(r.d, &op);
        r.b->sync(r.d);
        assert_memory_equal(one, y + i * COLS, COLS * sizeof *one);
    }
    r.b->free(r.d, x);
    r.b->free(r.d, y);
    r.b->free(r.d, one);
    r.b->free(r.d, w);
    rig_close(&r);
}

static void norms(void **state)
{
    for (size_t t = 0; t < rig_threads(state); t++) {
        struct rig r = rig_open(state, battery_threads[t]);

        for (size_t i = 0; i < N_SIZES; i++)
            for (unsigned with = 0; with < 16; with++) {
                check_norm(&r, NORM_RMS, with % 2 ? 1 : MAX_ROWS, sizes[i], with);
                check_norm(&r, NORM_LAYER, 3, sizes[i], with);
            }
        rig_close(&r);
    }
}

/* up counts only where a function has it for an argument. */
static double act(double x, double up, enum act_kind kind)
{
    switch (kind) {
    case ACT_SWIGLU_OAI:
        x = fmin(x, 7);
        return x / (1 + exp(-1.702 * x)) * (fmin(fmax(up, -7), 7) + 1);
    case ACT_SILU:
        return x / (1 + exp(-x));
    case ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case ACT_GELU_ERF:
        return 0.5 * x * (1 + erf(x / sqrt(2)));
    case ACT_RELU:
        break;
    }
    return x > 0 ? x : 0;
}

static void gated_acts(void **state)
{
    static const enum act_kind kinds[] = { ACT_SILU, ACT_GELU_TANH, ACT_GELU_ERF, ACT_RELU,
                                           ACT_SWIGLU_OAI };
    static const size_t counts[] = { 1, 7, 16, 33, 576, 8192, 30001 };
    struct rig r = rig_open(state, 3);
    float *gate = rig_floats(&r, 30001), *up = rig_floats(&r, 30001), *y = rig_floats(&r, 30001);

    for (size_t k = 0; k < 5; k++)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
            size_t n = counts[i];
            bool in_place = i % 2, alone = i % 3 == 2;

            fill(gate, n, k == 0 ? 100 : 12, k + 1);
            fill(up, n, kinds[k] == ACT_SWIGLU_OAI ? 9 : 3, 7);
            gate[0] = -0.0f;
            memset(y, 0, n * sizeof *y);
            r.b->gated_act(r.d, in_place ? gate : y, gate, alone ? NULL : up, n, kinds[k]);
            r.b->sync(r.d);
            for (size_t c = 0; c < n; c++) {
                uint64_t s = k + 1;
                double g = 0, want;

                if (!in_place)
                    g = (double)gate[c];
                else if (n > 600 || c == 0)
                    continue; /* the input is gone: small ones are made again */
                for (size_t j = 0; in_place && j <= c; j++)
                    g = (double)((k == 0 ? 100.0f : 12.0f) * noise(&s));
                want = act(g, alone ? 0.0 : (double)up[c], kinds[k]);
                if (!alone && kinds[k] != ACT_SWIGLU_OAI)
                    want *= (double)up[c];
                /* near its zero at the left, 1 + erf cancels in float32, in the reference model too
                 */
                assert_near(in_place ? gate[c] : y[c], want, 3e-6, k == 0 ? 1e-30 : 2e-6);
            }
        }
    r.b->free(r.d, gate);
    r.b->free(r.d, up);
    r.b->free(r.d, y);
    rig_close(&r);
}

static void extremes_stay_sane(void **state)
{
    static const float in[] = {
        1e30f, -1e30f, 88.8f, -88.8f, -104.0f, -200.0f, 1e-30f, -1e-30f, 0
    };
    struct rig r = rig_open(state, 1);
    float *x = rig_floats(&r, 9), *one = rig_floats(&r, 9), *y = rig_floats(&r, 9);

    for (size_t k = 0; k < 4; k++) {
        for (size_t i = 0; i < 9; i++)
            one[i] = 1;
        memcpy(x, in, sizeof in);
        r.b->gated_act(r.d, y, x, one, 9, (enum act_kind)k);
        r.b->sync(r.d);
        for (size_t i = 0; i < 9; i++) {
            assert_true(isfinite(y[i]));
            assert_near(y[i], in[i] > 50 ? (double)in[i] : 0, 1e-6,
                        1e-20 + fabs((double)in[i]) * 0);
            if (in[i] < -1)
                assert_true(fabsf(y[i]) < 1e-30f);
        }
    }
    r.b->free(r.d, x);
    r.b->free(r.d, one);
    r.b->free(r.d, y);
    rig_close(&r);
}

static void softcaps(void **state)
{
    static const size_t counts[] = { 1, 9, 16, 64, 8193, 20000 };
    struct rig r = rig_open(state, 2);
    float *x = rig_floats(&r, 20000), *in = malloc(20000 * sizeof *in);

    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        fill(in, counts[i], i % 2 ? 1000 : 3, i);
        in[0] = i % 2 ? 1e30f : 1e-20f;
        memcpy(x, in, counts[i] * sizeof *x);
        r.b->softcap(r.d, x, counts[i], 30);
        r.b->sync(r.d);
        for (size_t c = 0; c < counts[i]; c++)
            assert_near(x[c], 30 * tanh((double)in[c] / 30), 1e-6, 0);
    }
    free(in);
    r.b->free(r.d, x);
    rig_close(&r);
}

static void rows_travel(void **state)
{
    enum { VOCAB = 50, COLS = 100, N = 23 };
    struct rig r = rig_open(state, 3);
    float *table = malloc(sizeof(float[VOCAB][COLS])), *x = rig_floats(&r, N * COLS);
    float *y = rig_floats(&r, N * COLS);
    struct tensor t = { .name = "embed",
                        .dtype = DTYPE_F32,
                        .n_dims = 2,
                        .shape = { VOCAB, COLS, 1, 1 },
                        .data = table,
                        .bytes = sizeof(float[VOCAB][COLS]) };
    struct weight *w;
    int32_t ids[N], rows[N];

    fill(table, VOCAB * COLS, 1, 9);
    for (int32_t i = 0; i < N; i++) {
        ids[i] = i * 7 % VOCAB;
        rows[i] = i * 5 % N;
    }
    assert_int_equal(r.b->upload(r.d, &t, WEIGHT_EMBED, &w, NULL), 0);
    assert_int_equal(r.b->reserve(r.d, N, NULL), 0);
    r.b->embed(r.d, x, w, ids, N, 2.5f);
    r.b->gather(r.d, y, x, rows, N, COLS);
    r.b->sync(r.d);
    for (size_t i = 0; i < N; i++)
        for (size_t c = 0; c < COLS; c++) {
            assert_true(x[i * COLS + c] == 2.5f * table[(size_t)ids[i] * COLS + c]);
            assert_true(y[i * COLS + c] == x[(size_t)rows[i] * COLS + c]);
        }
    r.b->weight_free(r.d, w);
    free(table);
    r.b->free(r.d, x);
    r.b->free(r.d, y);
    rig_close(&r);
}

static size_t plain_argmax(const float *x, size_t n)
{
    size_t best = n;

    for (size_t i = 0; i < n; i++)
        if (!isnan(x[i]) && (best == n || x[i] > x[best]))
            best = i;
    return best == n ? 0 : best;
}

static void argmaxes(void **state)
{
    static const size_t cols[] = { 1, 5, 16, 100, 16384, 16385, 50001, 262144 };
    struct rig r = rig_open(state, 3);
    float *x = rig_floats(&r, 262144 * 3);
    int32_t *ids = rig_alloc(&r, 3 * sizeof *ids);

    for (size_t i = 0; i < sizeof cols / sizeof *cols; i++)
        for (unsigned way = 0; way < 5; way++) {
            size_t n = cols[i], rows = 3;

            fill(x, n * rows, 1, way + i);
            if (way == 1) /* a tie, far apart */
                x[n - 1] = x[n / 3] = 2;
            for (size_t c = 0; way == 2 && c < n; c++)
                x[c] = c % 3 ? NAN : -INFINITY;
            for (size_t c = 0; way == 3 && c < n; c++)
                x[n + c] = NAN;
            if (way == 4) {
                x[n / 2] = NAN;
                x[2 * n] = INFINITY;
                x[n] = x[2 * n - 1] = 7;
            }
            r.b->argmax(r.d, ids, x, rows, n);
            r.b->sync(r.d);
            for (size_t row = 0; row < rows; row++)
                assert_int_equal(ids[row], plain_argmax(x + row * n, n));
        }
    r.b->free(r.d, x);
    r.b->free(r.d, ids);
    rig_close(&r);
}

/* The next largest behind `last` in order, or n. */
static size_t plain_next(const float *x, size_t n, size_t last)
{
    size_t best = n;

    for (size_t i = 0; i < n; i++)
        if ((last == n || x[i] < x[last] || (x[i] == x[last] && i > last)) && !isnan(x[i]) &&
            (best == n || x[i] > x[best]))
            best = i;
    return best;
}

static void check_top(const float *x, size_t n, size_t k, const int32_t *ids, const float *values)
{
    size_t at = n;
    double sum = 0, top;

    for (size_t i = 0; i < k; i++) {
        if (i == 0 || at < n) /* behind the last one there is nothing */
            at = plain_next(x, n, at);
        assert_int_equal(ids[i], at < n ? (int32_t)at : -1);
        assert_true(values[i] == (at < n ? x[at] : -INFINITY));
    }
    top = (double)values[0];
    for (size_t i = 0; isfinite(top) && i < n; i++)
        sum += isnan(x[i]) ? 0 : exp((double)x[i] - top);
    if (isfinite(top))
        assert_near(values[k], top + log(sum), 2e-6, 2e-6);
    else
        assert_true((double)values[k] == top);
}

/* Where a backend has it; the same rows one by one and side by side. */
static void tops(void **state)
{
    static const size_t cols[] = { 1, 5, 100, 4096, 4097, 50001 };
    enum { ROWS = 3, MOST = 50001 };
    struct rig r = rig_open(state, 1);
    float *x = rig_floats(&r, ROWS * MOST), *values = rig_floats(&r, ROWS * (TOP_MOST + 1));
    int32_t *ids = rig_alloc(&r, ROWS * TOP_MOST * sizeof *ids);

    if (!r.b->top) {
        r.b->free(r.d, x);
        r.b->free(r.d, values);
        r.b->free(r.d, ids);
        rig_close(&r);
        skip();
    }
    for (size_t i = 0; i < sizeof cols / sizeof *cols; i++)
        for (size_t way = 0; way < 4; way++) {
            size_t n = cols[i], k = way == 0 ? 1 : way == 1 ? 20 : way == 2 ? 5 : TOP_MOST;

            fill(x, n * ROWS, way == 2 ? 50 : 3, way + i);
            for (size_t c = 0; way == 1 && c < n; c++) /* many that are equal, and far below 0 */
                x[c] = floorf(4 * x[c]) / 4 - 1000;
            for (size_t c = 0; way == 2 && c < n; c++)
                x[c] = c % 3 ? NAN : -INFINITY;
            for (size_t c = 0; way == 3 && c < n; c++)
                x[n + c] = NAN;
            if (way == 3)
                x[2 * n + n / 2] = INFINITY;
            r.b->top(r.d, &(struct top){ ids, values, x, ROWS, n, k });
            r.b->sync(r.d);
            for (size_t row = 0; row < ROWS; row++)
                check_top(x + row * n, n, k, ids + row * k, values + row * (k + 1));
        }
    r.b->free(r.d, x);
    r.b->free(r.d, values);
    r.b->free(r.d, ids);
    rig_close(&r);
}

/* More ops than the queue holds, each needing the one before; and big writes in pieces. */
static void the_queue_keeps_order(void **state)
{
    enum { COLS = 20000 };
    for (size_t t = 0; t < rig_threads(state); t++) {
        struct rig r = rig_open(state, battery_threads[t]);
        float *x = rig_floats(&r, COLS), *one = rig_floats(&r, COLS), *host = malloc(COLS * 4);
        struct norm add = { .kind = NORM_RMS, .x = x, .add = one, .n = 20, .cols = COLS / 20 };

        for (size_t i = 0; i < COLS; i++)
            host[i] = 1;
        r.b->write(r.d, one, host, COLS * sizeof(float));
        for (int i = 0; i < 3000; i++) {
            r.b->norm(r.d, &add);
            if (i % 2)
                r.b->write(r.d, x + COLS / 2, host, 5 * sizeof(float));
            else
                r.b->gated_act(r.d, one, one, one, COLS, ACT_RELU);
        }
        r.b->sync(r.d);
        for (size_t i = 0; i < COLS; i++)
            assert_true(x[i] == (i >= COLS / 2 && i < COLS / 2 + 5 ? 1 : 3000));
        r.b->sync(r.d);
        free(host);
        r.b->free(r.d, x);
        r.b->free(r.d, one);
        rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms),
        cmocka_unit_test(head_norms),
        cmocka_unit_test(gated_acts),
        cmocka_unit_test(softcaps),
        cmocka_unit_test(extremes_stay_sane),
        cmocka_unit_test(rows_travel),
        cmocka_unit_test(argmaxes),
        cmocka_unit_test(tops),
        cmocka_unit_test(the_queue_keeps_order),
    };

    brief_begin(NULL);
    return run_battery("ops", tests, sizeof tests / sizeof *tests);
}
