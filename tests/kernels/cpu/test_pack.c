/* Packing: by a team or alone, copied or by way of bytes, the result is the same; pages of a mapped
 * file are let go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/cpu/mm_ops.h"
#include "tests/kernels/cpu/mm_case.h"

static size_t packed_bytes(const struct weight *w)
{
    return w->n_groups * w->group_bytes;
}

/* Sizes that are less than a chunk, several of them, and more than a large page. */
static void team_packs_the_same(void **state)
{
    static const size_t shapes[][2] = { { 1, 256 }, { 33, 512 }, { 777, 1024 }, { 2000, 2304 } };
    const struct quant_format *const *formats;
    struct weight *alone, *together;
    struct weight_store a = { 0 }, b = { 0 };
    struct err e;
    size_t n;

    (void)state;
    assert_int_equal(pool_create(&b.pool, 3, &e), 0);
    formats = quant_all(&n);
    for (size_t i = 0; i < n; i++)
        for (size_t s = 0; pack_can(formats[i]) && s < 4; s++) {
            struct tensor t = mm_case_tensor(formats[i], shapes[s][0], shapes[s][1], -1, 1, 5);

            assert_int_equal(weight_create(&alone, &a, &t, WEIGHT_MATMUL, &e), 0);
            assert_int_equal(weight_create(&together, &b, &t, WEIGHT_MATMUL, &e), 0);
            assert_int_equal(packed_bytes(alone), packed_bytes(together));
            assert_memory_equal(alone->packed, together->packed, packed_bytes(alone));
            weight_free_all(together);
            weight_free_all(alone);
            mm_case_free(&t);
        }
    pool_free(b.pool);
}

static void copied_as_exploded(void **state)
{
    const struct quant_format *const *formats;
    size_t n, n_copied = 0;

    (void)state;
    formats = quant_all(&n);
    for (size_t i = 0; i < n; i++) {
        struct quant_format slow = *formats[i];
        struct tensor t = mm_case_tensor(formats[i], 48, 2048, -1, 1, 5);
        struct weight_store store = { 0 };
        struct weight *w, by_bytes;
        struct err e;

        if (slow.codes_at > 0) {
            n_copied++;
            slow.codes_at = 0;
            assert_int_equal(weight_create(&w, &store, &t, WEIGHT_EMBED | WEIGHT_MATMUL, &e), 0);
            by_bytes = *w;
            by_bytes.format = &slow;
            by_bytes.packed = calloc(1, packed_bytes(w));
            assert_non_null(by_bytes.packed);
            pack_groups(&by_bytes, false, NULL);
            assert_memory_equal(w->packed, by_bytes.packed, packed_bytes(w));
            free(by_bytes.packed);
            weight_free_all(w);
        }
        mm_case_free(&t);
    }
    assert_int_equal(n_copied, 3);
}

/* Pages of files that this process has mapped and read. */
static long file_pages(void)
{
    long size, resident, shared = -1;
    FILE *f = fopen("/proc/self/statm", "re");

    if (!f || fscanf(f, "%ld %ld %ld", &size, &resident, &shared) != 3)
        shared = -1;
    if (f)
        fclose(f);
    return shared;
}

static void file_is_let_go(void **state)
{
    enum { ROWS = 4096, COLS = 4096 };
    const struct quant_format *f = quant_format(DTYPE_Q4_0);
    struct tensor t = mm_case_tensor(f, ROWS, COLS, -1, 0, 5), mapped = t;
    struct weight_store store = { 0 };
    float row[COLS], expected[COLS];
    FILE *file = tmpfile();
    struct weight *w;
    struct err e;
    long before;
    void *base;

    (void)state;
    assert_non_null(file);
    assert_int_equal(fwrite(t.data, 1, t.bytes, file), t.bytes);
    assert_int_equal(fflush(file), 0);
    base = mmap(NULL, t.bytes, PROT_READ, MAP_PRIVATE, fileno(file), 0);
    assert_ptr_not_equal(base, MAP_FAILED);
    before = file_pages();
    mapped.data = base;
    mapped.mapped = true;
    assert_int_equal(weight_create(&w, &store, &mapped, WEIGHT_EMBED | WEIGHT_MATMUL, &e), 0);
    if (before >= 0) /* of 2304 */
        assert_true(file_pages() - before < 600);
    for (size_t r = 0; r < ROWS; r += 511) {
        weight_row(w, r, row);
        f->decode(expected, (const char *)t.data + r * (t.bytes / ROWS), COLS / f->block_values);
        assert_memory_equal(row, expected, sizeof row);
    }
    weight_free_all(w);
    munmap(base, t.bytes);
    fclose(file);
    mm_case_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(team_packs_the_same),
        cmocka_unit_test(copied_as_exploded),
        cmocka_unit_test(file_is_let_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
