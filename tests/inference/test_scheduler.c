/* scheduler: who may wait, who may join, and how jobs end; without a model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "inference/inbox.h"
#include "inference/scheduler.h"

/* A job brings its detok along; nothing here generates text. */
void detok_init(struct detok *d, const struct tokenizer *t, const struct str *stops, size_t n_stops,
                bool continues)
{
    (void)t, (void)continues;
    *d = (struct detok){ .stops = stops, .n_stops = n_stops };
}

bool detok_push(struct detok *d, int32_t id, struct buf *out)
{
    (void)d, (void)id, (void)out;
    return false;
}

void detok_finish(struct detok *d, struct buf *out)
{
    (void)d, (void)out;
}

void detok_done(struct detok *d)
{
    (void)d;
}

struct str tokenizer_piece(const struct tokenizer *t, int32_t id, bool special)
{
    (void)t, (void)id, (void)special;
    return (struct str){ "", 0 };
}

bool tokenizer_is_end(const struct tokenizer *t, int32_t id)
{
    (void)t;
    (void)id;
    return false;
}

bool tokenizer_strips_first_blank(const struct tokenizer *t)
{
    (void)t;
    return false;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len,
                     const struct encode_options *o, struct ids *out, struct err *e)
{
    (void)t;
    (void)text;
    (void)len;
    (void)o;
    (void)out;
    return err_set(e, ERR_UNSUPPORTED, "no tokenizer here");
}

int ids_push(struct ids *ids, int32_t id, struct err *e)
{
    (void)ids, (void)id, (void)e;
    return ERR_NOMEM;
}

void ids_done(struct ids *ids)
{
    free(ids->data);
    *ids = (struct ids){ 0 };
}

enum { PAGE = 16 };

static struct scheduler *make(size_t max_batch, size_t max_queue, size_t n_pages)
{
    struct scheduler *s;

    assert_int_equal(scheduler_create(&s, max_batch, max_queue, n_pages, PAGE, NULL), 0);
    scheduler_loaded(s, NULL);
    return s;
}

static struct job *make_job(struct scheduler *s, const char *owner, size_t n_prompt, size_t max_new,
                            struct inbox *in, size_t tag)
{
    static const char *const STOPS[] = { "one", "two" };
    const struct token_bias bias = { 1, 2 };
    struct job_request r = {
        .id = "t", .owner = owner, .stops = STOPS, .n_stops = 2, .top_logprobs = -1
    };
    struct ids ids = { calloc(n_prompt, sizeof(int32_t)), n_prompt, n_prompt };
    struct ids prediction = { calloc(2, sizeof(int32_t)), 2, 2 };
    struct job *j;

    sampling_default(&r.sampling);
    r.sampling.bias = &bias;
    r.sampling.n_bias = 1;
    assert_int_equal(job_create(&j, s, NULL, &r, &ids, &prediction, max_new, 0, in, tag, NULL), 0);
    assert_null(ids.data);
    assert_null(prediction.data);
    return j;
}

static struct job *submit_as(struct scheduler *s, const char *owner, size_t n_prompt,
                             size_t max_new, struct inbox *in, size_t tag)
{
    struct job *j = make_job(s, owner, n_prompt, max_new, in, tag);

    assert_int_equal(scheduler_submit(s, j, NULL), 0);
    return j;
}

static struct job *submit(struct scheduler *s, size_t n_prompt, size_t max_new, struct inbox *in,
                          size_t tag)
{
    return submit_as(s, NULL, n_prompt, max_new, in, tag);
}

static struct inbox *make_inbox(void)
{
    struct inbox *in;

    assert_int_equal(inbox_create(&in, NULL), 0);
    return in;
}

static void expect(struct inbox *in, enum event_kind kind, size_t tag)
{
    struct event ev;

    assert_true(inbox_wait(in, 0, &ev));
    assert_int_equal(ev.kind, kind);
    assert_int_equal(ev.tag, tag);
    event_done(&ev);
}

static void expect_nothing(struct inbox *in)
{
    struct event ev;

    assert_false(inbox_wait(in, 0, &ev));
}

/* Ends job i of the batch as the engine thread would. */
static void end(struct scheduler *s, struct job **jobs, size_t *n, size_t i)
{
    scheduler_end(s, jobs[i], (struct kv_use){ 0 });
    memmove(jobs + i, jobs + i + 1, (--*n - i) * sizeof *jobs);
}

static void jobs_join_in_order_and_make_room(void **state)
{
    struct scheduler *s = make(2, 10, 100);
    struct inbox *in = make_inbox();
    struct job *mine[4], *jobs[2];
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < 4; i++)
        mine[i] = submit(s, 3, 5, in, i);
    assert_true(scheduler_turn(s, jobs, &n));
    assert_int_equal(n, 2);
    assert_ptr_equal(jobs[0], mine[0]);
    expect(in, EVENT_STARTED, 0);
    expect(in, EVENT_STARTED, 1);
    expect_nothing(in);
    assert_true(scheduler_turn(s, jobs, &n)); /* full: nobody joins, nobody waits either */
    assert_int_equal(n, 2);
    end(s, jobs, &n, 0);
    expect(in, EVENT_DONE, 0);
    assert_true(scheduler_turn(s, jobs, &n));
    assert_int_equal(n, 2);
    assert_ptr_equal(jobs[0], mine[1]);
    assert_ptr_equal(jobs[1], mine[2]);
    expect(in, EVENT_STARTED, 2);
    assert_int_equal(s->n_waiting, 1);
    assert_int_equal(s->n_running, 2);
    end(s, jobs, &n, 1);
    end(s, jobs, &n, 0);
    assert_true(scheduler_turn(s, jobs, &n));
    end(s, jobs, &n, 0);
    assert_int_equal(s->n_ended, 4);
    for (size_t i = 0; i < 4; i++)
        job_free(mine[i]);
    inbox_free(in);
    scheduler_unref(s);
}

/* RESERVE_TOKENS are 4 pages. */
static void each_that_runs_has_a_slot(void **state)
{
    struct scheduler *s = make(3, 10, 100);
    struct inbox *in = make_inbox();
    struct job *mine[5], *jobs[3];
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < 5; i++)
        mine[i] = submit(s, 3, 5, in, i);
    assert_true(scheduler_turn(s, jobs, &n));
    for (size_t i = 0; i < 3; i++)
        assert_ptr_equal(s->slots.jobs[i], mine[i]);
    end(s, jobs, &n, 1);
    assert_null(s->slots.jobs[1]);
    assert_true(scheduler_turn(s, jobs, &n)); /* the others stay where they are */
    assert_ptr_equal(s->slots.jobs[0], mine[0]);
    assert_ptr_equal(s->slots.jobs[1], mine[3]);
    assert_ptr_equal(s->slots.jobs[2], mine[2]);
    jobs[0]->n_ids += 2;
    scheduler_charge(s, jobs, n);
    assert_int_equal(s->slots.jobs[0]->seen.n_ids, 5);
    assert_int_equal(s->slots.jobs[1]->seen.n_ids, 3);
    n = 2; /* the last of the batch gives its place up, and gets another */
    assert_ptr_equal(jobs[2], mine[3]);
    assert_true(scheduler_requeue(s, jobs[2]));
    assert_null(s->slots.jobs[1]);
    assert_true(scheduler_turn(s, jobs, &n));
    assert_ptr_equal(s->slots.jobs[1], mine[3]);
    while (n)
        end(s, jobs, &n, n - 1);
    for (size_t i = 0; i < 3; i++)
        assert_null(s->slots.jobs[i]);
    for (size_t i = 0; i < 5; i++)
        job_free(mine[i]);
    inbox_free(in);
    scheduler_unref(s);
}

static void there_are_pages_for_prompts_and_a_little(void **state)
{
    struct scheduler *s = make(8, 10, 10);
    struct inbox *in = make_inbox();
    struct job *mine[4], *jobs[8], *big;
    struct err e;
    size_t n = 0;

    (void)state;
    mine[0] = submit(s, PAGE, 9 * PAGE, in, 0);     /* 5 pages soon, though it may need 10 */
    mine[1] = submit(s, 4 * PAGE, 2 * PAGE, in, 1); /* 6: do not fit beside them */
    mine[2] = submit(s, 1, 1, in, 2);               /* would, but must not overtake */
    mine[3] = submit(s, 10 * PAGE - 1, 1, in, 3);   /* all 10 */
    assert_true(scheduler_turn(s, jobs, &n));
    assert_int_equal(n, 1);
    end(s, jobs, &n, 0);
    assert_true(scheduler_turn(s, jobs, &n));
    assert_int_equal(n, 2);
    end(s, jobs, &n, 0);
    assert_true(scheduler_turn(s, jobs, &n));
    assert_int_equal(n, 1);
    end(s, jobs, &n, 0);
    assert_true(scheduler_turn(s, jobs, &n));
    assert_int_equal(n, 1);
    end(s, jobs, &n, 0);
    big =
        make_job(s, NULL, 10 * PAGE, 1, in, 4); /* could never run: refused, not queued for ever */
    assert_int_equal(scheduler_submit(s, big, &e), ERR_CONTEXT);
    job_free(big);
    for (size_t i = 0; i < 4; i++)
        job_free(mine[i]);
    inbox_free(in);
    scheduler_unref(s);
}

static void the_preempted_come_first(void **state)
{
    struct scheduler *s = make(2, 10, 100);
    struct inbox *in = make_inbox();
    struct job *mine[3], *jobs[2];
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < 3; i++)
        mine[i] = submit(s, 3, 5, in, i);
    assert_true(scheduler_turn(s, jobs, &n));
    expect(in, EVENT_STARTED, 0);
    expect(in, EVENT_STARTED, 1);
    assert_true(scheduler_requeue(s, jobs[--n]));
    assert_int_equal(s->n_waiting, 2);
    assert_int_equal(s->n_preempted, 1);
    assert_true(scheduler_turn(s, jobs, &n));
    assert_int_equal(n, 2);
    assert_ptr_equal(jobs[1], mine[1]);
    expect_nothing(in); /* it had started already */
    job_cancel(mine[1]);
    assert_false(scheduler_requeue(s, jobs[1])); /* to be ended where it is */
    end(s, jobs, &n, 1);
    assert_true(scheduler_requeue(s, jobs[--n]));
    job_cancel(mine[0]); /* while it waits again */
    assert_int_equal(s->n_waiting, 1);
    assert_int_equal(s->n_cancelled, 2);
    assert_true(scheduler_turn(s, jobs, &n));
    assert_int_equal(n, 1);
    assert_ptr_equal(jobs[0], mine[2]);
    end(s, jobs, &n, 0);
    for (size_t i = 0; i < 3; i++)
        job_free(mine[i]);
    inbox_free(in);
    scheduler_unref(s);
}

/* Lower ones first, in order of submission among equals; those that run stay, but are composed, and
 * thrown out, in that order too. */
static void priorities_come_before_order(void **state)
{
    static const int PRIORITIES[] = { 0, 5, -1, 5, 0, -1 };
    static const size_t ORDER[] = {
        0, 2, 5, 4, 1, 3
    }; /* the first joined before the others came */
    struct scheduler *s = make(3, 10, 100);
    struct inbox *in = make_inbox();
    struct job *mine[6], *jobs[3];
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        mine[i] = make_job(s, NULL, 3, 5, in, i);
        mine[i]->priority = PRIORITIES[i];
        assert_int_equal(scheduler_submit(s, mine[i], NULL), 0);
        if (i == 0)
            assert_true(scheduler_turn(s, jobs, &n));
    }
    assert_true(scheduler_turn(s, jobs, &n));
    assert_int_equal(n, 3);
    for (size_t i = 0; i < 3; i++)
        expect(in, EVENT_STARTED, ORDER[i]);
    assert_ptr_equal(jobs[0], mine[2]);
    assert_ptr_equal(jobs[1], mine[5]);
    assert_ptr_equal(jobs[2], mine[0]);
    assert_true(scheduler_requeue(s, jobs[--n])); /* before its equal, that came later */
    assert_ptr_equal(s->head, mine[0]);
    for (size_t i = 2; i < 6; i++) {
        assert_true(scheduler_turn(s, jobs, &n));
        assert_int_equal(n, 3);
        if (i > 2)
            expect(in, EVENT_STARTED, ORDER[i]);
        end(s, jobs, &n, 0);
        expect(in, EVENT_DONE, ORDER[i < 4 ? i - 1 : i == 4 ? 0 : 3]);
    }
    while (n)
        end(s, jobs, &n, 0);
    assert_int_equal(s->n_ended, 6);
    for (size_t i = 0; i < 6; i++)
        job_free(mine[i]);
    inbox_free(in);
    scheduler_unref(s);
}

/* Lets in and ends one job at a time, each with two tokens of prompt and so many written; the tags
 * in the order of admission. */
static void run_in_turn(struct scheduler *s, struct inbox *in, size_t written, const size_t *tags,
                        size_t n_tags)
{
    struct job *jobs[1];
    size_t n = 0;

    for (size_t i = 0; i < n_tags; i++) {
        assert_true(scheduler_turn(s, jobs, &n));
        assert_int_equal(n, 1);
        assert_int_equal(jobs[0]->tag, tags[i]);
        expect(in, EVENT_STARTED, tags[i]);
        jobs[0]->n_ids += written;
        scheduler_charge(s, jobs, n);
        end(s, jobs, &n, 0);
        expect(in, EVENT_DONE, tags[i]);
    }
}

/* a: 0 1 2 3, then b: 4 5, then c: 6. */
static void owners_take_turns(void **state)
{
    static const char *const OWNERS[] = { "a", "a", "a", "a", "b", "b", "c" };
    static const size_t FIRST[] = { 0, 4, 6 }, REST[] = { 1, 5, 2, 3 };
    struct scheduler *s = make(1, 10, 100);
    struct inbox *in = make_inbox();
    struct job *mine[8];

    (void)state;
    for (size_t i = 0; i < 7; i++)
        mine[i] = submit_as(s, OWNERS[i], 2, 5, in, i);
    run_in_turn(s, in, 3, FIRST, 3);
    run_in_turn(s, in, 3, REST, 3);
    /* d was never here: it does not get all that a had until now, but comes before its next. */
    mine[7] = submit_as(s, "d", 2, 5, in, 7);
    assert_int_equal((int)mine[7]->share->served, (int)mine[3]->share->served);
    run_in_turn(s, in, 3, (const size_t[]){ 3, 7 }, 2);
    for (size_t i = 0; i < 8; i++) {
        assert_null(mine[i]->share);
        job_free(mine[i]);
    }
    inbox_free(in);
    scheduler_unref(s);
}

/* A queue of eight: a alone has half of it, b half of what is left; c, who asks for one thing, gets
 * in; and so does everybody without a name, until it is full. */
static void nobody_fills_the_queue_for_all(void **state)
{
    static const char *const OWNERS[] = { "a", "b", "c" };
    static const size_t PART[] = { 4, 2, 1 };
    struct scheduler *s = make(1, 8, 100);
    struct inbox *in = make_inbox();
    struct job *mine[9], *jobs[1], *more;
    size_t n_mine = 0, n = 0;
    struct err e;

    (void)state;
    for (size_t o = 0; o < 3; o++) {
        for (size_t i = 0; i < PART[o]; i++, n_mine++)
            mine[n_mine] = submit_as(s, OWNERS[o], 1, 1, in, n_mine);
        more = make_job(s, OWNERS[o], 1, 1, in, 99);
        assert_int_equal(scheduler_submit(s, more, &e), ERR_BUSY);
        assert_non_null(strstr(e.text, "for other keys"));
        job_free(more);
    }
    mine[n_mine] = submit(s, 1, 1, in, n_mine);
    assert_int_equal(s->n_waiting, ++n_mine);
    more = make_job(s, NULL, 1, 1, in, 99);
    assert_int_equal(scheduler_submit(s, more, &e), ERR_BUSY);
    job_free(more);

    /* Who leaves the queue, by running or by leaving, makes room. */
    job_cancel(mine[0]);
    job_cancel(mine[1]);
    assert_true(scheduler_turn(s, jobs, &n));
    assert_ptr_equal(jobs[0], mine[2]);
    expect(in, EVENT_STARTED, 2);
    assert_int_equal(mine[3]->share->n_waiting, 1);
    mine[n_mine] = submit_as(s, "a", 1, 1, in, n_mine);
    n_mine++;
    assert_true(scheduler_requeue(s, jobs[--n])); /* beyond its part, and no worse for it */
    assert_int_equal(mine[3]->share->n_waiting, 3);
    for (size_t i = 0; i < n_mine; i++)
        job_free(mine[i]);
    for (const struct share *p = s->shares.list; p; p = p->next)
        assert_int_equal(p->n_waiting + p->n_jobs, 0);
    assert_int_equal(s->n_waiting, 0);
    inbox_free(in);
    scheduler_unref(s);
}

static void a_full_queue_says_so(void **state)
{
    struct scheduler *s = make(1, 2, 10);
    struct inbox *in = make_inbox();
    struct job *a = submit(s, 1, 1, in, 0), *b = submit(s, 1, 1, in, 1),
               *c = make_job(s, NULL, 1, 1, in, 2);
    struct err e;

    (void)state;
    assert_int_equal(scheduler_submit(s, c, &e), ERR_BUSY);
    assert_int_equal(scheduler_accepts(s, &e), ERR_BUSY);
    job_cancel(a); /* its place in the queue is free at once */
    assert_int_equal(scheduler_accepts(s, &e), 0);
    assert_int_equal(scheduler_submit(s, c, &e), 0);
    assert_int_equal(s->n_cancelled, 1);
    assert_ptr_equal(s->head, b);
    job_free(a);
    job_free(c);
    job_free(b);
    assert_null(s->head);
    assert_null(s->tail);
    assert_int_equal(s->n_cancelled, 3);
    expect_nothing(in);
    inbox_free(in);
    scheduler_unref(s);
}

static void cancelled_jobs_hear_nothing_more(void **state)
{
    struct scheduler *s = make(2, 10, 10);
    struct inbox *in = make_inbox();
    struct job *a = submit(s, 1, 1, in, 0), *b = submit(s, 1, 1, in, 1), *jobs[2];
    size_t n = 0;

    (void)state;
    assert_true(scheduler_turn(s, jobs, &n));
    expect(in, EVENT_STARTED, 0);
    expect(in, EVENT_STARTED, 1);
    job_cancel(a);
    job_cancel(a);
    job_free(b); /* while it runs: the engine still holds it */
    assert_true(scheduler_cancelled(s, jobs[0]));
    assert_true(scheduler_cancelled(s, jobs[1]));
    scheduler_post(s, jobs[0], event_node_new(EVENT_TEXT, 0));
    scheduler_post(s, jobs[1], event_node_new(EVENT_TEXT, 1));
    end(s, jobs, &n, 1);
    end(s, jobs, &n, 0);
    expect_nothing(in);
    assert_int_equal(s->n_cancelled, 2);
    assert_int_equal(s->n_ended, 0);
    job_cancel(a); /* harmless afterwards */
    inbox_free(in);
    job_free(a);
    scheduler_unref(s);
}

static void each_state_has_its_answer(void **state)
{
    struct scheduler *s;
    struct err e, why;

    (void)state;
    assert_int_equal(scheduler_create(&s, 1, 1, 1, PAGE, NULL), 0);
    assert_int_equal(scheduler_accepts(s, &e), ERR_LOADING);
    err_set(&why, ERR_FORMAT, "bad tensor");
    scheduler_loaded(s, &why);
    assert_int_equal(scheduler_accepts(s, &e), ERR_FORMAT);
    assert_string_equal(e.text, "bad tensor");
    scheduler_unref(s);

    assert_int_equal(scheduler_create(&s, 1, 1, 1, PAGE, NULL), 0);
    scheduler_drain(s);
    scheduler_loaded(s, NULL);
    assert_int_equal(scheduler_accepts(s, &e), ERR_CLOSING);
    scheduler_unref(s);
}

static void stopping_ends_everything_once(void **state)
{
    struct scheduler *s = make(1, 10, 10);
    struct inbox *in = make_inbox();
    struct job *mine[3], *jobs[1];
    struct event ev;
    size_t n = 0;
    struct err e;

    (void)state;
    for (size_t i = 0; i < 3; i++)
        mine[i] = submit(s, 1, 1, in, i);
    assert_true(scheduler_turn(s, jobs, &n));
    expect(in, EVENT_STARTED, 0);
    job_free(mine[1]);
    scheduler_stop(s);
    assert_false(scheduler_turn(s, jobs, &n));
    assert_int_equal(n, 1);
    end(s, jobs, &n, 0);
    expect(in, EVENT_DONE, 0);
    err_set(&e, ERR_CLOSING, "the server is shutting down");
    scheduler_clear(s, &e);
    assert_true(inbox_wait(in, 0, &ev));
    assert_int_equal(ev.kind, EVENT_FAILED);
    assert_int_equal(ev.tag, 2);
    assert_int_equal(ev.err.code, ERR_CLOSING);
    expect_nothing(in);
    scheduler_unref(s); /* the engine goes first: its jobs may still be freed */
    job_cancel(mine[0]);
    job_free(mine[0]);
    job_free(mine[2]);
    inbox_free(in);
}

static void *stop_later(void *arg)
{
    usleep(20000);
    scheduler_stop(arg);
    return NULL;
}

static void an_idle_engine_sleeps_until_it_is_stopped(void **state)
{
    struct scheduler *s = make(1, 1, 1);
    struct job *jobs[1];
    pthread_t t;
    size_t n = 0;

    (void)state;
    assert_int_equal(pthread_create(&t, NULL, stop_later, s), 0);
    assert_false(scheduler_turn(s, jobs, &n));
    assert_int_equal(n, 0);
    pthread_join(t, NULL);
    scheduler_unref(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_join_in_order_and_make_room),
        cmocka_unit_test(each_that_runs_has_a_slot),
        cmocka_unit_test(there_are_pages_for_prompts_and_a_little),
        cmocka_unit_test(the_preempted_come_first),
        cmocka_unit_test(priorities_come_before_order),
        cmocka_unit_test(owners_take_turns),
        cmocka_unit_test(nobody_fills_the_queue_for_all),
        cmocka_unit_test(a_full_queue_says_so),
        cmocka_unit_test(cancelled_jobs_hear_nothing_more),
        cmocka_unit_test(each_state_has_its_answer),
        cmocka_unit_test(stopping_ends_everything_once),
        cmocka_unit_test(an_idle_engine_sleeps_until_it_is_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
