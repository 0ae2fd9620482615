/* json, value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernels/base/json.h"
#include "kernels/base/utf8.h"

/* What is read is written back in compact form. */
static void good_texts(void **state)
{
    static const struct {
        const char *text, *written;
    } cases[] = {
        { "null", "null" },
        { " [ ] ", "[]" },
        { "{}", "{}" },
        { "123", "123" },
        { "-0", "0" },
        { "1.50\n", "1.5" },
        { "1e5", "100000.0" },
        { "[true,false,null,\"\"]", "[true,false,null,\"\"]" },
        { "9223372036854775807", "9223372036854775807" },
        { "-9223372036854775808", "-9223372036854775808" },
        { "[9223372036854775808, 1]", "[9.223372036854776e+18,1]" },
        { "-123456789012345678901234567890", "-1.2345678901234568e+29" },
        { "{\"b\":1,\"a\":[2],\"b\":3}", "{\"b\":3,\"a\":[2]}" },
        { "{\"\":0}", "{\"\":0}" },
        { "\"\\u0000x\\n\\/\"", "\"\\u0000x\\n/\"" },
        { "\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"" },
        { "\"\\\\ud83d\\ude00\"", "\"\\\\ud83d\xef\xbf\xbd\"" },
        { "[\"\\uD836\\uDC00\",12345678901234567890]",
          "[\"\xf0\x9d\xa0\x80\",1.2345678901234567e+19]" },
        { "\"a\\ud800\"", "\"a\xef\xbf\xbd\"" },
        { "\"\\udc00b\"", "\"\xef\xbf\xbd"
                          "b\"" },
        { "\"\xc3\xbc \xf0\x9f\xa6\x99\"", "\"\xc3\xbc \xf0\x9f\xa6\x99\"" },
        { "[[[1]],{\"x\":{\"y\":[]}}]", "[[[1]],{\"x\":{\"y\":[]}}]" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a;
        struct value *v;
        struct buf b = { 0 };
        struct err e = { 0 };

        arena_init(&a, 1 << 20);
        if (json_parse(cases[i].text, strlen(cases[i].text), 8, &a, &v, &e) != 0)
            fail_msg("%s: %s", cases[i].text, e.text);
        json_write(&b, v);
        assert_string_equal(buf_str(&b), cases[i].written);
        buf_done(&b);
        arena_done(&a);
    }
}

/* json-c itself gives up on half of a plane. */
static void every_pair_of_surrogates(void **state)
{
    (void)state;
    for (uint32_t cp = 0x10000; cp < 0x110000; cp += 0x101) {
        char text[16], want[5] = { 0 };
        struct arena a;
        struct value *v;

        snprintf(text, sizeof text, "\"\\u%04x\\u%04X\"", 0xd800 + ((cp - 0x10000) >> 10),
                 0xdc00 + (cp & 0x3ff));
        utf8_encode(want, cp);
        arena_init(&a, 1 << 20);
        assert_int_equal(json_parse(text, strlen(text), 8, &a, &v, NULL), 0);
        assert_int_equal(v->kind, VALUE_STRING);
        assert_int_equal(v->string.len, 4);
        assert_memory_equal(v->string.data, want, 4);
        arena_done(&a);
    }
}

static void bad_texts(void **state)
{
    static const struct {
        const char *text;
        int code;
        const char *says;
    } cases[] = {
        { "", ERR_FORMAT, "byte 0" },
        { "  ", ERR_FORMAT, "unexpected end" },
        { "[1", ERR_FORMAT, "unexpected end" },
        { "[1,]", ERR_FORMAT, "byte 3" },
        { "{\"a\":1,}", ERR_FORMAT, "byte 7" },
        { "[1] x", ERR_FORMAT, "byte 4" },
        { "[1] [2]", ERR_FORMAT, "byte 4" },
        { "[1]]", ERR_FORMAT, "byte 3" },
        { "[01]", ERR_FORMAT, "byte 1" },
        { "-01", ERR_FORMAT, "byte 0" },
        { "[1.]", ERR_FORMAT, "byte 3" },
        { "1e", ERR_FORMAT, "exponent" },
        { "[-]", ERR_FORMAT, "byte 2" },
        { "[+1]", ERR_FORMAT, "byte 1" },
        { "[.5]", ERR_FORMAT, "byte 1" },
        { "NaN", ERR_FORMAT, "byte 0" },
        { "[Infinity]", ERR_FORMAT, "byte 1" },
        { "-Infinity", ERR_FORMAT, "byte 1" },
        { "[nan]", ERR_FORMAT, "byte 1" },
        { "True", ERR_FORMAT, "byte 0" },
        { "1e999", ERR_FORMAT, "1e999" },
        { "\"a\nb\"", ERR_FORMAT, "byte 2" },
        { "\"abc", ERR_FORMAT, "byte 0" },
        { "\"\\q\"", ERR_FORMAT, "byte 2" },
        { "\"\\u12g4\"", ERR_FORMAT, "byte 5" },
        { "\"abc\\", ERR_FORMAT, "byte 0" },
        { "\"\xff\"", ERR_FORMAT, "byte 1" },
        { "\"\xed\xa0\x80\"", ERR_FORMAT, "byte 1" },
        { "\"\xc0\x80\"", ERR_FORMAT, "byte 1" },
        { "\"\xe2\x82\"", ERR_FORMAT, "byte 1" },
        { "\xef\xbb\xbf[1]", ERR_FORMAT, "byte 0" },
        { "/*c*/1", ERR_FORMAT, "byte 0" },
        { "[1 // c\n]", ERR_FORMAT, "byte 3" },
        { "'a'", ERR_FORMAT, "byte 0" },
        { "{a:1}", ERR_FORMAT, "byte 1" },
        { "{\"a\\u0000b\" : 1}", ERR_FORMAT, "NUL" },
        { "{\"a\" 1}", ERR_FORMAT, "byte 5" },
        { "{1:1}", ERR_FORMAT, "byte 1" },
        { "[1 2]", ERR_FORMAT, "byte 3" },
        { "[[[[[[[[[1]]]]]]]]]", ERR_LIMIT, "byte 8" },
        { "[\f1]", ERR_FORMAT, "byte 1" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena a;
        struct value *v = (struct value *)&a;
        struct err e = { 0 };
        int rc;

        arena_init(&a, 1 << 20);
        rc = json_parse(cases[i].text, strlen(cases[i].text), 8, &a, &v, &e);
        if (rc != cases[i].code || e.code != rc || !strstr(e.text, cases[i].says) || v)
            fail_msg("%s: %d %s", cases[i].text, rc, e.text);
        arena_done(&a);
    }
}

/* The text need not end in a NUL, and bytes behind it are not looked at. */
static void text_is_bounded_by_len(void **state)
{
    char *text = malloc(3);
    struct arena a;
    struct value *v;

    (void)state;
    memcpy(text, "123", 3);
    arena_init(&a, 0);
    assert_int_equal(json_parse(text, 3, 4, &a, &v, NULL), 0);
    assert_int_equal(v->integer, 123);
    assert_int_equal(json_parse(text, 2, 4, &a, &v, NULL), 0);
    assert_int_equal(v->integer, 12);
    memcpy(text, "1\0 ", 3);
    assert_int_equal(json_parse(text, 3, 4, &a, &v, NULL), ERR_FORMAT);
    free(text);
    arena_done(&a);
}

/* "[{},{},..." of 3 MB would be 750 MB in json-c. */
static void memory_is_bounded(void **state)
{
    size_t n = 1000000;
    char *text = malloc(3 * n + 2);
    struct arena a;
    struct value *v;
    struct err e;

    (void)state;
    for (size_t i = 0; i < n; i++)
        memcpy(text + 1 + 3 * i, "{},", 3);
    text[0] = '[';
    text[3 * n] = ']';
    arena_init(&a, 16 << 20);
    assert_int_equal(json_parse(text, 3 * n + 1, 4, &a, &v, &e), ERR_NOMEM);
    assert_true(a.used_bytes <= 16 << 20);
    arena_done(&a);

    memset(text, 'x', 3 * n);
    text[0] = text[3 * n - 1] = '"';
    arena_init(&a, 1 << 20);
    assert_int_equal(json_parse(text, 3 * n, 4, &a, &v, &e), ERR_NOMEM);
    arena_done(&a);
    arena_init(&a, 4 << 20);
    assert_int_equal(json_parse(text, 3 * n, 4, &a, &v, &e), 0);
    assert_int_equal(v->string.len, 3 * n - 2);
    arena_done(&a);
    free(text);
}

static void deep_texts_stop_at_the_limit(void **state)
{
    size_t n = 200000;
    char *text = malloc(n);
    struct arena a;
    struct value *v;

    (void)state;
    memset(text, '[', n);
    arena_init(&a, 0);
    assert_int_equal(json_parse(text, n, 1 << 30, &a, &v, NULL), ERR_LIMIT);
    memset(text + 1000, ']', 1000);
    assert_int_equal(json_parse(text, 2000, 1000, &a, &v, NULL), 0);
    assert_int_equal(json_parse(text, 2000, 999, &a, &v, NULL), ERR_LIMIT);
    free(text);
    arena_done(&a);
}

static void doubles_are_written_as_python_does(void **state)
{
    static const struct {
        double d;
        const char *text;
    } cases[] = {
        { 0, "0.0" },
        { -0.0, "-0.0" },
        { 1, "1.0" },
        { 10, "10.0" },
        { 0.1 + 0.2, "0.30000000000000004" },
        { 123456789.123, "123456789.123" },
        { 1e15, "1000000000000000.0" },
        { 123456789012345680.0, "1.2345678901234568e+17" },
        { 1e16, "1e+16" },
        { 1.5e300, "1.5e+300" },
        { 0.0001, "0.0001" },
        { -0.00012, "-0.00012" },
        { 1e-5, "1e-05" },
        { 5e-324, "5e-324" },
        { 1.7976931348623157e308, "1.7976931348623157e+308" },
        { -1.0 / 3, "-0.3333333333333333" },
        { 9007199254740993.0, "9007199254740992.0" },
    };
    char out[JSON_DOUBLE_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_format_double(out, cases[i].d);
        assert_string_equal(out, cases[i].text);
    }
}

static void writer_mends_bad_bytes(void **state)
{
    struct buf b = { 0 };

    (void)state;
    json_write_string(&b, "a\xff\"\\\x01\x7f\xe2\x82", 8);
    assert_string_equal(buf_str(&b),
                        "\"a\xef\xbf\xbd\\\"\\\\\\u0001\x7f\xef\xbf\xbd\xef\xbf\xbd\"");
    buf_done(&b);
}

static void maps_keep_first_place_and_last_value(void **state)
{
    struct arena a;
    struct value *m, *l;
    struct buf b = { 0 };

    (void)state;
    arena_init(&a, 0);
    m = value_map(&a);
    l = value_list(&a);
    for (int i = 0; i < 31; i++) {
        char key[8];
        int n = snprintf(key, sizeof key, "k%d", i % 9);

        assert_true(value_set(&a, m, key, (size_t)n, value_int(&a, i)));
        assert_true(value_append(&a, l, value_float(&a, i)));
    }
    assert_int_equal(l->list.len, 31);
    assert_true(l->list.items[30]->number == 30);
    json_write(&b, m);
    assert_string_equal(buf_str(&b), "{\"k0\":27,\"k1\":28,\"k2\":29,\"k3\":30,\"k4\":22,\"k5\":23,"
                                     "\"k6\":24,\"k7\":25,\"k8\":26}");
    assert_int_equal(value_get(m, "k3")->integer, 30);
    assert_null(value_get(m, "k"));
    assert_null(value_get(l, "k"));
    assert_null(value_get(NULL, "k"));
    assert_false(value_append(&a, l, NULL));
    assert_false(value_set(&a, m, "x", 1, NULL));
    buf_done(&b);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_texts),
        cmocka_unit_test(every_pair_of_surrogates),
        cmocka_unit_test(bad_texts),
        cmocka_unit_test(text_is_bounded_by_len),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(deep_texts_stop_at_the_limit),
        cmocka_unit_test(doubles_are_written_as_python_does),
        cmocka_unit_test(writer_mends_bad_bytes),
        cmocka_unit_test(maps_keep_first_place_and_last_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
