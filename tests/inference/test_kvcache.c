/* kvcache: pages are handed out once, come back, and run out with ERR_BUSY. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "inference/kvcache.h"
#include "tests/inference/refbackend.h"

static const struct kv_shape shape = {
    .n_layers = 1, .n_kv = 1, .head_dim = 2, .n_pages = 21, .page_tokens = 16, .dtype = DTYPE_F32
};

static struct device *device;

static int setup(void **state)
{
    (void)state;
    return refbackend.open(&device, &(struct backend_options){ 0 }, NULL);
}

static int teardown(void **state)
{
    (void)state;
    refbackend.close(device);
    return refbackend_live == 0 ? 0 : -1;
}

static void pages_for(void **state)
{
    static const struct {
        size_t tokens, pages;
    } cases[] = { { 0, 0 },  { 1, 1 },  { 15, 1 }, { 16, 1 },
                  { 17, 2 }, { 32, 2 }, { 33, 3 }, { SIZE_MAX, SIZE_MAX / 16 + 1 } };
    struct kvcache c = { .page_tokens = 16 };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(kvcache_pages_for(&c, cases[i].tokens), cases[i].pages);
}

/* Two sequences grow in turn: no page belongs to both. */
static void pages_are_owned_once(void **state)
{
    struct kvcache c;
    struct kv_table t[2] = { 0 };
    bool seen[21] = { 0 };
    struct err e;

    (void)state;
    assert_int_equal(kvcache_open(&c, &refbackend, device, &shape, &e), 0);
    assert_int_equal(c.n_free, 21);
    for (size_t n = 1; n <= 160; n++) {
        assert_int_equal(kvcache_grow(&c, &t[n % 2], n, &e), 0);
        assert_int_equal(t[n % 2].n_pages, (n + 15) / 16);
    }
    assert_int_equal(c.n_free, 21 - 20);
    for (int s = 0; s < 2; s++)
        for (size_t i = 0; i < t[s].n_pages; i++) {
            assert_in_range(t[s].pages[i], 0, 20);
            assert_false(seen[t[s].pages[i]]);
            seen[t[s].pages[i]] = true;
            assert_int_equal(c.refs[t[s].pages[i]], 1);
        }
    kvcache_drop(&c, &t[0]);
    assert_int_equal(c.n_free, 11);
    assert_null(t[0].pages);
    kvcache_drop(&c, &t[0]); /* an empty table is fine */
    kvcache_drop(&c, &t[1]);
    assert_int_equal(c.n_free, 21);
    for (size_t i = 0; i < 21; i++)
        assert_int_equal(c.refs[i], 0);
    kvcache_close(&c);
}

static void too_few_pages(void **state)
{
    struct kvcache c;
    struct kv_table a = { 0 }, b = { 0 };
    struct err e;

    (void)state;
    assert_int_equal(kvcache_open(&c, &refbackend, device, &shape, &e), 0);
    assert_int_equal(kvcache_grow(&c, &a, 20 * 16, &e), 0);
    assert_int_equal(kvcache_grow(&c, &b, 17, &e), ERR_BUSY);
    assert_int_equal(b.n_pages, 0);
    assert_int_equal(c.n_free, 1);
    assert_non_null(strstr(e.text, "2 more"));
    assert_int_equal(kvcache_grow(&c, &b, SIZE_MAX, &e), ERR_BUSY);
    assert_int_equal(kvcache_grow(&c, &b, 16, &e), 0);
    assert_int_equal(kvcache_grow(&c, &b, 16, &e), 0);
    assert_int_equal(kvcache_grow(&c, &b, 3, &e), 0); /* never shrinks */
    assert_int_equal(b.n_pages, 1);
    kvcache_drop(&c, &a);
    kvcache_drop(&c, &b);
    kvcache_close(&c);
}

/* A page with two users comes back when the second lets it go. */
static void shared_page(void **state)
{
    struct kvcache c;
    struct kv_table a = { 0 };
    struct err e;

    (void)state;
    assert_int_equal(kvcache_open(&c, &refbackend, device, &shape, &e), 0);
    assert_int_equal(kvcache_grow(&c, &a, 40, &e), 0);
    c.refs[a.pages[0]]++;
    kvcache_drop(&c, &a);
    assert_int_equal(c.n_free, 20);
    kvcache_close(&c);
}

static void bad_shapes_and_no_memory(void **state)
{
    struct kvcache c;
    struct kv_shape s = shape;
    struct err e;

    (void)state;
    s.n_pages = 0;
    assert_int_equal(kvcache_open(&c, &refbackend, device, &s, &e), ERR_INVALID);
    s.n_pages = (size_t)INT32_MAX + 1;
    assert_int_equal(kvcache_open(&c, &refbackend, device, &s, &e), ERR_INVALID);
    refbackend_allocs_left = 0;
    assert_int_equal(kvcache_open(&c, &refbackend, device, &shape, &e), ERR_NOMEM);
    refbackend_allocs_left = SIZE_MAX;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_for),
        cmocka_unit_test(pages_are_owned_once),
        cmocka_unit_test(too_few_pages),
        cmocka_unit_test(shared_page),
        cmocka_unit_test(bad_shapes_and_no_memory),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, setup, teardown);
}
