/* auth, secret, limits: who may ask, and how much. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "fcgi/auth.h"
#include "fcgi/limits.h"
#include "fcgi/secret.h"

static void secrets(void **state)
{
    char key[SECRET_KEY_BYTES], other[SECRET_KEY_BYTES], text[SECRET_TEXT_BYTES],
        again[SECRET_TEXT_BYTES];
    struct secret s, t;

    (void)state;
    assert_int_equal(secret_draw(key, NULL), 0);
    assert_int_equal(secret_draw(other, NULL), 0);
    assert_int_equal(strlen(key), 12 + 43);
    assert_string_not_equal(key, other);
    assert_int_equal(secret_make(&s, key, NULL), 0);
    assert_int_equal(secret_make(&t, key, NULL), 0);
    assert_memory_not_equal(s.hash, t.hash, sizeof s.hash); /* the salt is another */
    assert_true(secret_is(&s, key, strlen(key)) && secret_is(&t, key, strlen(key)));
    assert_false(secret_is(&s, other, strlen(other)));
    assert_false(secret_is(&s, key, strlen(key) - 1));
    assert_false(secret_is(&s, "", 0));
    secret_write(&s, text);
    assert_null(strstr(text, key));
    assert_true(secret_read(&t, text));
    assert_true(secret_is(&t, key, strlen(key)));
    secret_write(&t, again);
    assert_string_equal(text, again);
    for (size_t cut = 0; cut < strlen(text); cut++) {
        memcpy(again, text, cut);
        again[cut] = '\0';
        assert_false(secret_read(&t, again));
    }
    assert_false(secret_read(&t, "$hmac-sha256$00$00"));
    assert_int_equal(secret_make(&s, "short", NULL), ERR_INVALID);
    assert_int_equal(secret_make(&s, "with a blank, but long enough", NULL), ERR_INVALID);
}

/* HMAC-SHA-256, checked with another implementation: Python's hmac, key the salt. */
static void known_answer(void **state)
{
    static const char text[] = "$hmac-sha256$000102030405060708090a0b0c0d0e0f$"
                               "33963677fd7d12e987c5ae05b492c6166c8f3966d85e2e9be8774a0843895f6e";
    struct secret s;

    (void)state;
    assert_true(secret_read(&s, text));
    assert_true(secret_is(&s, "sk-airstrip-0123456789", 22));
    assert_false(secret_is(&s, "sk-airstrip-0123456788", 22));
}

struct key_file {
    char path[32];
    int fd;
};

static void open_file(struct key_file *f)
{
    strcpy(f->path, "/tmp/test_keys.XXXXXX");
    f->fd = mkstemp(f->path);
    assert_true(f->fd >= 0);
}

static void put(struct key_file *f, const char *text)
{
    assert_int_equal(write(f->fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void put_key(struct key_file *f, const char *name, const char *key, const char *options)
{
    char text[SECRET_TEXT_BYTES];
    struct secret s;

    assert_int_equal(secret_make(&s, key, NULL), 0);
    secret_write(&s, text);
    put(f, name);
    put(f, " ");
    put(f, text);
    put(f, options);
    put(f, "\n");
}

static void close_file(struct key_file *f)
{
    close(f->fd);
    unlink(f->path);
}

#define ONE "sk-one-0123456789012345678901"
#define TWO "sk-two-0123456789012345678902"

static void keys(void **state)
{
    static const struct {
        const char *authorization, *name;
    } cases[] = {
        { "Bearer " ONE, "one" }, { "bearer  " ONE " ", "one" },
        { "Bearer " TWO, "two" }, { "Bearer " ONE "x", NULL },
        { "Bearer ", NULL },      { ONE, NULL },
        { "Basic " ONE, NULL },   { "", NULL },
        { NULL, NULL },           { "Bearer # comment", NULL },
    };
    struct key_file f;
    struct auth *a;
    struct err e;

    (void)state;
    open_file(&f);
    put(&f, "# comment\n\n");
    put_key(&f, "one", ONE, "\tmodels=small,primary concurrency=3 ");
    put_key(&f, "two", TWO, " tokens_per_minute=1000 requests_per_minute=10 manage=yes\r");
    assert_int_equal(auth_open(&a, f.path, &e), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct auth_key *k = auth_check(a, cases[i].authorization);

        if (cases[i].name)
            assert_string_equal(k->name, cases[i].name);
        else
            assert_null(k);
    }
    {
        const struct auth_key *one = auth_check(a, "Bearer " ONE),
                              *two = auth_check(a, "Bearer " TWO);

        assert_int_equal(one->rule.concurrency, 3);
        assert_int_equal(two->rule.tokens_per_minute, 1000);
        assert_int_equal(two->rule.requests_per_minute, 10);
        assert_true(auth_allows(one, "small") && auth_allows(one, "primary"));
        assert_false(auth_allows(one, "sma") || auth_allows(one, "smaller"));
        assert_true(auth_allows(two, "anything"));
        assert_true(two->manage && !one->manage);
    }
    auth_free(a);
    assert_int_equal(ftruncate(f.fd, 10), 0);
    assert_int_equal(auth_open(&a, f.path, &e), ERR_INVALID); /* it would lock everybody out */
    close_file(&f);
    assert_int_equal(auth_open(&a, f.path, &e), ERR_IO);
}

static void bad_lines(void **state)
{
    static const char *const options[] = { " models=",        " concurrency=0",
                                           " concurrency=-1", " concurrency=x",
                                           " rate=5",         " 5",
                                           " manage=no",      " tokens_per_minute=99999999999" };
    struct key_file f;
    struct auth *a;
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        open_file(&f);
        put_key(&f, "one", ONE, options[i]);
        assert_int_equal(auth_open(&a, f.path, &e), ERR_FORMAT);
        assert_non_null(strstr(e.text, ":1: "));
        close_file(&f);
    }
    open_file(&f); /* a key as it is: refused, and not repeated where others read */
    put(&f, "\n" ONE "\n");
    assert_int_equal(auth_open(&a, f.path, &e), ERR_FORMAT);
    assert_non_null(strstr(e.text, ":2: "));
    assert_null(strstr(e.text, ONE));
    close_file(&f);
    open_file(&f);
    put_key(&f, "one", ONE, "");
    put_key(&f, "one", TWO, "");
    assert_int_equal(auth_open(&a, f.path, &e), ERR_FORMAT);
    close_file(&f);
    open_file(&f);
    put_key(&f, "a=b", ONE, "");
    assert_int_equal(auth_open(&a, f.path, &e), ERR_FORMAT);
    close_file(&f);
}

static void sleep_ms(long ms)
{
    const struct timespec t = { .tv_nsec = ms * 1000000 };

    nanosleep(&t, NULL);
}

static void concurrency(void **state)
{
    const struct limit_rule rule = { .concurrency = 2 }, none = { 0 };
    struct account *a[3], *other;
    struct limits *l;
    struct err e;

    (void)state;
    assert_int_equal(limits_create(&l, &e), 0);
    assert_int_equal(limits_enter(l, "key a", "API key", &none, &other, &e), 0);
    assert_null(other);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 2; i++)
            assert_int_equal(limits_enter(l, "key a", "API key", &rule, &a[i], &e), 0);
        assert_int_equal(limits_enter(l, "key a", "API key", &rule, &a[2], &e), ERR_RATE);
        assert_int_equal(e.retry_after_s, 1);
        assert_null(a[2]);
        assert_int_equal(limits_enter(l, "key b", "API key", &rule, &other, &e), 0);
        limits_leave(l, a[0]);
        limits_leave(l, a[1]);
        limits_leave(l, other);
    }
    limits_free(l);
}

/* 60000 a minute: a thousand a second. */
static void tokens_a_minute(void **state)
{
    const struct limit_rule rule = { .tokens_per_minute = 60000 };
    struct limit_state left;
    struct account *a;
    struct limits *l;
    struct err e;

    (void)state;
    assert_int_equal(limits_create(&l, &e), 0);
    assert_int_equal(limits_enter(l, "key a", "API key", &rule, &a, &e), 0);
    limits_charge(l, a, 60000 + 2500); /* what runs may pass the limit */
    limits_state(l, a, &left);
    assert_int_equal(left.tokens_left, 0);
    assert_true(left.tokens_reset_ms > 50000 && left.tokens_reset_ms <= 62600);
    limits_leave(l, a);
    assert_int_equal(limits_enter(l, "key a", "API key", &rule, &a, &e), ERR_RATE);
    assert_true(e.retry_after_s >= 1 && e.retry_after_s <= 3);
    assert_non_null(strstr(e.text, "60000 tokens per minute"));
    for (int i = 0; i < 600 && limits_enter(l, "key a", "API key", &rule, &a, &e); i++)
        sleep_ms(100); /* a thousand a second come back */
    assert_non_null(a);
    limits_charge(l, a, 1000000000);
    limits_leave(l, a);
    assert_int_equal(limits_enter(l, "key a", "API key", &rule, &a, &e), ERR_RATE);
    assert_int_equal(e.retry_after_s, 120); /* clients take no more */
    limits_free(l);
}

static void requests_a_minute(void **state)
{
    struct limit_rule rule = { .requests_per_minute = 5 };
    struct account *a;
    struct limits *l;
    struct err e;

    (void)state;
    assert_int_equal(limits_create(&l, &e), 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(limits_enter(l, "key a", "API key", &rule, &a, &e), 0);
        limits_leave(l, a);
    }
    assert_int_equal(limits_enter(l, "key a", "API key", &rule, &a, &e), ERR_RATE);
    assert_true(e.retry_after_s >= 1 && e.retry_after_s <= 12);
    rule.requests_per_minute = 0; /* the configuration was read anew */
    rule.tokens_per_minute = 10;
    assert_int_equal(limits_enter(l, "key a", "API key", &rule, &a, &e), 0);
    limits_leave(l, a);
    limits_free(l);
}

/* More addresses than there are accounts: who is idle goes, who owes stays. */
static void many_addresses(void **state)
{
    const struct limit_rule rule = { .concurrency = 1, .tokens_per_minute = 10 };
    struct account *debtor, *a;
    struct limits *l;
    struct err e;
    char who[64];

    (void)state;
    assert_int_equal(limits_create(&l, &e), 0);
    assert_int_equal(limits_enter(l, "address debtor", "address", &rule, &debtor, &e), 0);
    limits_charge(l, debtor, 1000);
    limits_leave(l, debtor);
    for (int i = 0; i < 40000; i++) {
        snprintf(who, sizeof who, "address %d", i);
        assert_int_equal(limits_enter(l, who, "address", &rule, &a, &e), 0);
        limits_leave(l, a);
    }
    assert_int_equal(limits_enter(l, "address debtor", "address", &rule, &a, &e), ERR_RATE);
    limits_free(l);
}

static void addresses(void **state)
{
    static const struct {
        const char *address, *account;
    } cases[] = {
        { "192.0.2.7", "192.0.2.7" },
        { "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::" },
        { "::ffff:192.0.2.7", "192.0.2.7" },
        { "unix:", "unix:" },
    };
    char out[64];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        limits_address(cases[i].address, out, sizeof out);
        assert_string_equal(out, cases[i].account);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets),
        cmocka_unit_test(known_answer),
        cmocka_unit_test(keys),
        cmocka_unit_test(bad_lines),
        cmocka_unit_test(concurrency),
        cmocka_unit_test(tokens_a_minute),
        cmocka_unit_test(requests_a_minute),
        cmocka_unit_test(many_addresses),
        cmocka_unit_test(addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
