/* intake: records in pieces of any size, and peers who lie about lengths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fcgi/intake.h"
#include "tests/fcgi/records.h"

enum { BODY_LIMIT = 1000, REQUESTS = 77 };

/* Feeds all of b in pieces of `piece` bytes; the first error. */
static int feed(struct intake *in, const struct buf *b, size_t piece, struct err *e)
{
    int rc = 0;

    e->code = 0;
    intake_init(in, BODY_LIMIT, REQUESTS);
    for (size_t at = 0; !rc && at < b->len; at += piece)
        rc = intake_feed(in, b->data + at, b->len - at < piece ? b->len - at : piece, e);
    return rc;
}

static const size_t pieces[] = { 1, 7, 8, 9, 31, 100000 };

#define FOR_PIECES(piece) \
    for (size_t k = 0, piece; k < sizeof pieces / sizeof *pieces && (piece = pieces[k]); k++)

static void whole_requests(void **state)
{
    struct buf b = { 0 };
    struct intake in;
    struct err e;
    char body[64];

    (void)state;
    put_request(&b, 513, "POST", "/v1/models", "0123456789");
    FOR_PIECES(piece)
    {
        assert_int_equal(feed(&in, &b, piece, &e), 0);
        assert_int_equal(in.state, INTAKE_WHOLE);
        assert_false(in.has_rest);
        assert_int_equal(in.id, 513);
        assert_int_equal(in.n_pairs, 2);
        assert_int_equal(in.head.len, in.pair_at);
        assert_int_equal(in.owed.len, 0);
        assert_int_equal(intake_read(&in, body, 4), 4);
        assert_int_equal(intake_read(&in, body + 4, sizeof body), 6);
        assert_memory_equal(body, "0123456789", 10);
        assert_int_equal(intake_read(&in, body, 4), 0);
        assert_int_equal(intake_read(&in, body, 4), 0);
        intake_done(&in);
    }
    buf_done(&b);
}

/* Padding, parameters cut anywhere into many records, a body in many, management records between.
 */
static void odd_shapes(void **state)
{
    static const unsigned char padded[] = { 1,     STDIN, 0, 1, 0, 2, 3, 0, 'a', 'b', 9, 9, 9, 1,
                                            STDIN, 0,     1, 0, 0, 7, 0, 9, 9,   9,   9, 9, 9, 9 };
    struct buf b = { 0 }, params = { 0 };
    struct intake in;
    struct err e;

    (void)state;
    put_pair(&params, "REQUEST_METHOD", "GET");
    buf_put(&params, "\x04\x00NAME", 6);
    buf_put(&params, "\x00\x00", 2);
    put_record(&b, GET_VALUES, 0,
               "\x0e\x00"
               "FCGI_MAX_CONNS",
               16);
    put_record(&b, 99, 0, "what", 4);
    put_begin(&b, 1, RESPONDER);
    for (size_t i = 0; i < params.len; i++)
        put_record(&b, PARAMS, 1, params.data + i, 1);
    put_begin(&b, 2, RESPONDER); /* a second request: refused, and what follows of it disregarded */
    put_record(&b, PARAMS, 2, "\xff\xff\xff\xff", 4);
    put_record(&b, PARAMS, 1, NULL, 0);
    put_record(&b, STDIN, 1, "x", 1);
    put_record(&b, GET_VALUES, 0, NULL, 0);
    buf_put(&b, padded, sizeof padded);
    FOR_PIECES(piece)
    {
        assert_int_equal(feed(&in, &b, piece, &e), 0);
        assert_int_equal(in.state, INTAKE_WHOLE);
        assert_int_equal(in.n_pairs, 3);
        assert_int_equal(in.body.len, 3);
        assert_memory_equal(in.body.data, "xab", 3);
        /* values, unknown type 99, no multiplexing for 2, no values */
        assert_int_equal(in.owed.len, 8 + 18 + 16 + 16 + 8);
        assert_memory_equal(in.owed.data + 8,
                            "\x0e\x02"
                            "FCGI_MAX_CONNS77",
                            18);
        assert_int_equal(in.owed.data[26 + 1], UNKNOWN_TYPE);
        assert_int_equal(in.owed.data[26 + 8], 99);
        assert_memory_equal(in.owed.data + 42, "\x01\x03\x00\x02\x00\x08\x00\x00\0\0\0\0\x01", 13);
        intake_done(&in);
    }
    buf_done(&b);
    buf_done(&params);
}

/* libfcgi writes its answer to this into 64 bytes. */
static void many_values(void **state)
{
    struct buf b = { 0 }, names = { 0 };
    struct intake in;
    struct err e;

    (void)state;
    for (int i = 0; i < 28; i++)
        buf_put(&names,
                "\x0e\x00"
                "FCGI_MAX_CONNS\x0f\x01"
                "FCGI_MPXS_CONNSx",
                i % 2 ? 34 : 16);
    put_record(&b, GET_VALUES, 0, names.data, 500);
    assert_int_equal(feed(&in, &b, 7, &e), 0);
    assert_int_equal(in.owed.len, 8 + 18 + 18);
    intake_done(&in);
    buf_reset(&b);
    put_record(&b, GET_VALUES, 0, names.data, 600);
    assert_int_equal(feed(&in, &b, 7, &e), ERR_LIMIT);
    assert_int_equal(in.owed.len, 0);
    intake_done(&in);
    buf_reset(&b);
    for (int i = 0; i < 100; i++)
        put_record(&b, GET_VALUES, 0, names.data, 34);
    assert_int_equal(feed(&in, &b, 7, &e), ERR_FORMAT);
    assert_true(in.owed.len < 1000);
    intake_done(&in);
    buf_done(&b);
    buf_done(&names);
}

/* Lengths as in CVE-2025-23016, and around: refused when they are said, with an answer for the
 * client, and without the memory that they ask for. */
static void lengths_that_lie(void **state)
{
    static const unsigned lengths[][2] = {
        { 0x7fffffff, 0x7fffffff },
        { 0x7ffffffe, 1 },
        { 0x7ffffffe, 0x7ffffffe },
        { 1 << 30, 1 << 30 },
        { 5, 0x7fffffff },
        { 65528, 0 },
        { 0, 65521 },
        { 32768, 32768 },
    };
    struct intake in;
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        FOR_PIECES(piece)
        {
            struct buf b = { 0 }, pair = { 0 };

            put_length(&pair, lengths[i][0]);
            put_length(&pair, lengths[i][1]);
            buf_puts(&pair, "ab");
            put_begin(&b, 1, RESPONDER);
            put_record(&b, PARAMS, 1, pair.data, pair.len);
            assert_int_equal(feed(&in, &b, piece, &e), ERR_LIMIT);
            assert_non_null(strstr(e.text, "expected at most 65528 bytes of parameters"));
            assert_int_equal(in.owed.data[1], STDOUT);
            assert_memory_equal(in.owed.data + 8, "Status: 431 ", 12);
            assert_true(intake_bytes(&in) < 2000);
            intake_done(&in);
            buf_done(&b);
            buf_done(&pair);
        }
}

/* The most that is allowed, and one more. */
static void limits(void **state)
{
    static char value[INTAKE_HEAD_MAX];
    struct intake in;
    struct err e;

    (void)state;
    memset(value, 'v', sizeof value);
    for (size_t more = 0; more < 2; more++) {
        struct buf b = { 0 }, params = { 0 };

        put_length(&params, 1);
        put_length(&params, (unsigned)(INTAKE_HEAD_MAX - 9 + more));
        buf_puts(&params, "N");
        buf_put(&params, value, INTAKE_HEAD_MAX - 9);
        put_begin(&b, 1, RESPONDER);
        put_record(&b, PARAMS, 1, params.data, 30000);
        put_record(&b, PARAMS, 1, params.data + 30000, params.len - 30000);
        put_record(&b, PARAMS, 1, NULL, 0);
        assert_int_equal(feed(&in, &b, 4096, &e), more ? ERR_LIMIT : 0);
        assert_int_equal(in.state, more ? INTAKE_HEAD : INTAKE_BODY);
        intake_done(&in);
        buf_reset(&b);
        buf_reset(&params);
        for (size_t i = 0; i < INTAKE_PAIRS_MAX + more; i++)
            buf_put(&params, "\x01\x00N", 3);
        put_begin(&b, 1, RESPONDER);
        put_record(&b, PARAMS, 1, params.data, params.len);
        put_record(&b, PARAMS, 1, NULL, 0);
        assert_int_equal(feed(&in, &b, 31, &e), more ? ERR_LIMIT : 0);
        intake_done(&in);
        buf_done(&b);
        buf_done(&params);
    }
}

static void large_bodies(void **state)
{
    static char body[60000];
    struct intake in;
    struct err e;
    struct buf b = { 0 };

    (void)state;
    memset(body, 'b', sizeof body);
    put_request(&b, 1, "POST", "/", "");
    b.len -= 8; /* without the end of the body */
    put_record(&b, STDIN, 1, body, BODY_LIMIT);
    assert_int_equal(feed(&in, &b, 100, &e), 0);
    assert_int_equal(in.state, INTAKE_BODY);
    intake_done(&in);
    put_record(&b, STDIN, 1, body, sizeof body);
    assert_int_equal(feed(&in, &b, 100, &e), 0);
    assert_int_equal(in.state, INTAKE_WHOLE);
    assert_true(in.has_rest);
    assert_true(in.body.len > BODY_LIMIT && in.body.len <= BODY_LIMIT + 100);
    in.broken = true;
    while (intake_read(&in, body, 64) > 0)
        ;
    assert_int_equal(intake_read(&in, body, 64), -1);
    intake_done(&in);
    buf_done(&b);
}

/* One record after a beginning, and what becomes of it. */
static void what_is_wrong(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        int state, rc; /* where the beginning leaves it: 0 nothing, 1 after BEGIN, 2 after PARAMS */
        const char *says;
    } cases[] = {
        { "GET / HT", 8, 0, ERR_FORMAT, "expected FastCGI version 1, found 71" },
        { "\x01\x05\0\x01\0\0\0\0", 8, 0, ERR_FORMAT, "expected FCGI_BEGIN_REQUEST, found" },
        { "\x01\x02\0\x01\0\0\0\0", 8, 0, ERR_FORMAT, "expected FCGI_BEGIN_REQUEST, found" },
        { "\x01\x01\0\x01\0\x07\0\0", 8, 0, ERR_FORMAT, "of 8 bytes, found 7" },
        { "\x01\x01\0\x01\0\x08\0\0\0\x04\0\0\0\0\0\0", 16, 0, ERR_FORMAT, "a role of 1 to 3" },
        { "\x01\x01\0\x01\0\x08\0\0", 8, 1, ERR_FORMAT, "a second FCGI_BEGIN_REQUEST" },
        { "\x01\x05\0\x01\0\0\0\0", 8, 1, ERR_FORMAT, "where parameters were expected" },
        { "\x01\x04\0\x01\0\x01\0\0\x05\x01\x04\0\x01\0\0\0\0", 17, 1, ERR_FORMAT, "is cut off" },
        { "\x01\x04\0\x01\0\x01\0\0x", 9, 2, ERR_FORMAT, "where parts of the body were expected" },
        { "\x01\x06\0\x01\0\0\0\0", 8, 2, ERR_FORMAT, "where parts of the body were expected" },
        { "\x01\x05\0\x09\0\x02\0\0xy", 10, 2, 0, NULL },
        { "\x01\x02\0\x01\0\0\0\0", 8, 1, 0, NULL },
        { "\x01\x02\0\x01\0\0\0\0", 8, 2, 0, NULL },
    };
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        FOR_PIECES(piece)
        {
            struct buf b = { 0 };
            struct intake in;

            if (cases[i].state)
                put_begin(&b, 1, RESPONDER);
            if (cases[i].state == 2)
                put_record(&b, PARAMS, 1, NULL, 0);
            buf_put(&b, cases[i].bytes, cases[i].len);
            assert_int_equal(feed(&in, &b, piece, &e), cases[i].rc);
            if (cases[i].rc)
                assert_non_null(strstr(e.text, cases[i].says));
            else if (cases[i].bytes[1] == ABORT)
                assert_true(in.state == INTAKE_ABORTED && in.owed.data[1] == END);
            intake_done(&in);
            buf_done(&b);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_requests), cmocka_unit_test(odd_shapes),
        cmocka_unit_test(many_values),    cmocka_unit_test(lengths_that_lie),
        cmocka_unit_test(limits),         cmocka_unit_test(large_bodies),
        cmocka_unit_test(what_is_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
