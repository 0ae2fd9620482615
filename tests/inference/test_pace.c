/* pace: slices follow the times that it is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "inference/pace.h"

enum { ROWS = 512, LAYERS = 30 };

/* A machine where a stage takes fixed + per_row * rows ms, attention per_position for each position
 * that a row sees, and a pass of generated rows `generation`, `slowed` after a slice. */
struct machine {
    double fixed, per_row, per_position, generation, slowed;
};

static double stage_ms(const struct machine *m, enum stage_kind kind, double work)
{
    double ms = m->fixed + m->per_row * work;

    return kind == STAGE_ATTEND ? m->per_position * work : kind == STAGE_QKV ? ms / 4 : ms;
}

/* Adds stages of a layer to slices; the longest slice in ms. */
struct runner {
    struct pace *p;
    const struct machine *m;
    struct pace_work w;
    double ms, longest;
};

static void close_slice(struct runner *r)
{
    pace_sliced(r->p, &r->w, r->ms);
    pace_generated(r->p, 1, true, r->m->slowed);
    r->longest = r->ms > r->longest ? r->ms : r->longest;
    r->w = (struct pace_work){ .n_stages = 0 };
    r->ms = 0;
}

static void run_stage(struct runner *r, enum stage_kind kind, double work)
{
    if (!pace_join(r->p, &r->w, kind, work, true)) {
        close_slice(r);
        assert_true(pace_join(r->p, &r->w, kind, work, true));
    }
    r->ms += stage_ms(r->m, kind, work);
}

/* One pass of prompts beside a stream, at some position. */
static double run_pass(struct pace *p, const struct machine *m, size_t rows, size_t pos)
{
    struct runner r = { .p = p, .m = m };
    size_t per = pace_attend_rows(p, rows, pos + rows, true);

    assert_true(per == rows || (per < rows && per % PACE_MIN_ATTEND_ROWS == 0 && per > 0));
    for (int layer = 0; layer < LAYERS; layer++) {
        run_stage(&r, STAGE_QKV, (double)rows);
        for (size_t row = 0; row < rows; row += per)
            run_stage(&r, STAGE_ATTEND,
                      (double)(rows - row < per ? rows - row : per) * (double)(pos + row));
        run_stage(&r, STAGE_OUTPUT, (double)rows);
    }
    close_slice(&r);
    return r.longest;
}

static void slices_fit_beside_streams(void **state)
{
    static const struct machine MACHINES[] = {
        { 0.2, 0.004, 1e-5, 5, 5 },  { 0.1, 0.002, 3e-5, 4, 6 }, { 0.5, 0.01, 1e-6, 4, 4 },
        { 0.5, 0.02, 4e-5, 3.5, 7 }, { 0, 0.001, 1e-6, 20, 20 }, { 1, 0.01, 2e-4, 8, 9 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof MACHINES / sizeof *MACHINES; i++) {
        const struct machine *m = &MACHINES[i];
        double budget = 2.2 * m->generation - m->slowed, longest = 0, least;
        struct pace p = { 0 };
        size_t rows = 0;

        if (budget < 0.4 * m->generation)
            budget = 0.4 * m->generation;
        for (int k = 0; k < 5; k++)
            pace_generated(&p, 1, false, m->generation);
        for (int pass = 0; pass < 30; pass++) {
            rows = pace_rows(&p, ROWS, true);
            assert_in_range(rows, PACE_MIN_ROWS, ROWS);
            longest = run_pass(&p, m, rows, 4000);
        }
        /* Beyond the budget only where the least that there is is too much. */
        least = stage_ms(m, STAGE_ATTEND, (double)PACE_MIN_ATTEND_ROWS * (4000.0 + (double)rows));
        if (rows == PACE_MIN_ROWS && stage_ms(m, STAGE_OUTPUT, (double)rows) > least)
            least = stage_ms(m, STAGE_OUTPUT, (double)rows);
        if (!(longest <= budget * 1.03 || longest <= least * 1.001))
            fail_msg("machine %zu: slices of %g ms, may take %g, %zu rows", i, longest, budget,
                     rows);
        /* And the budget is made use of: all rows, or two more steps of them would not fit. */
        if (rows > PACE_MIN_ROWS && rows < ROWS)
            assert_true(stage_ms(m, STAGE_OUTPUT, (double)rows + 64) > budget);
    }
}

static void alone_a_pass_is_one_slice(void **state)
{
    struct pace_work w = { .n_stages = 0 };
    struct pace p = { 0 };

    (void)state;
    assert_int_equal(pace_rows(&p, ROWS, false), ROWS);
    assert_int_equal(pace_attend_rows(&p, ROWS, 100, false), ROWS);
    assert_true(pace_join(&p, &w, STAGE_QKV, ROWS, false));
    assert_false(pace_join(&p, &w, STAGE_ATTEND, ROWS, false)); /* to see what each takes */
    for (enum stage_kind k = 0; k < STAGE_KINDS; k++) {
        w = (struct pace_work){ .n_stages = 1 };
        w.of[k] = ROWS;
        pace_sliced(&p, &w, 1);
    }
    w = (struct pace_work){ .n_stages = 0 };
    for (int i = 0; i < 200; i++)
        assert_true(pace_join(&p, &w, (enum stage_kind)(i % STAGE_KINDS), ROWS, false));
    pace_sliced(&p, &w, 200000); /* a slow machine comes up for air */
    w = (struct pace_work){ .n_stages = 0 };
    assert_true(pace_join(&p, &w, STAGE_QKV, ROWS, false));
    assert_false(pace_join(&p, &w, STAGE_QKV, ROWS, false));
    assert_int_equal(w.n_stages, 1);
}

static void small_limits_are_kept(void **state)
{
    struct pace_work w = { .of = { 8, 8, 8, 8 }, .n_stages = 4 };
    struct pace p = { 0 };

    (void)state;
    pace_generated(&p, 1, false, 1);
    pace_sliced(&p, &w, 0); /* a clock that stands still teaches nothing */
    assert_int_equal(pace_rows(&p, ROWS, true), ROWS);
    pace_sliced(&p, &w, 4000);
    assert_int_equal(pace_rows(&p, 8, true), 8);
    assert_int_equal(pace_rows(&p, ROWS, true), PACE_MIN_ROWS);
    assert_int_equal(pace_attend_rows(&p, 8, 5, true), 8);
    assert_int_equal(pace_attend_rows(&p, ROWS, 5, true), PACE_MIN_ATTEND_ROWS);
}

/* Attention of few rows at once takes keys and values in more often: only as late in a prompt as
 * more rows would be more than a slice. */
static void late_attention_is_cut_finer(void **state)
{
    const double budget = 2.2 * 4 - 4, unit = budget / (PACE_ATTEND_ROWS + PACE_ATTEND_ONCE) / 6000;
    struct pace_work w = { .of = { 0, 1, 0, 0 }, .n_stages = 1 };
    struct pace p = { 0 };

    (void)state;
    for (int i = 0; i < PACE_KEPT; i++)
        pace_generated(&p, 1, i % 2, 4);
    pace_sliced(&p, &w, unit);
    assert_int_equal(pace_attend_rows(&p, ROWS, 100, true), ROWS);
    assert_int_equal(pace_attend_rows(&p, ROWS, 2500, true), PACE_ATTEND_ROWS);
    assert_int_equal(pace_attend_rows(&p, ROWS, 5900, true), PACE_ATTEND_ROWS);
    assert_int_equal(pace_attend_rows(&p, ROWS, 6100, true), PACE_MIN_ATTEND_ROWS);
    assert_int_equal(pace_attend_rows(&p, ROWS, 90000, true), PACE_MIN_ATTEND_ROWS);
    assert_int_equal(pace_attend_rows(&p, 40, 5900, true), 40);
    assert_int_equal(pace_attend_rows(&p, 40, 6100, true), PACE_MIN_ATTEND_ROWS);
}

static size_t rows_for(struct pace *p)
{
    return pace_rows(p, 1 << 20, true);
}

/* What counts are usual times, of quiet passes as large as those that run now. */
static void outliers_do_not_count(void **state)
{
    struct pace_work w = { .of = { 0, 0, ROWS, 0 }, .n_stages = 1 };
    struct pace p = { 0 }, q;

    (void)state;
    for (int i = 0; i < 20; i++)
        pace_generated(&p, 1, false, 4);
    pace_sliced(&p, &w, 0.512);                /* 1 us a row */
    assert_in_range(rows_for(&p), 4700, 4800); /* 1.2 * 4 ms */
    q = p;
    for (int i = 0; i < 3; i++)
        pace_generated(&q, 1, false, 400);
    assert_int_equal(rows_for(&q), rows_for(&p));
    for (int i = 0; i < 9; i++)
        pace_generated(&q, 1, true, 5);
    assert_in_range(rows_for(&q), 3700, 3800);
    for (int i = 0; i < 9; i++)
        pace_generated(&q, 1, true, 50);
    assert_in_range(rows_for(&q), 1500, 1600); /* never nothing */
    q = p;
    pace_generated(&q, 12, false, 10);
    assert_in_range(rows_for(&q), 11900, 12000);
    pace_generated(&q, 9, false, 10);
    pace_generated(&q, 1, false, 4);
    assert_int_equal(rows_for(&q), rows_for(&p));
}

/* A step in 16 is theirs who generate, so that what they take undisturbed stays known. */
static void one_step_in_sixteen_is_listened_to(void **state)
{
    struct pace p = { 0 };
    int n = 0;

    (void)state;
    for (int i = 0; i < 160; i++) {
        bool listens = pace_listens(&p);

        n += listens;
        pace_generated(&p, 1, !listens, listens ? 8 : 9);
    }
    assert_int_equal(n, 10);
    pace_sliced(&p, &(struct pace_work){ .of = { 0, 0, ROWS, 0 }, .n_stages = 1 }, 0.512);
    assert_in_range(rows_for(&p), 8500, 8600); /* 2.2 * 8 - 9 ms */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_fit_beside_streams),
        cmocka_unit_test(alone_a_pass_is_one_slice),
        cmocka_unit_test(small_limits_are_kept),
        cmocka_unit_test(late_attention_is_cut_finer),
        cmocka_unit_test(outliers_do_not_count),
        cmocka_unit_test(one_step_in_sixteen_is_listened_to),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
