/* GGUF files that are not as they should be: each is refused with a sentence that names the
 * culprit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "inference/weights/gguf.h"
#include "tests/inference/weights/sample.h"

/* One patch of the sample: `bytes` little-endian bytes of value at mark + add, or a text. */
static const struct damage {
    enum mark mark;
    size_t add;
    size_t bytes;
    uint64_t value;
    const char *text; /* instead of a value */
    int code;
    const char *mention;
} damages[] = {
    { MARK_MAGIC, 0, 4, 0, "GGML", ERR_FORMAT, "begins with 47 47 4d 4c 'GGML'" },
    { MARK_MAGIC, 0, 4, 0, "PK\3\4", ERR_FORMAT, "not a GGUF file" },
    { MARK_MAGIC, 0, 4, 0, "FUGG", ERR_FORMAT, "not a GGUF file" },
    { MARK_VERSION, 0, 4, 0, NULL, ERR_UNSUPPORTED, "version 0" },
    { MARK_VERSION, 0, 4, 1, NULL, ERR_UNSUPPORTED, "version 1" },
    { MARK_VERSION, 0, 4, 4, NULL, ERR_UNSUPPORTED, "version 4" },
    { MARK_VERSION, 0, 4, 0x03000000, NULL, ERR_UNSUPPORTED, "big-endian" },

    /* counts */
    { MARK_N_TENSORS, 0, 8, UINT64_MAX, NULL, ERR_FORMAT, "18446744073709551615 tensors" },
    { MARK_N_TENSORS, 0, 8, UINT64_MAX / 72 + 1, NULL, ERR_FORMAT, "tensors announced" },
    { MARK_N_TENSORS, 0, 8, 1000, NULL, ERR_FORMAT, "1000 tensors" },
    { MARK_N_TENSORS, 0, 8, 4, NULL, ERR_FORMAT, "tensor 4 of 4" },
    { MARK_N_VALUES, 0, 8, UINT64_MAX, NULL, ERR_FORMAT, "18446744073709551615 keys" },
    { MARK_N_VALUES, 0, 8, 1ull << 60, NULL, ERR_FORMAT, "keys announced" },
    { MARK_N_VALUES, 0, 8, 21, NULL, ERR_FORMAT, "tensor 1 of 3" },
    { MARK_N_VALUES, 0, 8, 19, NULL, ERR_FORMAT, "tensor 1 of 3" },
    { MARK_N_VALUES, 0, 8, 0, NULL, ERR_UNSUPPORTED, "'general.alignment'" },

    /* keys and values */
    { MARK_KEY_LEN, 0, 8, UINT64_MAX, NULL, ERR_FORMAT, "key 1 of 20" },
    { MARK_KEY_LEN, 0, 8, UINT64_MAX - 7, NULL, ERR_FORMAT, "byte 24" },
    { MARK_KEY_LEN, 0, 8, 1ull << 63, NULL, ERR_FORMAT, "length of 9223372036854775808" },
    { MARK_KEY_LEN, 0, 8, 0, NULL, ERR_FORMAT, "its name is empty" },
    { MARK_KEY, 3, 1, 0, NULL, ERR_FORMAT, "NUL" },
    { MARK_KEY_TYPE, 0, 4, 13, NULL, ERR_FORMAT,
      "'general.alignment': the type of its value is 13" },
    { MARK_KEY_TYPE, 0, 4, UINT32_MAX, NULL, ERR_FORMAT, "4294967295" },
    { MARK_KEY_TYPE, 0, 4, META_F32, NULL, ERR_FORMAT, "general.alignment" },
    { MARK_KEY_TYPE, 0, 8, 0, "\5\0\0\0\xff\xff\xff\xff", ERR_FORMAT, "is -1" },
    { MARK_ALIGNMENT, 0, 4, 0, NULL, ERR_FORMAT, "general.alignment is 0" },
    { MARK_ALIGNMENT, 0, 4, 48, NULL, ERR_FORMAT, "general.alignment is 48" },
    { MARK_ALIGNMENT, 0, 4, 1u << 31, NULL, ERR_FORMAT, "2147483648" },
    { MARK_BOOL_KEY, 0, 9, 0, "test.text", ERR_FORMAT, "'test.text' appears twice" },
    { MARK_BOOL, 0, 1, 2, NULL, ERR_FORMAT, "a bool at byte" },
    { MARK_BOOL, 0, 1, 255, NULL, ERR_FORMAT, "'test.bool'" },
    { MARK_STR_TYPE, 0, 4, META_ARRAY, NULL, ERR_FORMAT, "'test.text'" },
    { MARK_STR_LEN, 0, 8, UINT64_MAX, NULL, ERR_FORMAT, "'test.text'" },
    { MARK_STR_LEN, 0, 8, (uint64_t)0 - 100, NULL, ERR_FORMAT, "'test.text'" },
    { MARK_STR_LEN, 0, 8, INT64_MAX, NULL, ERR_FORMAT, "'test.text'" },
    { MARK_ARRAY_ITEM, 0, 4, META_ARRAY, NULL, ERR_UNSUPPORTED, "'test.strs': an array of arrays" },
    { MARK_ARRAY_ITEM, 0, 4, 99, NULL, ERR_FORMAT, "'test.strs': the type of its elements is 99" },
    { MARK_ARRAY_LEN, 0, 8, UINT64_MAX, NULL, ERR_FORMAT, "'test.strs'" },
    { MARK_ARRAY_LEN, 0, 8, 1ull << 61, NULL, ERR_FORMAT, "'test.strs'" },
    { MARK_ARRAY_STR_LEN, 0, 8, UINT64_MAX, NULL, ERR_FORMAT, "'test.strs'" },
    { MARK_INTS_ITEM, 0, 15, 0, "\7\0\0\0\3\0\0\0\0\0\0\0\1\2\0", ERR_FORMAT, "'test.ints'" },
    { MARK_INTS_LEN, 0, 8, 1ull << 63, NULL, ERR_FORMAT, "'test.ints'" },
    { MARK_INTS_LEN, 0, 8, UINT64_MAX, NULL, ERR_FORMAT, "'test.ints'" },
    { MARK_BOOLS, 1, 1, 7, NULL, ERR_FORMAT, "'test.bools': a bool at byte" },

    /* tensors */
    { MARK_NAME_LEN, 0, 8, UINT64_MAX, NULL, ERR_FORMAT, "tensor 1 of 3" },
    { MARK_NAME_LEN, 0, 8, 0, NULL, ERR_FORMAT, "its name is empty" },
    { MARK_NAME, 2, 1, 0, NULL, ERR_FORMAT, "'ma?rix': its name has a NUL" },
    { MARK_NAME, 0, 6, 0, "vector", ERR_FORMAT, "two tensors are called 'vector'" },
    { MARK_N_DIMS, 0, 4, 0, NULL, ERR_FORMAT, "'matrix': 0 dimensions" },
    { MARK_N_DIMS, 0, 4, 5, NULL, ERR_FORMAT, "'matrix': 5 dimensions" },
    { MARK_N_DIMS, 0, 4, UINT32_MAX, NULL, ERR_FORMAT, "'matrix'" },
    { MARK_DIM0, 0, 8, 0, NULL, ERR_FORMAT, "'matrix': dimension 0 is 0" },
    { MARK_DIM1, 0, 8, 0, NULL, ERR_FORMAT, "'matrix': dimension 1 is 0" },
    { MARK_DIM0, 0, 8, 33, NULL, ERR_FORMAT, "'matrix': rows of 33 values" },
    { MARK_DIM1, 0, 8, UINT64_MAX, NULL, ERR_FORMAT, "product is too large" },
    { MARK_DIM1, 0, 8, 1ull << 58, NULL, ERR_FORMAT, "product is too large" }, /* 2^64 = 0 */
    { MARK_DIM1, 0, 8, (1ull << 58) + 1, NULL, ERR_FORMAT, "product is too large" },
    { MARK_DIM1, 0, 8, 1ull << 56, NULL, ERR_FORMAT, "'matrix'" },
    { MARK_DIM1, 0, 8, 100, NULL, ERR_FORMAT, "'matrix': 3600 bytes at offset 0" },
    { MARK_VECTOR_DIM0, 0, 8, 1ull << 62, NULL, ERR_FORMAT,
      "'vector': 4611686018427387904 values" },
    { MARK_VECTOR_DIM0, 0, 8, (1ull << 62) + 5, NULL, ERR_FORMAT, "too large" },
    /* 2^64 - 64 bytes: at offset 128 the end would wrap into the file */
    { MARK_VECTOR_DIM0, 0, 8, (1ull << 62) - 16, NULL, ERR_FORMAT,
      "'vector': 18446744073709551552" },
    { MARK_CUBE_DIM0, 0, 8, 3, NULL, ERR_FORMAT, "'cube'" },
    { MARK_CUBE_N_DIMS, 0, 4, 4, NULL, ERR_FORMAT, "'cube'" },
    { MARK_TYPE, 0, 4, 26, NULL, ERR_UNSUPPORTED, "'matrix': type 26 (I32)" },
    { MARK_TYPE, 0, 4, 4, NULL, ERR_UNSUPPORTED, "'matrix': type 4" },
    { MARK_TYPE, 0, 4, UINT32_MAX, NULL, ERR_UNSUPPORTED, "type 4294967295" },
    { MARK_VECTOR_TYPE, 0, 4, 24, NULL, ERR_UNSUPPORTED, "'vector': type 24 (I8)" },
    { MARK_OFFSET, 0, 8, 1, NULL, ERR_FORMAT, "'matrix': offset 1 is not a multiple of 64" },
    { MARK_OFFSET, 0, 8, 32, NULL, ERR_FORMAT, "not a multiple of 64" },
    { MARK_OFFSET, 0, 8, 192, NULL, ERR_FORMAT, "'matrix': 108 bytes at offset 192" },
    { MARK_OFFSET, 0, 8, 1ull << 40, NULL, ERR_FORMAT, "past the end" },
    { MARK_VECTOR_OFFSET, 0, 8, (uint64_t)0 - 64, NULL, ERR_FORMAT,
      "'vector': 20 bytes at offset" },
    { MARK_VECTOR_OFFSET, 0, 8, 1ull << 63, NULL, ERR_FORMAT, "'vector'" },
};

/* Opens a copy that ends where the heap block ends, so that AddressSanitizer sees each byte too
 * far. */
static int open_copy(const char *bytes, size_t n, struct err *e)
{
    struct weights *w = NULL;
    char *copy = malloc(n ? n : 1);
    int rc;

    assert_non_null(copy);
    memcpy(copy, bytes, n);
    *e = (struct err){ .code = 0 };
    rc = weights_open_memory(&w, "damaged.gguf", copy, n, e);
    if (rc == 0)
        assert_true(sample_exercise(w));
    else
        assert_null(w);
    weights_close(w);
    free(copy);
    return rc;
}

static void damaged_fields_are_refused(void **state)
{
    struct sample s;
    struct err e;

    (void)state;
    sample_make(&s, 3);
    assert_int_equal(open_copy(s.bytes.data, s.bytes.len, &e), 0);
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        const struct damage *d = &damages[i];
        char *copy = malloc(s.bytes.len), *at = copy + s.at[d->mark] + d->add;

        memcpy(copy, s.bytes.data, s.bytes.len);
        for (size_t j = 0; j < d->bytes; j++)
            at[j] = (char)(d->text ? (uint64_t)d->text[j] : d->value >> 8 * j & 255);
        if (open_copy(copy, s.bytes.len, &e) != d->code || !strstr(e.text, d->mention) ||
            strncmp(e.text, "damaged.gguf: ", 14) != 0 || strchr(e.text, '\n'))
            fail_msg("damage %zu: expected %d and \"%s\", found %d and \"%s\"", i, d->code,
                     d->mention, e.code, e.text);
        free(copy);
    }
    buf_done(&s.bytes);
}

static void cut_off_anywhere_is_refused(void **state)
{
    struct sample s;
    struct err e;

    (void)state;
    sample_make(&s, 2);
    for (size_t n = 0; n < s.bytes.len; n++) {
        assert_int_not_equal(open_copy(s.bytes.data, n, &e), 0);
        assert_true(e.code == ERR_FORMAT && e.text[0]);
    }
    assert_int_equal(open_copy(s.bytes.data, s.bytes.len, &e), 0);
    buf_done(&s.bytes);
}

/* No claim on which are refused: what opens must keep every promise, what does not must say why. */
static void single_bytes_changed_do_no_harm(void **state)
{
    static const unsigned char values[] = { 0, 1, 2, 4, 8, 9, 0x20, 0x7f, 0x80, 0xfe, 0xff };
    struct sample s;
    struct err e;
    size_t n_refused = 0;

    (void)state;
    sample_make(&s, 3);
    for (size_t i = 0; i < s.at[MARK_DATA]; i++) {
        char old = s.bytes.data[i];

        for (size_t j = 0; j < sizeof values; j++) {
            s.bytes.data[i] = (char)values[j];
            if (open_copy(s.bytes.data, s.bytes.len, &e) != 0) {
                assert_true(e.code < 0 && strlen(e.text) > 20);
                n_refused++;
            }
        }
        s.bytes.data[i] = old;
    }
    assert_true(n_refused > 1000);
    buf_done(&s.bytes);
}

static void expect_refused(const char *path, int code, const char *mention)
{
    struct weights *w = NULL;
    struct err e = { .code = 0 };

    if (weights_open(&w, path, &e) != code || !strstr(e.text, mention) || w)
        fail_msg("%s: expected %d and \"%s\", found %d and \"%s\"", path, code, mention, e.code,
                 e.text);
    assert_int_equal(weights_open(&w, path, NULL), code);
}

static void what_is_no_file_is_refused(void **state)
{
    char dir[] = "/tmp/test_gguf_XXXXXX", path[64], longer[1200] = "/tmp/";
    FILE *f;

    (void)state;
    assert_non_null(mkdtemp(dir));
    expect_refused(dir, ERR_IO, "directory");
    snprintf(path, sizeof path, "%s/none", dir);
    expect_refused(path, ERR_IO, path);
    expect_refused(path, ERR_IO, "No such file");
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_refused(path, ERR_IO, "pipe");
    unlink(path);
    f = fopen(path, "w");
    assert_non_null(f);
    expect_refused(path, ERR_FORMAT, "empty");
    fputs("GG", f);
    fflush(f);
    expect_refused(path, ERR_FORMAT, "begins with 47 47 'GG'");
    fclose(f);
    unlink(path);
    rmdir(dir);
    for (size_t i = 5; i < sizeof longer - 10; i++)
        longer[i] = i % 100 ? 'x' : '/';
    strcat(longer, "last.gguf");
    expect_refused(longer, ERR_IO, "last.gguf: cannot open");
}

/* Without tensors nothing needs to follow the keys, not even the padding. */
static void a_vocabulary_alone_is_a_file(void **state)
{
    struct buf b = { .data = NULL };
    struct err e;

    (void)state;
    put_header(&b, 3, 0, 0);
    assert_int_equal(open_copy(b.data, b.len, &e), 0);
    buf_reset(&b);
    put_header(&b, 3, 0, 1);
    put_key(&b, "k", META_U8);
    put_le(&b, 1, 1);
    assert_int_equal(open_copy(b.data, b.len, &e), 0);
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_fields_are_refused),
        cmocka_unit_test(cut_off_anywhere_is_refused),
        cmocka_unit_test(single_bytes_changed_do_no_harm),
        cmocka_unit_test(what_is_no_file_is_refused),
        cmocka_unit_test(a_vocabulary_alone_is_a_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
