/* What a thread fetches while it multiplies: exactly the keys and values of its own lane, in the
 * last ops that have time for them. */
#include "kernels/cpu/fetch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/cpu/attend.h"
#include "kernels/cpu/mm_ops.h"

enum { TOKENS = 16, DIM = 16, PAGES = 4, MATMUL = 1, LATER = 2, ATTEND = 4 };

static void many(const struct mm_many *s)
{
    (void)s;
}

struct rig {
    struct mm_ops mm;
    struct isa_ops ops;
    struct device d;
    struct weight w;
    struct op queue[ATTEND + 1];
    struct fetch fetch[2];
    struct seq_span spans[2];
    int32_t pages[2][2];
    struct kv *kv;
};

/* Two sequences of 20 tokens, one for each of two threads; `groups` of weights in the earlier of
 * two products and one in the later. */
static void rig_open(struct rig *r, size_t groups)
{
    const struct kv_shape shape = { .n_layers = 2,
                                    .n_kv = 1,
                                    .head_dim = DIM,
                                    .n_pages = PAGES,
                                    .page_tokens = TOKENS,
                                    .dtype = DTYPE_F16 };
    struct err e;

    memset(r, 0, sizeof *r);
    assert_int_equal(kv_create(&r->kv, &shape, &e), 0);
    r->mm.many = many;
    r->ops.mm = &r->mm;
    r->w = (struct weight){ .kind = WEIGHT_PACKED, .n_groups = groups, .n_blocks = 1 };
    r->d = (struct device){ .ops = &r->ops,
                            .n_threads = 2,
                            .queue = r->queue,
                            .n_lanes = 2,
                            .n_ops = ATTEND + 1,
                            .fetch = r->fetch };
    for (size_t i = 0; i < 2; i++) {
        r->pages[i][0] = (int32_t)(3 - i);
        r->pages[i][1] = (int32_t)i;
        r->spans[i] = (struct seq_span){ .row = i, .n = 1, .pos = 19, .pages = r->pages[i] };
        r->queue[MATMUL + i].kind = OP_MATMUL;
        r->queue[MATMUL + i].matmul =
            (struct matmul){ .n_out = 1, .w = { &r->w }, .n = MM_FEW_ROWS + 1 };
    }
    r->queue[0].kind = r->queue[3].kind = OP_NORM;
    r->queue[ATTEND].kind = OP_ATTEND;
    r->queue[ATTEND].n_chunks = 2;
    r->queue[ATTEND].attend.op = (struct attend){
        .n = 2, .n_head = 1, .kv = r->kv, .layer = 1, .spans = r->spans, .n_spans = 2
    };
    r->queue[ATTEND].attend.plan =
        (struct attend_plan){ .group_heads = 1, .n_groups = 1, .rows = 1, .n_tiles = 2 };
}

static void test_lane(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, 2);
    for (size_t thread = 0; thread < 2; thread++) {
        struct fetch *f = &r.fetch[thread];
        size_t first = (size_t)r.pages[thread][0], second = (size_t)r.pages[thread][1];

        fetch_pace(&r.d, LATER, thread);
        /* a page's keys are 512 bytes; of the second page 4 positions count, keys in groups of 16,
         * values too */
        assert_int_equal(f->n_runs, 4);
        assert_ptr_equal(f->runs[0].at, kv_keys(r.kv, 1, first, 0));
        assert_ptr_equal(f->runs[1].at, kv_values(r.kv, 1, first, 0));
        assert_ptr_equal(f->runs[2].at, kv_keys(r.kv, 1, second, 0));
        assert_ptr_equal(f->runs[3].at, kv_values(r.kv, 1, second, 0));
        assert_int_equal(f->total, 32);
        assert_true(f->per > 0);
        for (size_t i = 0; i < 32; i++)
            fetch_some(f);
        assert_int_equal(f->total, 0);
        assert_int_equal(f->left, 0);
    }
    kv_free(r.kv);
}

static void test_window(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, 2);
    r.queue[ATTEND].attend.op.window = 4; /* positions 16 .. 19 */
    fetch_pace(&r.d, LATER, 0);
    assert_int_equal(r.fetch[0].n_runs, 2);
    assert_ptr_equal(r.fetch[0].runs[0].at, kv_keys(r.kv, 1, (size_t)r.pages[0][1], 0));
    kv_free(r.kv);
}

/* The earlier product fetches what the later one has no time for, and nothing where it has. */
static void test_pace(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, 2);
    fetch_pace(&r.d, MATMUL, 0);
    assert_true(r.fetch[0].per > 0);
    kv_free(r.kv);
    rig_open(&r, 200);
    fetch_pace(&r.d, MATMUL, 0);
    assert_int_equal(r.fetch[0].per, 0);
    fetch_pace(&r.d, LATER, 0);
    assert_int_equal(r.fetch[0].per, 1);
    kv_free(r.kv);
}

/* Not for rows of a prompt, few rows, or other ops. */
static void test_others(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, 2);
    fetch_pace(&r.d, 3, 0);
    assert_int_equal(r.fetch[0].per, 0);
    r.queue[LATER].matmul.n = MM_FEW_ROWS;
    fetch_pace(&r.d, LATER, 0);
    assert_int_equal(r.fetch[0].per, 0);
    r.queue[LATER].matmul.n = MM_FEW_ROWS + 1;
    r.queue[LATER].matmul.prompt = true;
    fetch_pace(&r.d, LATER, 0);
    assert_int_equal(r.fetch[0].per, 0);
    r.queue[LATER].matmul.prompt = false;
    r.queue[ATTEND].kind = OP_NORM;
    fetch_pace(&r.d, LATER, 0);
    assert_int_equal(r.fetch[0].per, 0);
    kv_free(r.kv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lane),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_pace),
        cmocka_unit_test(test_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
