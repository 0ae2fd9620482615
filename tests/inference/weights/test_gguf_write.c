/* gguf_write: what was put in is what is read back, and nothing stands there until it is whole. */
#include "inference/weights/gguf_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inference/weights/build.h"

static char folder[] = "/tmp/test_gguf_write.XXXXXX";
static char path[64];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/out.gguf", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static size_t count_files(void)
{
    DIR *d = opendir(folder);
    size_t n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2; /* . and .. */
}

#define OK(call) assert_int_equal(call, 0)

/* Keys of each kind; the caller closes it. */
static struct weights *some_keys(void)
{
    static const int64_t ints[] = { 1, -2, 3 }, wide[] = { 1, INT64_C(1) << 40 };
    static const double floats[] = { 0.5, -1.25 };
    static const struct str strs[] = { { "", 0 }, { "a\0b", 3 }, { "xyz", 3 } };
    struct weights *w;

    OK(weights_new(&w, "keys", NULL));
    OK(weights_put_u64(w, "u", 7, NULL));
    OK(weights_put_u64(w, "u.large", UINT64_C(1) << 40, NULL));
    OK(weights_put_u64(w, "whole", 10000, NULL));
    OK(weights_put_f64(w, "f", 0.1, NULL));
    OK(weights_put_bool(w, "b", true, NULL));
    OK(weights_put_copy(w, "s", (struct str){ "text", 4 }, NULL));
    OK(weights_put_ints(w, "ints", ints, 3, NULL));
    OK(weights_put_ints(w, "wide", wide, 2, NULL));
    OK(weights_put_floats(w, "floats", floats, 2, NULL));
    OK(weights_put_strs(w, "strs", strs, 3, NULL));
    OK(weights_put_strs(w, "none", strs, 0, NULL));
    OK(weights_put_u64(w, "left.out", 1, NULL));
    OK(weights_seal(w, NULL));
    return w;
}

static enum gguf_how how(const void *arg, struct str key)
{
    if (key.len == 8 && memcmp(key.data, "left.out", 8) == 0)
        return GGUF_DROP;
    if (key.len == 5 && memcmp(key.data, "whole", 5) == 0)
        return GGUF_REAL;
    return *(const enum gguf_how *)arg;
}

static const struct tensor matrix = {
    .name = "m", .dtype = DTYPE_Q8_0, .n_dims = 2, .shape = { 3, 64, 1, 1 }
};
static const struct tensor vector = {
    .name = "v", .dtype = DTYPE_F32, .n_dims = 1, .shape = { 5, 1, 1, 1 }
};

/* The file, written; matrix and vector have bytes that count up. */
static void write_file(enum gguf_how as)
{
    struct weights *keys = some_keys();
    struct gguf_writer *g;
    unsigned char bytes[3 * 68];
    size_t n;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)i;
    OK(gguf_writer_create(&g, path, NULL));
    gguf_put_keys(g, keys, how, &as);
    weights_close(keys);
    OK(gguf_put_tensor(g, &matrix, &n, NULL));
    assert_int_equal(n, 3 * 2 * 34);
    OK(gguf_put_tensor(g, &vector, &n, NULL));
    assert_int_equal(n, 20);
    OK(gguf_begin(g, NULL));
    OK(gguf_write(g, bytes, 100, NULL));
    OK(gguf_write(g, bytes + 100, sizeof bytes - 100, NULL));
    OK(gguf_write(g, bytes, 20, NULL));
    assert_int_not_equal(access(path, F_OK), 0);
    OK(gguf_finish(g, NULL));
    gguf_writer_free(g);
    assert_int_equal(count_files(), 1);
}

static void check_keys(const struct weights *w)
{
    struct weights_array a;
    struct str s, strs[3];
    int64_t ints[3];
    double d;
    uint64_t u;
    bool b;

    OK(weights_u64(w, "u", &u, NULL));
    assert_int_equal(u, 7);
    OK(weights_u64(w, "u.large", &u, NULL));
    assert_int_equal(u, UINT64_C(1) << 40);
    OK(weights_f64(w, "whole", &d, NULL));
    assert_true(d == 10000);
    assert_int_equal(weights_u64(w, "whole", &u, NULL), ERR_FORMAT); /* it is a real number now */
    OK(weights_bool(w, "b", &b, NULL));
    assert_true(b);
    OK(weights_str(w, "s", &s, NULL));
    assert_true(s.len == 4 && memcmp(s.data, "text", 4) == 0);
    OK(weights_array(w, "ints", &a, NULL));
    assert_int_equal(a.len, 3);
    weights_array_ints(&a, ints);
    assert_true(ints[0] == 1 && ints[1] == -2 && ints[2] == 3);
    OK(weights_array(w, "wide", &a, NULL));
    weights_array_ints(&a, ints);
    assert_int_equal(ints[1], INT64_C(1) << 40);
    OK(weights_array(w, "strs", &a, NULL));
    assert_int_equal(a.len, 3);
    weights_array_strs(&a, strs);
    assert_true(strs[0].len == 0 && strs[1].len == 3 && memcmp(strs[1].data, "a\0b", 3) == 0);
    OK(weights_array(w, "none", &a, NULL));
    assert_int_equal(a.len, 0);
    assert_false(weights_has(w, "left.out"));
}

static void test_round_trip(void **state)
{
    static const enum gguf_how hows[] = { GGUF_AS_IS, GGUF_NARROW };
    (void)state;

    for (size_t i = 0; i < 2; i++) {
        struct weights *w;
        const struct tensor *t;
        double d;

        write_file(hows[i]);
        OK(weights_open(&w, path, NULL));
        check_keys(w);
        OK(weights_f64(w, "f", &d, NULL));
        assert_true(d == (hows[i] == GGUF_NARROW ? (double)0.1f : 0.1));
        t = weights_tensor(w, "m");
        assert_non_null(t);
        assert_true(t->dtype == DTYPE_Q8_0 && t->n_dims == 2 && t->shape[0] == 3 &&
                    t->shape[1] == 64);
        for (size_t k = 0; k < t->bytes; k++)
            assert_int_equal(((const unsigned char *)t->data)[k], k);
        t = weights_tensor(w, "v");
        assert_true(t && t->n_dims == 1 && t->shape[0] == 5 &&
                    ((const unsigned char *)t->data)[19] == 19);
        weights_close(w);
        unlink(path);
    }
}

static void test_unfinished(void **state)
{
    struct gguf_writer *g;
    struct err e = { 0 };
    char byte = 0;
    size_t n;
    (void)state;

    OK(gguf_writer_create(&g, path, &e));
    OK(gguf_put_tensor(g, &vector, &n, &e));
    OK(gguf_begin(g, &e));
    assert_int_equal(gguf_finish(g, &e), ERR_INTERNAL); /* its bytes are missing */
    OK(gguf_write(g, "12345678901234567890", 20, &e));
    assert_int_equal(gguf_write(g, &byte, 1, &e), ERR_INTERNAL);
    assert_int_equal(count_files(), 1);
    gguf_writer_free(g);
    assert_int_equal(count_files(), 0);
}

static void test_refused(void **state)
{
    const struct tensor odd = {
        .name = "odd", .dtype = DTYPE_Q8_0, .n_dims = 1, .shape = { 33, 1, 1, 1 }
    };
    const struct tensor large = {
        .name = "large", .dtype = DTYPE_F32, .n_dims = 2, .shape = { SIZE_MAX / 4, 1, 1, 1 }
    };
    struct gguf_writer *g;
    struct err e = { 0 };
    size_t n;
    (void)state;

    OK(gguf_writer_create(&g, path, &e));
    assert_int_equal(gguf_put_tensor(g, &odd, &n, &e), ERR_FORMAT);
    assert_non_null(strstr(e.text, "odd"));
    assert_int_equal(gguf_put_tensor(g, &large, &n, &e), ERR_FORMAT);
    gguf_writer_free(g);
    assert_int_equal(gguf_writer_create(&g, "/nowhere/at/all.gguf", &e), ERR_IO);
    assert_null(g);
    assert_non_null(strstr(e.text, "/nowhere/at/all.gguf"));
    assert_int_equal(count_files(), 0);
}

/* Two keys of one name: nobody looks when they are put, and reading back tells. */
static void test_read_back(void **state)
{
    struct weights *keys = some_keys();
    enum gguf_how as = GGUF_NARROW;
    struct gguf_writer *g;
    struct err e = { 0 };
    (void)state;

    OK(gguf_writer_create(&g, path, &e));
    gguf_put_keys(g, keys, how, &as);
    gguf_put_keys(g, keys, how, &as);
    weights_close(keys);
    OK(gguf_begin(g, &e));
    assert_int_equal(gguf_finish(g, &e), ERR_FORMAT);
    gguf_writer_free(g);
    assert_int_equal(count_files(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_unfinished),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_read_back),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
