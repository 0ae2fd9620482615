/* sampler: against a plain reference that sorts everything and adds in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "inference/sampler.h"
#include "inference/softmax.h"
#include "tests/inference/sampling_rig.h"

static void draws_follow_the_distribution(void **state)
{
    static const struct {
        size_t n;
        float scale, temperature, top_p, min_p;
        size_t top_k;
    } CASES[] = {
        { 1, 3, 1, 1, 0, 0 },          { 2, 1, 1, 1, 0, 0 },
        { 7, 2, 1, 1, 0, 0 },          { 63, 2, 1, 1, 0, 0 },
        { 64, 2, 0.7f, 1, 0, 0 },      { 65, 2, 1.5f, 1, 0, 0 },
        { 1000, 4, 1, 1, 0, 0 },       { 1000, 30, 1, 0.9f, 0, 0 },
        { 1000, 4, 1, 0.5f, 0, 0 },    { 1000, 4, 0.8f, 0.95f, 0, 0 },
        { 1000, 60, 2, 0.999f, 0, 0 }, { 1000, 4, 1, 1, 0.05f, 0 },
        { 1000, 4, 1, 1, 1e-7f, 0 },   { 1000, 4, 1, 1, 0, 5 },
        { 1000, 4, 1, 1, 0, 1 },       { 1000, 60, 1, 1, 0, 999 },
        { 1000, 4, 1, 1, 0, 5000 },    { 1000, 4, 1, 0.8f, 0.1f, 40 },
        { 1000, 4, 1, 0.9f, 0, 50 },   { 1000, 4, 1.3f, 0.9f, 0.02f, 0 },
        { 4097, 1, 1, 0.3f, 0, 0 },    { 4097, 100, 1, 0.99f, 1e-6f, 3000 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        float *x = make_logits(CASES[i].n, CASES[i].scale, 1000 + i);
        struct sampling s;

        sampling_default(&s);
        s.temperature = CASES[i].temperature;
        s.top_p = CASES[i].top_p;
        s.min_p = CASES[i].min_p;
        s.top_k = CASES[i].top_k;
        check_distribution(x, CASES[i].n, &s, 10000);
        free(x);
    }
}

static int32_t pick(const float *x, size_t n, const struct sampling *s, const int32_t *ids,
                    size_t n_prompt, size_t n_ids, uint64_t seed)
{
    struct sampler_state state = { .rng = { seed } };
    struct sampler sampler;
    int32_t id;

    assert_int_equal(sampler_open(&sampler, n, NULL), 0);
    id = sampler_pick(&sampler, x, s, ids, n_prompt, n_ids, &state);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(sampler.counts[i], 0);
    sampler_close(&sampler);
    return id;
}

static void the_best_token_is_taken(void **state)
{
    float x[] = { 1, 5, NAN, 5, -INFINITY, 4 };
    float none[] = { NAN, -INFINITY, NAN }, huge[] = { 1, INFINITY, 2 };
    struct sampling s;

    (void)state;
    sampling_default(&s);
    s.temperature = 0;
    assert_true(sampler_is_argmax(&s));
    assert_int_equal(pick(x, 6, &s, NULL, 0, 0, 1), 1); /* tie: the lower id; NaN never */
    s.temperature = 1;
    assert_false(sampler_is_argmax(&s));
    for (uint64_t seed = 0; seed < 200; seed++) {
        s.top_p = 0;
        assert_int_equal(pick(x, 6, &s, NULL, 0, 0, seed), 1);
        s.top_p = 1;
        s.top_k = 1;
        assert_int_equal(pick(x, 6, &s, NULL, 0, 0, seed), 1);
        s.top_k = 2; /* both of the tie, nothing else */
        assert_true(x[pick(x, 6, &s, NULL, 0, 0, seed)] >= 5);
        s.top_k = 6; /* never NaN nor -inf */
        assert_true(x[pick(x, 6, &s, NULL, 0, 0, seed)] >= 1);
        s.top_k = 0;
        assert_true(x[pick(x, 6, &s, NULL, 0, 0, seed)] >= 1);
    }
    assert_in_range(pick(none, 3, &s, NULL, 0, 0, 1), 0, 2);
    assert_int_equal(pick(huge, 3, &s, NULL, 0, 0, 1), 1);
}

static void penalties_and_bias(void **state)
{
    const float x[] = { 4, 3.5f, 3, -1 };
    const int32_t ids[] = { 0, 0, 1, 1, 1 };
    const struct token_bias bias[] = { { 2, 0.75f }, { 2, 0.75f } };
    struct sampling s;

    (void)state;
    sampling_default(&s);
    s.temperature = 0;
    s.frequency_penalty = 0.5f; /* generated: 0 once, 1 thrice -> 3.5 2 3 */
    assert_false(sampler_is_argmax(&s));
    assert_int_equal(pick(x, 4, &s, ids, 1, 5, 1), 0);
    s.presence_penalty = 0.6f; /* -> 2.9 1.4 3 */
    assert_int_equal(pick(x, 4, &s, ids, 1, 5, 1), 2);
    s.presence_penalty = s.frequency_penalty = -2; /* repetition rewarded -> 8 11.5 */
    assert_int_equal(pick(x, 4, &s, ids, 1, 5, 1), 1);
    s.presence_penalty = s.frequency_penalty = 0;
    s.repetition_penalty = 1.5f; /* the prompt counts too -> 2.67 2.33 3 */
    assert_int_equal(pick(x, 4, &s, ids, 5, 5, 1), 2);
    s.repetition_penalty = 1;
    s.bias = bias;
    s.n_bias = 2; /* -> 4 3.5 4.5 */
    assert_false(sampler_is_argmax(&s));
    assert_int_equal(pick(x, 4, &s, ids, 1, 5, 1), 2);
    s.n_bias = 1; /* -> 4 3.5 3.75 */
    assert_int_equal(pick(x, 4, &s, ids, 1, 5, 1), 0);
}

static void a_seed_fixes_the_draws(void **state)
{
    enum { N = 500, DRAWS = 200 };
    float *x = make_logits(N, 6, 4), *y = malloc(N * sizeof *y);
    struct sampler_state a = { .rng = { 7 } }, b = { .rng = { 7 } }, c = { .rng = { 8 } };
    struct sampler s;
    struct sampling p;
    int same = 0;

    (void)state;
    sampling_default(&p);
    p.top_p = 0.95f;
    assert_int_equal(sampler_open(&s, N, NULL), 0);
    for (int i = 0; i < N; i++) /* as another order of sums would give them */
        y[i] = x[i] * (1 + (float)(i % 3 - 1) * 1e-7f);
    for (int i = 0; i < DRAWS; i++) {
        int32_t id = sampler_pick(&s, x, &p, NULL, 0, 0, &a);

        assert_int_equal(id, sampler_pick(&s, y, &p, NULL, 0, 0, &b));
        same += id == sampler_pick(&s, x, &p, NULL, 0, 0, &c);
    }
    assert_true(same < DRAWS / 2);
    sampler_close(&s);
    free(x);
    free(y);
}

static void logprobs_are_the_log_softmax(void **state)
{
    static const size_t SIZES[] = { 1, 5, 64, 1000, 5001 };

    (void)state;
    for (size_t c = 0; c < sizeof SIZES / sizeof *SIZES; c++) {
        size_t n = SIZES[c];
        float *x = make_logits(n, 20, 70 + c);
        struct ranked *r = malloc(n * sizeof *r);
        struct token_logprob out[1 + SAMPLER_MAX_TOP];
        struct sampler s;
        double total = 0;

        if (n > 20)
            x[17] = x[3] = x[11]; /* ties come in order of id */
        for (size_t i = 0; i < n; i++) {
            r[i] = (struct ranked){ .logit = (double)x[i], .id = (int32_t)i };
            total += exp((double)x[i]);
        }
        qsort(r, n, sizeof *r, by_rank);
        assert_int_equal(sampler_open(&s, n, NULL), 0);
        sampler_logprobs(&s, x, (int32_t)(n / 2), SAMPLER_MAX_TOP, out);
        assert_int_equal(out[0].id, n / 2);
        assert_true(fabs((double)out[0].logprob - ((double)x[n / 2] - log(total))) < 1e-4);
        for (size_t i = 0; i < SAMPLER_MAX_TOP; i++) {
            assert_int_equal(out[1 + i].id, i < n ? r[i].id : -1);
            if (i < n)
                assert_true(fabs((double)out[1 + i].logprob - (r[i].logit - log(total))) < 1e-4);
        }
        sampler_logprobs(&s, x, 0, 0, out);
        assert_int_equal(out[0].id, 0);
        sampler_close(&s);
        free(x);
        free(r);
    }
}

static void logprobs_of_odd_logits(void **state)
{
    const float x[] = { 0, -INFINITY, NAN, 0 };
    struct token_logprob out[5];
    struct sampler s;

    (void)state;
    assert_int_equal(sampler_open(&s, 4, NULL), 0);
    sampler_logprobs(&s, x, 1, 4, out);
    assert_true(out[0].logprob == (float)SAMPLER_MIN_LOGPROB);
    assert_int_equal(out[1].id, 0);
    assert_int_equal(out[2].id, 3);
    assert_true(fabsf(out[1].logprob - logf(0.5f)) < 1e-6f);
    assert_int_equal(out[3].id, 1);
    assert_int_equal(out[4].id, -1);
    sampler_close(&s);
}

static void softmax_exp_is_close(void **state)
{
    (void)state;
    for (float x = -90; x <= 0; x += 0.00317f) {
        double want = x >= -87 ? exp((double)x) : 0;

        assert_true(fabs((double)softmax_exp(x) - want) <= 3e-7 * want);
    }
    assert_true(softmax_exp(-INFINITY) == 0);
    assert_true(softmax_exp(NAN) == 0);
    assert_true(softmax_exp(0) == 1);
}

static void softmax_find_stays_inside(void **state)
{
    double sums[3];
    float x[130];
    size_t at;

    (void)state;
    assert_int_equal(softmax_blocks(130), 3);
    for (size_t i = 0; i < 130; i++)
        x[i] = i == 5 || i == 100 ? 0 : -INFINITY;
    assert_true(softmax_sum(x, 130, 0, 1, NULL, sums) == 2);
    assert_true(softmax_sum(x, 100, 0, 1, NULL, NULL) == 1);
    assert_int_equal(softmax_find(x, 130, 0, 1, sums, 0), 5);
    assert_int_equal(softmax_find(x, 130, 0, 1, sums, 0.99), 5);
    assert_int_equal(softmax_find(x, 130, 0, 1, sums, 1), 100);
    assert_int_equal(softmax_find(x, 130, 0, 1, sums, 2),
                     100); /* past the end: the last that counts */
    x[100] = -INFINITY;
    assert_true(softmax_sum(x, 130, 0, 1, NULL, sums) == 1);
    assert_int_equal(softmax_find(x, 130, 0, 1, sums, 2), 5);
    for (size_t n = 1; n <= 130; n++) { /* the largest in every place; the first of equals */
        float tops[3];

        x[n - 1] = 1;
        assert_true(softmax_max(x, n, &at, tops) == 1);
        assert_int_equal(at, n - 1);
        assert_true(tops[(n - 1) / SOFTMAX_BLOCK] == 1);
        x[n / 2] = 1;
        assert_true(softmax_max(x, n, &at, NULL) == 1);
        assert_int_equal(at, n / 2);
        x[n - 1] = x[n / 2] = NAN;
    }
    assert_true(isinf(softmax_max(x, 130, &at, NULL)));
}

static void softmax_allows_what_a_mask_has(void **state)
{
    static const uint64_t MASKS[] = { 0, UINT64_MAX, 0xffffffff, 0xdeadbeef01234567u, 1ull << 63 };
    float x[200], y[200];

    (void)state;
    for (size_t n = 1; n <= 200; n += n == 1 ? 30 : 1)
        for (size_t m = 0; m < sizeof MASKS / sizeof *MASKS; m++) {
            uint64_t mask[4] = { MASKS[m], ~MASKS[m], MASKS[m] * 3, MASKS[m] };

            for (size_t i = 0; i < n; i++)
                x[i] = (float)i;
            softmax_allow(y, x, n, mask);
            for (size_t i = 0; i < n; i++)
                assert_true(mask[i / 64] >> i % 64 & 1 ? y[i] == x[i] : y[i] == -INFINITY);
        }
}

/* Blocks far below the largest logit are passed over, and add what they added. */
static void softmax_passes_over_nothing(void **state)
{
    float *x = make_logits(5001, 60, 3), tops[79];
    double sums[79], same[79];
    size_t best;

    (void)state;
    for (size_t i = 640; i < 1280; i++)
        x[i] = i % 3 ? -INFINITY : -200;
    for (float scale = 0.25f; scale <= 4; scale *= 2) {
        float max = softmax_max(x, 5001, &best, tops);

        assert_true(softmax_sum(x, 5001, max, scale, NULL, sums) ==
                    softmax_sum(x, 5001, max, scale, tops, same));
        assert_memory_equal(sums, same, sizeof sums);
    }
    free(x);
}

static void softmax_moments(void **state)
{
    static const size_t SIZES[] = { 1, 63, 64, 65, 1000 };

    (void)state;
    for (size_t c = 0; c < sizeof SIZES / sizeof *SIZES; c++) {
        size_t n = SIZES[c], in = 0;
        float *x = make_logits(n, 20, 7 + c);
        double moment = 0, mean = 0, squares = 0;

        if (n > 20)
            x[17] = -INFINITY; /* what a mask has left out does not count */
        for (size_t i = 0; i < n; i++) {
            if (x[i] == -INFINITY)
                continue;
            moment += exp((double)x[i] - 30) * ((double)x[i] - 30);
            mean += (double)x[i];
            in++;
        }
        mean /= (double)in;
        for (size_t i = 0; i < n; i++)
            squares += x[i] == -INFINITY ? 0 : ((double)x[i] - mean) * ((double)x[i] - mean);
        assert_true(fabs(softmax_moment(x, n, 30) - moment) <= 1e-5 * fabs(moment));
        assert_true(fabs(softmax_deviation(x, n) - sqrt(squares / (double)in)) < 1e-4);
        free(x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_follow_the_distribution),
        cmocka_unit_test(the_best_token_is_taken),
        cmocka_unit_test(penalties_and_bias),
        cmocka_unit_test(a_seed_fixes_the_draws),
        cmocka_unit_test(logprobs_are_the_log_softmax),
        cmocka_unit_test(logprobs_of_odd_logits),
        cmocka_unit_test(softmax_exp_is_close),
        cmocka_unit_test(softmax_find_stays_inside),
        cmocka_unit_test(softmax_allows_what_a_mask_has),
        cmocka_unit_test(softmax_passes_over_nothing),
        cmocka_unit_test(softmax_moments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
