/* The feed-forward op against its parts one by one, bit for bit: what a backend keeps in between
 * must not show.  The parts themselves are checked in test_mm.c and test_ops.c. */
#include "tests/kernels/cpu/battery.h"
#include "tests/kernels/cpu/mm_case.h"

enum { MAX_ROWS = 600, TYPES = 3 };

struct shape {
    const char *type[TYPES]; /* gate (or NULL), up, down */
    size_t cols, n_ff, rows;
    bool bias;
    enum act_kind act;
};

struct layer {
    const struct shape *s;
    struct tensor tensor[TYPES];
    struct weight *w[TYPES];
    float *x, *y, *expected, *hidden[2], *gate_bias, *up_bias, *down_bias;
};

static void layer_open(struct layer *l, const struct rig *r, const struct shape *s, size_t n)
{
    const size_t rows[] = { s->n_ff, s->n_ff, s->rows }, cols[] = { s->cols, s->cols, s->n_ff };

    *l = (struct layer){ .s = s };
    for (size_t i = 0; i < TYPES; i++) {
        if (!s->type[i])
            continue;
        l->tensor[i] =
            mm_case_tensor(quant_by_name(s->type[i]), rows[i], cols[i], -1, 0, (uint32_t)(i + 1));
        assert_int_equal(r->b->upload(r->d, &l->tensor[i], WEIGHT_MATMUL, &l->w[i], NULL), 0);
    }
    assert_int_equal(r->b->reserve(r->d, n, NULL), 0);
    l->x = rig_floats(r, n * s->cols);
    l->y = rig_floats(r, n * s->rows);
    l->expected = rig_floats(r, n * s->rows);
    l->hidden[0] = rig_floats(r, n * s->n_ff);
    l->hidden[1] = rig_floats(r, n * s->n_ff);
    l->gate_bias = rig_floats(r, s->n_ff);
    l->up_bias = rig_floats(r, s->n_ff);
    l->down_bias = rig_floats(r, s->rows);
    fill(l->x, n * s->cols, 1, 5);
    fill(l->gate_bias, s->n_ff, 1, 8);
    fill(l->up_bias, s->n_ff, 1, 6);
    fill(l->down_bias, s->rows, 1, 7);
}

static void layer_close(struct layer *l, const struct rig *r)
{
    float *all[] = { l->x,         l->y,         l->expected, l->hidden[0],
                     l->hidden[1], l->gate_bias, l->up_bias,  l->down_bias };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        r->b->free(r->d, all[i]);
    for (size_t i = 0; i < TYPES; i++)
        if (l->w[i]) {
            r->b->weight_free(r->d, l->w[i]);
            mm_case_free(&l->tensor[i]);
        }
}

static void by_parts(const struct rig *r, const struct layer *l, size_t n, bool prompt)
{
    const struct shape *s = l->s;
    struct matmul in = { .n_out = 1, .w = { l->w[1] }, .y = { l->hidden[0] }, .x = l->x, .n = n };
    struct matmul out = { .n_out = 1, .w = { l->w[2] }, .y = { l->expected }, .n = n };

    in.prompt = out.prompt = prompt;
    in.bias[0] = s->bias ? l->up_bias : NULL;
    if (l->w[0]) {
        in.n_out = 2;
        in.w[0] = l->w[0];
        in.w[1] = l->w[1];
        in.y[1] = l->hidden[1];
        in.bias[1] = in.bias[0];
        in.bias[0] = s->bias ? l->gate_bias : NULL;
    }
    out.x = l->hidden[0];
    out.bias[0] = s->bias ? l->down_bias : NULL;
    r->b->matmul(r->d, &in);
    r->b->gated_act(r->d, l->hidden[0], l->hidden[0], l->w[0] ? l->hidden[1] : NULL, n * s->n_ff,
                    s->act);
    r->b->matmul(r->d, &out);
    r->b->sync(r->d);
}

static void check(const struct rig *r, const struct layer *l, size_t n, bool prompt)
{
    const struct shape *s = l->s;
    const float *y = l->y;

    by_parts(r, l, n, prompt);
    for (size_t i = 0; i < n * s->rows; i++)
        l->y[i] = NAN;
    r->b->feed_forward(r->d, &(struct feed_forward){ .gate = l->w[0],
                                                     .up = l->w[1],
                                                     .down = l->w[2],
                                                     .gate_bias =
                                                         s->bias && l->w[0] ? l->gate_bias : NULL,
                                                     .up_bias = s->bias ? l->up_bias : NULL,
                                                     .down_bias = s->bias ? l->down_bias : NULL,
                                                     .act = s->act,
                                                     .y = l->y,
                                                     .x = l->x,
                                                     .hidden = { l->hidden[0], l->hidden[1] },
                                                     .n = n,
                                                     .prompt = prompt });
    r->b->sync(r->d);
    for (size_t i = 0; i < n * s->rows; i++)
        if (memcmp(y + i, l->expected + i, sizeof *y) != 0)
            fail_msg("%s, %zu x %zu, %zu rows%s: value %zu is %.9g, not %.9g", s->type[1], s->n_ff,
                     s->cols, n, prompt ? " of a prompt" : "", i, (double)y[i],
                     (double)l->expected[i]);
}

/* Columns of one part and of several, one panel and several, groups that do and do not pair. */
static void same_as_its_parts(void **state)
{
    static const struct shape shapes[] = {
        { { "Q4_1", "Q4_1", "Q4_1" }, 96, 160, 48, false, ACT_SILU },
        { { "Q8_0", "Q4_0", "Q5_0" }, 576, 96, 33, true, ACT_GELU_TANH },
        { { "Q4_K", "Q6_K", "Q4_K" }, 1024, 256, 16, true, ACT_RELU },
        { { "Q5_1", "Q5_1", "Q8_0" }, 32, 1056, 20, false, ACT_GELU_ERF },
        { { NULL, "Q4_1", "Q8_0" }, 64, 96, 40, true, ACT_GELU_TANH },
        { { "F32", "Q8_0", "Q8_0" }, 64, 64, 32, true, ACT_SILU },
        { { "Q8_0", "Q8_0", "F16" }, 64, 64, 32, false, ACT_SILU },
    };
    static const size_t rows[] = { 1, 7, 16, 17, 33, 64, 100, MAX_ROWS };

    for (size_t t = 0; t < rig_threads(state); t++)
        for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
            struct rig r = rig_open(state, battery_threads[t]);
            struct layer l;

            layer_open(&l, &r, &shapes[k], MAX_ROWS);
            for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                if (rows[i] == MAX_ROWS && (k > 1 || strcmp(*state, "amx") != 0))
                    continue; /* ranges of rows are those of matmul */
                check(&r, &l, rows[i], true);
                check(&r, &l, rows[i], false);
            }
            layer_close(&l, &r);
            rig_close(&r);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(same_as_its_parts) };

    brief_begin(NULL);
    return run_battery("feed_forward", tests, sizeof tests / sizeof *tests);
}
