/* inbox: order, joining of texts, waiting and waking. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "inference/inbox.h"
#include "kernels/base/clock.h"

static struct inbox *make(void)
{
    struct inbox *in;

    assert_int_equal(inbox_create(&in, NULL), 0);
    return in;
}

static void put_text(struct inbox *in, size_t tag, const char *text, size_t n_logprobs,
                     size_t width)
{
    struct event_node *n = event_node_new(EVENT_TEXT, tag);

    assert_non_null(n);
    n->event.text = strdup(text);
    n->event.text_len = strlen(text);
    n->event.n_tokens = 1;
    n->event.n_logprobs = n_logprobs;
    n->width = width;
    if (n_logprobs) {
        n->event.logprobs = calloc(n_logprobs * width, sizeof *n->event.logprobs);
        for (size_t i = 0; i < n_logprobs * width; i++)
            n->event.logprobs[i].id = text[0] + (int32_t)i;
    }
    inbox_put(in, n);
}

static void events_come_in_order(void **state)
{
    static const enum event_kind KINDS[] = { EVENT_STARTED, EVENT_TEXT, EVENT_DONE };
    struct inbox *in = make();
    struct event ev;

    (void)state;
    inbox_put(in, event_node_new(EVENT_STARTED, 7));
    put_text(in, 7, "abc", 0, 0);
    inbox_put(in, event_node_new(EVENT_DONE, 7));
    for (size_t i = 0; i < 3; i++) {
        assert_true(inbox_wait(in, 0, &ev));
        assert_int_equal(ev.kind, KINDS[i]);
        assert_int_equal(ev.tag, 7);
        if (ev.kind == EVENT_TEXT)
            assert_string_equal(ev.text, "abc");
        event_done(&ev);
    }
    assert_false(inbox_wait(in, 0, &ev));
    put_text(in, 7, "it works again after being empty", 0, 0);
    assert_true(inbox_wait(in, -1, &ev));
    event_done(&ev);
    inbox_free(in);
    inbox_free(NULL);
}

static void unread_texts_of_one_job_are_joined(void **state)
{
    struct inbox *in = make();
    struct event ev;

    (void)state;
    put_text(in, 0, "ab", 1, 3);
    put_text(in, 1, "x", 2, 1);
    put_text(in, 0, "", 1, 3);
    put_text(in, 0, "cd", 0, 3);
    put_text(in, 1, "yz", 1, 1);
    inbox_put(in, event_node_new(EVENT_DONE, 0));

    assert_true(inbox_wait(in, 0, &ev));
    assert_int_equal(ev.tag, 0);
    assert_string_equal(ev.text, "abcd");
    assert_int_equal(ev.text_len, 4);
    assert_int_equal(ev.n_tokens, 3);
    assert_int_equal(ev.n_logprobs, 2);
    assert_int_equal(ev.logprobs[0].id, 'a');
    assert_int_equal(ev.logprobs[2].id, 'a' + 2);
    assert_int_equal(ev.logprobs[3].id, 0);
    assert_int_equal(ev.logprobs[5].id, 2);
    event_done(&ev);

    assert_true(inbox_wait(in, 0, &ev));
    assert_int_equal(ev.tag, 1);
    assert_string_equal(ev.text, "xyz");
    assert_int_equal(ev.n_logprobs, 3);
    assert_int_equal(ev.logprobs[1].id, 'x' + 1);
    assert_int_equal(ev.logprobs[2].id, 'y');
    event_done(&ev);

    assert_true(inbox_wait(in, 0, &ev));
    assert_int_equal(ev.kind, EVENT_DONE);
    put_text(in, 1, "left behind: freed with the inbox", 1, 1);
    inbox_free(in);
}

static void waiting_ends_in_time(void **state)
{
    struct inbox *in = make();
    struct event ev;
    double start = clock_ms();

    (void)state;
    assert_false(inbox_wait(in, 30, &ev));
    assert_true(clock_ms() - start >= 29);
    inbox_free(in);
}

static void waking_returns_once(void **state)
{
    struct inbox *in = make();
    struct event ev;

    (void)state;
    put_text(in, 0, "a", 0, 0);
    inbox_wake(in);
    assert_false(inbox_wait(in, -1, &ev));
    assert_true(inbox_wait(in, -1, &ev));
    event_done(&ev);
    assert_false(inbox_wait(in, 0, &ev));
    inbox_free(in);
}

enum { N_PUTTERS = 4, N_PUTS = 2000 };

struct putter {
    struct inbox *in;
    size_t tag;
};

static void *put_many(void *arg)
{
    struct putter *p = arg;

    for (int i = 0; i < N_PUTS; i++) {
        put_text(p->in, p->tag, (char[]){ (char)('a' + i % 26), '\0' }, 0, 0);
        if (i % 100 == 0)
            inbox_wake(p->in);
    }
    inbox_put(p->in, event_node_new(EVENT_DONE, p->tag));
    return NULL;
}

/* Nothing is lost or reordered within a job, whoever is faster. */
static void many_threads_put(void **state)
{
    struct inbox *in = make();
    struct putter putters[N_PUTTERS];
    pthread_t threads[N_PUTTERS];
    size_t got[N_PUTTERS] = { 0 }, done = 0;
    struct event ev;

    (void)state;
    for (size_t i = 0; i < N_PUTTERS; i++) {
        putters[i] = (struct putter){ in, i };
        assert_int_equal(pthread_create(&threads[i], NULL, put_many, &putters[i]), 0);
    }
    while (done < N_PUTTERS) {
        if (!inbox_wait(in, -1, &ev))
            continue;
        if (ev.kind == EVENT_DONE)
            done++;
        for (size_t i = 0; i < ev.text_len; i++)
            assert_int_equal(ev.text[i], 'a' + (int)(got[ev.tag]++ % N_PUTS % 26));
        event_done(&ev);
    }
    for (size_t i = 0; i < N_PUTTERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(got[i], N_PUTS);
    }
    inbox_free(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_in_order),
        cmocka_unit_test(unread_texts_of_one_job_are_joined),
        cmocka_unit_test(waiting_ends_in_time),
        cmocka_unit_test(waking_returns_once),
        cmocka_unit_test(many_threads_put),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
