/* router: which route a method and path find, and what answers where there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fcgi/cors.h"
#include "fcgi/router.h"
#include "tests/fcgi/fake_conn.h"

static void handler(struct app *app, struct request *r, struct reply *p)
{
    (void)app;
    (void)r;
    (void)p;
}

static const struct route table[] = {
    { "POST", "/v1/chat", handler, false },
    { "GET", "/v1/models", handler, false },
    { "GET", "/v1/models/{id}", handler, false },
    { "DELETE", "/v1/models/{id}", handler, false },
    { 0 },
};

static void routes(void **state)
{
    static const struct {
        const char *method, *path;
        int route, status; /* index, or -1 and the status of the answer */
        const char *tail, *headers;
    } cases[] = {
        { "POST", "/v1/chat", 0, 0, "", "" },
        { "GET", "/v1/models", 1, 0, "", "" },
        { "HEAD", "/v1/models", 1, 0, "", "" },
        { "GET", "/v1/models/a", 2, 0, "a", "" },
        { "GET", "/v1/models/org/a", 2, 0, "org/a", "" },
        { "DELETE", "/v1/models/a", 3, 0, "a", "" },
        { "GET", "/v1/models/", -1, 404, "", "" },
        { "GET", "/v1/model", -1, 404, "", "" },
        { "GET", "/v1/modelsx", -1, 404, "", "" },
        { "GET", "/", -1, 404, "", "" },
        { "POST", "/v1/chat/", -1, 404, "", "" },
        { "GET", "/v1/chat", -1, 405, "", "Allow: POST, OPTIONS\r\n" },
        { "get", "/v1/models", -1, 405, "", "Allow: GET, HEAD, OPTIONS\r\n" },
        { "PUT", "/v1/models/x", -1, 405, "", "Allow: GET, HEAD, DELETE, OPTIONS\r\n" },
        { "OPTIONS", "/v1/chat", -1, 204, "", "Allow: POST, OPTIONS\r\n" },
        { "OPTIONS", "/nowhere", -1, 404, "", "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fake_conn c;
        struct request r = { .method = cases[i].method, .path = cases[i].path };
        struct reply p;
        const struct route *found;

        fake_conn_init(&c, "", 0);
        reply_init(&p, &c.conn, "id", false);
        found = router_find(table, NULL, &r, &p);
        assert_ptr_equal(found, cases[i].route < 0 ? NULL : &table[cases[i].route]);
        assert_string_equal(r.tail, cases[i].tail);
        assert_string_equal(buf_str(&p.headers), cases[i].headers);
        if (!found) {
            assert_int_equal(p.status, cases[i].status);
            if (p.status == 404)
                assert_non_null(strstr(p.body.data, cases[i].path));
        }
        reply_done(&p);
        fake_conn_done(&c);
    }
}

static void options_for_browsers(void **state)
{
    static const char *const params[] = { "HTTP_ACCESS_CONTROL_REQUEST_HEADERS=x-a, authorization",
                                          NULL };
    struct fake_conn c;
    struct request r = { .method = "OPTIONS",
                         .path = "/v1/chat",
                         .params = (char *const *)(uintptr_t)params };
    struct reply p;

    (void)state;
    fake_conn_init(&c, "", 0);
    reply_init(&p, &c.conn, "id", false);
    assert_null(router_find(table, "*", &r, &p));
    assert_int_equal(p.status, 204);
    assert_non_null(strstr(p.headers.data, "Access-Control-Allow-Methods: POST, OPTIONS\r\n"));
    assert_non_null(strstr(p.headers.data, "Access-Control-Allow-Headers: x-a, authorization\r\n"));
    reply_done(&p);
    fake_conn_done(&c);
}

static void sites_that_may_ask(void **state)
{
    static const char a[] = "https://a.example", b[] = "https://b.example:8443";
    static const char two[] = "https://a.example,  https://b.example:8443";
    static const struct {
        const char *allowed, *origin, *answer; /* NULL: no header */
        bool varies;
    } cases[] = {
        { NULL, a, NULL, false },
        { "*", a, "*", false },
        { "*", NULL, "*", false },
        { a, a, a, false },
        { a, b, a, false },
        { two, a, a, true },
        { two, b, b, true },
        { two, NULL, NULL, true },
        { two, "https://a.example,", NULL, true },
        { two, "https://a", NULL, true },
        { two, "", NULL, true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[100], origin[100];
        char *params[] = { origin, NULL };
        struct fake_conn c;
        struct request r = { .method = "GET", .params = cases[i].origin ? params : NULL };
        struct reply p;

        snprintf(origin, sizeof origin, "HTTP_ORIGIN=%s", cases[i].origin ? cases[i].origin : "");
        fake_conn_init(&c, "", 0);
        reply_init(&p, &c.conn, "id", false);
        cors_begin(cases[i].allowed, &r, &p);
        snprintf(line, sizeof line, "Access-Control-Allow-Origin: %s\r\n",
                 cases[i].answer ? cases[i].answer : "");
        assert_int_equal(strstr(buf_str(&p.headers), line) != NULL, cases[i].answer != NULL);
        assert_int_equal(strstr(buf_str(&p.headers), "Vary: Origin\r\n") != NULL, cases[i].varies);
        reply_done(&p);
        fake_conn_done(&c);
    }
}

static void long_paths_are_cut_in_messages(void **state)
{
    static char path[5000];
    struct fake_conn c;
    struct request r = { .method = "GET", .path = path };
    struct reply p;

    (void)state;
    memset(path, '\xff', sizeof path - 1);
    path[0] = '/';
    fake_conn_init(&c, "", 0);
    reply_init(&p, &c.conn, "id", false);
    assert_null(router_find(table, NULL, &r, &p));
    assert_int_equal(p.status, 404);
    assert_true(p.body.len < 2000);
    assert_null(strchr(p.body.data, '\xff')); /* JSON stays UTF-8 */
    reply_done(&p);
    fake_conn_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes),
        cmocka_unit_test(options_for_browsers),
        cmocka_unit_test(sites_that_may_ask),
        cmocka_unit_test(long_paths_are_cut_in_messages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
