/* sampler: typical_p, top_n_sigma, XTC and Mirostat, alone and together with the rest, against a
 * plain reference in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/inference/sampling_rig.h"

enum { DRAWS = 2500 };

static struct sampling sampling(void)
{
    struct sampling s;

    sampling_default(&s);
    return s;
}

static void each_alone(void **state)
{
    static const size_t SIZES[] = { 1, 2, 7, 64, 65, 1000, 4097 };
    static const float SCALES[] = { 0.1f, 4, 30 };

    (void)state;
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++)
        for (size_t k = 0; k < sizeof SCALES / sizeof *SCALES; k++) {
            float *x = make_logits(SIZES[i], SCALES[k], 50 + i);
            struct sampling s = sampling();

            for (size_t c = 0; c < 4; c++) {
                s = sampling();
                s.typical_p = ((const float[]){ 0, 0.2f, 0.9f, 0.999f })[c];
                check_distribution(x, SIZES[i], &s, DRAWS);
                s = sampling();
                s.top_n_sigma = ((const float[]){ 0.01f, 0.5f, 1, 3 })[c];
                check_distribution(x, SIZES[i], &s, DRAWS);
                s = sampling();
                s.xtc_probability = ((const float[]){ 1, 0.5f, 1, 1 })[c];
                s.xtc_threshold = ((const float[]){ 0.1f, 0.02f, 1e-7f, 0.6f })[c];
                check_distribution(x, SIZES[i], &s, DRAWS);
            }
            free(x);
        }
}

static void together(void **state)
{
    struct rng r = { 12 };

    (void)state;
    for (size_t i = 0; i < 100; i++) {
        size_t n = (size_t)(rng_uniform(&r) * 1500) + 1;
        float *x = make_logits(n, (float)(rng_uniform(&r) * 30), 900 + i);
        struct sampling s = sampling();

        s.temperature = 0.3f + (float)rng_uniform(&r);
        if (rng_uniform(&r) < 0.5)
            s.typical_p = (float)rng_uniform(&r);
        if (rng_uniform(&r) < 0.3)
            s.top_n_sigma = (float)rng_uniform(&r) * 3;
        if (rng_uniform(&r) < 0.5)
            s.top_k = (size_t)(rng_uniform(&r) * 300) + 1;
        if (rng_uniform(&r) < 0.5)
            s.min_p = (float)(rng_uniform(&r) * rng_uniform(&r) * 0.3);
        if (rng_uniform(&r) < 0.5)
            s.top_p = 1 - (float)(rng_uniform(&r) * rng_uniform(&r));
        if (rng_uniform(&r) < 0.5) {
            s.xtc_probability = (float)rng_uniform(&r);
            s.xtc_threshold = (float)(rng_uniform(&r) * rng_uniform(&r));
        }
        check_distribution(x, n, &s, 1500);
        free(x);
    }
}

/* At temperature 0 the best one of those that stay. */
static void the_best_of_what_stays(void **state)
{
    const float x[] = { 1, 5, 4, 4.5f, -INFINITY, NAN };
    struct sampler_state q = { .rng = { 1 } };
    struct sampling s = sampling();
    struct sampler sampler;

    (void)state;
    assert_int_equal(sampler_open(&sampler, 6, NULL), 0);
    s.temperature = 0;
    s.xtc_probability = 1;
    s.xtc_threshold = 0.05f; /* of 0.50 0.18 0.31 the least likely stays */
    assert_false(sampler_is_argmax(&s));
    assert_int_equal(sampler_pick(&sampler, x, &s, NULL, 0, 0, &q), 2);
    s.top_k = 2;
    assert_int_equal(sampler_pick(&sampler, x, &s, NULL, 0, 0, &q), 3);
    s.top_k = 1;
    assert_true(sampler_is_argmax(&s));
    assert_int_equal(sampler_pick(&sampler, x, &s, NULL, 0, 0, &q), 1);
    s = sampling();
    s.temperature = 0;
    s.typical_p = 0.1f; /* the entropy is 1.05, and -ln 0.31 is nearest to it */
    assert_int_equal(sampler_pick(&sampler, x, &s, NULL, 0, 0, &q), 3);
    s = sampling();
    s.temperature = 0;
    s.mirostat = 2;
    assert_true(sampler_is_argmax(&s));
    sampler_close(&sampler);
}

static void mirostat_cuts_where_the_reference_does(void **state)
{
    static const size_t SIZES[] = { 1, 2, 50, 100, 101, 1000, 4097 };

    (void)state;
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++)
        for (unsigned version = 1; version <= 2; version++)
            for (size_t c = 0; c < 5; c++) {
                float *x = make_logits(SIZES[i], ((const float[]){ 1, 4, 8, 20, 30 })[c], i + c);
                struct sampling s = sampling();

                s.mirostat = version;
                s.mirostat_tau = ((const float[]){ 0.1f, 1, 2, 3, 5 })[c];
                s.temperature = ((const float[]){ 1, 0.7f, 1.3f, 1, 2 })[c];
                check_distribution(x, SIZES[i], &s, DRAWS);
                free(x);
            }
}

/* mu after each token, by the reference's probability of what was drawn; surprise settles at tau.
 */
static void mirostat_follows_what_came(void **state)
{
    enum { N = 2000, TOKENS = 600 };
    double *p = malloc(N * sizeof *p);

    (void)state;
    for (unsigned version = 1; version <= 2; version++) {
        struct sampling s = sampling();
        struct sampler_state q;
        struct sampler sampler;
        double mu, surprise = 0;

        s.mirostat = version;
        s.mirostat_tau = 3;
        s.mirostat_eta = 0.1f;
        s.has_seed = true;
        s.seed = 5;
        assert_int_equal(sampler_open(&sampler, N, NULL), 0);
        assert_int_equal(sampler_begin(&q, &s, 1, NULL), 0);
        mu = 6;
        for (uint64_t i = 0; i < TOKENS; i++) {
            float *x = make_logits(N, 15, 3000 + i);
            int32_t id;

            assert_true(fabs(q.mu - mu) < 1e-3);
            reference(x, N, &s, q.mu, p);
            id = sampler_pick(&sampler, x, &s, NULL, 0, 0, &q);
            assert_true(p[id] > 0);
            mu -= 0.1 * (-log2(p[id]) - 3);
            surprise += i < 100 ? 0 : -log2(p[id]) / (TOKENS - 100);
            free(x);
        }
        assert_true(fabs(surprise - 3) < 0.1);
        sampler_end(&q);
        sampler_close(&sampler);
    }
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_alone),
        cmocka_unit_test(together),
        cmocka_unit_test(the_best_of_what_stays),
        cmocka_unit_test(mirostat_cuts_where_the_reference_does),
        cmocka_unit_test(mirostat_follows_what_came),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
