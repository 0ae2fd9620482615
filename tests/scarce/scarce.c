/* Blocks that are in use stand in a table by address, so that what other allocators hand out (a
 * sanitizer's strdup()) does not confuse the count.  The allocator behind is AddressSanitizer's
 * where the build has it, else the C library's: both have names of their own for it. */
#include <errno.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/scarce/scarce.h"

enum {
    N_BUCKETS = 1 << 16,
    N_BLOCKS = 1 << 18,
    OUT_BYTES = 1 << 20,
    /* A piece of work that allocates more often is tried at so many places: all of the first half
     * of them, then evenly spread ones. */
    MOST_TRIES = 3000,
    MOST_TOLD = 20, /* of what is wrong with a piece of work */
};

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t align, size_t n);
extern void __libc_free(void *p);
extern void *__interceptor_malloc(size_t n) __attribute__((weak));
extern void *__interceptor_calloc(size_t n, size_t size) __attribute__((weak));
extern void *__interceptor_realloc(void *p, size_t n) __attribute__((weak));
extern void *__interceptor_memalign(size_t align, size_t n) __attribute__((weak));
extern void __interceptor_free(void *p) __attribute__((weak));

/* --- which allocation fails --- */

static atomic_long left;        /* until one fails; below 0: none is to fail */
static atomic_bool armed, ever; /* ever: all after it fail as well */
static atomic_long n_seen, n_failed;

/* Code whose allocations are not failed: from .. to. */
struct code {
    uintptr_t from, to;
};

/* json-c goes by what its strdup() gives without a look (0.16, json_object_object_add_ex), which
 * nobody outside can mend; kernels/base/json.c sees to it that there is memory before json-c is
 * asked.  AddressSanitizer insists on memory for the C library when a thread starts. */
static struct code json_c, libc;
static pthread_t main_thread;

static int find_code(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct code *c = strstr(info->dlpi_name, "libjson-c") ? &json_c
                     : strstr(info->dlpi_name, "libc.so") ? &libc
                                                          : NULL;

    (void)size;
    (void)arg;
    for (int i = 0; c && i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X)) {
            c->from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            c->to = c->from + info->dlpi_phdr[i].p_memsz;
        }
    return 0;
}

static bool is_in(const struct code *c, const void *who)
{
    return (uintptr_t)who >= c->from && (uintptr_t)who < c->to;
}

static bool is_spared(const void *who)
{
    return is_in(&json_c, who) || (__interceptor_malloc && is_in(&libc, who) &&
                                   !pthread_equal(main_thread, pthread_self()));
}

static bool fails(const void *who)
{
    if (!armed || is_spared(who))
        return false;
    n_seen++;
    if (left < 0)
        return false;
    if (left > 0 && left-- > 0)
        return false;
    if (!ever)
        left = -1;
    n_failed++;
    errno = ENOMEM;
    return true;
}

static void arm(long at, bool all)
{
    n_seen = n_failed = 0;
    left = at;
    ever = all;
    armed = true;
}

/* --- what is in use --- */

struct block {
    const void *p;
    const void *who; /* the code that asked for it */
    size_t bytes;
    int run;  /* of which it is */
    int next; /* in its bucket, or among the free ones; 0: none */
};

static struct block blocks[N_BLOCKS]; /* 0 is not used */
static int buckets[N_BUCKETS], n_blocks, n_ever = 1, free_blocks, n_runs;
static atomic_flag table = ATOMIC_FLAG_INIT;

static void lock(void)
{
    while (atomic_flag_test_and_set_explicit(&table, memory_order_acquire))
        ;
}

static void unlock(void)
{
    atomic_flag_clear_explicit(&table, memory_order_release);
}

static int *bucket(const void *p)
{
    return &buckets[((uintptr_t)p >> 4) % N_BUCKETS];
}

static void *enter(void *p, size_t bytes, const void *who)
{
    int i;

    if (!p)
        return NULL;
    lock();
    i = free_blocks ? free_blocks : n_ever < N_BLOCKS ? n_ever++ : 0;
    if (i) {
        if (i == free_blocks)
            free_blocks = blocks[i].next;
        blocks[i] = (struct block){ p, who, bytes, n_runs, *bucket(p) };
        *bucket(p) = i;
        n_blocks++;
    }
    unlock();
    return p;
}

static void leave(const void *p)
{
    lock();
    for (int *at = bucket(p); *at; at = &blocks[*at].next)
        if (blocks[*at].p == p) {
            int i = *at;

            *at = blocks[i].next;
            blocks[i].next = free_blocks;
            blocks[i].p = NULL;
            free_blocks = i;
            n_blocks--;
            break;
        }
    unlock();
}

/* --- the family --- */

static void *take(size_t n, const void *who)
{
    return enter((__interceptor_malloc ? __interceptor_malloc : __libc_malloc)(n), n, who);
}

void *malloc(size_t n)
{
    return fails(__builtin_return_address(0)) ? NULL : take(n, __builtin_return_address(0));
}

void *calloc(size_t n, size_t size)
{
    if (fails(__builtin_return_address(0)))
        return NULL;
    return enter((__interceptor_calloc ? __interceptor_calloc : __libc_calloc)(n, size), n * size,
                 __builtin_return_address(0));
}

void *realloc(void *p, size_t n)
{
    void *q;

    if (fails(__builtin_return_address(0)))
        return NULL;
    if (p)
        leave(p); /* before another thread may be given the address */
    q = (__interceptor_realloc ? __interceptor_realloc : __libc_realloc)(p, n);
    return enter(q, n, __builtin_return_address(0));
}

void *reallocarray(void *p, size_t n, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(n, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(p, bytes);
}

void *memalign(size_t align, size_t n)
{
    if (fails(__builtin_return_address(0)))
        return NULL;
    return enter((__interceptor_memalign ? __interceptor_memalign : __libc_memalign)(align, n), n,
                 __builtin_return_address(0));
}

void *aligned_alloc(size_t align, size_t n)
{
    return memalign(align, n);
}

int posix_memalign(void **out, size_t align, size_t n)
{
    void *p = memalign(align, n);

    if (!p)
        return ENOMEM;
    *out = p;
    return 0;
}

void free(void *p)
{
    if (p)
        leave(p);
    (__interceptor_free ? __interceptor_free : __libc_free)(p);
}

static char *copy(const char *s, size_t len, const void *who)
{
    char *p = fails(who) ? NULL : take(len + 1, who);

    if (p) {
        memcpy(p, s, len);
        p[len] = '\0';
    }
    return p;
}

char *strndup(const char *s, size_t n)
{
    return copy(s, strnlen(s, n), __builtin_return_address(0));
}

char *strdup(const char *s)
{
    return copy(s, strlen(s), __builtin_return_address(0));
}

/* --- trying --- */

static void print_left(void)
{
    for (int i = 1, n = 0; i < n_ever && n < 8; i++)
        if (blocks[i].p && blocks[i].run == n_runs) {
            print_message("# %zu bytes asked for at %p\n", blocks[i].bytes, blocks[i].who);
            n++;
        }
}

/* One run; returns its result, and how many allocations failed in *failed. */
static int once(const struct scarce_work *w, long at, bool all, struct buf *out, struct err *e,
                long *failed)
{
    int rc;

    buf_reset(out);
    *e = (struct err){ 0 };
    n_runs++;
    arm(at, all);
    rc = w->run(w, out, e);
    armed = false;
    *failed = n_failed;
    return rc;
}

/* What is wrong with a run, in *why; false where nothing is.  A sentence about memory is right
 * whatever its code: a request's own limit (ERR_LIMIT) and strerror()'s words (ERR_IO) are such. */
static bool is_wrong(const struct buf *want, const struct buf *out, int rc, const struct err *e,
                     int n_left, struct buf *why)
{
    if (n_left > 0)
        buf_printf(why, "%d blocks are left behind (%s)", n_left, rc ? e->text : "no error");
    else if (rc && (e->code != rc || !(strstr(e->text, "memory") || strstr(e->text, "allocate"))))
        buf_printf(why, "expected an error about memory, found %d, %d \"%s\"", rc, e->code,
                   e->text);
    else if (!rc && (out->len != want->len || memcmp(buf_str(out), buf_str(want), want->len) != 0))
        buf_printf(why, "no error, and another result: \"%.200s\"", buf_str(out));
    return why->len > 0;
}

/* True where all is well. */
static bool try_at(const struct scarce_work *w, long k, bool all, const struct buf *want,
                   struct buf *out, size_t *n_spared)
{
    int before = n_blocks;
    struct buf why = { 0 };
    long failed;
    struct err e;
    int rc = once(w, k, all, out, &e, &failed);
    int after = n_blocks;
    bool wrong = is_wrong(want, out, rc, &e, after - before, &why);

    if (wrong) {
        print_message("# %s: %s %ld fails: %s\n", w->name, all ? "all from" : "allocation", k,
                      why.data);
        if (after > before)
            print_left();
    }
    *n_spared += !rc && failed;
    buf_done(&why);
    return !wrong;
}

void scarce_try(const struct scarce_work *w)
{
    struct buf want = { 0 }, out = { 0 };
    size_t n_spared = 0, n_tried = 0, n_wrong = 0;
    long n, failed;
    struct err e;

    dl_iterate_phdr(find_code, NULL);
    main_thread = pthread_self();
    if (!buf_room(&want, OUT_BYTES) || !buf_room(&out, OUT_BYTES))
        fail_msg("no memory for the test itself");
    for (int i = 0; i < 2; i++) /* the first time fills what is kept for good */
        if (once(w, -1, false, &want, &e, &failed))
            fail_msg("%s: with all memory: %s", w->name, e.text);
    n = n_seen;
    for (long k = 0; k < n; k += k < MOST_TRIES / 2 ? 1 : 1 + 2 * n / MOST_TRIES, n_tried++)
        for (int all = 0; all < 2 && n_wrong < MOST_TOLD; all++)
            n_wrong += !try_at(w, k, all, &want, &out, &n_spared);
    print_message("# %s: %ld allocations, %zu tried, %zu times done all the same\n", w->name, n,
                  n_tried, n_spared);
    if (n_wrong)
        fail_msg("%s: wrong in %zu places", w->name, n_wrong);
    buf_done(&want);
    buf_done(&out);
}
