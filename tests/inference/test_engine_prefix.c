/* engine: keys and values that earlier requests left behind change how soon an answer comes, never
 * what it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "inference/sampler.h"
#include "tests/inference/asking.h"
#include "tests/inference/rig.h"

enum { PAGE = 64, N_NEW = 24, MAX_PROMPT = 400, TINY = 8 * PAGE * 384 };

static struct job_request request(const int32_t *ids, size_t n)
{
    struct job_request r = asking_request(ids, n, N_NEW);

    r.top_logprobs = 0;
    return r;
}

static const char *isa; /* of all engines here; NULL: the fastest */

static struct engine *open_with(struct engine_config c)
{
    c.isa = isa;
    return asking_open(c);
}

static void ask_cold(const struct job_request *r, struct answered *a)
{
    struct engine *g = open_with((struct engine_config){ 0 });

    assert_int_equal(ask(g, r, a), 0);
    assert_int_equal(a->usage.cached_tokens, 0);
    engine_close(g);
}

static void assert_same(const struct answered *a, const struct answered *b)
{
    assert_false(a->failed || b->failed);
    assert_int_equal(a->n_ids, b->n_ids);
    assert_memory_equal(a->ids, b->ids, a->n_ids * sizeof *a->ids);
    /* bit by bit: they are what the whole row of logits comes to */
    assert_memory_equal(a->logprobs, b->logprobs, a->n_ids * sizeof *a->logprobs);
    assert_int_equal(a->text.len, b->text.len);
    assert_memory_equal(a->text.data, b->text.data, a->text.len);
}

/* Asks g and an engine that has seen nothing. */
static void ask_both(struct engine *g, const struct job_request *r, struct answered *a)
{
    struct answered cold;

    ask_cold(r, &cold);
    assert_int_equal(ask(g, r, a), 0);
    assert_same(a, &cold);
    answered_done(&cold);
}

/* A conversation: the second prompt is the first, its answer, and some more.  Begins where what was
 * evaluated as given tokens, or at all, ends. */
static void second_turns(enum prefix_cache mode)
{
    struct engine *g = open_with((struct engine_config){ .prefix_cache = mode });
    size_t n = 150, n_cached = 0;
    int32_t ids[MAX_PROMPT];
    struct engine_status s;
    struct job_request r;
    struct answered a;

    asking_ids(ids, MAX_PROMPT, 1);
    r = request(ids, n);
    ask_both(g, &r, &a);
    assert_int_equal(a.usage.cached_tokens, 0);
    for (int turn = 0; turn < 3; turn++) {
        size_t evaluated = n + a.n_ids - 1; /* the last token drawn never was */
        size_t want[] = { evaluated, n, 0 };

        memcpy(ids + n, a.ids, a.n_ids * sizeof *ids);
        answered_done(&a);
        n += N_NEW + 30;
        r = request(ids, n);
        ask_both(g, &r, &a);
        assert_int_equal(a.usage.prompt_tokens, n);
        assert_int_equal(a.usage.cached_tokens, want[mode]);
        n_cached += want[mode];
    }
    answered_done(&a);
    asking_settle(g);
    engine_status(g, &s);
    assert_int_equal(s.kv_pages_used, 0);
    assert_int_equal(s.cached_tokens, n_cached);
    assert_int_equal(s.prompt_tokens + s.cached_tokens, 150 + 204 + 258 + 312);
    assert_int_equal(s.prefix_lookups, mode == PREFIX_CACHE_OFF ? 0 : 4);
    assert_int_equal(s.prefix_hits, mode == PREFIX_CACHE_OFF ? 0 : 3);
    assert_int_equal(s.prefix_pages, s.kv_pages_cached);
    assert_int_equal(s.prefix_evicted, 0);
    if (mode == PREFIX_CACHE_ON) /* of each turn also the part of its last page */
        assert_in_range(s.kv_pages_cached, (n + N_NEW - 1) / PAGE, (n + N_NEW - 1) / PAGE + 4);
    engine_close(g);
}

/* Where one arithmetic evaluates given and generated tokens, what an answer left is as good. */
static void a_second_turn_begins_where_the_first_ended(void **state)
{
    (void)state;
    isa = "scalar";
    second_turns(PREFIX_CACHE_ON);
    isa = NULL;
}

static void a_second_turn_begins_where_the_first_prompt_ended(void **state)
{
    (void)state;
    second_turns(PREFIX_CACHE_PROMPTS);
    second_turns(PREFIX_CACHE_OFF);
}

/* The same prompt again, of awkward lengths: one token at least is evaluated for its logits. */
static void the_same_prompt_again(void **state)
{
    static const size_t LENGTHS[] = { 1, 63, 64, 65, 127, 128, 129, 300 };
    int32_t ids[MAX_PROMPT];

    (void)state;
    for (size_t i = 0; i < sizeof LENGTHS / sizeof *LENGTHS; i++) {
        struct engine *g = asking_open((struct engine_config){ .max_step_rows = 33 });
        struct job_request r = request(ids, LENGTHS[i]);
        struct answered a;

        asking_ids(ids, MAX_PROMPT, 2);
        ask_both(g, &r, &a);
        assert_int_equal(a.usage.cached_tokens, 0);
        answered_done(&a);
        ask_both(g, &r, &a);
        assert_int_equal(a.usage.cached_tokens, LENGTHS[i] - 1);
        answered_done(&a);
        r.max_tokens = 0; /* evaluated only */
        assert_int_equal(ask(g, &r, &a), 0);
        assert_int_equal(a.usage.cached_tokens, LENGTHS[i] - 1);
        answered_done(&a);
        engine_close(g);
    }
}

/* One long answer is still being written when another begins with the same prompt. */
static void a_running_sequence_shares_its_prompt(void **state)
{
    struct engine *g = asking_open((struct engine_config){ 0 });
    int32_t ids[MAX_PROMPT];
    struct job_request r, other;
    struct answered a;
    struct inbox *in;
    struct event ev;
    struct job *j;

    (void)state;
    asking_ids(ids, MAX_PROMPT, 3);
    r = other = request(ids, 200);
    r.max_tokens = SIZE_MAX;
    assert_int_equal(inbox_create(&in, NULL), 0);
    assert_int_equal(engine_submit(g, &r, in, 0, &j, NULL), 0);
    do {
        assert_true(inbox_wait(in, 60000, &ev));
        event_done(&ev);
    } while (ev.kind != EVENT_TEXT);
    ask_both(g, &other, &a);
    assert_int_equal(a.usage.cached_tokens, 199);
    answered_done(&a);
    job_free(j);
    inbox_free(in);
    engine_close(g);
}

/* What was evaluated before the client left is as good as any. */
static void cancelled_in_the_middle(void **state)
{
    struct engine *g = asking_open((struct engine_config){ .max_step_rows = 8 });
    int32_t ids[MAX_PROMPT];
    struct engine_status s;
    struct job_request r;
    struct answered a;
    struct inbox *in;
    struct event ev;
    struct job *j;

    (void)state;
    asking_ids(ids, MAX_PROMPT, 4);
    r = request(ids, MAX_PROMPT);
    assert_int_equal(inbox_create(&in, NULL), 0);
    assert_int_equal(engine_submit(g, &r, in, 0, &j, NULL), 0);
    assert_true(inbox_wait(in, 60000, &ev));
    assert_int_equal(ev.kind, EVENT_STARTED);
    event_done(&ev);
    do
        engine_status(g, &s);
    while (s.prompt_tokens < 100);
    job_free(j);
    inbox_free(in);
    asking_settle(g);
    engine_status(g, &s);
    assert_int_equal(s.kv_pages_used, 0);
    ask_both(g, &r, &a);
    assert_in_range(a.usage.cached_tokens, PAGE, MAX_PROMPT - 1);
    answered_done(&a);
    engine_close(g);
}

/* Ids of a random prompt: one of three beginnings, then perhaps something of its own. */
static size_t random_prompt(struct rng *rng, int32_t *ids, size_t longest)
{
    size_t base = (size_t)(rng_uniform(rng) * 3), own = (size_t)(rng_uniform(rng) * 4);
    size_t shared = 40 + 10 * (size_t)(rng_uniform(rng) * 10);

    asking_ids(ids, longest, 50 + base);
    if (own)
        asking_ids(ids + shared, longest - shared, 60 + own);
    return longest - (size_t)(rng_uniform(rng) * 60);
}

/* Four to eight pages for prompts of three each: something is always being forgotten. */
static void a_tiny_cache_forgets_and_stays_right(void **state)
{
    struct engine *g = asking_open((struct engine_config){ .kv_bytes = TINY });
    struct rng rng = { 5 };
    int32_t ids[MAX_PROMPT];
    struct engine_status s;
    size_t n_cached = 0;

    (void)state;
    for (int i = 0; i < 24; i++) {
        struct job_request r = request(ids, random_prompt(&rng, ids, 220));
        struct answered a;

        ask_both(g, &r, &a);
        n_cached += a.usage.cached_tokens;
        answered_done(&a);
    }
    asking_settle(g);
    engine_status(g, &s);
    assert_int_equal(s.kv_pages_used, 0);
    assert_in_range(s.kv_pages_cached, 1, s.kv_pages);
    assert_int_equal(s.cached_tokens, n_cached);
    assert_true(n_cached > 0);
    assert_true(s.prefix_evicted > 0);
    assert_in_range(s.prefix_hits, 1, s.prefix_lookups);
    engine_close(g);
}

/* --- many at once --- */

enum { N_CLIENTS = 6, N_ROUNDS = 12, N_PROMPTS = 10 };

struct crowd {
    struct engine *g;
    int32_t ids[N_PROMPTS][MAX_PROMPT];
    size_t lens[N_PROMPTS];
    struct answered want[N_PROMPTS];
};

struct client {
    pthread_t thread;
    struct crowd *crowd;
    struct rng rng;
    size_t cached;
};

static void client_round(struct client *c)
{
    size_t p = (size_t)(rng_uniform(&c->rng) * N_PROMPTS);
    struct job_request r = request(c->crowd->ids[p], c->crowd->lens[p]);
    size_t patience = (size_t)(rng_uniform(&c->rng) * 12);
    struct answered a;
    struct inbox *in;
    struct event ev;
    struct job *j;

    if (patience >= 6) { /* to the end */
        assert_int_equal(ask(c->crowd->g, &r, &a), 0);
        assert_same(&a, &c->crowd->want[p]);
        c->cached += a.usage.cached_tokens;
        answered_done(&a);
        return;
    }
    assert_int_equal(inbox_create(&in, NULL), 0);
    assert_int_equal(engine_submit(c->crowd->g, &r, in, 0, &j, NULL), 0);
    while (patience-- && inbox_wait(in, 5, &ev))
        event_done(&ev);
    job_free(j);
    inbox_free(in);
}

static void *client_run(void *arg)
{
    for (int i = 0; i < N_ROUNDS; i++)
        client_round(arg);
    return NULL;
}

/* Clients that share beginnings come, wait or leave, in a cache that holds a few of them. */
static void storm(struct engine_config config)
{
    struct client clients[N_CLIENTS];
    struct engine_status s;
    struct rng rng = { 9 };
    struct crowd crowd;
    size_t cached = 0;

    for (size_t i = 0; i < N_PROMPTS; i++) {
        struct job_request r;

        crowd.lens[i] = random_prompt(&rng, crowd.ids[i], 200);
        r = request(crowd.ids[i], crowd.lens[i]);
        ask_cold(&r, &crowd.want[i]);
    }
    crowd.g = asking_open(config);
    for (size_t i = 0; i < N_CLIENTS; i++) {
        clients[i] = (struct client){ .crowd = &crowd, .rng = { i * 31 } };
        assert_int_equal(pthread_create(&clients[i].thread, NULL, client_run, &clients[i]), 0);
    }
    for (size_t i = 0; i < N_CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        cached += clients[i].cached;
    }
    asking_settle(crowd.g);
    engine_status(crowd.g, &s);
    assert_int_equal(s.kv_pages_used, 0);
    assert_true(cached > 0 && s.cached_tokens >= cached);
    engine_close(crowd.g);
    for (size_t i = 0; i < N_PROMPTS; i++)
        answered_done(&crowd.want[i]);
}

static void storms(void **state)
{
    (void)state;
    storm((struct engine_config){ .max_batch = 4, .max_step_rows = 48 });
    storm((struct engine_config){ .max_batch = 4, .max_step_rows = 48, .kv_bytes = 2 * TINY });
}

/* --- logits --- */

static void logits_are_the_same_bit_by_bit(void **state)
{
    static const char *const FILES[] = { "llama-Q8_0.gguf", "llama_256-Q4_K.gguf",
                                         "gemma3_text-Q8_0.gguf" };
    enum { N = 3 * RIG_PAGE_TOKENS + 5 };
    int32_t ids[N];

    (void)state;
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        struct kv_table t = { 0 };
        float *cold;
        size_t bytes, n;
        struct rig r;
        struct err e;

        asking_ids(ids, N, 6);
        if (rig_open(&r, backend_find("cpu", &e), NULL, FILES[i], DTYPE_F16, &e))
            fail_msg("%s", e.text);
        bytes = r.model.n_vocab * sizeof *cold;
        cold = malloc(bytes);
        assert_non_null(cold);
        for (size_t k = 0; k < N; k++)
            ids[k] %= (int32_t)r.model.n_vocab;
        assert_int_equal(kvcache_grow(&r.cache, &t, N, &e), 0);
        rig_step(&r, &t, ids, 0, N, false);
        memcpy(cold, forward_logits(r.forward, 0), bytes);
        kvcache_keep(&r.cache, &t, ids, N);
        kvcache_drop(&r.cache, &t);
        n = kvcache_reuse(&r.cache, &t, ids, N - 1);
        assert_int_equal(n, N - 1); /* the last page's part by a copy */
        assert_int_equal(kvcache_grow(&r.cache, &t, N, &e), 0);
        rig_step(&r, &t, ids, n, N - n, false);
        assert_memory_equal(cold, forward_logits(r.forward, 0), bytes);
        kvcache_drop(&r.cache, &t);
        free(cold);
        rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_turn_begins_where_the_first_ended),
        cmocka_unit_test(a_second_turn_begins_where_the_first_prompt_ended),
        cmocka_unit_test(the_same_prompt_again),
        cmocka_unit_test(a_running_sequence_shares_its_prompt),
        cmocka_unit_test(cancelled_in_the_middle),
        cmocka_unit_test(a_tiny_cache_forgets_and_stays_right),
        cmocka_unit_test(storms),
        cmocka_unit_test(logits_are_the_same_bit_by_bit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
