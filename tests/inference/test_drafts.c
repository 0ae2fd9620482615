/* drafts: on made-up machines the plan is nearly the best one, and never much worse than none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "inference/drafts.h"
#include "inference/sampler.h"

/* ms of a pass by rows: 0 .. 16. */
static const double MACHINES[][DRAFTS_MAX_ROWS + 1] = {
    /* rows by fours, then by the tile */
    { 0, 4.3, 4.5, 5.0, 5.2, 6.8, 7.1, 8.0, 8.4, 9.2, 9.4, 10, 10.5, 11, 11.7, 12.3, 12.9 },
    /* 16 rows cost little more than 5 */
    { 0, 10, 11, 12, 12.6, 14, 14, 14, 14, 14.5, 14.5, 14.5, 14.5, 15, 15, 15, 15 },
    /* arithmetic alone: guesses cannot pay unless they are nearly sure */
    { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 },
    /* memory alone */
    { 0, 50, 50, 50, 50, 50, 51, 51, 51, 51, 51, 52, 52, 52, 52, 52, 52 },
};
enum { N_MACHINES = sizeof MACHINES / sizeof *MACHINES, MAX_SEQUENCES = 20 };

/* Guesses come true with this chance each, as it says. */
static struct speculate sure(double chance)
{
    struct speculate s = { .found = true };

    for (size_t c = 0; c < SPECULATE_CLASSES; c++)
        s.chance[c] = (float)chance;
    return s;
}

static size_t accepted(struct rng *r, double chance, size_t n)
{
    size_t k = 0;

    while (k < n && rng_uniform(r) < chance)
        k++;
    return k;
}

/* Tokens per ms of n sequences, where plan() says how many guesses each has verified. */
static double rate(const double *machine, struct drafts *d, double chance, size_t n, size_t fixed)
{
    struct drafter of[MAX_SEQUENCES];
    struct speculate s = sure(chance);
    struct rng r = { 1 };
    double ms = 0, tokens = 0;

    for (int pass = 0; pass < 4000; pass++) {
        size_t rows = n;
        double took;

        for (size_t i = 0; i < n; i++)
            of[i] = (struct drafter){ .speculate = &s, .most = 1000 };
        if (d)
            drafts_plan(d, of, n, DRAFTS_MAX_ROWS);
        for (size_t i = 0; i < n; i++) {
            size_t k = d ? of[i].n : fixed;

            rows += k;
            if (pass >= 1000)
                tokens += 1 + (double)accepted(&r, chance, k);
        }
        assert_in_range(rows, n, DRAFTS_MAX_ROWS);
        took = machine[rows] * (0.95 + 0.1 * rng_uniform(&r));
        took *= rng_uniform(&r) < 0.02 ? 3 : 1; /* a neighbour */
        if (d)
            drafts_took(d, rows, took);
        if (pass >= 1000) /* it has learnt by now */
            ms += took;
    }
    return tokens / ms;
}

/* At least so much of the rate without guesses: where none can pay, trying costs most. */
static double worth(size_t machine)
{
    return machine == 2 ? 0.95 : 0.98;
}

static void the_plan_is_nearly_the_best(void **state)
{
    static const double CHANCES[] = { 0.01, 0.1, 0.3, 0.6, 0.8, 0.9, 0.97, 1 };

    (void)state;
    for (size_t m = 0; m < N_MACHINES; m++)
        for (size_t c = 0; c < sizeof CHANCES / sizeof *CHANCES; c++) {
            double best = 0, without = rate(MACHINES[m], NULL, CHANCES[c], 1, 0), got;
            struct drafts d;

            for (size_t k = 0; k < DRAFTS_MAX_ROWS; k++) {
                double t = rate(MACHINES[m], NULL, CHANCES[c], 1, k);

                best = t > best ? t : best;
            }
            drafts_init(&d);
            got = rate(MACHINES[m], &d, CHANCES[c], 1, 0);
            print_message("# machine %zu, chance %.2f: %.3f of the best, %.3f of none\n", m,
                          CHANCES[c], got / best, got / without);
            assert_true(got >= 0.9 * best);
            assert_true(got >= worth(m) * without);
        }
}

static void several_at_once(void **state)
{
    (void)state;
    for (size_t m = 0; m < N_MACHINES; m++)
        for (size_t n = 2; n <= DRAFTS_MAX_ROWS; n += 2)
            for (int c = 1; c <= 9; c += 4) {
                double chance = c / 10.0, without = rate(MACHINES[m], NULL, chance, n, 0);
                struct drafts d;
                double got;

                drafts_init(&d);
                got = rate(MACHINES[m], &d, chance, n, 0);
                print_message("# machine %zu, chance %.1f, %zu sequences: %.3f of none\n", m,
                              chance, n, got / without);
                assert_true(got >= worth(m) * without);
            }
}

/* One that has nothing to guess is not delayed much by one that has. */
static void neighbours_are_spared(void **state)
{
    (void)state;
    for (size_t m = 0; m < N_MACHINES; m++) {
        struct speculate s = sure(0.99), none = { 0 };
        struct drafter of[2] = { { .speculate = &s, .most = 100 },
                                 { .speculate = &none, .most = 100 } };
        struct drafts d;

        drafts_init(&d);
        for (int i = 0; i < 500; i++)
            for (size_t r = 1; r <= DRAFTS_MAX_ROWS; r++)
                drafts_took(&d, r, MACHINES[m][r]);
        drafts_took(&d, 2, MACHINES[m][2]);
        drafts_plan(&d, of, 2, DRAFTS_MAX_ROWS);
        assert_int_equal(of[1].n, 0);
        assert_true(MACHINES[m][2 + of[0].n] <= 1.35 * MACHINES[m][2]);
    }
}

static void limits_are_kept(void **state)
{
    struct drafter of[MAX_SEQUENCES];
    struct speculate s = sure(1);
    struct drafts d;

    (void)state;
    drafts_init(&d);
    drafts_took(&d, 1, 5);
    for (size_t n = 0; n <= MAX_SEQUENCES; n++)
        for (size_t max_rows = 0; max_rows <= 2 * DRAFTS_MAX_ROWS; max_rows++) {
            size_t rows = n;

            for (size_t i = 0; i < n; i++)
                of[i] = (struct drafter){ .speculate = i % 3 == 2 ? NULL : &s,
                                          .most = i % 5,
                                          .n_forced = i % 7 == 6 ? 2 : 0,
                                          .n = 99 };
            drafts_took(&d, n, 5);
            drafts_plan(&d, of, n, max_rows);
            for (size_t i = 0; i < n; i++) {
                assert_true(of[i].n <= i % 5);
                assert_true(i % 3 != 2 || i % 7 == 6 || of[i].n == 0);
                assert_true(i % 7 != 6 || of[i].n <= 2);
                rows += of[i].n;
            }
            assert_true(rows == n || (rows <= max_rows && rows <= DRAFTS_MAX_ROWS));
        }
}

/* Slow times leave, and nothing odd is learnt from odd times. */
static void bad_times_are_forgotten(void **state)
{
    struct speculate s = sure(1);
    struct drafter of = { .speculate = &s, .most = 100 };
    struct drafts d;

    (void)state;
    drafts_init(&d);
    drafts_took(&d, 0, 5);
    drafts_took(&d, DRAFTS_MAX_ROWS + 1, 5);
    drafts_took(&d, 1, 0);
    drafts_took(&d, 1, 5);
    for (int i = 0; i < 200; i++)
        for (size_t r = 2; r <= DRAFTS_MAX_ROWS; r++) {
            drafts_took(&d, r, 5.0 * 3 * (double)r);
            drafts_took(&d, 1, 5);
        }
    drafts_plan(&d, &of, 1, DRAFTS_MAX_ROWS);
    assert_int_equal(of.n, 0);
    for (int i = 0; i < 10000; i++)
        drafts_took(&d, 1, 5);
    drafts_plan(&d, &of, 1, DRAFTS_MAX_ROWS);
    assert_true(of.n > 0);
    assert_true(drafts_ms_of(&d, 4, 8, 4) == 8 && drafts_ms_of(&d, 40, 8, 40) == 8);
    assert_true(drafts_ms_of(&d, 4, 8, 1) < 8 && drafts_ms_of(&d, 4, 8, 1) > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_plan_is_nearly_the_best), cmocka_unit_test(several_at_once),
        cmocka_unit_test(neighbours_are_spared),       cmocka_unit_test(limits_are_kept),
        cmocka_unit_test(bad_times_are_forgotten),
    };

    return cmocka_run_group_tests_name("drafts", tests, NULL, NULL);
}
