/* ranks_drill - what the MPI module does, without a model: started by mpirun.
 *
 *   ranks_drill sums PRECISION        TAP on rank 0: sums, parts and messages against plain loops
 *   ranks_drill time PRECISION BYTES [BETWEEN_US]  microseconds of a sum of so many bytes of
 * floats, on rank 0, each after so long a computation ranks_drill idle SECONDS          percent of
 * a processor that each rank takes while it waits
 */
#include <config.h>

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/base/buf.h"
#include "kernels/ranks_mpi.h"

static double seconds(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* What rank r has at place i in round k: of many magnitudes, so that the order of a sum shows. */
static float value(size_t r, size_t i, size_t k)
{
    uint64_t h = (i + 1) * 0x9e3779b97f4a7c15u ^ (r + 3) * 0xbf58476d1ce4e5b9u ^ (k + 7) << 17;

    h = (h ^ h >> 29) * 0x94d049bb133111ebu;
    h ^= h >> 32;
    return ldexpf((float)(h & 0xffff) - 32768, (int)(h >> 16 & 15) - 20);
}

/* --- sums --- */

static uint64_t hash_of(const float *x, size_t n)
{
    uint64_t h = 14695981039346656037u;

    for (size_t i = 0; i < n; i++) {
        uint32_t u;

        memcpy(&u, x + i, sizeof u);
        h = (h ^ u) * 1099511628211u;
    }
    return h;
}

/* In float, from rank 0 on; packed values may be as far away as their precision is coarse. */
static bool sum_is_right(const float *x, size_t count, size_t n, size_t k, enum ranks_precision p)
{
    float near[] = { 0, 1.0f / 128, 1.0f / 100 };

    for (size_t i = 0; i < count; i++) {
        float sum = 0, size = 0;

        for (size_t r = 0; r < n; r++) {
            sum = r == 0 ? value(r, i, k) : sum + value(r, i, k);
            if (p != RANKS_Q8)
                size += fabsf(value(r, i, k));
            for (size_t j = i / 32 * 32; p == RANKS_Q8 && j < i / 32 * 32 + 32 && j < count; j++)
                size = fmaxf(size, (float)n * fabsf(value(r, j, k)));
        }
        if (p == RANKS_F32 ? memcmp(&sum, x + i, sizeof sum) != 0
                           : !(fabsf(sum - x[i]) <= 2 * near[p] * size))
            return false;
    }
    return true;
}

/* Do the rows of a sum of many have the bits that they have alone? */
static bool rows_agree(struct ranks *r, const float *many, size_t rows, size_t cols, size_t k)
{
    float *one = calloc(cols, sizeof *one);
    bool same = one != NULL;

    for (size_t row = 0; one && row<rows; row += rows> 2 ? rows - 1 : 1) {
        for (size_t i = 0; i < cols; i++)
            one[i] = value(r->rank, row * cols + i, k);
        if (r->ops->sum(r, one, 1, cols, NULL) ||
            memcmp(one, many + row * cols, cols * sizeof *one))
            same = false;
    }
    free(one);
    return same;
}

static int tell(struct ranks *r, bool good, const char *what, size_t rows, size_t cols)
{
    static size_t number;

    if (r->rank == 0)
        printf("%sok %zu - %s, %zu rows of %zu on %zu ranks\n", good ? "" : "not ", ++number, what,
               rows, cols, r->n);
    return good ? 0 : 1;
}

/* Every rank's hash, gathered: are they all the same? */
static bool same_everywhere(struct ranks *r, const float *x, size_t n)
{
    uint64_t h = hash_of(x, n);
    float own[2], all[2 * RANKS_MAX];
    size_t counts[RANKS_MAX];
    bool same = true;

    memcpy(own, &h, sizeof h);
    for (size_t i = 0; i < r->n; i++)
        counts[i] = 2;
    if (r->ops->gather(r, r->rank ? NULL : all, own, counts, NULL))
        return false;
    for (size_t i = 1; r->rank == 0 && i < r->n; i++)
        same = same && !memcmp(all, all + 2 * i, sizeof own);
    return same;
}

static int drill_sums(struct ranks *r, enum ranks_precision p)
{
    static const size_t shapes[][2] = { { 1, 1 },    { 1, 7 },     { 3, 33 },    { 1, 576 },
                                        { 5, 576 },  { 37, 1024 }, { 64, 4096 }, { 300, 2048 },
                                        { 512, 31 }, { 2, 96 } };
    size_t n_shapes = sizeof shapes / sizeof *shapes;
    int bad = 0;

    if (r->rank == 0)
        printf("1..%zu\n", 3 * n_shapes + 1);
    for (size_t k = 0; k < n_shapes; k++) {
        size_t rows = shapes[k][0], cols = shapes[k][1], count = rows * cols;
        float *x = calloc(count, sizeof *x);
        struct err e = { 0 };

        for (size_t i = 0; x && i < count; i++)
            x[i] = value(r->rank, i, k);
        if (!x || r->ops->sum(r, x, rows, cols, &e)) {
            fprintf(stderr, "ranks_drill: %s\n", e.text);
            return 1;
        }
        /* rows of other lengths are packed in other blocks than sum_is_right() thinks */
        bad += tell(r, sum_is_right(x, count, r->n, k, p == RANKS_Q8 && cols % 32 ? RANKS_BF16 : p),
                    "the sum of floats in the order of ranks", rows, cols);
        bad += tell(r, same_everywhere(r, x, count), "the same bits on all ranks", rows, cols);
        bad += tell(r, rows_agree(r, x, rows, cols, k), "a row has its bits alone too", rows, cols);
        free(x);
    }
    return bad;
}

/* Many messages of many sizes: each is heard once, whole and in order. */
static int drill_messages(struct ranks *r)
{
    enum { MESSAGES = 200 };
    static char bytes[300000];
    struct buf heard = { 0 };
    bool good = true;

    for (size_t k = 0; k < MESSAGES && good; k++) {
        size_t n = k * k * 7 % sizeof bytes;

        memset(bytes, (int)('a' + k % 26), n);
        if (r->rank == 0)
            good = r->ops->tell(r, bytes, n, NULL) == 0;
        else
            good = r->ops->hear(r, &heard, NULL) == 0 && heard.len == n &&
                   (n == 0 || !memcmp(heard.data, bytes, n));
    }
    buf_done(&heard);
    float verdict = good, all[RANKS_MAX];
    size_t counts[RANKS_MAX];

    for (size_t i = 0; i < r->n; i++)
        counts[i] = 1;
    good = r->ops->gather(r, r->rank ? NULL : all, &verdict, counts, NULL) == 0;
    for (size_t i = 0; r->rank == 0 && i < r->n; i++)
        good = good && all[i] > 0;
    return tell(r, good, "messages come once and in order", MESSAGES, sizeof bytes);
}

/* --- time --- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void compute(double us)
{
    double end = seconds(CLOCK_MONOTONIC) + us * 1e-6;

    while (seconds(CLOCK_MONOTONIC) < end)
        continue;
}

/* Of many runs of sums, as a model has them, the median and the best. */
static int drill_time(struct ranks *r, size_t bytes, double between_us)
{
    enum { MOST = 60, EACH = 10 };
    size_t cols = bytes / sizeof(float), n = bytes > 1 << 20 ? 5 : MOST;
    float *x = calloc(cols + 1, sizeof *x);
    double us[MOST];

    for (size_t k = 0; x && k < n; k++) {
        double began = seconds(CLOCK_MONOTONIC);

        for (size_t i = 0; i < EACH; i++) {
            compute(between_us);
            if (r->ops->sum(r, x, 1, cols, NULL))
                return 1;
        }
        us[k] = (seconds(CLOCK_MONOTONIC) - began) * 1e6 / EACH - between_us;
    }
    free(x);
    qsort(us, n, sizeof *us, compare_doubles);
    if (r->rank == 0)
        printf("%zu bytes %.1f us, a tenth below %.1f\n", bytes, us[n / 2], us[n / 10]);
    return 0;
}

/* Rank 0 sleeps, the others listen. */
static int drill_idle(struct ranks *r, double s)
{
    struct buf heard = { 0 };
    double began = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    int rc;

    if (r->rank == 0)
        nanosleep(&(struct timespec){ (time_t)s, 0 }, NULL);
    rc = r->rank == 0 ? r->ops->tell(r, "", 0, NULL) : r->ops->hear(r, &heard, NULL);
    fprintf(stderr, "rank %zu: %.2f %% of a processor\n", r->rank,
            100 * (seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (seconds(CLOCK_MONOTONIC) - began));
    buf_done(&heard);
    return rc ? 1 : 0;
}

int main(int argc, char **argv)
{
    static const char *const names[] = { "f32", "bf16", "q8" };
    struct ranks_mpi_options o = { .timeout_ms = 20000 };
    struct ranks_world *w;
    struct ranks *r;
    struct err e;
    int bad;

    if (argc < 3) {
        fprintf(stderr, "usage: ranks_drill sums PRECISION | time PRECISION BYTES [BETWEEN_US] | "
                        "idle SECONDS\n");
        return 2;
    }
    for (size_t i = 0; i < 3; i++)
        if (!strcmp(argv[2], names[i]))
            o.precision = (enum ranks_precision)i;
    if (ranks_mpi_open(&w, &o, &e) || ranks_mpi_join(w, &r, &e)) {
        fprintf(stderr, "ranks_drill: %s\n", e.text);
        return 1;
    }
    if (!strcmp(argv[1], "idle"))
        bad = drill_idle(r, atof(argv[2]));
    else if (!strcmp(argv[1], "time"))
        bad = drill_time(r, argc > 3 ? (size_t)atol(argv[3]) : 16384, argc > 4 ? atof(argv[4]) : 0);
    else
        bad = drill_sums(r, o.precision) + drill_messages(r);
    r->ops->close(r);
    fflush(stdout);
    if (!ranks_mpi_close(w))
        _Exit(1);
    return bad ? 1 : 0;
}
