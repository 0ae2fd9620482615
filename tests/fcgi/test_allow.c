/* allow: which lists are understood, who is on them, and which sockets need one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <cmocka.h>

#include "fcgi/allow.h"

static struct sockaddr_storage address(const char *text)
{
    struct sockaddr_storage a = { .ss_family = AF_INET };

    if (inet_pton(AF_INET, text, &((struct sockaddr_in *)(void *)&a)->sin_addr) == 1)
        return a;
    a.ss_family = AF_INET6;
    assert_int_equal(inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)(void *)&a)->sin6_addr), 1);
    return a;
}

static bool is_on(const char *list, const char *peer)
{
    struct sockaddr_storage a = address(peer);
    const struct allow *l;
    struct arena arena;
    struct err e;
    bool yes;

    arena_init(&arena, 0);
    if (allow_parse(&l, "k", list, &arena, &e))
        fail_msg("%s: %s", list, e.text);
    assert_string_equal(allow_key(l), "k");
    yes = allow_has(l, &a);
    arena_done(&arena);
    return yes;
}

static void who_is_on_a_list(void **state)
{
    static const struct {
        const char *list, *peer;
        bool yes;
    } cases[] = {
        { "192.168.1.7", "192.168.1.7", true },
        { "192.168.1.7", "192.168.1.8", false },
        { "192.168.1.7/32", "192.168.1.7", true },
        { "10.0.0.0/8", "10.255.0.1", true },
        { "10.0.0.0/8", "11.0.0.1", false },
        { "10.0.0.0/8", "9.255.255.255", false },
        { "10.1.2.128/25", "10.1.2.128", true },
        { "10.1.2.128/25", "10.1.2.127", false },
        { "10.1.2.4/30", "10.1.2.7", true },
        { "10.1.2.4/30", "10.1.2.8", false },
        { "10.1.2.4/31", "10.1.2.5", true },
        { "10.1.2.4/31", "10.1.2.6", false },
        { "128.0.0.0/1", "255.255.255.255", true },
        { "128.0.0.0/1", "127.255.255.255", false },
        { "0.0.0.0/0", "203.0.113.9", true },
        { "0.0.0.0/0", "2001:db8::1", false },
        { "::/0", "2001:db8::1", true },
        { "::/0", "203.0.113.9", false },
        { "fd00::/8", "fdff:1::2", true },
        { "fd00::/8", "fe80::1", false },
        { "fc00::/7", "fd00::1", true },
        { "2001:db8::/127", "2001:db8::1", true },
        { "2001:db8::/127", "2001:db8::2", false },
        { "2001:db8::1", "2001:0db8:0:0:0:0:0:1", true },
        { "2001:db8::1/128", "2001:db8::2", false },
        /* one address in several notations, and IPv4 as an IPv6 socket sees it */
        { "10.0.0.0/8", "::ffff:10.1.2.3", true },
        { "10.0.0.0/8", "::ffff:11.1.2.3", false },
        { "::ffff:10.1.2.3", "10.1.2.3", true },
        { "::ffff:10.1.2.3", "::ffff:10.1.2.3", true },
        { "::ffff:10.0.0.0/104", "10.1.2.3", true },
        { "::ffff:0:0/96", "203.0.113.9", true },
        { "::/0", "::ffff:203.0.113.9", false },
        { "::/64", "::ffff:203.0.113.9", false },
        { "::10.1.2.3", "10.1.2.3", false }, /* the old notation, of another address */
        { "127.0.0.1", "::1", false },
        /* several */
        { "10.0.0.1,127.0.0.1,::1", "::1", true },
        { " 10.0.0.1 , 10.0.0.2\t10.0.0.3,, ", "10.0.0.3", true },
        { "10.0.0.1,10.0.0.2", "10.0.0.3", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (is_on(cases[i].list, cases[i].peer) != cases[i].yes)
            fail_msg("\"%s\": %s should%s be on it", cases[i].list, cases[i].peer,
                     cases[i].yes ? "" : " not");
    }
}

/* Every length of prefix, against the definition: the first bits are the same. */
static void prefixes_of_every_length(void **state)
{
    (void)state;
    for (unsigned family = 0; family < 2; family++)
        for (unsigned prefix = 0, bits = family ? 128 : 32; prefix <= bits; prefix++)
            for (unsigned flip = 0; flip < bits; flip++) {
                unsigned char peer[16], net[16];
                char list[80], from[64];

                for (unsigned i = 0; i < 16; i++)
                    peer[i] = (unsigned char)(0xb5 ^ (37 * i)); /* no IPv4-mapped one */
                memcpy(net, peer, 16);
                for (unsigned i = prefix; i < bits; i++)
                    net[i / 8] &= (unsigned char)~(0x80 >> i % 8);
                peer[flip / 8] ^= (unsigned char)(0x80 >> flip % 8);
                inet_ntop(family ? AF_INET6 : AF_INET, net, list, sizeof list);
                inet_ntop(family ? AF_INET6 : AF_INET, peer, from, sizeof from);
                snprintf(list + strlen(list), 8, "/%u", prefix);
                if (is_on(list, from) != (flip >= prefix))
                    fail_msg("%s: %s", list, from);
            }
}

static void bad_lists_say_where(void **state)
{
    static const struct {
        const char *list, *message;
    } cases[] = {
        { "", "k: expected addresses, found none" },
        { " , ", "k: expected addresses, found none" },
        { "10.0.0/8", "k: expected an address such as 192.168.1.7 or a network such as 10.0.0.0/8 "
                      "or fd00::/8, found \"10.0.0/8\" at character 1" },
        { "127.0.0.1, any", "k: expected an address such as 192.168.1.7 or a network such as "
                            "10.0.0.0/8 or fd00::/8, found \"any\" at character 12" },
        { "web1.example", "k: expected an address such as 192.168.1.7 or a network such as "
                          "10.0.0.0/8 or fd00::/8, found \"web1.example\" at character 1" },
        { "fe80::1%eth0", "k: expected an address such as 192.168.1.7 or a network such as "
                          "10.0.0.0/8 or fd00::/8, found \"fe80::1%eth0\" at character 1" },
        { "10.0.0.0/33", "k: expected the length of a prefix from 0 to 32 behind the slash, found "
                         "\"10.0.0.0/33\" at character 1" },
        { "10.0.0.0/", "k: expected the length of a prefix from 0 to 32 behind the slash, found "
                       "\"10.0.0.0/\" at character 1" },
        { "10.0.0.0/8/8", "k: expected the length of a prefix from 0 to 32 behind the slash, found "
                          "\"10.0.0.0/8/8\" at character 1" },
        { "10.0.0.0/255.0.0.0", "k: expected the length of a prefix from 0 to 32 behind the "
                                "slash, found \"10.0.0.0/255.0.0.0\" at character 1" },
        { "::1,fd00::/129", "k: expected the length of a prefix from 0 to 128 behind the slash, "
                            "found \"fd00::/129\" at character 5" },
        { "fd00::/999999999999", "k: expected the length of a prefix from 0 to 128 behind the "
                                 "slash, found \"fd00::/999999999999\" at character 1" },
        { "10.1.2.3/8", "k: 10.1.2.3/8 at character 1 is an address with the prefix of a network: "
                        "expected the address alone, or the network 10.0.0.0/8" },
        { "fd00::/7", "k: fd00::/7 at character 1 is an address with the prefix of a network: "
                      "expected the address alone, or the network fc00::/7" },
    };
    char longest[200];
    struct arena arena;
    const struct allow *l;
    struct err e;

    (void)state;
    arena_init(&arena, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(allow_parse(&l, "k", cases[i].list, &arena, &e), ERR_INVALID);
        assert_string_equal(e.text, cases[i].message);
        assert_string_equal(e.param, "k");
    }
    memset(longest, '1', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(allow_parse(&l, "k", longest, &arena, &e), ERR_INVALID);
    arena_done(&arena);
}

static void lists_have_a_limit(void **state)
{
    static char list[(ALLOW_MAX + 1) * 8 + 1];
    struct arena arena;
    const struct allow *l;
    struct err e;

    (void)state;
    arena_init(&arena, 0);
    for (size_t i = 0; i < ALLOW_MAX; i++)
        strcpy(list + 8 * i, "1.2.3.4,");
    assert_int_equal(allow_parse(&l, "k", list, &arena, &e), 0);
    strcat(list, "1.2.3.5");
    assert_int_equal(allow_parse(&l, "k", list, &arena, &e), ERR_INVALID);
    assert_string_equal(e.text, "k: expected at most 1024 addresses and networks, found more");
    arena_done(&arena);
    arena_init(&arena, 64);
    assert_int_equal(allow_parse(&l, "k", "::1, ::2, ::3, ::4", &arena, &e), ERR_NOMEM);
    arena_done(&arena);
}

static void sockets_that_others_reach_need_one(void **state)
{
    static const struct {
        const char *bound;
        bool needs;
    } cases[] = {
        { "127.0.0.1", false },
        { "127.255.1.2", false },
        { "::1", false },
        { "::ffff:127.0.0.1", false },
        { "0.0.0.0", true },
        { "::", true },
        { "10.0.0.1", true },
        { "128.0.0.1", true },
        { "126.255.255.255", true },
        { "::2", true },
        { "fe80::1", true },
        { "::ffff:10.0.0.1", true },
        { "::ffff:0.0.0.0", true },
    };
    struct sockaddr_storage a;
    const struct allow *l;
    struct arena arena;
    struct err e;

    (void)state;
    arena_init(&arena, 0);
    assert_int_equal(allow_parse(&l, "listen_allow", "10.0.0.1", &arena, &e), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        a = address(cases[i].bound);
        if (allow_check(NULL, &a, "listen_allow", "here", &e) != (cases[i].needs ? ERR_INVALID : 0))
            fail_msg("%s", cases[i].bound);
        if (cases[i].needs)
            assert_non_null(strstr(e.text, "here can be reached from other hosts"));
        if (cases[i].needs)
            assert_non_null(strstr(e.text, "listen_allow = ADDRESSES"));
        assert_int_equal(allow_check(l, &a, "listen_allow", "here", &e), 0);
    }
    a = (struct sockaddr_storage){ .ss_family = AF_UNIX };
    assert_int_equal(allow_check(NULL, &a, "listen_allow", "here", &e), 0);
    a.ss_family = AF_VSOCK;
    assert_int_equal(allow_check(l, &a, "listen_allow", "here", &e), ERR_INVALID);
    assert_false(allow_has(l, &a));
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_on_a_list),
        cmocka_unit_test(prefixes_of_every_length),
        cmocka_unit_test(bad_lists_say_where),
        cmocka_unit_test(lists_have_a_limit),
        cmocka_unit_test(sockets_that_others_reach_need_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
