/* pace: slices follow the times that it is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "inference/pace.h"

enum { ROWS = 512, STAGES = 60 };

/* A machine where a stage takes fixed + per_row * rows ms, attention (even stages) `wide` times
 * that. */
struct machine {
    double fixed, per_row, wide, generation;
};

static double stage_ms(const struct machine *m, size_t rows, size_t stage)
{
    return (m->fixed + m->per_row * (double)rows) * (stage % 2 ? 1 : m->wide);
}

/* One pass of prompts beside streams: the longest slice in ms, learning from the second stage on.
 */
static double run_pass(struct pace *p, const struct machine *m, size_t rows, size_t *n_slices)
{
    double longest = 0;

    *n_slices = 0;
    for (size_t stage = 0; stage < STAGES; ++*n_slices) {
        size_t n = pace_stages(p, rows, stage, STAGES - stage, true);
        double ms = 0;

        assert_in_range(n, 1, STAGES - stage);
        for (size_t i = 0; i < n; i++)
            ms += stage_ms(m, rows, stage + i);
        pace_sliced(p, rows, stage, n, ms);
        pace_generated(p, m->generation);
        longest = ms > longest ? ms : longest;
        stage += n;
    }
    return longest;
}

static void slices_fit_beside_streams(void **state)
{
    static const struct machine MACHINES[] = {
        { 0.2, 0.004, 1, 5 },  { 0.1, 0.002, 3, 4 }, { 0.5, 0.01, 0.5, 4 },
        { 0.5, 0.02, 4, 3.5 }, { 0, 0.001, 1, 20 },  { 1, 0.01, 10, 8 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof MACHINES / sizeof *MACHINES; i++) {
        const struct machine *m = &MACHINES[i];
        struct pace p = { 0 };
        size_t rows = 0, n_slices;
        double longest = 0, worst;

        pace_generated(&p, m->generation);
        for (int pass = 0; pass < 20; pass++) {
            rows = pace_rows(&p, ROWS, true);
            assert_in_range(rows, PACE_MIN_ROWS, ROWS);
            longest = run_pass(&p, m, rows, &n_slices);
        }
        worst = m->wide > 1 ? stage_ms(m, rows, 0) : stage_ms(m, rows, 1);
        /* Beyond the budget only where the fewest rows are too many. */
        assert_true(longest <= 1.5 * m->generation * 1.02 ||
                    (rows == PACE_MIN_ROWS && longest <= worst * 1.001));
        /* And the budget is made use of: all rows, or one more step of them would not fit. */
        if (rows > PACE_MIN_ROWS && rows < ROWS)
            assert_true(worst * (double)(rows + 96) / (double)rows > 1.5 * m->generation);
    }
}

static void alone_a_pass_is_one_slice(void **state)
{
    struct pace p = { 0 };

    (void)state;
    assert_int_equal(pace_rows(&p, ROWS, false), ROWS);
    assert_int_equal(pace_stages(&p, ROWS, 0, STAGES, false), 2); /* to see what it takes */
    pace_sliced(&p, ROWS, 0, 2, 4);
    assert_int_equal(pace_stages(&p, ROWS, 2, STAGES - 2, false), STAGES - 2);
    /* A slow machine comes up for air. */
    pace_sliced(&p, ROWS, 0, 2, 2000);
    assert_in_range(pace_stages(&p, ROWS, 2, STAGES - 2, false), 1, 2);
}

static void small_limits_are_kept(void **state)
{
    struct pace p = { 0 };

    (void)state;
    pace_generated(&p, 1);
    pace_sliced(&p, 8, 0, 1, 1000);
    assert_int_equal(pace_rows(&p, 8, true), 8);
    assert_int_equal(pace_stages(&p, 8, 1, 1, true), 1);
    assert_int_equal(pace_rows(&p, ROWS, true), PACE_MIN_ROWS);
}

/* One slow pass of generated rows (a page fault, a neighbour) moves no budget. */
static void outliers_do_not_count(void **state)
{
    struct pace p = { 0 }, q;

    (void)state;
    for (int i = 0; i < 20; i++)
        pace_generated(&p, 4);
    pace_sliced(&p, ROWS, 0, 10, 20);
    q = p;
    for (int i = 0; i < 3; i++)
        pace_generated(&q, 400);
    assert_int_equal(pace_stages(&q, ROWS, 0, STAGES, true),
                     pace_stages(&p, ROWS, 0, STAGES, true));
    assert_int_equal(pace_stages(&p, ROWS, 0, STAGES, true), 3); /* of 2 ms each, in 6 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_fit_beside_streams),
        cmocka_unit_test(alone_a_pass_is_one_slice),
        cmocka_unit_test(small_limits_are_kept),
        cmocka_unit_test(outliers_do_not_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
