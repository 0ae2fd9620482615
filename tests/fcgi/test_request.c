/* request: paths, headers, ids and bodies as web servers pass them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fcgi/request.h"
#include "tests/fcgi/fake_conn.h"

static int begin(struct request *r, const char *const *params, struct err *e)
{
    return request_init(r, (char *const *)(uintptr_t)params, 1 << 20, e);
}

static void paths(void **state)
{
    static const struct {
        const char *params[4];
        const char *path, *query; /* path NULL: refused */
    } cases[] = {
        { { "REQUEST_METHOD=GET", "REQUEST_URI=/v1/models" }, "/v1/models", "" },
        { { "REQUEST_METHOD=GET", "REQUEST_URI=/v1/models?a=%20b&c" }, "/v1/models", "a=%20b&c" },
        { { "REQUEST_METHOD=GET", "REQUEST_URI=/v1/models/org%2Fm%c3%A9" },
          "/v1/models/org/m\xc3\xa9",
          "" },
        { { "REQUEST_METHOD=GET", "REQUEST_URI=/a+b" }, "/a+b", "" },
        { { "REQUEST_METHOD=GET", "REQUEST_URI=http://host:80/v1?q" }, "/v1", "q" },
        { { "REQUEST_METHOD=GET", "REQUEST_URI=http://host" }, "/", "" },
        { { "REQUEST_METHOD=OPTIONS", "REQUEST_URI=*" }, "*", "" },
        { { "REQUEST_METHOD=GET", "SCRIPT_NAME=/v1", "PATH_INFO=/mod%20els", "QUERY_STRING=x" },
          "/v1/mod%20els",
          "x" },
        { { "REQUEST_METHOD=GET", "PATH_INFO=/v1" }, "/v1", "" },
        { { "REQUEST_METHOD=GET", "REQUEST_URI=", "SCRIPT_NAME=/v2" }, "/v2", "" },
        { { "REQUEST_METHOD=GET", "REQUEST_URI=/%" }, NULL, NULL },
        { { "REQUEST_METHOD=GET", "REQUEST_URI=/%4" }, NULL, NULL },
        { { "REQUEST_METHOD=GET", "REQUEST_URI=/%4?" }, NULL, NULL },
        { { "REQUEST_METHOD=GET", "REQUEST_URI=/%zz" }, NULL, NULL },
        { { "REQUEST_METHOD=GET", "REQUEST_URI=/a%00b" }, NULL, NULL },
        { { "REQUEST_METHOD=GET", "REQUEST_URI=v1" }, NULL, NULL },
        { { "REQUEST_METHOD=GET" }, NULL, NULL },
        { { "REQUEST_URI=/v1" }, NULL, NULL },
        { { "REQUEST_METHOD=GET", "REQUEST_URI=/v1", "FCGI_ROLE=AUTHORIZER" }, NULL, NULL },
        { { "REQUEST_METHOD=GET", "REQUEST_URI=/v1", "FCGI_ROLE=RESPONDER" }, "/v1", "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct request r;
        struct err e = { 0 };
        const char *params[5] = { 0 };
        int rc;

        memcpy(params, cases[i].params, sizeof cases[i].params);
        rc = begin(&r, params, &e);
        assert_int_equal(rc, cases[i].path ? 0 : ERR_INVALID);
        if (cases[i].path) {
            assert_string_equal(r.path, cases[i].path);
            assert_string_equal(r.query, cases[i].query);
        }
        request_done(&r);
    }
}

static void path_longer_than_the_arena(void **state)
{
    static char uri[100000] = "REQUEST_URI=/";
    const char *params[] = { "REQUEST_METHOD=GET", uri, NULL };
    struct request r;
    struct err e = { 0 };

    (void)state;
    memset(uri + 13, 'a', sizeof uri - 14);
    assert_int_equal(request_init(&r, (char *const *)(uintptr_t)params, 1000, &e), ERR_NOMEM);
    request_done(&r);
}

static void headers_by_their_http_names(void **state)
{
    static const char *const params[] = { "REQUEST_METHOD=POST",
                                          "REQUEST_URI=/",
                                          "CONTENT_TYPE=application/json",
                                          "HTTP_X_STAINLESS_RETRY_COUNT=2",
                                          "REDIRECT_HTTP_AUTHORIZATION=Bearer k",
                                          "HTTP_EMPTY=",
                                          "HTTP_XY",
                                          NULL };
    struct request r;
    struct err e = { 0 };

    (void)state;
    assert_int_equal(begin(&r, params, &e), 0);
    assert_string_equal(request_header(&r, "Content-Type"), "application/json");
    assert_string_equal(request_header(&r, "x-stainless-retry-count"), "2");
    assert_string_equal(request_header(&r, "Authorization"), "Bearer k");
    assert_string_equal(request_header(&r, "empty"), "");
    assert_null(request_header(&r, "xy"));
    assert_null(request_header(&r, "x-stainless"));
    assert_null(request_param(&r, "CONTENT"));
    request_done(&r);
}

static void what_the_query_says(void **state)
{
    static const struct {
        const char *uri, *name, *value; /* value NULL: it is not there */
        int rc;
    } cases[] = {
        { "/slots", "model", NULL, 0 },
        { "/slots?", "model", NULL, 0 },
        { "/slots?model=a%2Fb&x=1", "model", "a/b", 0 },
        { "/slots?x=1&model=a+b", "model", "a+b", 0 },
        { "/slots?models=1&mode=2&model", "model", "", 0 },
        { "/slots?model=&model=2", "model", "", 0 },
        { "/slots?&&x==&=y", "x", "=", 0 },
        { "/slots?model=%2", "model", NULL, ERR_INVALID },
        { "/slots?model=a%00b", "model", NULL, ERR_INVALID },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char uri[64];
        const char *params[] = { "REQUEST_METHOD=GET", uri, NULL }, *value;
        struct request r;
        struct err e = { 0 };

        snprintf(uri, sizeof uri, "REQUEST_URI=%s", cases[i].uri);
        assert_int_equal(begin(&r, params, &e), 0);
        assert_int_equal(request_query(&r, cases[i].name, &value, &e), cases[i].rc);
        if (cases[i].value)
            assert_string_equal(value, cases[i].value);
        else
            assert_null(value);
        request_done(&r);
    }
}

static void ids_echoed_only_where_sane(void **state)
{
    static const struct {
        const char *param;
        bool echoed;
    } cases[] = {
        { "HTTP_X_REQUEST_ID=abc-1.2_3", true },
        { "HTTP_X_REQUEST_ID=", false },
        { "HTTP_X_REQUEST_ID=a b", false },
        { "HTTP_X_REQUEST_ID=a\r\nSet-Cookie: x", false },
        { "HTTP_X_REQUEST_ID=\xff", false },
        { "HTTP_X_REQUEST_ID=0123456789012345678901234567890123456789012345678901234567890123",
          true },
        { "HTTP_X_REQUEST_ID=01234567890123456789012345678901234567890123456789012345678901234",
          false },
    };
    char last[REQUEST_ID_MAX + 1] = "";

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *params[] = { "REQUEST_METHOD=GET", "REQUEST_URI=/", cases[i].param, NULL };
        struct request r;
        struct err e = { 0 };

        assert_int_equal(begin(&r, params, &e), 0);
        if (cases[i].echoed) {
            assert_string_equal(r.id, strchr(cases[i].param, '=') + 1);
        } else {
            assert_int_equal(strncmp(r.id, "req_", 4), 0);
            assert_int_equal(strlen(r.id), 28);
            assert_string_not_equal(r.id, last);
            strcpy(last, r.id);
        }
        request_done(&r);
    }
}

static void bodies(void **state)
{
    static const struct {
        const char *length; /* CONTENT_LENGTH; NULL: absent */
        size_t sent, limit, break_at;
        int rc;
    } cases[] = {
        { NULL, 0, 100, 0, 0 },
        { "", 0, 100, 0, 0 },
        { "0", 0, 100, 0, 0 },
        { "-1", 31, 100, 0, 0 },
        { NULL, 31, 100, 0, 0 },
        { "31", 31, 100, 0, 0 },
        { "100", 100, 100, 0, 0 },
        { NULL, 100, 100, 0, 0 },
        { "nonsense", 8, 100, 0, 0 },
        { "30", 31, 100, 0, ERR_INVALID },
        { "32", 31, 100, 0, ERR_INVALID },
        { "31", 31, 100, 14, ERR_INVALID },
        { NULL, 31, 100, 14, ERR_INVALID },
        { "101", 101, 100, 0, ERR_LIMIT },
        { NULL, 101, 100, 0, ERR_LIMIT },
        { "99999999999999999999999999", 3, 100, 0, ERR_LIMIT },
        { NULL, 60000, 70000, 0, 0 },
    };
    static char body[60000];

    (void)state;
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (char)(i * 31);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char length[64] = "CONTENT_LENGTH=";
        const char *params[] = { "REQUEST_METHOD=POST", "REQUEST_URI=/",
                                 cases[i].length ? length : NULL, NULL };
        struct fake_conn c;
        struct request r;
        struct err e = { 0 };

        if (cases[i].length)
            strcat(length, cases[i].length);
        fake_conn_init(&c, body, cases[i].sent);
        c.break_at = cases[i].break_at;
        assert_int_equal(begin(&r, params, &e), 0);
        assert_int_equal(request_read(&r, &c.conn, cases[i].limit, &e), cases[i].rc);
        if (!cases[i].rc) {
            assert_int_equal(r.body_len, cases[i].sent);
            assert_memory_equal(r.body, body, r.body_len);
            assert_int_equal(r.body[r.body_len], 0);
        } else {
            assert_int_not_equal(e.text[0], 0);
        }
        request_done(&r);
        fake_conn_done(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths),
        cmocka_unit_test(path_longer_than_the_arena),
        cmocka_unit_test(headers_by_their_http_names),
        cmocka_unit_test(what_the_query_says),
        cmocka_unit_test(ids_echoed_only_where_sane),
        cmocka_unit_test(bodies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
