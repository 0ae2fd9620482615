/* pool: every chunk exactly once, at any number of threads, run after run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "kernels/base/pool.h"

enum { N_GATES = 40, MAX_CHUNKS = 37 };

struct job {
    struct pool_gate gates[N_GATES];
    size_t n_chunks[N_GATES];
    unsigned hits[N_GATES][MAX_CHUNKS]; /* plain: the gates must order everything (TSan looks on) */
    atomic_uint wrong;                  /* chunks that ran before the gate in front was finished */
    atomic_uint seen;                   /* bit i: index i came */
};

/* Walks the gates as the CPU backend does; each chunk checks the whole of the gate before. */
static void walk(void *arg, size_t index)
{
    struct job *j = arg;
    size_t c;

    atomic_fetch_or(&j->seen, 1u << index);
    for (size_t g = 0; g < N_GATES; g++) {
        while (pool_claim(&j->gates[g], j->n_chunks[g], &c)) {
            for (size_t k = 0; g > 0 && k < j->n_chunks[g - 1]; k++)
                if (j->hits[g - 1][k] != 1)
                    atomic_fetch_add(&j->wrong, 1);
            j->hits[g][c]++;
            pool_finish(&j->gates[g], j->n_chunks[g]);
        }
        pool_wait(&j->gates[g], j->n_chunks[g]);
    }
}

enum { MAX_LANES = 9 };

struct near_job {
    struct job job;
    struct pool_lane lanes[N_GATES][MAX_LANES];
    size_t n_lanes;
};

/* The same from lanes; what was done is reported at the end of each gate. */
static void walk_near(void *arg, size_t index)
{
    struct near_job *n = arg;
    struct job *j = &n->job;
    size_t c;

    for (size_t g = 0; g < N_GATES; g++) {
        size_t done = 0;

        for (; pool_claim_near(n->lanes[g], n->n_lanes, index, j->n_chunks[g], &c); done++) {
            for (size_t k = 0; g > 0 && k < j->n_chunks[g - 1]; k++)
                if (j->hits[g - 1][k] != 1)
                    atomic_fetch_add(&j->wrong, 1);
            j->hits[g][c]++;
        }
        if (done > 0)
            pool_finish_some(&j->gates[g], done, j->n_chunks[g]);
        pool_wait(&j->gates[g], j->n_chunks[g]);
    }
}

static void lanes_give_every_chunk_once(void **state)
{
    struct near_job *n = aligned_alloc(POOL_LINE, sizeof *n);

    (void)state;
    assert_non_null(n);
    for (size_t threads = 1; threads <= 6; threads++) {
        struct pool *p;

        assert_int_equal(pool_create(&p, threads, NULL), 0);
        for (size_t lanes = 1; lanes <= MAX_LANES; lanes++) {
            memset(n, 0, sizeof *n);
            n->n_lanes = lanes;
            for (size_t g = 0; g < N_GATES; g++)
                n->job.n_chunks[g] = 1 + (g * 7 + lanes) % MAX_CHUNKS;
            pool_run(p, walk_near, n);
            for (size_t g = 0; g < N_GATES; g++)
                for (size_t c = 0; c < MAX_CHUNKS; c++)
                    assert_int_equal(n->job.hits[g][c], c < n->job.n_chunks[g]);
            assert_int_equal(atomic_load(&n->job.wrong), 0);
        }
        pool_free(p);
    }
    free(n);
}

/* Alone, a thread starts in its own lane and then takes what the others leave. */
static void own_lane_comes_first(void **state)
{
    static const size_t expected[] = { 3, 4, 6, 7, 8, 0, 1, 2 }; /* 5 is another's */
    struct pool_lane lanes[3];
    size_t c;

    (void)state;
    memset(lanes, 0, sizeof lanes);
    assert_int_equal(pool_lane_first(9, 3, 1), 3);
    for (size_t i = 0; i < 8; i++) {
        if (i == 2) { /* lane 7 % 3 is the same one */
            assert_true(pool_claim_near(lanes, 3, 7, 9, &c));
            assert_int_equal(c, 5);
        }
        assert_true(pool_claim_near(lanes, 3, 1, 9, &c));
        assert_int_equal(c, expected[i]);
    }
    assert_false(pool_claim_near(lanes, 3, 1, 9, &c));
}

static void run_once(struct pool *p, unsigned seed)
{
    struct job *j = aligned_alloc(POOL_LINE, sizeof *j);

    assert_non_null(j);
    memset(j, 0, sizeof *j);
    for (size_t g = 0; g < N_GATES; g++)
        j->n_chunks[g] = 1 + (g * 7 + seed) % MAX_CHUNKS;
    pool_run(p, walk, j);
    for (size_t g = 0; g < N_GATES; g++)
        for (size_t c = 0; c < MAX_CHUNKS; c++)
            assert_int_equal(j->hits[g][c], c < j->n_chunks[g]);
    assert_int_equal(atomic_load(&j->wrong), 0);
    assert_true(atomic_load(&j->seen) & 1);
    assert_true(atomic_load(&j->seen) < 1u << pool_threads(p));
    free(j);
}

static void every_chunk_once_in_order(void **state)
{
    static const size_t threads[] = { 1, 2, 3, 5, 8 };

    (void)state;
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        struct pool *p;

        assert_int_equal(pool_create(&p, threads[t], NULL), 0);
        assert_int_equal(pool_threads(p), threads[t]);
        for (unsigned i = 0; i < 200; i++)
            run_once(p, i);
        usleep(2000); /* all asleep now */
        for (unsigned i = 0; i < 20; i++)
            run_once(p, i);
        pool_free(p);
    }
}

static void made_and_freed_again_and_again(void **state)
{
    struct pool *p;

    (void)state;
    for (size_t i = 0; i < 60; i++) {
        assert_int_equal(pool_create(&p, 1 + i % 6, NULL), 0);
        if (i % 3)
            run_once(p, (unsigned)i);
        pool_free(p);
    }
    pool_free(NULL);
}

static void zero_means_all_processors(void **state)
{
    struct pool *p;
    struct err e;

    (void)state;
    assert_true(pool_processors() >= 1);
    assert_int_equal(pool_create(&p, 0, NULL), 0);
    assert_int_equal(pool_threads(p), pool_processors());
    pool_free(p);
    assert_int_equal(pool_create(&p, SIZE_MAX, &e), ERR_INVALID);
    assert_true(strlen(e.text) > 0);
}

struct meeting {
    struct pool_gate gate;
    size_t n;
};

/* Index 0 cannot finish without the others: they must all come. */
static void meet(void *arg, size_t index)
{
    struct meeting *m = arg;

    (void)index;
    pool_finish(&m->gate, m->n);
    pool_wait(&m->gate, m->n);
}

static void whoever_is_waited_for_comes(void **state)
{
    struct meeting *m = aligned_alloc(POOL_LINE, sizeof *m);
    struct pool *p;

    (void)state;
    assert_non_null(m);
    assert_int_equal(pool_create(&p, 5, NULL), 0);
    for (int i = 0; i < 50; i++) {
        memset(m, 0, sizeof *m);
        m->n = 5;
        pool_run(p, meet, m);
        assert_int_equal(atomic_load(&m->gate.done), 5);
        if (i % 10 == 0)
            usleep(1000);
    }
    pool_free(p);
    free(m);
}

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void idle_threads_use_no_processor(void **state)
{
    struct pool *p;
    double used = 1;

    (void)state;
    assert_int_equal(pool_create(&p, 4, NULL), 0);
    run_once(p, 3);
    for (int i = 0; i < 100 && used >= 0.02; i++) { /* on a busy machine they fall asleep late */
        double before = cpu_seconds();

        usleep(200000);
        used = cpu_seconds() - before;
    }
    assert_true(used < 0.02);
    pool_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_chunk_once_in_order),
        cmocka_unit_test(lanes_give_every_chunk_once),
        cmocka_unit_test(own_lane_comes_first),
        cmocka_unit_test(made_and_freed_again_and_again),
        cmocka_unit_test(zero_means_all_processors),
        cmocka_unit_test(whoever_is_waited_for_comes),
        cmocka_unit_test(idle_threads_use_no_processor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
