/* GGUF files that are as they should be: recorded ones and one with every type of value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "inference/weights/gguf.h"
#include "kernels/quant/quant.h"
#include "tests/inference/weights/sample.h"

static struct weights *open_file(const char *path)
{
    struct weights *w = NULL;
    struct err e;

    if (weights_open(&w, path, &e) != 0)
        fail_msg("%s", e.text);
    return w;
}

static struct weights *open_bytes(const struct buf *b)
{
    struct weights *w = NULL;
    struct err e;

    assert_false(b->failed);
    if (weights_open_memory(&w, "sample", b->data, b->len, &e) != 0)
        fail_msg("%s", e.text);
    return w;
}

static struct weights *open_recorded_llama(void)
{
    const char *srcdir = getenv("srcdir");
    char path[512];
    struct weights *w;

    snprintf(path, sizeof path, "%s/tests/data/gguf/llama-Q8_0.gguf", srcdir ? srcdir : ".");
    w = open_file(path);
    assert_string_equal(weights_path(w), path);
    assert_int_equal(weights_file_bytes(w), 204704);
    return w;
}

/* Values as gguf-py prints them. */
static void recorded_keys_are_read(void **state)
{
    struct weights *w = open_recorded_llama();
    struct weights_array a;
    struct str s, strs[704];
    int64_t ints[704], sum = 0;
    double d, floats[704];
    uint64_t n;
    bool b;

    (void)state;
    assert_int_equal(weights_str(w, "general.architecture", &s, NULL), 0);
    assert_true(s.len == 5 && memcmp(s.data, "llama", 5) == 0);
    assert_int_equal(weights_u64(w, "llama.block_count", &n, NULL), 0);
    assert_int_equal(n, 3);
    assert_int_equal(weights_f64(w, "llama.attention.layer_norm_rms_epsilon", &d, NULL), 0);
    assert_true(d == 9.999999747378752e-06);
    assert_int_equal(weights_bool(w, "tokenizer.ggml.add_bos_token", &b, NULL), 0);
    assert_true(b);

    assert_int_equal(weights_array(w, "tokenizer.ggml.tokens", &a, NULL), 0);
    assert_true(a.kind == WEIGHTS_STR && a.len == 704);
    weights_array_strs(&a, strs);
    assert_true(strs[1].len == 3 && memcmp(strs[1].data, "<s>", 3) == 0);
    assert_true(strs[703].len == 3 && memcmp(strs[703].data, "\xe5\xa4\xa9", 3) == 0);
    assert_int_equal(weights_array(w, "tokenizer.ggml.scores", &a, NULL), 0);
    assert_true(a.kind == WEIGHTS_FLOAT && a.len == 704);
    weights_array_floats(&a, floats);
    assert_true(floats[300] == -41 && floats[302] == -43);
    assert_int_equal(weights_array(w, "tokenizer.ggml.token_type", &a, NULL), 0);
    assert_true(a.kind == WEIGHTS_INT && a.len == 704);
    weights_array_ints(&a, ints);
    for (size_t i = 0; i < a.len; i++)
        sum += ints[i];
    assert_int_equal(sum, 1989);
    weights_close(w);
}

static void recorded_tensors_are_read(void **state)
{
    struct weights *w = open_recorded_llama();
    float y[64 * 32], first;
    const struct tensor *t;

    (void)state;
    assert_int_equal(weights_n_tensors(w), 29);
    assert_string_equal(weights_tensor_at(w, 0)->name, "output_norm.weight");
    t = weights_tensor(w, "blk.0.attn_k.weight");
    assert_non_null(t);
    assert_true(t->dtype == DTYPE_Q8_0 && t->n_dims == 2 && t->shape[0] == 32 && t->shape[1] == 64);
    assert_true(tensor_rows(t) == 32 && tensor_cols(t) == 64 && t->bytes == 32 * 2 * 34);
    quant_format(t->dtype)->decode(y, t->data, 64);
    assert_true(y[0] == -0x1.1247p-2f && y[32 * 64 - 1] == -0x1.178dp-2f);
    t = weights_tensor(w, "output_norm.weight");
    assert_true(t->dtype == DTYPE_F32 && t->n_dims == 1 && t->shape[0] == 64 && t->shape[1] == 1);
    memcpy(&first, t->data, sizeof first);
    assert_true(first == 0x1.70fa56p+1f);
    assert_null(weights_tensor(w, "output_norm.weigh"));
    assert_null(weights_tensor(w, ""));
    assert_true(sample_exercise(w));
    weights_close(w);
}

static size_t n_opened;

static int open_one(const char *path, const struct stat *st, int flag, struct FTW *where)
{
    size_t len = strlen(path);
    struct weights *w;
    struct err e;

    (void)st;
    (void)where;
    if (flag != FTW_F || len < 5 || strcmp(path + len - 5, ".gguf") != 0)
        return 0;
    if (weights_open(&w, path, &e) < 0)
        fail_msg("%s: %s", path, e.text);
    assert_true(sample_exercise(w));
    weights_close(w);
    n_opened++;
    return 0;
}

static void all_recorded_files_open(void **state)
{
    const char *shared = getenv("AIRSTRIP_SHARED"), *srcdir = getenv("srcdir");
    char path[512];

    (void)state;
    if (shared)
        snprintf(path, sizeof path, "%s/golden/gguf", shared);
    else
        snprintf(path, sizeof path, "%s/../shared/golden/gguf", srcdir ? srcdir : ".");
    if (access(path, R_OK) != 0) {
        print_message("recorded files are not at %s\n", path);
        skip();
    }
    assert_int_equal(nftw(path, open_one, 8, FTW_PHYS), 0);
    assert_true(n_opened >= 40);
}

static void ints_convert_where_they_fit(void **state)
{
    static const struct {
        const char *key;
        int rc;
        uint64_t want;
        int rc_double;
        double want_double;
    } cases[] = {
        { "test.u8", 0, 200, 0, 200 },
        { "test.i8", ERR_FORMAT, 0, 0, -128 },
        { "test.u16", 0, 60000, 0, 60000 },
        { "test.i16", ERR_FORMAT, 0, 0, -1 },
        { "test.u32", 0, 4000000000, 0, 4e9 },
        { "test.i32", 0, 7, 0, 7 },
        { "test.u64", 0, UINT64_MAX, ERR_FORMAT, 0 },
        { "test.i64", ERR_FORMAT, 0, 0, -2 },
        { "test.f32", ERR_FORMAT, 0, 0, (double)0.1f },
        { "test.f64", ERR_FORMAT, 0, 0, -1e300 },
        { "test.bool", ERR_FORMAT, 0, ERR_FORMAT, 0 },
        { "test.text", ERR_FORMAT, 0, ERR_FORMAT, 0 },
        { "test.ints", ERR_FORMAT, 0, ERR_FORMAT, 0 },
        { "test.absent", ERR_NOTFOUND, 0, ERR_NOTFOUND, 0 },
    };
    struct sample s;
    struct weights *w;

    (void)state;
    sample_make(&s, 3);
    w = open_bytes(&s.bytes);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = { .text = "" };
        uint64_t n = 42;
        double d = 42;

        assert_int_equal(weights_u64(w, cases[i].key, &n, &e), cases[i].rc);
        assert_int_equal(n, cases[i].rc ? 42 : cases[i].want);
        assert_int_equal(strstr(e.text, cases[i].key) != NULL, cases[i].rc == ERR_FORMAT);
        e.text[0] = 0;
        assert_int_equal(weights_f64(w, cases[i].key, &d, &e), cases[i].rc_double);
        assert_true(d == (cases[i].rc_double ? 42 : cases[i].want_double));
        assert_int_equal(strstr(e.text, cases[i].key) != NULL, cases[i].rc_double == ERR_FORMAT);
        assert_int_equal(weights_has(w, cases[i].key), cases[i].rc != ERR_NOTFOUND);
    }
    weights_close(w);
    buf_done(&s.bytes);
}

static void strings_bools_and_arrays(void **state)
{
    struct sample s;
    struct weights *w;
    struct weights_array a;
    struct str str, strs[3];
    struct err e;
    int64_t ints[3];
    double floats[2];
    bool b = false;

    (void)state;
    sample_make(&s, 3);
    w = open_bytes(&s.bytes);
    assert_int_equal(weights_str(w, "test.text", &str, &e), 0);
    assert_true(str.len == 4 && memcmp(str.data, "a \xc3\xa9", 4) == 0);
    assert_int_equal(weights_str(w, "test.u8", &str, &e), ERR_FORMAT);
    assert_int_equal(weights_bool(w, "test.bool", &b, &e), 0);
    assert_true(b);
    assert_int_equal(weights_bool(w, "test.u8", &b, &e), ERR_FORMAT);
    assert_int_equal(weights_bool(w, "test", &b, &e), ERR_NOTFOUND);
    assert_int_equal(weights_str(w, "test.text.", &str, &e), ERR_NOTFOUND);

    assert_int_equal(weights_array(w, "test.strs", &a, &e), 0);
    assert_true(a.kind == WEIGHTS_STR && a.len == 3);
    weights_array_strs(&a, strs);
    assert_true(strs[0].len == 3 && strs[1].len == 0 && strs[2].len == 3);
    assert_memory_equal(strs[2].data, "t\0o", 3);
    assert_int_equal(weights_array(w, "test.ints", &a, &e), 0);
    assert_true(a.kind == WEIGHTS_INT && a.len == 3);
    weights_array_ints(&a, ints);
    assert_true(ints[0] == 1 && ints[1] == -2 && ints[2] == 3);
    assert_int_equal(weights_array(w, "test.bools", &a, &e), 0);
    assert_true(a.kind == WEIGHTS_BOOL && a.len == 2);
    weights_array_ints(&a, ints);
    assert_true(ints[0] == 1 && ints[1] == 0);
    assert_int_equal(weights_array(w, "test.floats", &a, &e), 0);
    assert_true(a.kind == WEIGHTS_FLOAT && a.len == 2);
    weights_array_floats(&a, floats);
    assert_true(floats[0] == 0.5 && floats[1] == -2);
    assert_int_equal(weights_array(w, "test.singles", &a, &e), 0);
    weights_array_floats(&a, floats);
    assert_true(a.len == 1 && floats[0] == 0.25);
    assert_int_equal(weights_array(w, "test.none", &a, &e), 0);
    assert_true(a.kind == WEIGHTS_STR && a.len == 0);
    assert_int_equal(weights_array(w, "test.large", &a, &e),
                     ERR_FORMAT); /* does not fit in int64 */
    assert_int_equal(weights_array(w, "test.u8", &a, &e), ERR_FORMAT);
    assert_int_equal(weights_array(w, "", &a, &e), ERR_NOTFOUND);
    weights_close(w);
    buf_done(&s.bytes);
}

static void tensors_lie_where_the_file_says(void **state)
{
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        struct sample s;
        struct weights *w;
        const struct tensor *t;
        const char *data;

        sample_make(&s, version);
        data = s.bytes.data + s.at[MARK_DATA];
        w = open_bytes(&s.bytes);
        assert_int_equal(weights_n_tensors(w), 3);
        t = weights_tensor(w, "matrix");
        assert_true(t->dtype == DTYPE_Q4_0 && t->n_dims == 2 && t->bytes == 108);
        assert_true(tensor_rows(t) == 3 && tensor_cols(t) == 64);
        assert_ptr_equal(t->data, data);
        t = weights_tensor(w, "vector");
        assert_true(t->n_dims == 1 && t->shape[0] == 5 && t->shape[3] == 1 && t->bytes == 20);
        assert_true(tensor_rows(t) == 1 && tensor_cols(t) == 5);
        assert_ptr_equal(t->data, data + 128);
        t = weights_tensor(w, "cube"); /* 2 is the fastest */
        assert_true(t->shape[0] == 4 && t->shape[1] == 3 && t->shape[2] == 2 && t->bytes == 48);
        assert_true(tensor_rows(t) == 12 && tensor_cols(t) == 2);
        assert_ptr_equal(t->data, data + 192);
        assert_null(weights_tensor(w, "cub"));
        assert_true(sample_exercise(w));
        weights_close(w);
        buf_done(&s.bytes);
    }
}

static void many_tensors_are_found(void **state)
{
    const uint64_t n = 100000, dim = 1;
    struct buf b = { .data = NULL };
    struct weights *w;
    char name[32];

    (void)state;
    put_header(&b, 3, n, 0);
    for (uint64_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "t.%llu", (unsigned long long)(i * 7919 % n));
        put_tensor(&b, name, 1, &dim, DTYPE_F32, i * 32);
    }
    put_padding(&b, 32);
    for (uint64_t i = 0; i < n; i++)
        put_le(&b, i, 32);
    w = open_bytes(&b);
    for (uint64_t i = 0; i < n; i++) {
        const struct tensor *t;
        uint32_t bits;

        snprintf(name, sizeof name, "t.%llu", (unsigned long long)(i * 7919 % n));
        t = weights_tensor(w, name);
        assert_ptr_equal(t, weights_tensor_at(w, i));
        memcpy(&bits, t->data, sizeof bits);
        assert_int_equal(bits, i);
    }
    assert_null(weights_tensor(w, "t.100000"));
    weights_close(w);
    buf_done(&b);
}

/* Pages of this process that are in memory. */
static long resident_pages(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long size = 0, resident = -1;

    if (f && fscanf(f, "%ld %ld", &size, &resident) != 2)
        resident = -1;
    if (f)
        fclose(f);
    return resident;
}

static long sum_of(const struct tensor *t)
{
    const unsigned char *p = t->data;
    long sum = 0;

    for (size_t i = 0; i < t->bytes; i++)
        sum += p[i];
    return sum;
}

static void released_tensors_leave_memory_and_come_back(void **state)
{
    const uint64_t dim = 4 << 20;
    const char last = 3;
    char path[] = "/tmp/test_gguf_XXXXXX";
    int fd = mkstemp(path);
    struct buf b = { .data = NULL };
    struct weights *w;
    long before, after;
    const struct tensor *t;

    (void)state;
    assert_true(fd >= 0);
    put_header(&b, 3, 1, 0);
    put_tensor(&b, "large", 1, &dim, DTYPE_F32, 0);
    put_padding(&b, 32);
    assert_int_equal(write(fd, b.data, b.len), (ssize_t)b.len);
    assert_int_equal(pwrite(fd, &last, 1, (off_t)(b.len + 4 * dim - 1)), 1);
    w = open_file(path);
    t = weights_tensor(w, "large");
    assert_int_equal(sum_of(t), 3);
    before = resident_pages();
    weights_release(w, t);
    after = resident_pages();
    if (before > 0)
        assert_true((before - after) * sysconf(_SC_PAGESIZE) > (long)(3 * dim));
    assert_int_equal(sum_of(t), 3);
    weights_close(w);
    weights_close(NULL);
    close(fd);
    unlink(path);
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_keys_are_read),
        cmocka_unit_test(recorded_tensors_are_read),
        cmocka_unit_test(all_recorded_files_open),
        cmocka_unit_test(ints_convert_where_they_fit),
        cmocka_unit_test(strings_bools_and_arrays),
        cmocka_unit_test(tensors_lie_where_the_file_says),
        cmocka_unit_test(many_tensors_are_found),
        cmocka_unit_test(released_tensors_leave_memory_and_come_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
