/* engine: log-probabilities of a prompt's own tokens are those that the same prompt, cut there,
 * gives its next token; however many fit into a pass, cached or not, alone or in company. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/inference/asking.h"

enum { N_PROMPT = 150, TOP = 5, WIDTH = 1 + TOP };

struct scores {
    struct token_logprob lp[N_PROMPT * WIDTH];
    size_t n, n_tokens;
    int32_t first; /* the token generated first, -1 for none */
};

static void ask_scored(struct engine *g, const struct job_request *r, struct scores *out)
{
    struct inbox *in;
    struct event ev;
    struct job *job;
    bool over = false;

    *out = (struct scores){ .first = -1 };
    assert_int_equal(inbox_create(&in, NULL), 0);
    assert_int_equal(engine_submit(g, r, in, 0, &job, NULL), 0);
    while (!over) {
        assert_true(inbox_wait(in, 60000, &ev));
        if (ev.kind == EVENT_PROMPT) {
            assert_int_equal(out->n, 0); /* once, and before any text */
            assert_int_equal(out->n_tokens, 0);
            assert_true(ev.n_logprobs <= N_PROMPT);
            out->n = ev.n_logprobs;
            memcpy(out->lp, ev.logprobs, out->n * WIDTH * sizeof *out->lp);
        }
        if (ev.kind == EVENT_TEXT) {
            if (!out->n_tokens && ev.n_logprobs)
                out->first = ev.logprobs[0].id;
            out->n_tokens += ev.n_tokens;
        }
        over = ev.kind == EVENT_DONE;
        assert_int_not_equal(ev.kind, EVENT_FAILED);
        event_done(&ev);
    }
    job_free(job);
    inbox_free(in);
}

static struct job_request request(const int32_t *ids, size_t n, size_t max_tokens)
{
    struct job_request r = asking_request(ids, n, max_tokens);

    r.top_logprobs = TOP;
    r.prompt_logprobs = true;
    return r;
}

/* Alternatives of position i are those of the first token after ids[0 .. i). */
static void check(struct engine *g, const int32_t *ids, const struct scores *got)
{
    for (size_t i = 1; i < got->n; i += 1 + i / 9) {
        struct job_request r = asking_request(ids, i, 1);
        const struct token_logprob *lp = got->lp + i * WIDTH;
        struct inbox *in;
        struct event ev;
        struct job *job;

        r.top_logprobs = TOP;
        assert_int_equal(lp->id, ids[i]);
        assert_true(isfinite(lp->logprob) && lp->logprob <= 0);
        assert_int_equal(inbox_create(&in, NULL), 0);
        assert_int_equal(engine_submit(g, &r, in, 0, &job, NULL), 0);
        do
            assert_true(inbox_wait(in, 60000, &ev));
        while (ev.kind != EVENT_TEXT);
        for (size_t k = 1; k < WIDTH; k++) {
            assert_int_equal(ev.logprobs[k].id, lp[k].id);
            assert_true(ev.logprobs[k].logprob == lp[k].logprob);
            if (lp[k].id == ids[i])
                assert_true(lp[k].logprob == lp->logprob);
        }
        event_done(&ev);
        job_free(job);
        inbox_free(in);
    }
}

static void each_position_is_scored(void **state)
{
    static const size_t BATCHES[] = { 1, 3, 16 }; /* as many outputs a pass */

    (void)state;
    for (size_t c = 0; c < sizeof BATCHES / sizeof *BATCHES; c++) {
        struct engine *g = asking_open(
            (struct engine_config){ .name = "t", .max_batch = BATCHES[c], .max_step_rows = 40 });
        struct scores *got = calloc(1, sizeof *got), *again = calloc(1, sizeof *again);
        int32_t ids[N_PROMPT];
        struct job_request r;

        asking_ids(ids, N_PROMPT, 8);
        r = request(ids, N_PROMPT, 3);
        ask_scored(g, &r, got);
        assert_int_equal(got->n, N_PROMPT);
        assert_int_equal(got->n_tokens, 3);
        assert_int_equal(got->lp[0].id, ids[0]);
        assert_true(isnan(got->lp[0].logprob));
        assert_int_equal(got->lp[1].id, -1);
        check(g, ids, got);
        r.max_tokens = 0; /* with everything cached */
        ask_scored(g, &r, again);
        assert_int_equal(again->n, N_PROMPT);
        assert_int_equal(again->n_tokens, 0);
        assert_memory_equal(again->lp + WIDTH, got->lp + WIDTH,
                            (N_PROMPT - 1) * WIDTH * sizeof *got->lp);
        r = request(ids, 1, 1); /* nothing to score */
        ask_scored(g, &r, again);
        assert_int_equal(again->n, 1);
        assert_int_equal(again->n_tokens, 1);
        free(got);
        free(again);
        engine_close(g);
    }
}

/* Others generate and have prompts evaluated meanwhile; memory is short, so that some wait. */
static void in_company(void **state)
{
    enum { OTHERS = 5 };
    struct engine *g = asking_open(
        (struct engine_config){ .name = "t", .max_batch = 6, .n_ctx = 512, .kv_bytes = 700000 });
    struct scores *alone = calloc(1, sizeof *alone), *got = calloc(1, sizeof *got);
    int32_t ids[N_PROMPT], other[OTHERS][N_PROMPT];
    struct job *jobs[OTHERS];
    struct inbox *in;
    struct job_request r;

    (void)state;
    asking_ids(ids, N_PROMPT, 8);
    r = request(ids, N_PROMPT, 4);
    ask_scored(g, &r, alone);
    assert_int_equal(inbox_create(&in, NULL), 0);
    for (size_t round = 0; round < 5; round++) {
        for (size_t i = 0; i < OTHERS; i++) {
            struct job_request o;

            asking_ids(other[i], N_PROMPT, 20 + i + 10 * round);
            o = asking_request(other[i], N_PROMPT - i, 60);
            assert_int_equal(engine_submit(g, &o, in, i, &jobs[i], NULL), 0);
        }
        ask_scored(g, &r, got);
        assert_int_equal(got->n, N_PROMPT);
        assert_int_equal(got->first, alone->first);
        assert_memory_equal(got->lp + WIDTH, alone->lp + WIDTH,
                            (N_PROMPT - 1) * WIDTH * sizeof *got->lp);
        for (size_t i = 0; i < OTHERS; i++)
            job_free(jobs[i]);
        asking_settle(g);
    }
    inbox_free(in);
    free(alone);
    free(got);
    engine_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_position_is_scored),
        cmocka_unit_test(in_company),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
