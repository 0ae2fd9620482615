/* battery.h - every test once for each instruction set of the CPU, and inside it for several numbers
 * of threads; and once for CUDA. What this machine or build lacks is a skip.
 *
 * Tests read and write device memory as their own: the CPU's is, and that of the simulator
 * (tests/cudasim) is too. */
#ifndef AIRSTRIP_TEST_BATTERY_H
#define AIRSTRIP_TEST_BATTERY_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernels/backend.h"
#include "tests/brief.h"

static const char *const battery_isas[] = { "scalar", "neon", "avx2", "avxvnni", "avx512", "avx512bf16", "amx", "cuda" };
static const size_t battery_threads[] = { 1, 2, 3, 5 };

enum {
    N_ISAS = sizeof battery_isas / sizeof *battery_isas,
    N_THREADS = sizeof battery_threads / sizeof *battery_threads,
};

struct rig {
    const struct backend *b;
    struct device *d;
};

/* The state of a test is the name of its instruction set. */
static inline struct rig rig_open(void **state, size_t n_threads)
{
    bool cuda = *state && strcmp(*state, "cuda") == 0;
    struct backend_options o = { .n_threads = n_threads, .isa = cuda ? NULL : *state };
    struct err e = { 0 };
    struct rig r = { .b = backend_find(cuda ? "cuda" : "cpu", &e) };
    int rc = r.b ? r.b->open(&r.d, &o, &e) : ERR_UNSUPPORTED;

    if (rc == ERR_UNSUPPORTED) {
        print_message("# %s\n", e.text);
        skip();
    }
    assert_int_equal(rc, 0);
    return r;
}

/* How many of battery_threads make a difference. */
static inline size_t rig_threads(void **state)
{
    return strcmp(*state, "cuda") == 0 ? 1 : N_THREADS;
}

static inline void rig_close(struct rig *r)
{
    r->b->close(r->d);
}

static inline void *rig_alloc(const struct rig *r, size_t bytes)
{
    void *p;

    assert_int_equal(r->b->alloc(r->d, bytes, &p, NULL), 0);
    return p;
}

static inline float *rig_floats(const struct rig *r, size_t n)
{
    return rig_alloc(r, n * sizeof(float));
}

/* Uniform in [-1, 1), the same on every machine. */
static inline float noise(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(*seed >> 40) / 8388608.0 - 1.0);
}

static inline void fill(float *x, size_t n, float size, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        x[i] = size * noise(&seed);
}

/* |a - b| <= abs + rel * |b| */
static inline void assert_near(float a, double b, double rel, double abs)
{
    if (!(fabs((double)a - b) <= abs + rel * fabs(b)))
        fail_msg("%.9g is not %.9g", (double)a, b);
}

/* After brief_begin(). */
static inline int run_battery(const char *name, const struct CMUnitTest *tests, size_t n)
{
    struct CMUnitTest *all = calloc(n * N_ISAS, sizeof *all);
    char *names = calloc(n * N_ISAS, 128);
    int rc = 1;

    for (size_t i = 0; all && names && i < n * N_ISAS; i++) {
        all[i] = tests[i / N_ISAS];
        snprintf(names + i * 128, 128, "%s, %s", all[i].name, battery_isas[i % N_ISAS]);
        all[i].name = names + i * 128;
        all[i].initial_state = (void *)(uintptr_t)battery_isas[i % N_ISAS];
    }
    if (all && names)
        rc = _cmocka_run_group_tests(name, all, n * N_ISAS, NULL, NULL);
    free(all);
    free(names);
    return rc;
}

#endif
