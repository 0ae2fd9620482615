/* watcher: who left is noticed at once, and nobody is told after watcher_remove(). */
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "fcgi/watcher.h"
#include "kernels/base/clock.h"

static void count_up(void *arg)
{
    ++*(atomic_int *)arg;
}

/* Waits up to 2 s for *n to be 1. */
static void expect_one(atomic_int *n)
{
    double end = clock_ms() + 60000;

    while (*n == 0 && clock_ms() < end)
        usleep(1000);
    assert_int_equal(*n, 1);
}

static void leaving_is_noticed(void **state)
{
    static const unsigned char abort_record[8] = { 1, 2, 0, 1 }, stray[8] = { 1, 5, 0, 1 };
    static const struct {
        const void *bytes; /* sent before leaving; NULL: none */
        bool closes, before_add, stopped;
    } cases[] = {
        { NULL, true, false, true },          { NULL, true, true, true },
        { abort_record, false, false, true }, { abort_record, false, true, true },
        { stray, true, false, true },         { stray, false, false, false },
    };
    struct watcher *w;
    struct err e;

    (void)state;
    assert_int_equal(watcher_create(&w, &e), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int half = 0; half < 2; half++) {
            struct watch one = { 0 };
            atomic_int n = 0;
            int pair[2];

            assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
            if (!cases[i].before_add) {
                watcher_add(w, &one, pair[0]);
                watcher_set(w, &one, count_up, &n);
                assert_int_equal(one.stopped, 0);
            }
            if (cases[i].bytes)
                assert_int_equal(write(pair[1], cases[i].bytes, 8), 8);
            if (cases[i].closes && half)
                shutdown(pair[1], SHUT_WR);
            else if (cases[i].closes)
                close(pair[1]);
            if (cases[i].before_add) { /* noticed before watcher_add() is back */
                watcher_add(w, &one, pair[0]);
                assert_int_equal(one.stopped, ERR_CANCELLED);
                watcher_set(w, &one, count_up, &n);
                assert_int_equal(n, 1);
            } else if (cases[i].stopped) {
                expect_one(&n);
                assert_int_equal(one.stopped, ERR_CANCELLED);
            } else {
                usleep(20000);
                assert_int_equal(n, 0);
            }
            watcher_remove(w, &one);
            close(pair[0]);
            if (!cases[i].closes || half)
                close(pair[1]);
        }
    watcher_free(w);
}

/* The socket numbers come round again and again while ends close at random moments. */
static void numbers_used_again(void **state)
{
    enum { ROUNDS = 2000 };
    struct watcher *w;
    struct err e;

    (void)state;
    assert_int_equal(watcher_create(&w, &e), 0);
    for (int i = 0; i < ROUNDS; i++) {
        struct watch a = { 0 }, b = { 0 };
        atomic_int n_a = 0, n_b = 0;
        int first[2], second[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, first), 0);
        watcher_add(w, &a, first[0]);
        watcher_set(w, &a, count_up, &n_a);
        close(first[1]);
        if (i % 3 == 0)
            usleep(20);
        watcher_remove(w, &a);
        close(first[0]);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, second), 0);
        watcher_add(w, &b, second[0]); /* the same number as first[0] */
        watcher_set(w, &b, count_up, &n_b);
        assert_int_equal(b.stopped, 0);
        if (i % 50 == 0)
            usleep(1000);
        assert_int_equal(n_b, 0);
        watcher_remove(w, &b);
        close(second[0]);
        close(second[1]);
    }
    watcher_free(w);
}

static void stopping_reaches_all(void **state)
{
    struct watch a = { 0 }, b = { 0 };
    atomic_int n = 0;
    struct watcher *w;
    struct err e;

    (void)state;
    assert_int_equal(watcher_create(&w, &e), 0);
    watcher_add(w, &a, -1);
    watcher_set(w, &a, count_up, &n);
    watcher_stop_all(w);
    assert_int_equal(n, 1);
    assert_int_equal(a.stopped, ERR_CLOSING);
    watcher_add(w, &b, -1);
    assert_int_equal(b.stopped, ERR_CLOSING);
    watcher_remove(w, &a);
    watcher_remove(w, &b);
    watcher_remove(w, &b); /* harmless */
    watcher_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaving_is_noticed),
        cmocka_unit_test(numbers_used_again),
        cmocka_unit_test(stopping_reaches_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
