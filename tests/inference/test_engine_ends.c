/* engine: what ends an answer, and what keeps it from ending. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "kernels/base/json.h"
#include "tests/inference/asking.h"

enum { BOS = 1, EOS = 2, N_PROMPT = 12, N_NEW = 40 };

static struct engine *engine;
static int32_t prompt[N_PROMPT];

static int open_engine(void **state)
{
    (void)state;
    engine = asking_open((struct engine_config){ .name = "t" });
    asking_ids(prompt, N_PROMPT, 3);
    return 0;
}

static int close_engine(void **state)
{
    (void)state;
    engine_close(engine);
    return 0;
}

static struct job_request request(void)
{
    struct job_request r = asking_request(prompt, N_PROMPT, N_NEW);

    r.top_logprobs = 0;
    return r;
}

/* The first place at which the id stands. */
static size_t place(const struct answered *a, int32_t id)
{
    size_t i = 0;

    while (i < a->n_ids && a->ids[i] != id)
        i++;
    return i;
}

static void stop_ids_end_it_and_are_not_shown(void **state)
{
    struct job_request r = request();
    struct answered whole, got;
    int32_t stops[2] = { BOS };

    (void)state;
    assert_int_equal(ask(engine, &r, &whole), 0);
    assert_int_equal(whole.n_ids, N_NEW);
    for (size_t i = 0; i < N_NEW; i += 7) {
        size_t n, bytes = 0;

        stops[1] = whole.ids[i];
        r.stop_ids = stops;
        r.n_stop_ids = 2;
        assert_int_equal(ask(engine, &r, &got), 0);
        n = place(&whole, stops[1]);
        assert_int_equal(got.finish, FINISH_STOP);
        assert_int_equal(got.usage.generated_tokens, n + 1);
        assert_int_equal(got.n_ids, n); /* the token itself is not among those told */
        assert_memory_equal(got.ids, whole.ids, n * sizeof *got.ids);
        bytes = got.bytes.len;
        assert_true(bytes <= whole.bytes.len);
        assert_memory_equal(buf_str(&got.bytes), whole.bytes.data, bytes);
        answered_done(&got);
    }
    answered_done(&whole);
}

/* A bias makes the end come at once; min_tokens keeps it off for exactly so long. */
static void min_tokens_keep_the_end_off(void **state)
{
    static const struct token_bias END = { EOS, 100 };
    static const size_t MIN[] = { 0, 1, 2, 17, N_NEW - 1, N_NEW };
    struct job_request r = request();

    (void)state;
    r.ignore_end = false;
    r.sampling.bias = &END;
    r.sampling.n_bias = 1;
    for (size_t i = 0; i < sizeof MIN / sizeof *MIN; i++)
        for (int drawn = 0; drawn < 2; drawn++) {
            struct answered got;

            r.min_tokens = MIN[i];
            r.sampling.temperature = (float)drawn;
            assert_int_equal(ask(engine, &r, &got), 0);
            assert_int_equal(place(&got, EOS), got.n_ids);
            assert_int_equal(got.n_ids, MIN[i]);
            assert_int_equal(got.finish, MIN[i] < N_NEW ? FINISH_STOP : FINISH_LENGTH);
            answered_done(&got);
        }
}

/* Without a bias: the likeliest token is passed over only where it would end the text. */
static void min_tokens_with_stop_ids(void **state)
{
    struct job_request r = request();
    struct answered whole, got;
    int32_t stop;

    (void)state;
    assert_int_equal(ask(engine, &r, &whole), 0);
    stop = whole.ids[5];
    assert_int_equal(place(&whole, stop), 5);
    r.stop_ids = &stop;
    r.n_stop_ids = 1;
    r.min_tokens = 5;
    assert_int_equal(ask(engine, &r, &got), 0);
    assert_int_equal(got.n_ids, 5);
    answered_done(&got);
    r.min_tokens = 6;
    assert_int_equal(ask(engine, &r, &got), 0);
    assert_true(got.n_ids >= 6);
    assert_memory_equal(got.ids, whole.ids, 5 * sizeof stop);
    assert_int_not_equal(got.ids[5], stop);
    answered_done(&got);
    answered_done(&whole);
}

/* A stop string within the first tokens is text; the same behind them is not. */
static void min_tokens_are_deaf_to_stop_strings(void **state)
{
    struct job_request r = request();
    struct answered whole, got;
    char stop[2] = "";
    const char *stops[] = { stop };
    size_t first, bytes = 0, n = 0;

    (void)state;
    assert_int_equal(ask(engine, &r, &whole), 0);
    for (first = 0; first < whole.text.len; first++) /* a letter that comes twice */
        if ((unsigned char)whole.text.data[first] < 128 &&
            strchr(whole.text.data + first + 1, whole.text.data[first]))
            break;
    assert_true(first < whole.text.len);
    stop[0] = whole.text.data[first];
    r.stops = stops;
    r.n_stops = 1;
    assert_int_equal(ask(engine, &r, &got), 0);
    assert_int_equal(got.finish, FINISH_STOP);
    assert_null(got.text.data ? strchr(got.text.data, stop[0]) : NULL);
    n = got.usage.generated_tokens; /* the last of them has the letter */
    answered_done(&got);
    r.min_tokens = n;
    assert_int_equal(ask(engine, &r, &got), 0);
    bytes = (size_t)(strchr(buf_str(&got.text), stop[0]) - got.text.data);
    assert_int_equal(bytes, first);
    assert_true(got.usage.generated_tokens > n);
    assert_int_equal(got.finish, FINISH_STOP);
    answered_done(&got);
    answered_done(&whole);
}

/* "one that begins there and goes on" hides "there" until nothing more comes: then it is a stop
 * string, and not the length, that ended the text. */
static void a_stop_string_that_another_hid_is_found_at_the_end(void **state)
{
    enum { HIDDEN = 6, LONGER = 9 };
    struct job_request r = request();
    struct answered whole, got;
    char stop[HIDDEN + 1], longer[LONGER + 3];
    const char *stops[] = { longer, stop };

    (void)state;
    assert_int_equal(ask(engine, &r, &whole), 0);
    assert_int_equal(whole.finish, FINISH_LENGTH);
    assert_true(whole.text.len > LONGER);
    memcpy(stop, whole.text.data + whole.text.len - HIDDEN, sizeof stop); /* with the NUL */
    memcpy(longer, whole.text.data + whole.text.len - LONGER, LONGER);
    memcpy(longer + LONGER, "zq", 3);
    assert_ptr_equal(strstr(whole.text.data, stop), whole.text.data + whole.text.len - HIDDEN);
    r.stops = stops;
    r.n_stops = 2;
    assert_int_equal(ask(engine, &r, &got), 0);
    assert_int_equal(got.finish, FINISH_STOP);
    assert_int_equal(got.usage.generated_tokens, N_NEW);
    assert_int_equal(got.text.len, whole.text.len - HIDDEN);
    assert_memory_equal(got.text.data, whole.text.data, got.text.len);
    assert_true(got.n_ids < N_NEW); /* without the tokens that only had a part in it */
    assert_memory_equal(got.ids, whole.ids, got.n_ids * sizeof *got.ids);
    answered_done(&got);
    r.n_stops = 1; /* which never comes */
    assert_int_equal(ask(engine, &r, &got), 0);
    assert_int_equal(got.finish, FINISH_LENGTH);
    assert_string_equal(got.text.data, whole.text.data);
    assert_int_equal(got.n_ids, N_NEW);
    answered_done(&got);
    answered_done(&whole);
}

/* A grammar that allows nothing more ends the text all the same. */
static void a_grammar_ends_it_before_min_tokens(void **state)
{
    struct job_request r = request();
    struct answered got;
    struct value *choice;
    struct arena a;

    (void)state;
    arena_init(&a, 0);
    assert_int_equal(json_parse("[\"yes\",\"yes or no\"]", 19, 4, &a, &choice, NULL), 0);
    r.spec = (struct spec){ .kind = SPEC_CHOICE, .value = choice, .param = "guided_choice" };
    r.min_tokens = 30;
    assert_int_equal(ask(engine, &r, &got), 0);
    assert_int_equal(got.finish, FINISH_STOP);
    assert_string_equal(buf_str(&got.text), "yes or no");
    answered_done(&got);
    arena_done(&a);
}

static void ids_outside_are_refused(void **state)
{
    static const int32_t OUTSIDE[][1] = { { -1 }, { 704 } };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct job_request r = request();
        struct answered got;

        r.stop_ids = OUTSIDE[i];
        r.n_stop_ids = 1;
        assert_int_equal(ask(engine, &r, &got), ERR_INVALID);
        assert_string_equal(got.err.param, "stop_token_ids");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stop_ids_end_it_and_are_not_shown),
        cmocka_unit_test(min_tokens_keep_the_end_off),
        cmocka_unit_test(min_tokens_with_stop_ids),
        cmocka_unit_test(min_tokens_are_deaf_to_stop_strings),
        cmocka_unit_test(a_stop_string_that_another_hid_is_found_at_the_end),
        cmocka_unit_test(a_grammar_ends_it_before_min_tokens),
        cmocka_unit_test(ids_outside_are_refused),
    };

    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
