/* engine: a text that grows past the border of longrope, where all its positions turn by other
 * angles, goes on as transformers recorded it (tests/data/models/phi3_longrope: 96 positions). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernels/base/json.h"
#include "tests/inference/asking.h"
#include "tests/inference/rig.h"

enum { BORDER = 96, N_PROMPTS = 3, N_GREEDY = 32, PAGE = 64, N_JOBS = 6 };

static const char *folder(void)
{
    return rig_path("../models/phi3_longrope");
}

/* Prompts, each followed by what is generated; all_ids[i] has n[i] + N_GREEDY ids. */
static int32_t all_ids[N_PROMPTS][512];
static size_t n[N_PROMPTS], crossing; /* the prompt that ends before the border */

static int read_recorded(void **state)
{
    char text[65536];
    FILE *f = fopen(rig_path("../models/phi3_longrope/expected.json"), "rb");
    size_t len = f ? fread(text, 1, sizeof text, f) : 0;
    struct arena a;
    struct value *v = NULL;

    (void)state;
    if (f)
        fclose(f);
    arena_init(&a, 0);
    if (json_parse(text, len, 16, &a, &v, NULL))
        return -1;
    v = value_get(v, "prompts");
    crossing = N_PROMPTS;
    for (size_t i = 0; i < N_PROMPTS; i++) {
        const struct value *p = v->list.items[i];

        n[i] = rig_ids(value_get(p, "ids"), all_ids[i], 512 - N_GREEDY);
        rig_ids(value_get(p, "greedy_ids"), all_ids[i] + n[i], N_GREEDY);
        if (n[i] < BORDER && n[i] + N_GREEDY > BORDER + 2)
            crossing = i;
    }
    arena_done(&a);
    return crossing == N_PROMPTS ? -1 : 0;
}

/* Prompt i and the first `given` recorded ids; the others are to come. */
static void check(struct engine *g, size_t i, size_t given, bool guess)
{
    struct job_request r = asking_request(all_ids[i], n[i] + given, N_GREEDY - given);
    struct answered got;

    r.top_logprobs = 0;
    r.no_speculation = !guess;
    assert_int_equal(ask(g, &r, &got), 0);
    assert_false(got.failed);
    assert_int_equal(got.n_ids, N_GREEDY - given);
    assert_memory_equal(got.ids, all_ids[i] + n[i] + given, got.n_ids * sizeof *got.ids);
    answered_done(&got);
}

static void alone(void **state)
{
    struct engine *g = asking_open((struct engine_config){ .model_path = folder() });

    (void)state;
    for (int guess = 0; guess < 2; guess++)
        for (size_t i = 0; i < N_PROMPTS; i++)
            check(g, i, 0, guess);
    engine_close(g);
}

/* Whatever was evaluated before lies in the cache, as near ones or as far ones: a prompt that ends
 * just before, at or behind the border finds only what suits it. */
static void prompts_at_the_border(void **state)
{
    struct engine *g = asking_open((struct engine_config){ .model_path = folder() });
    size_t at = BORDER - n[crossing];

    (void)state;
    check(g, crossing, 0, true);
    for (size_t given = at - 2; given <= at + 2; given++)
        check(g, crossing, given, true);
    for (size_t given = at + 3; given-- > at - 2;)
        check(g, crossing, given, false);
    check(g, crossing, 0, true);
    engine_close(g);
}

/* Prompt k % N_PROMPTS. */
static struct job_request request(size_t k, size_t n_new)
{
    struct job_request r = asking_request(all_ids[k % N_PROMPTS], n[k % N_PROMPTS], n_new);

    r.top_logprobs = 0;
    return r;
}

/* N_JOBS jobs at once; their answers begin as those given. */
static void together(struct engine *g, size_t n_new, const struct answered *want, size_t n_ids)
{
    struct inbox *in[N_JOBS];
    struct job *jobs[N_JOBS];

    for (size_t k = 0; k < N_JOBS; k++) {
        struct job_request r = request(k, n_new);

        assert_int_equal(inbox_create(&in[k], NULL), 0);
        assert_int_equal(engine_submit(g, &r, in[k], 0, &jobs[k], NULL), 0);
    }
    for (size_t k = 0; k < N_JOBS; k++) {
        struct answered got;

        asking_collect(in[k], &got);
        assert_false(got.failed);
        assert_int_equal(got.n_ids, n_new);
        assert_memory_equal(got.ids, want[k % N_PROMPTS].ids, n_ids * sizeof *got.ids);
        answered_done(&got);
        job_free(jobs[k]);
        inbox_free(in[k]);
    }
}

static void beside_others(void **state)
{
    struct engine *g = asking_open((struct engine_config){ .model_path = folder() });
    struct answered want[N_PROMPTS];

    (void)state;
    for (size_t i = 0; i < N_PROMPTS; i++)
        memcpy(want[i].ids, all_ids[i] + n[i], N_GREEDY * sizeof(int32_t));
    together(g, N_GREEDY, want, N_GREEDY);
    engine_close(g);
}

/* Far ones that give up their pages come back as far ones. */
static void where_pages_run_out(void **state)
{
    enum { LONG = 160 };
    /* of 2 layers with a key and a value of 16 floats each; the longest sequence takes 6 */
    const size_t page = (size_t)PAGE * 2 * 2 * 16 * sizeof(float);
    struct engine *g = asking_open((struct engine_config){ .model_path = folder() });
    struct answered want[N_PROMPTS];
    struct engine_status s;

    (void)state;
    for (size_t i = 0; i < N_PROMPTS; i++) {
        struct job_request r = request(i, LONG);

        assert_int_equal(ask(g, &r, &want[i]), 0);
        answered_done(&want[i]);
    }
    engine_close(g);
    g = asking_open(
        (struct engine_config){ .model_path = folder(), .kv_bytes = 8 * page, .n_ctx = 512 });
    together(g, LONG, want, LONG);
    asking_settle(g);
    engine_status(g, &s);
    assert_true(s.preempted > 0);
    engine_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone),
        cmocka_unit_test(prompts_at_the_border),
        cmocka_unit_test(beside_others),
        cmocka_unit_test(where_pages_run_out),
    };

    return cmocka_run_group_tests(tests, read_recorded, NULL);
}
