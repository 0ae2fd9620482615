/* detok: the same text for every way of cutting it, equal to what a plain whole-text function says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inference/text/detok.h"
#include "tests/inference/text/vocabfile.h"

#define N_LONG 3000

static const char *const alphabet[] = {
    "a",    "b",    "ab",       " ",        "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
    "\xe2", "\x82", "\xf0\x9f", "\xed\xa0", "\xc0",     "\xff",         "\xf4\x90"
};

/* Ids 0 .. 255: the bytes; 256: <s>, control; then random strings. */
static struct tokenizer *open_bytes(bool space_prefix)
{
    static char text[256 + 1 + N_LONG][32];
    static struct str tokens[256 + 1 + N_LONG];
    static int32_t types[256 + 1 + N_LONG];
    struct vocabfile f = { 0 };
    struct tokenizer *t;
    struct err e;

    srand(11);
    for (size_t i = 0; i < 256 + 1 + N_LONG; i++) {
        size_t len = 0;

        if (i < 256) {
            len = (size_t)sprintf(text[i], "<0x%02X>", (unsigned)i);
        } else if (i == 256) {
            len = (size_t)sprintf(text[i], "<s>");
        } else {
            for (int n = rand() % 5; n >= 0; n--) {
                const char *s = alphabet[(size_t)rand() % (sizeof alphabet / sizeof *alphabet)];
                size_t from = (size_t)rand() % strlen(s);

                len += (size_t)sprintf(text[i] + len, "%s", s + from);
            }
        }
        tokens[i] = (struct str){ text[i], len };
        types[i] = i < 256 ? 6 : i == 256 ? 3 : 1;
    }
    vf_str(&f, "tokenizer.ggml.model", "llama");
    vf_strs(&f, "tokenizer.ggml.tokens", tokens, 256 + 1 + N_LONG);
    vf_i32s(&f, "tokenizer.ggml.token_type", types, 256 + 1 + N_LONG);
    vf_bool(&f, "tokenizer.ggml.add_space_prefix", space_prefix);
    if (vf_open(&f, &t, &e))
        fail_msg("%s", e.text);
    return t;
}

/* Can bytes be the first of a character of n bytes?  By the range of code points left open. */
static bool could_be(const unsigned char *s, size_t have, size_t n)
{
    static const uint32_t first[5] = { 0, 0, 0x80, 0x800, 0x10000 };
    static const uint32_t last[5] = { 0, 0x7f, 0x7ff, 0xffff, 0x10ffff };
    static const unsigned char lead[5] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    static const unsigned char mask[5] = { 0, 0x80, 0xe0, 0xf0, 0xf8 };
    uint32_t low, high;

    if ((s[0] & mask[n]) != lead[n])
        return false;
    low = high = s[0] & (unsigned char)~mask[n];
    for (size_t i = 1; i < n; i++) {
        if (i < have && (s[i] & 0xc0) != 0x80)
            return false;
        low = low << 6 | (i < have ? s[i] & 0x3fu : 0);
        high = high << 6 | (i < have ? s[i] & 0x3fu : 0x3f);
    }
    if (low >= 0xd800 && high <= 0xdfff)
        return false;
    return high >= first[n] && low <= last[n];
}

/* The whole text at once: longest beginnings of characters that are not whole become U+FFFD. */
static void clean(const char *text, size_t len, struct buf *out)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t i = 0;

    while (i < len) {
        size_t best = 1, whole = 0;

        for (size_t n = 1; n <= 4; n++)
            for (size_t have = 1; have <= n && have <= len - i; have++)
                if (could_be(s + i, have, n)) {
                    best = have > best ? have : best;
                    whole = have == n ? n : whole;
                }
        if (whole)
            buf_put(out, text + i, whole);
        else
            buf_puts(out, "\xef\xbf\xbd");
        i += whole ? whole : best;
    }
}

static bool oracle(const char *text, size_t len, const struct str *stops, size_t n_stops,
                   struct buf *out)
{
    clean(text, len, out);
    for (size_t i = 0; i < out->len; i++)
        for (size_t k = 0; k < n_stops; k++)
            if (stops[k].len <= out->len - i &&
                memcmp(out->data + i, stops[k].data, stops[k].len) == 0) {
                out->len = i;
                return true;
            }
    return false;
}

/* Everything that is held could still become a stop string, or is part of a character. */
static void check_held(const struct detok *d)
{
    bool begun = d->held.len == 0;

    for (size_t k = 0; k < d->n_stops && !begun; k++)
        begun |= d->held.len < d->stops[k].len &&
                 memcmp(d->stops[k].data, d->held.data, d->held.len) == 0;
    assert_true(begun || d->stopped);
    assert_true(d->n_partial < 4);
}

static void random_text_and_stops(void **state)
{
    static const char *const pool[] = { "a",
                                        "ab",
                                        "aba",
                                        "bab",
                                        "b a",
                                        "aa",
                                        "abab",
                                        "\xc3\xa9",
                                        "\xe2\x82\xac\x61",
                                        " ",
                                        "ba b",
                                        "\xef\xbf\xbd",
                                        "a\xef\xbf\xbd",
                                        "aabb" };
    struct tokenizer *t = open_bytes(false);
    size_t n_stopped = 0;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        struct buf text = { 0 }, expected = { 0 }, found = { 0 };
        struct str stops[4];
        size_t n_stops = (size_t)rand() % 5, n = (size_t)rand() % 12;
        struct detok d;
        bool stop, expected_stop;

        for (size_t k = 0; k < n_stops; k++) {
            const char *s = pool[(size_t)rand() % (sizeof pool / sizeof *pool)];

            stops[k] = (struct str){ s, strlen(s) };
        }
        detok_init(&d, t, stops, n_stops, false);
        for (size_t i = 0; i < n; i++) {
            int32_t id = rand() % (256 + 1 + N_LONG);
            struct str piece = tokenizer_piece(t, id, false);
            size_t before = found.len;

            buf_put(&text, piece.data, piece.len);
            stop = detok_push(&d, id, &found);
            assert_int_equal(stop, d.stopped);
            assert_true(found.len >= before);
            check_held(&d);
        }
        detok_finish(&d, &found);
        expected_stop = oracle(text.data, text.len, stops, n_stops, &expected);
        assert_int_equal(d.stopped, expected_stop);
        assert_int_equal(found.len, expected.len);
        if (found.len)
            assert_memory_equal(found.data, expected.data, found.len);
        n_stopped += expected_stop;
        detok_done(&d);
        buf_done(&text);
        buf_done(&expected);
        buf_done(&found);
    }
    assert_in_range(n_stopped, 1000, 19000); /* both ends were met often */
    tokenizer_close(t);
}

/* Byte by byte: what is shown after each, and when it stops. */
static void bytes_in_turn(void **state)
{
    static const struct {
        const char *bytes, *stop1, *stop2;
        const char *shown; /* characters shown after each byte, as digits of a length */
        const char *text;
        bool stopped;
    } cases[] = {
        { "abc", NULL, NULL, "123", "abc", false },
        { "\xc3\xa9x", NULL, NULL, "023", "\xc3\xa9x", false },
        { "\xe2\x82x", NULL, NULL, "004", "\xef\xbf\xbdx", false },
        { "\xe2\x82", NULL, NULL, "00", "\xef\xbf\xbd", false },
        { "\xf0\x9f\x98", NULL, NULL, "000", "\xef\xbf\xbd", false },
        { "\xff\xff", NULL, NULL, "36", "\xef\xbf\xbd\xef\xbf\xbd", false },
        { "\xe0\x80x", NULL, NULL, "067", "\xef\xbf\xbd\xef\xbf\xbdx", false },
        { "a\n\nb", "\n\n", NULL, "1111", "a", true },
        { "a\nb", "\n\n", NULL, "113", "a\nb", false },
        { "a\n", "\n\n", NULL, "11", "a\n", false },
        { "xabcd", "bc", "abcd", "11111", "x", true },  /* the earlier one wins */
        { "xabce", "bc", "abcd", "11112", "xa", true }, /* which did not come */
        { "xabc", "bc", "abcd", "1111", "xa", true },   /* nor now that the text ends */
        { "aaab", "aab", NULL, "0011", "a", true },
    };
    struct tokenizer *t = open_bytes(false);

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct str stops[2] = { { cases[i].stop1, 0 }, { cases[i].stop2, 0 } };
        size_t n_stops = (cases[i].stop1 != NULL) + (size_t)(cases[i].stop2 != NULL);
        struct buf out = { 0 };
        struct detok d;

        for (size_t k = 0; k < n_stops; k++)
            stops[k].len = strlen(stops[k].data);
        detok_init(&d, t, stops, n_stops, false);
        for (size_t k = 0; cases[i].bytes[k]; k++) {
            detok_push(&d, (unsigned char)cases[i].bytes[k], &out);
            assert_int_equal(out.len, cases[i].shown[k] - '0');
        }
        detok_finish(&d, &out);
        assert_string_equal(buf_str(&out), cases[i].text);
        assert_int_equal(d.stopped, cases[i].stopped);
        detok_push(&d, 'z', &out); /* what follows is ignored */
        if (d.stopped)
            assert_string_equal(buf_str(&out), cases[i].text);
        detok_done(&d);
        buf_done(&out);
    }
    tokenizer_close(t);
}

static void first_blank(void **state)
{
    static const struct {
        bool prefix, continues;
        const char *text;
    } cases[] = { { true, false, " x" }, { true, true, "  x" }, { false, false, "  x" } };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tokenizer *t = open_bytes(cases[i].prefix);
        struct buf out = { 0 };
        struct detok d;

        detok_init(&d, t, NULL, 0, cases[i].continues);
        detok_push(&d, 256, &out); /* a control token is no text, also not the first of it */
        detok_push(&d, ' ', &out);
        detok_push(&d, ' ', &out);
        detok_push(&d, 'x', &out);
        detok_finish(&d, &out);
        assert_string_equal(buf_str(&out), cases[i].text);
        detok_done(&d);
        buf_done(&out);
        tokenizer_close(t);
    }
}

/* A control token stands between what is before and behind it, and no stop string reaches across.
 */
static void control_tokens_can_be_shown(void **state)
{
    static const struct str stops[] = { { "ab", 2 } };
    static const int32_t ids[] = { 'a', 256, 'b', 0xc3, 256, 'a', 'b', 'c' };
    struct tokenizer *t = open_bytes(false);

    (void)state;
    for (int show = 0; show < 2; show++) {
        struct buf out = { 0 };
        struct detok d;
        size_t i = 0;

        detok_init(&d, t, stops, 1, true);
        d.show_control = show;
        while (i < sizeof ids / sizeof *ids && !detok_push(&d, ids[i], &out))
            i++;
        assert_true(d.stopped);
        assert_int_equal(i, show ? 6 : 2);
        assert_string_equal(buf_str(&out), show ? "a\xff<s>\xfe"
                                                  "b\xef\xbf\xbd\xff<s>\xfe"
                                                : "");
        buf_done(&out);
        detok_done(&d);
    }
    tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_tokens_can_be_shown),
        cmocka_unit_test(bytes_in_turn),
        cmocka_unit_test(random_text_and_stops),
        cmocka_unit_test(first_blank),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
