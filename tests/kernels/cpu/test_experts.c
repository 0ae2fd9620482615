/* Mixtures of experts: every instruction set, both roles, against sums in double over the experts
 * that a row is sent to; and the same bits alone as in company. */
#include "battery.h"
#include "kernels/quant/quant.h"
#include "mm_case.h"

enum { COLS = 96, FF = 64, MAX_EXPERTS = 40, MAX_ROWS = 150, MAX_USED = 8 };

/* A case, and all that it needs. */
struct mix {
    struct experts op;
    struct tensor t[3 * MAX_EXPERTS];
    struct weight *w[3 * MAX_EXPERTS];
    float *x, *router, *router_bias, *biases, *shared_gate;
};

/* Blocks of any format: random codes under small scales.  Plain floats are noise. */
static void make_weight(struct mix *m, const struct rig *r, size_t i, enum dtype dtype, size_t rows,
                        size_t cols, uint64_t *seed)
{
    const struct quant_format *f = quant_format(dtype);
    size_t bytes = rows * cols / f->block_values * f->block_bytes;
    unsigned char *data = malloc(bytes);

    assert_non_null(data);
    for (size_t c = 0; c < bytes; c++) {
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        data[c] = (unsigned char)(*seed >> 33);
    }
    for (size_t b = 0; b < bytes; b += f->block_bytes) {
        float v = 0.2f * noise(seed);

        if (dtype == DTYPE_F32)
            memcpy(data + b, &v, sizeof v);
        else if (dtype == DTYPE_MXFP4)
            data[b] = (unsigned char)(123 + b % 3); /* exponent */
        else
            memcpy(data + b, &(uint16_t){ quant_to_f16(v / 8) }, 2); /* Q4_0, Q8_0 */
    }
    m->t[i] = (struct tensor){ .name = "expert",
                               .dtype = dtype,
                               .n_dims = 2,
                               .shape = { rows, cols, 1, 1 },
                               .data = data,
                               .bytes = bytes };
    assert_int_equal(r->b->upload(r->d, &m->t[i], WEIGHT_MATMUL, &m->w[i], NULL), 0);
}

static void open_mix(struct mix *m, const struct rig *r, enum dtype dtype, size_t n_expert,
                     size_t n_used)
{
    struct experts *op = &m->op;
    uint64_t seed = 7 * n_expert + n_used;

    memset(m, 0, sizeof *m);
    for (size_t i = 0; i < 3 * n_expert; i++)
        make_weight(m, r, i, dtype, i < 2 * n_expert ? FF : COLS, i < 2 * n_expert ? COLS : FF,
                    &seed);
    m->x = rig_floats(r, MAX_ROWS * COLS);
    m->router = rig_floats(r, n_expert * COLS + n_expert);
    m->biases = rig_floats(r, n_expert * (2 * FF + COLS));
    m->shared_gate = rig_floats(r, COLS);
    fill(m->x, MAX_ROWS * COLS, 2, 1);
    fill(m->router, n_expert * COLS + n_expert, 0.5f, 2);
    fill(m->biases, n_expert * (2 * FF + COLS), 1, 3);
    fill(m->shared_gate, COLS, 0.3f, 4);
    *op = (struct experts){ .x = m->x,
                            .cols = COLS,
                            .n_ff = FF,
                            .n_expert = n_expert,
                            .n_used = n_used,
                            .router = m->router,
                            .gate = (const struct weight *const *)m->w,
                            .up = (const struct weight *const *)m->w + n_expert,
                            .down = (const struct weight *const *)m->w + 2 * n_expert,
                            .scale = 1.0f,
                            .act = ACT_SILU };
    op->y = rig_floats(r, MAX_ROWS * COLS);
    op->rows = rig_floats(r, MAX_ROWS * MAX_USED * COLS);
    op->gate_rows = rig_floats(r, MAX_ROWS * MAX_USED * FF);
    op->up_rows = rig_floats(r, MAX_ROWS * MAX_USED * FF);
    op->scores = rig_floats(r, MAX_ROWS * n_expert);
    op->shares = rig_floats(r, MAX_ROWS * (MAX_USED + 1));
    op->places = rig_alloc(r, experts_places(MAX_ROWS, MAX_USED, n_expert) * sizeof(int32_t));
    assert_int_equal(r->b->reserve(r->d, MAX_ROWS * MAX_USED + EXPERT_ROWS * n_expert, NULL), 0);
}

static void with_extras(struct mix *m)
{
    struct experts *op = &m->op;

    op->router_bias = m->router + op->n_expert * COLS;
    op->bgate = m->biases;
    op->bup = m->biases + op->n_expert * FF;
    op->bdown = m->biases + op->n_expert * 2 * FF;
    op->act = ACT_SWIGLU_OAI;
    op->renormalise = true;
    op->scale = 1.5f;
    op->shared = true;
    op->shared_gate = m->shared_gate;
}

static void close_mix(struct mix *m, const struct rig *r)
{
    void *all[] = { m->x,         m->router,    m->biases,       m->shared_gate,
                    m->op.y,      m->op.rows,   m->op.gate_rows, m->op.up_rows,
                    m->op.scores, m->op.shares, m->op.places };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        r->b->free(r->d, all[i]);
    for (size_t i = 0; i < 3 * MAX_EXPERTS && m->w[i]; i++) {
        r->b->weight_free(r->d, m->w[i]);
        free((void *)(uintptr_t)m->t[i].data);
    }
}

/* y = w x (+ bias) of one expert's matrix. */
static void times(double *y, const struct tensor *t, const double *x, const float *bias)
{
    const struct quant_format *f = quant_format(t->dtype);
    size_t rows = t->shape[0], cols = t->shape[1];
    float row[COLS];

    for (size_t r = 0; r < rows; r++) {
        f->decode(row, (const char *)t->data + r * cols / f->block_values * f->block_bytes,
                  cols / f->block_values);
        y[r] = bias ? (double)bias[r] : 0;
        for (size_t c = 0; c < cols; c++)
            y[r] += (double)row[c] * x[c];
    }
}

static double act(double g, double u, enum act_kind kind)
{
    if (kind == ACT_SILU)
        return g / (1 + exp(-g)) * u;
    g = fmin(g, 7);
    return g / (1 + exp(-1.702 * g)) * (fmin(fmax(u, -7), 7) + 1);
}

/* What expert e says to x, times share, added to y. */
static void add_expert(double *y, const struct mix *m, size_t e, const double *x, double share)
{
    const struct experts *op = &m->op;
    double g[FF], u[FF], out[COLS];

    times(g, &m->t[e], x, op->bgate ? op->bgate + e * FF : NULL);
    times(u, &m->t[op->n_expert + e], x, op->bup ? op->bup + e * FF : NULL);
    for (size_t i = 0; i < FF; i++)
        g[i] = act(g[i], u[i], op->act);
    times(out, &m->t[2 * op->n_expert + e], g, op->bdown ? op->bdown + e * COLS : NULL);
    for (size_t c = 0; c < COLS; c++)
        y[c] += share * out[c];
}

static void reference(double *y, const struct mix *m, const float *row, const float *before)
{
    const struct experts *op = &m->op;
    double s[MAX_EXPERTS], x[COLS], sum = 0, best = -1e300, gate = 0;
    bool used[MAX_EXPERTS] = { false };

    for (size_t c = 0; c < COLS; c++)
        x[c] = (double)row[c];
    for (size_t e = 0; e < op->n_expert; e++) {
        s[e] = op->router_bias ? (double)op->router_bias[e] : 0;
        for (size_t c = 0; c < COLS; c++)
            s[e] += (double)op->router[e * COLS + c] * x[c];
        best = fmax(best, s[e]);
    }
    for (size_t k = 0; k < op->n_used; k++) {
        size_t top = op->n_expert;

        for (size_t e = 0; e < op->n_expert; e++)
            if (!used[e] && (top == op->n_expert || s[e] > s[top]))
                top = e;
        used[top] = true;
    }
    for (size_t e = 0; e < op->n_expert; e++)
        sum += used[e] || !op->renormalise ? exp(s[e] - best) : 0;
    for (size_t c = 0; c < COLS; c++)
        gate += op->shared_gate ? (double)op->shared_gate[c] * x[c] : 0;
    for (size_t c = 0; c < COLS; c++)
        y[c] = op->shared ? (double)before[c] / (1 + exp(-gate)) : 0;
    for (size_t e = 0; e < op->n_expert; e++)
        if (used[e])
            add_expert(y, m, e, x, exp(s[e] - best) / sum * (double)op->scale);
}

/* y of n rows from row `first` on, as shared experts would have left it. */
static void run(struct mix *m, const struct rig *r, size_t first, size_t n, bool prompt)
{
    m->op.x = m->x + first * COLS;
    m->op.n = n;
    m->op.prompt = prompt;
    for (size_t i = 0; i < n * COLS; i++)
        m->op.y[i] = m->x[(first * COLS + i * 7) % (MAX_ROWS * COLS)];
    r->b->experts(r->d, &m->op);
    r->b->sync(r->d);
}

/* Root mean square of the difference by that of the values. */
static double distance(const struct mix *m, const struct rig *r, size_t n, bool prompt)
{
    double off = 0, all = 0, want[COLS];
    float before[COLS];

    run((struct mix *)(uintptr_t)m, r, 0, n, prompt);
    for (size_t row = 0; row < n; row++) {
        for (size_t c = 0; c < COLS; c++)
            before[c] = m->x[(row * COLS + c) * 7 % (MAX_ROWS * COLS)];
        reference(want, m, m->x + row * COLS, before);
        for (size_t c = 0; c < COLS; c++) {
            double d = want[c] - (double)m->op.y[row * COLS + c];

            off += d * d;
            all += want[c] * want[c];
        }
    }
    return sqrt(off / all);
}

static const struct {
    enum dtype dtype;
    double limit; /* activations of 8 bits; of plain floats, float32 */
    size_t n_expert, n_used;
} cases[] = {
    { DTYPE_F32, 2e-6, 8, 2 },   { DTYPE_Q8_0, 0.02, 4, 2 }, { DTYPE_Q4_0, 0.02, 40, 8 },
    { DTYPE_MXFP4, 0.02, 5, 4 }, { DTYPE_Q4_0, 0.02, 1, 1 }, { DTYPE_MXFP4, 0.02, 32, 1 },
};

enum { N_CASES = sizeof cases / sizeof *cases };

/* In a brief run on a GPU, which has one arithmetic for both roles: fewer counts of rows, and the
 * largest of one case only. */
static bool left_out(void **state, size_t i, size_t n, bool prompt)
{
    return brief() && strcmp(*state, "cuda") == 0 &&
           (prompt || n == 3 || (n == MAX_ROWS && i != 1));
}

static void like_the_reference(void **state)
{
    static const size_t counts[] = { 1, 3, 33, MAX_ROWS };
    struct rig r = rig_open(state, 3);
    struct mix m;

    for (size_t i = 0; i < N_CASES; i++)
        for (int extras = 0; extras < 2; extras++) {
            open_mix(&m, &r, cases[i].dtype, cases[i].n_expert, cases[i].n_used);
            if (extras)
                with_extras(&m);
            for (size_t k = 0; k < 8; k++) {
                double d, limit = cases[i].limit;

                if (left_out(state, i, counts[k / 2], k % 2))
                    continue;
                d = distance(&m, &r, counts[k / 2], k % 2);
                if (k % 2 && strcmp(*state, "amx") == 0)
                    limit = fmax(limit, 1e-5); /* floats are sums of two of bf16 there */
                if (!(d <= limit))
                    fail_msg("case %zu, %zu rows: off by %g", i, counts[k / 2], d);
            }
            close_mix(&m, &r);
        }
    rig_close(&r);
}

/* Alone, in a batch, and with any number of threads. */
static void company_changes_nothing(void **state)
{
    static float all[2][MAX_ROWS * COLS];
    const size_t most = brief() && strcmp(*state, "cuda") == 0 ? 33 : MAX_ROWS;

    for (size_t i = 0; i < N_CASES; i += brief() ? 2 : 1)
        for (size_t t = 0; t < rig_threads(state); t++)
            for (int prompt = brief(); prompt < 2; prompt++) {
                struct rig r = rig_open(state, battery_threads[t]);
                struct mix m;

                open_mix(&m, &r, cases[i].dtype, cases[i].n_expert, cases[i].n_used);
                with_extras(&m);
                m.op.shared = false;
                if (t == 0) {
                    run(&m, &r, 0, most, prompt);
                    memcpy(all[prompt], m.op.y, most * COLS * sizeof(float));
                }
                for (size_t n = 1, row = 0; row + n <= most; row += n, n = n * 2 + 1) {
                    run(&m, &r, row, n, prompt);
                    assert_memory_equal(m.op.y, all[prompt] + row * COLS, n * COLS * sizeof(float));
                }
                close_mix(&m, &r);
                rig_close(&r);
            }
}

/* Matrices of every format: the second one of two experts, which all rows go to, is a feed-forward
 * part. */
static void an_expert_is_a_feed_forward(void **state)
{
    enum { WIDE = 1280, HIDDEN = 256, ROWS = 9 }; /* WIDE: more blocks than a row has parts */
    static const enum dtype types[] = { DTYPE_F16,  DTYPE_BF16, DTYPE_Q4_1, DTYPE_Q5_0,
                                        DTYPE_Q5_1, DTYPE_Q2_K, DTYPE_Q6_K, DTYPE_IQ2_XS,
                                        DTYPE_F32,  DTYPE_F16,  DTYPE_BF16 };
    struct rig r = rig_open(state, 2);
    float *x = rig_floats(&r, ROWS * WIDE), *router = rig_floats(&r, 2 * WIDE + 2),
          *bias = rig_floats(&r, 2 * (2 * HIDDEN + WIDE)), *y = rig_floats(&r, ROWS * WIDE),
          *want = rig_floats(&r, ROWS * WIDE), *rows = rig_floats(&r, ROWS * WIDE),
          *gate = rig_floats(&r, ROWS * HIDDEN), *up = rig_floats(&r, ROWS * HIDDEN),
          *scores = rig_floats(&r, ROWS * 2), *shares = rig_floats(&r, ROWS * 2);
    int32_t *places = rig_alloc(&r, experts_places(ROWS, 1, 2) * sizeof *places);

    fill(x, ROWS * WIDE, 2, 5);
    fill(bias, 2 * (2 * HIDDEN + WIDE), 1, 7);
    fill(router, 2 * WIDE, 0.1f, 6);
    router[2 * WIDE] = 0;
    router[2 * WIDE + 1] = 1000;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const bool odd = i >= 8; /* columns that no vector fits */
        const size_t wide = odd ? 131 : WIDE, hidden = odd ? 67 : HIDDEN;
        struct tensor t[6];
        struct weight *w[6];

        for (size_t k = 0; k < 6; k++) {
            t[k] = mm_case_tensor(quant_format(types[i]), k < 4 ? hidden : wide,
                                  k < 4 ? wide : hidden, -1, 0, (uint32_t)(7 * k + i));
            assert_int_equal(r.b->upload(r.d, &t[k], WEIGHT_MATMUL, &w[k], NULL), 0);
        }
        assert_int_equal(r.b->reserve(r.d, ROWS + 2 * EXPERT_ROWS, NULL), 0);
        r.b->experts(r.d, &(struct experts){ .y = y,
                                             .x = x,
                                             .n = ROWS,
                                             .cols = wide,
                                             .n_ff = hidden,
                                             .n_expert = 2,
                                             .n_used = 1,
                                             .router = router,
                                             .router_bias = router + 2 * WIDE,
                                             .gate = (const struct weight *const *)w,
                                             .up = (const struct weight *const *)w + 2,
                                             .down = (const struct weight *const *)w + 4,
                                             .bgate = bias,
                                             .bup = bias + 2 * hidden,
                                             .bdown = bias + 4 * hidden,
                                             .renormalise = true,
                                             .scale = 1,
                                             .act = ACT_SILU,
                                             .rows = rows,
                                             .gate_rows = gate,
                                             .up_rows = up,
                                             .scores = scores,
                                             .shares = shares,
                                             .places = places });
        r.b->sync(r.d);
        r.b->feed_forward(r.d, &(struct feed_forward){ .gate = w[1],
                                                       .up = w[3],
                                                       .down = w[5],
                                                       .gate_bias = bias + hidden,
                                                       .up_bias = bias + 3 * hidden,
                                                       .down_bias = bias + 4 * hidden + wide,
                                                       .act = ACT_SILU,
                                                       .y = want,
                                                       .x = x,
                                                       .hidden = { gate, up },
                                                       .n = ROWS });
        r.b->sync(r.d);
        for (size_t c = 0; c < ROWS * wide; c++)
            assert_near(y[c], (double)want[c], 1e-5, 1e-6);
        for (size_t k = 0; k < 6; k++) {
            r.b->weight_free(r.d, w[k]);
            mm_case_free(&t[k]);
        }
    }
    {
        void *all[] = { x, router, bias, y, want, rows, gate, up, scores, shares, places };

        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            r.b->free(r.d, all[i]);
    }
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_expert_is_a_feed_forward),
        cmocka_unit_test(like_the_reference),
        cmocka_unit_test(company_changes_nothing),
    };

    brief_begin("half of the cases of rows in company, on a GPU fewer rows");
    return run_battery("experts", tests, sizeof tests / sizeof *tests);
}
