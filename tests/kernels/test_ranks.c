/* Ranks as threads: what they add up, gather and say, and that who fails keeps nobody waiting. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernels/backend.h"
#include "kernels/ranks_threads.h"
#include "tests/brief.h"

enum { MOST = 7 };

static const size_t sizes[] = { 1, 2, 3, 4, MOST };
enum { N_SIZES = sizeof sizes / sizeof *sizes };

/* One rank of a test: cmocka's assertions are for the main thread, so it counts what is wrong. */
struct part {
    struct ranks *ranks;
    const char *backend;
    size_t wrong;
    struct err e;
    int rc;
};

/* Returns false where the machine has not as many devices. */
static bool run(const char *backend, size_t n, void *(*fn)(void *part), struct part *parts)
{
    struct ranks *ranks[MOST];
    pthread_t threads[MOST];
    struct err e;

    assert_int_equal(ranks_threads_create(ranks, n, &e), 0);
    for (size_t i = 0; i < n; i++) {
        parts[i] = (struct part){ .ranks = ranks[i], .backend = backend };
        assert_int_equal(ranks[i]->rank, i);
        assert_int_equal(pthread_create(&threads[i], NULL, fn, &parts[i]), 0);
    }
    for (size_t i = 0; i < n; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (size_t i = 0; i < n; i++) {
        if (parts[i].wrong)
            fail_msg("rank %zu of %zu found %zu things wrong, \"%s\"", i, n, parts[i].wrong,
                     parts[i].e.text);
        ranks[i]->ops->close(ranks[i]);
    }
    if (parts[0].rc == ERR_UNSUPPORTED)
        print_message("# %s\n", parts[0].e.text);
    return parts[0].rc != ERR_UNSUPPORTED;
}

/* As many ranks as there are devices for; the state of a test is its backend. */
static void run_sizes(void **state, void *(*fn)(void *part))
{
    struct part parts[MOST];

    for (size_t s = 0; s < N_SIZES; s++)
        if (!run(*state, sizes[s], fn, parts)) {
            if (s == 0)
                skip();
            return;
        }
}

static void expect(struct part *p, bool right)
{
    p->wrong += !right;
}

/* What rank r has at place i: no two orders of adding them up have the same bits. */
static float value(size_t rank, size_t i)
{
    return (float)((i * 7919 + rank * 104729) % 100003) * (rank % 2 ? -1e-3f : 1.7f) + 0.1f;
}

static float sum_at(size_t n, size_t i)
{
    float sum = value(0, i);

    for (size_t r = 1; r < n; r++)
        sum += value(r, i);
    return sum;
}

/* --- devices --- */

/* NULL where the machine has none. */
static const struct backend *open_device(struct part *p, struct device **d)
{
    const struct backend *b = backend_find(p->backend, &p->e);
    const struct backend_options o = { .n_threads = 1 + p->ranks->rank % 3, .ranks = p->ranks };

    p->rc = b ? b->open(d, &o, &p->e) : ERR_UNSUPPORTED;
    if (p->rc == ERR_UNSUPPORTED)
        return NULL;
    expect(p, p->rc == 0);
    return b;
}

static float *floats(struct part *p, const struct backend *b, struct device *d, size_t n)
{
    void *x = NULL;

    expect(p, b->alloc(d, n * sizeof(float), &x, &p->e) == 0);
    return x;
}

static const struct {
    size_t rows, cols;
} shapes[] = { { 1, 1 }, { 1, 15 }, { 3, 16 }, { 1, 576 }, { 31, 577 }, { 64, 2048 } };

/* Between other ops, and as many ops as a queue holds and more. */
static void *reduces(void *arg)
{
    struct part *p = arg;
    struct device *d;
    const struct backend *b = open_device(p, &d);
    float *x, *from;

    if (!b)
        return NULL;
    x = floats(p, b, d, 64 * 2048);
    from = malloc(64 * 2048 * sizeof *from);
    expect(p, from != NULL);
    if (!from)
        return NULL;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        size_t count = shapes[s].rows * shapes[s].cols;

        for (size_t i = 0; i < count; i++)
            from[i] = value(p->ranks->rank, i);
        b->write(d, x, from, count * sizeof *x);
        b->reduce(d, x, shapes[s].rows, shapes[s].cols);
        b->reduce(d, x, 0, shapes[s].cols);
        b->sync(d);
        for (size_t i = 0; i < count; i++)
            expect(p, x[i] == sum_at(p->ranks->n, i));
    }
    for (int i = 0; i < 5000; i++)
        b->reduce(d, x, 1, 1);
    x[0] = 0;
    b->sync(d);
    expect(p, x[0] == 0 && b->check(d, &p->e) == 0);
    b->free(d, x);
    free(from);
    b->close(d);
    return NULL;
}

static void sums_are_the_same_bits_on_all_ranks(void **state)
{
    run_sizes(state, reduces);
}

/* Sums of buffers in turn while others are written, and what reads a sum behind the next; also where
 * the queue is full between a sum and who waits for it. */
static void *reduces_later(void *arg)
{
    enum { COUNT = 3000, TURNS = 3000 };
    struct part *p = arg;
    struct device *d;
    const struct backend *b = open_device(p, &d);
    float *from = floats(p, b, d, COUNT), *x[3], *y = floats(p, b, d, COUNT);

    for (size_t i = 0; i < COUNT; i++)
        from[i] = value(p->ranks->rank, i);
    for (size_t k = 0; k < 3; k++)
        x[k] = floats(p, b, d, COUNT);
    for (size_t turn = 0; turn < TURNS; turn++) {
        b->write(d, x[turn % 3], from, COUNT * sizeof *from);
        b->reduce_later(d, x[turn % 3], 1, COUNT);
        if (turn > 0) /* the one before is there */
            b->gated_act(d, y, x[(turn + 2) % 3], NULL, COUNT, ACT_RELU);
    }
    b->sync(d);
    for (size_t i = 0; i < COUNT; i++) {
        float sum = sum_at(p->ranks->n, i);

        for (size_t k = 0; k < 3; k++)
            expect(p, x[k][i] == sum);
        expect(p, y[i] == (sum > 0 ? sum : 0));
    }
    expect(p, b->check(d, &p->e) == 0);
    for (size_t k = 0; k < 3; k++)
        b->free(d, x[k]);
    b->free(d, from);
    b->free(d, y);
    b->close(d);
    return NULL;
}

static void sums_are_there_when_the_next_begins(void **state)
{
    run_sizes(state, reduces_later);
}

/* Uneven parts, one of them of no column. */
static void *collects(void *arg)
{
    struct part *p = arg;
    size_t rank = p->ranks->rank, n = p->ranks->n, first[MOST + 1] = { 0 }, cols;
    struct device *d;
    const struct backend *b = open_device(p, &d);
    float *x, *y = NULL, *parts = NULL;

    if (!b)
        return NULL;
    for (size_t r = 0; r < n; r++)
        first[r + 1] = first[r] + (r == 1 ? 0 : 5 + 3 * r);
    cols = first[rank + 1] - first[rank];
    x = floats(p, b, d, 9 * cols);
    if (rank == 0) {
        y = floats(p, b, d, 9 * first[n]);
        parts = floats(p, b, d, 9 * first[n]);
    }
    for (size_t rows = 1; rows < 10; rows += 4) {
        for (size_t i = 0; i < rows * cols; i++)
            x[i] = (float)(i / cols * first[n] + first[rank] + i % cols);
        b->collect(d, &(struct collect){ y, parts, x, first, rows });
        b->sync(d);
        for (size_t i = 0; y && i < rows * first[n]; i++)
            expect(p, y[i] == (float)i);
    }
    expect(p, b->check(d, &p->e) == 0);
    b->free(d, x);
    b->free(d, y);
    b->free(d, parts);
    b->close(d);
    return NULL;
}

static void columns_stand_side_by_side(void **state)
{
    run_sizes(state, collects);
}

static void a_device_alone_reduces_nothing(void **state)
{
    struct err e;
    const struct backend *b = backend_find(*state, &e);
    struct device *d;
    void *x;

    if (!b)
        skip();
    assert_int_equal(b->open(&d, &(struct backend_options){ .n_threads = 1 }, NULL), 0);
    assert_int_equal(b->alloc(d, sizeof(float), &x, NULL), 0);
    *(float *)x = 3;
    b->reduce(d, x, 1, 1);
    b->sync(d);
    assert_true(*(float *)x == 3);
    assert_int_equal(b->check(d, NULL), 0);
    b->free(d, x);
    b->close(d);
}

/* --- messages --- */

enum { N_MESSAGES = 2000 };

static size_t message(size_t i, char *text)
{
    size_t n = i % 7 ? (size_t)sprintf(text, "%zu", i) : 0; /* some say nothing */

    while (n && n < i % 700)
        text[n++] = (char)('a' + i % 26);
    return n;
}

static void *talks(void *arg)
{
    struct part *p = arg;
    struct buf heard = { 0 };
    char text[800];

    for (size_t i = 0; i < N_MESSAGES; i++) {
        size_t n = message(i, text);

        if (p->ranks->rank == 0) {
            expect(p, p->ranks->ops->tell(p->ranks, text, n, &p->e) == 0);
            continue;
        }
        expect(p, p->ranks->ops->hear(p->ranks, &heard, &p->e) == 0 && heard.len == n &&
                      memcmp(buf_str(&heard), text, n) == 0);
    }
    buf_done(&heard);
    return NULL;
}

static void all_hear_every_message_in_order(void **state)
{
    struct part parts[MOST];

    (void)state;
    for (size_t s = 0; s < N_SIZES; s++)
        run("cpu", sizes[s], talks, parts);
}

/* --- failure --- */

/* The last rank gives up after some sums; the others find out in whatever they do. */
static void *gives_up(void *arg)
{
    struct part *p = arg;
    size_t last = p->ranks->n - 1;
    struct device *d;
    const struct backend *b = open_device(p, &d);
    struct buf heard = { 0 };
    float *x;

    if (!b)
        return NULL;
    x = floats(p, b, d, 100);
    for (int i = 0; i < 50; i++) {
        b->reduce(d, x, 1, 100);
        b->sync(d);
    }
    expect(p, b->check(d, &p->e) == 0);
    if (p->ranks->rank == last) {
        expect(p, p->ranks->ops->failed(p->ranks, &p->e) == 0);
        err_set(&p->e, ERR_IO, "the disk is gone");
        p->ranks->ops->quit(p->ranks, &p->e);
    } else if (p->ranks->rank == 1) {
        expect(p, p->ranks->ops->hear(p->ranks, &heard, &p->e) == ERR_INTERNAL);
    } else { /* a whole queue of ops behind the one that fails is passed over */
        for (int i = 0; i < 50; i++)
            b->reduce(d, x, 1, 100);
        b->collect(d, &(struct collect){ x, x, x, (size_t[MOST + 1]){ 0 }, 1 });
        b->sync(d);
        expect(p, b->check(d, &p->e) == ERR_INTERNAL);
    }
    while (p->ranks->rank == 0 && p->ranks->ops->tell(p->ranks, "x", 1, &p->e) == 0)
        ;
    expect(p, p->ranks->ops->failed(p->ranks, &p->e) == ERR_INTERNAL);
    expect(p, p->ranks->ops->sum(p->ranks, x, 1, 1, &p->e) == ERR_INTERNAL);
    buf_done(&heard);
    b->free(d, x);
    b->close(d);
    return NULL;
}

static void who_fails_keeps_nobody_waiting(void **state)
{
    struct part parts[MOST];

    for (size_t s = 0; s < N_SIZES; s++) {
        char expected[80];

        if (sizes[s] < 3)
            continue;
        if (!run(*state, sizes[s], gives_up, parts))
            skip();
        sprintf(expected, "rank %zu of %zu has failed: the disk is gone", sizes[s] - 1, sizes[s]);
        for (size_t i = 0; i < sizes[s]; i++)
            assert_string_equal(parts[i].e.text, expected);
    }
}

static void who_leaves_has_failed(void **state)
{
    struct ranks *r[2];
    struct buf heard = { 0 };
    struct err e;
    float x = 1;

    (void)state;
    assert_int_equal(ranks_threads_create(r, 2, &e), 0);
    r[0]->ops->close(r[0]);
    assert_int_equal(r[1]->ops->hear(r[1], &heard, &e), ERR_INTERNAL);
    assert_string_equal(e.text, "rank 0 of 2 has left");
    assert_int_equal(r[1]->ops->sum(r[1], &x, 1, 1, NULL), ERR_INTERNAL);
    r[1]->ops->close(r[1]);
    buf_done(&heard);
}

static void too_many_are_refused(void **state)
{
    struct ranks *r[RANKS_MAX + 1];
    struct err e;

    (void)state;
    assert_int_equal(ranks_threads_create(r, 0, &e), ERR_INVALID);
    assert_int_equal(ranks_threads_create(r, RANKS_MAX + 1, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "65"));
}

int main(void)
{
#define ON(backend, test)                                                  \
    {                                                                      \
#test ", " backend, test, NULL, NULL, (void *)(uintptr_t)(backend) \
    }
#define ON_BOTH(test) ON("cpu", test), ON("cuda", test)
    const struct CMUnitTest tests[] = {
        ON_BOTH(sums_are_the_same_bits_on_all_ranks),
        ON("cpu", sums_are_there_when_the_next_begins),
        ON_BOTH(columns_stand_side_by_side),
        ON_BOTH(a_device_alone_reduces_nothing),
        cmocka_unit_test(all_hear_every_message_in_order),
        ON_BOTH(who_fails_keeps_nobody_waiting),
        cmocka_unit_test(who_leaves_has_failed),
        cmocka_unit_test(too_many_are_refused),
    };

    brief_begin(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
