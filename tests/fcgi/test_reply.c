/* reply and sse: the bytes that go to the web server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fcgi/reply.h"
#include "fcgi/sse.h"
#include "kernels/base/json.h"
#include "tests/fcgi/fake_conn.h"

static void whole_answers(void **state)
{
    static const struct {
        int status;
        bool head;
        const char *wire;
    } cases[] = {
        { 200, false,
          "Status: 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n"
          "x-request-id: id1\r\nAllow: GET\r\n\r\n{\"a\":1}" },
        { 200, true,
          "Status: 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n"
          "x-request-id: id1\r\nAllow: GET\r\n\r\n" },
        { 204, false, "Status: 204 No Content\r\nx-request-id: id1\r\nAllow: GET\r\n\r\n" },
        { 777, true,
          "Status: 500 Internal Server Error\r\nContent-Type: application/json\r\n"
          "Content-Length: 7\r\nx-request-id: id1\r\nAllow: GET\r\n\r\n" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fake_conn c;
        struct reply p;

        fake_conn_init(&c, "", 0);
        reply_init(&p, &c.conn, "id1", cases[i].head);
        p.status = cases[i].status;
        reply_header(&p, "Allow", "GET");
        reply_header(&p, "X-Bad", "a\r\nSet-Cookie: b");
        reply_header(&p, "X-\nBad", "a");
        buf_puts(&p.body, "{\"a\":1}");
        assert_true(reply_send(&p));
        assert_true(reply_send(&p)); /* a second time sends nothing */
        assert_string_equal(buf_str(&c.out), cases[i].wire);
        assert_int_equal(c.n_flushes, 1);
        reply_done(&p);
        fake_conn_done(&c);
    }
}

/* The text of one member of {"error":{...}}: "null" for null. */
static const char *member(struct arena *a, const char *json, size_t len, const char *key)
{
    struct value *root, *v;
    struct err e;

    if (json_parse(json, len, 8, a, &root, &e))
        fail_msg("%s: %s", json, e.text);
    root = value_get(root, "error");
    assert_non_null(root);
    assert_int_equal(root->map.len, 4);
    v = value_get(root, key);
    assert_non_null(v);
    return v->kind == VALUE_NULL ? "null" : v->string.data;
}

static void errors_as_openai_writes_them(void **state)
{
    static const struct {
        int code;
        const char *param;
        int status;
        const char *type, *name, *retry;
    } cases[] = {
        { ERR_FORMAT, "", 400, "invalid_request_error", "null", NULL },
        { ERR_INVALID, "messages[0].role", 400, "invalid_request_error", "null", NULL },
        { ERR_UNSUPPORTED, "tools", 400, "invalid_request_error", "unsupported_value", NULL },
        { ERR_CONTEXT, "messages", 400, "invalid_request_error", "context_length_exceeded", NULL },
        { ERR_LIMIT, "", 413, "invalid_request_error", "request_too_large", NULL },
        { ERR_NOTFOUND, "model", 404, "invalid_request_error", "model_not_found", NULL },
        { ERR_NOTFOUND, "", 404, "invalid_request_error", "not_found", NULL },
        { ERR_BUSY, "", 503, "server_error", "server_overloaded", "Retry-After: 2\r\n" },
        { ERR_LOADING, "", 503, "server_error", "model_loading", "Retry-After: 2\r\n" },
        { ERR_CLOSING, "", 503, "server_error", "shutting_down", "Retry-After: 2\r\n" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fake_conn c;
        struct reply p;
        struct arena a;
        struct err e = { .code = cases[i].code, .text = "say \"what\"" };

        arena_init(&a, 0);
        strcpy(e.param, cases[i].param);
        fake_conn_init(&c, "", 0);
        reply_init(&p, &c.conn, "id1", false);
        buf_puts(&p.body, "half an answer");
        reply_err(&p, &e);
        assert_int_equal(p.status, cases[i].status);
        assert_string_equal(member(&a, p.body.data, p.body.len, "message"), "say \"what\"");
        assert_string_equal(member(&a, p.body.data, p.body.len, "type"), cases[i].type);
        assert_string_equal(member(&a, p.body.data, p.body.len, "code"), cases[i].name);
        assert_string_equal(member(&a, p.body.data, p.body.len, "param"),
                            *cases[i].param ? cases[i].param : "null");
        assert_string_equal(buf_str(&p.headers), cases[i].retry ? cases[i].retry : "");
        reply_done(&p);
        fake_conn_done(&c);
        arena_done(&a);
    }
}

static void our_own_faults_stay_in_the_log(void **state)
{
    struct fake_conn c;
    struct reply p;
    struct err e = { .code = ERR_INTERNAL, .text = "secret /path" };

    (void)state;
    fake_conn_init(&c, "", 0);
    reply_init(&p, &c.conn, "id1", false);
    reply_err(&p, &e);
    assert_int_equal(p.status, 500);
    assert_null(strstr(p.body.data, "secret"));
    reply_done(&p);
    fake_conn_done(&c);
}

static void body_without_memory_is_a_500(void **state)
{
    struct fake_conn c;
    struct reply p;

    (void)state;
    fake_conn_init(&c, "", 0);
    reply_init(&p, &c.conn, "id1", false);
    p.body.limit = 10;
    buf_puts(&p.body, "more than ten bytes");
    assert_true(reply_send(&p));
    assert_non_null(strstr(c.out.data, "Status: 500 "));
    assert_non_null(strstr(c.out.data, "internal_error"));
    reply_done(&p);
    fake_conn_done(&c);
}

static void a_stream_frame_by_frame(void **state)
{
    struct fake_conn c;
    struct reply p;
    struct sse s;
    struct err e = { .code = ERR_CLOSING, .text = "bye" };

    (void)state;
    fake_conn_init(&c, "", 0);
    reply_init(&p, &c.conn, "id1", false);
    assert_true(sse_begin(&s, &p));
    assert_string_equal(
        c.out.data,
        "Status: 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
        "X-Accel-Buffering: no\r\nx-request-id: id1\r\n\r\n: ok\n\n");
    buf_reset(&c.out);
    assert_true(sse_frames(&s, "data: {\"a\":1}\n\n", 15));
    assert_true(sse_ping(&s));
    assert_true(sse_error(&s, &e));
    assert_string_equal(
        c.out.data, "data: {\"a\":1}\n\n: ping\n\ndata: {\"error\":{\"message\":\"bye\","
                    "\"type\":\"server_error\",\"param\":null,\"code\":\"shutting_down\"}}\n\n");
    assert_int_equal(c.n_flushes, 4);
    assert_true(reply_send(&p)); /* the worker's own call adds nothing */
    assert_int_equal(c.n_flushes, 4);
    assert_true(sse_idle_ms(&s) < 10000);
    reply_done(&p);
    fake_conn_done(&c);
}

static void a_stream_ends_where_the_client_leaves(void **state)
{
    (void)state;
    for (int after = 0; after < 4; after++) {
        struct fake_conn c;
        struct reply p;
        struct sse s;

        fake_conn_init(&c, "", 0);
        c.gone_after = after;
        reply_init(&p, &c.conn, "id1", false);
        assert_int_equal(sse_begin(&s, &p), after > 0);
        assert_int_equal(sse_frames(&s, "1", 1), after > 1);
        assert_int_equal(sse_frames(&s, "2", 1), after > 2);
        assert_false(sse_frames(&s, "3", 1));
        assert_true(s.gone);
        assert_int_equal(c.n_flushes, after);
        reply_done(&p);
        fake_conn_done(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_answers),
        cmocka_unit_test(errors_as_openai_writes_them),
        cmocka_unit_test(our_own_faults_stay_in_the_log),
        cmocka_unit_test(body_without_memory_is_a_500),
        cmocka_unit_test(a_stream_frame_by_frame),
        cmocka_unit_test(a_stream_ends_where_the_client_leaves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
