/* penalties: windows, and DRY against a reference that looks at every earlier place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "inference/penalties.h"
#include "inference/sampler.h"

enum { N_VOCAB = 8 };

static void apply(float *x, const struct sampling *s, const int32_t *ids, size_t n_prompt, size_t n)
{
    uint32_t counts[N_VOCAB] = { 0 };
    struct dry dry = { 0 };

    penalties_apply(x, counts, s, ids, n_prompt, n, &dry);
    for (size_t i = 0; i < N_VOCAB; i++)
        assert_int_equal(counts[i], 0);
}

static void windows(void **state)
{
    const int32_t ids[] = { 1, 2, 3, 3, 4 }; /* two of them the prompt */
    struct sampling s;

    (void)state;
    for (size_t last = 0; last <= 6; last++) {
        float x[N_VOCAB], y[N_VOCAB];

        for (size_t i = 0; i < N_VOCAB; i++)
            x[i] = y[i] = i == 4 ? -2 : 2;
        sampling_default(&s);
        s.repetition_penalty = 2;
        s.repetition_last_n = last == 6 ? SIZE_MAX : last;
        apply(x, &s, ids, 2, 5);
        for (int32_t id = 0; id < N_VOCAB; id++) {
            bool in = false;

            for (size_t k = 0; k < last && k < 5; k++)
                in |= ids[4 - k] == id;
            assert_true(x[id] == (id == 4 ? in ? -4 : -2 : in ? 1 : 2));
        }
        s.repetition_penalty = 1;
        s.frequency_penalty = 0.5f;
        s.presence_penalty = 1;
        s.frequency_last_n = s.repetition_last_n;
        apply(y, &s, ids, 2, 5);
        for (int32_t id = 0; id < N_VOCAB; id++) {
            float want = id == 4 ? -2 : 2, n = 0;

            for (size_t k = 0; k < last && k < 3; k++) /* of the answer only */
                n += ids[4 - k] == id;
            assert_true(y[id] == want - n * 0.5f - (n > 0));
        }
    }
}

/* What the tokens stand for; 7 has a whole breaker in it, 5 and 6 are one together. */
static const char *const TEXTS[N_VOCAB] = { "a", "b", "c", "d", "e", "x<", "br>y", "f\ng" };
static const char *const BREAKERS[] = { "\n", "<br>" };

/* The longest repetition of each place, counted one by one. */
static void reference(const struct sampling *s, const int32_t *ids, size_t n, double *x)
{
    size_t longest[N_VOCAB] = { 0 }, limit = n, first = n > s->dry_last_n ? n - s->dry_last_n : 0;
    bool found[N_VOCAB] = { false };

    for (size_t i = n; s->n_dry_breakers && i > 0; i--)
        if (ids[i - 1] == 7 || (ids[i - 1] == 6 && i > 1 && ids[i - 2] == 5)) {
            limit = n - i;
            break;
        }
    if (n - first <= s->dry_allowed_length)
        return;
    for (size_t i = first + 1; i < n; i++) { /* the token at i would be repeated */
        size_t run = 0;

        while (run < limit && i - run > first && ids[i - 1 - run] == ids[n - 1 - run])
            run++;
        if (run >= s->dry_allowed_length && (ids[i] != 7 || !s->n_dry_breakers)) {
            found[ids[i]] = true;
            if (run > longest[ids[i]])
                longest[ids[i]] = run;
        }
    }
    for (size_t i = 0; i < N_VOCAB; i++) {
        double power = (double)longest[i] - (double)s->dry_allowed_length;

        if (found[i])
            x[i] -= (double)s->dry_multiplier * pow((double)s->dry_base, power);
    }
}

static void dry_is_what_the_reference_says(void **state)
{
    struct rng r = { 3 };
    size_t changed = 0;

    (void)state;
    for (size_t round = 0; round < 3000; round++) {
        size_t n = (size_t)(rng_uniform(&r) * 60) + 1, letters = round % 7 + 2;
        uint32_t counts[N_VOCAB] = { 0 };
        float x[N_VOCAB] = { 0 };
        double y[N_VOCAB] = { 0 };
        struct dry dry;
        struct sampling s;
        int32_t ids[64];

        sampling_default(&s);
        s.dry_multiplier = 0.5f + (float)rng_uniform(&r);
        s.dry_base = 1 + (float)rng_uniform(&r) * 0.2f;
        s.dry_allowed_length = (size_t)(rng_uniform(&r) * 5);
        s.dry_last_n = rng_uniform(&r) < 0.5 ? SIZE_MAX : (size_t)(rng_uniform(&r) * 40) + 1;
        s.dry_breakers = BREAKERS;
        s.n_dry_breakers = rng_uniform(&r) < 0.7 ? 2 : 0;
        assert_int_equal(dry_init(&dry, &s, 64, NULL), 0);
        for (size_t i = 0; i < n; i++) {
            ids[i] = (int32_t)(rng_uniform(&r) * (double)letters) % N_VOCAB;
            if (i > 9 && rng_uniform(&r) < 0.8) /* say something again */
                ids[i] = ids[i - 2 - round % 8];
            dry_push(&dry, &s, (struct str){ TEXTS[ids[i]], strlen(TEXTS[ids[i]]) });
        }
        penalties_apply(x, counts, &s, ids, 0, n, &dry);
        reference(&s, ids, n, y);
        for (size_t i = 0; i < N_VOCAB; i++) {
            assert_int_equal(counts[i], 0);
            assert_true(fabs((double)x[i] - y[i]) <= 1e-4 * fabs(y[i]));
            changed += x[i] < 0;
        }
        dry_done(&dry);
    }
    assert_true(changed > 2000);
}

/* A breaker may be cut anywhere, and stand behind a long token. */
static void breakers_across_tokens(void **state)
{
    static const char *const breakers[] = { "abcd" };
    char filler[200];
    struct sampling s;

    (void)state;
    memset(filler, '-', sizeof filler);
    sampling_default(&s);
    s.dry_multiplier = 1;
    s.dry_breakers = breakers;
    s.n_dry_breakers = 1;
    for (size_t cut = 1; cut < 4; cut++)
        for (size_t more = 0; more < 2; more++) {
            struct dry d;

            assert_int_equal(dry_init(&d, &s, 8, NULL), 0);
            dry_push(&d, &s, (struct str){ filler, sizeof filler });
            dry_push(&d, &s, (struct str){ "abcd", cut });
            if (more)
                dry_push(&d, &s, (struct str){ "", 0 });
            assert_int_equal(d.since, 0);
            dry_push(&d, &s, (struct str){ &"abcd"[cut], 4 - cut });
            assert_int_equal(d.since, 3 + more);
            dry_push(&d, &s, (struct str){ "d", 1 });
            assert_int_equal(d.since, 3 + more);
            assert_int_equal(d.breaks[0], 0);
            dry_push(&d, &s, (struct str){ "-abcd-", 6 });
            assert_int_equal(d.since, 5 + more);
            assert_int_equal(d.breaks[0], 1 << (4 + more));
            dry_done(&d);
        }
}

/* A power beyond what a float holds stops there, as llama.cpp's does. */
static void a_long_repetition_is_finite(void **state)
{
    enum { N = 600 };
    uint32_t counts[N_VOCAB] = { 0 };
    float x[N_VOCAB] = { 0 };
    int32_t ids[N];
    struct sampling s;
    struct dry d;

    (void)state;
    sampling_default(&s);
    s.dry_multiplier = 0.01f;
    s.dry_base = 100;
    assert_int_equal(dry_init(&d, &s, N, NULL), 0);
    for (size_t i = 0; i < N; i++) {
        ids[i] = 1;
        dry_push(&d, &s, (struct str){ "b", 1 });
    }
    penalties_apply(x, counts, &s, ids, 0, N, &d);
    assert_true(isfinite(x[1]) && x[1] < -1e30f);
    dry_done(&d);
}

/* Against every run in the sequence, written out. */
static void no_run_comes_twice(void **state)
{
    struct rng r = { 9 };
    size_t forbidden = 0;

    (void)state;
    for (size_t round = 0; round < 2000; round++) {
        size_t n = (size_t)(rng_uniform(&r) * 30), run = 1 + (size_t)(rng_uniform(&r) * 5);
        int32_t ids[32];
        float x[N_VOCAB] = { 0 };
        struct sampling s;

        for (size_t i = 0; i < n; i++)
            ids[i] = (int32_t)(rng_uniform(&r) * (double)(2 + round % 7));
        sampling_default(&s);
        s.no_repeat_ngram = run;
        assert_true(penalties_wanted(&s));
        apply(x, &s, ids, n / 2, n);
        for (int32_t next = 0; next < N_VOCAB; next++) {
            bool was = false;

            ids[n] = next;
            for (size_t i = 0; i + run < n + 1 && n + 1 >= run; i++) {
                bool same = true;

                for (size_t k = 0; k < run; k++)
                    same = same && ids[i + k] == ids[n + 1 - run + k];
                was |= same;
            }
            assert_true(x[next] == (was ? -INFINITY : 0));
            forbidden += was;
        }
    }
    assert_true(forbidden > 1000);
}

/* A grammar that leaves one token has the last word. */
static void what_must_come_may_come_again(void **state)
{
    const int32_t ids[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    float x[N_VOCAB];
    struct sampler_state q;
    struct sampler sampler;
    struct sampling s;

    (void)state;
    sampling_default(&s);
    s.top_k = 1;
    s.no_repeat_ngram = 1;
    assert_false(sampler_is_argmax(&s));
    assert_int_equal(sampler_open(&sampler, N_VOCAB, NULL), 0);
    assert_int_equal(sampler_begin(&q, &s, N_VOCAB, NULL), 0);
    for (size_t i = 0; i < N_VOCAB; i++)
        x[i] = i == 5 ? 1 : -INFINITY;
    assert_int_equal(sampler_pick(&sampler, x, &s, ids, 2, 8, &q), 5);
    for (size_t i = 0; i < N_VOCAB; i++)
        x[i] = (float)i;
    assert_int_equal(sampler_pick(&sampler, x, &s, ids, 2, 6, &q), 7);     /* 6 and 7 are new */
    assert_int_equal(sampler_pick(&sampler, x, &s, ids + 2, 2, 6, &q), 1); /* 0 and 1 */
    sampler_end(&q);
    sampler_close(&sampler);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows),
        cmocka_unit_test(dry_is_what_the_reference_says),
        cmocka_unit_test(breakers_across_tokens),
        cmocka_unit_test(a_long_repetition_is_finite),
        cmocka_unit_test(no_run_comes_twice),
        cmocka_unit_test(what_must_come_may_come_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
