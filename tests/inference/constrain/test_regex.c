/* Regular expressions: texts that fit and texts that do not, in both styles, and what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "inference/constrain/constraint.h"
#include "inference/constrain/regex.h"

static struct trie trie;

/* 1 fits, 0 does not, < 0 the error. */
static int fits(const char *pattern, enum regex_reach reach, enum char_style style,
                const char *text, struct err *e)
{
    struct constraint *c = NULL;
    struct grammar g;
    int32_t rule, node, at;
    int rc;

    grammar_init(&g, 100000);
    rule = grammar_rule(&g);
    rc = regex_node(&g, pattern, strlen(pattern), reach, style, &node, e);
    if (rc == 0) {
        grammar_define(&g, rule, node);
        rc = constraint_create(&c, &g, rule, &trie, e);
    }
    if (rc == 0) {
        at = constraint_accept(c, constraint_start(c), text, strlen(text));
        assert_int_not_equal(at, MATCH_FAILED);
        rc = at >= 0 && constraint_may_end(c, at);
    }
    constraint_free(c);
    grammar_done(&g);
    return rc;
}

static void whole_texts(void **state)
{
    static const struct {
        const char *pattern, *text;
        int fits;
    } cases[] = {
        { "", "", 1 },
        { "", "a", 0 },
        { "abc", "abc", 1 },
        { "abc", "abcd", 0 },
        { "^abc$", "abc", 1 },
        { "a|bc|", "bc", 1 },
        { "a|bc|", "", 1 },
        { "a|bc|", "b", 0 },
        { "a*b+c?", "aabbc", 1 },
        { "a*b+c?", "aac", 0 },
        { "a*?b+?c??", "bb", 1 },
        { "(ab){2,3}", "abab", 1 },
        { "(ab){2,3}", "abababab", 0 },
        { "(?:ab){2}", "abab", 1 },
        { "(?<year>[0-9]{4})-(?P<m>\\d\\d)", "2024-05", 1 },
        { "x{2,}", "x", 0 },
        { "x{2,}", "xxxxx", 1 },
        { "x{0}", "", 1 },
        { "a{,3}", "a{,3}", 1 },
        { "[a-c]+", "abcabc", 1 },
        { "[^a-c]", "d", 1 },
        { "[^a-c]", "b", 0 },
        { "[\\]a-]+", "a-]", 1 },
        { "[\\w.]+@\\w+", "a_9.b@c", 1 },
        { "\\D\\S\\W", "ax ", 1 },
        { "\\D\\S\\W", "1x ", 0 },
        { "[\\s\\S]*", "any\nthing", 1 },
        { ".", "\xc3\xa9", 1 },
        { ".", "\n", 0 },
        { ".", "\xf0\x9f\x98\x80", 1 },
        { "..", "\xf0\x9f\x98\x80", 0 },
        { "[\xc3\xa0-\xc3\xa9]", "\xc3\xa5", 1 },
        { "[\xc3\xa0-\xc3\xa9]", "\xc3\xaa", 0 },
        { "\\u00e9\\x41\\u{1F600}\\ud83d\\ude00",
          "\xc3\xa9"
          "A\xf0\x9f\x98\x80\xf0\x9f\x98\x80",
          1 },
        { "\\t\\n\\cA\\.\\/\\$", "\t\n\001./$", 1 },
        { "(a|b)*abb", "ababb", 1 },
        { "(a|b)*abb", "abab", 0 },
        { "((a?){3}){3}", "aaaaaaaaa", 1 },
        { "((a?){3}){3}", "aaaaaaaaaa", 0 },
    };
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int got = fits(cases[i].pattern, REGEX_WHOLE, CHARS_PLAIN, cases[i].text, &e);

        if (got != cases[i].fits)
            fail_msg("/%s/ on \"%s\": %d%s", cases[i].pattern, cases[i].text, got,
                     got < 0 ? e.text : "");
    }
}

static void found_in_quoted_texts(void **state)
{
    static const struct {
        const char *pattern, *text;
        int fits;
    } cases[] = {
        { "b", "abc", 1 },           { "^b", "abc", 0 },
        { "^a", "abc", 1 },          { "c$", "abc", 1 },
        { "^abc$|x", "zxz", 1 },     { "^abc$|x", "zabc", 0 },
        { "", "anything", 1 },       { "^$", "", 1 },
        { "^.$", "\\\"", 1 },        { "^.$", "\"", 0 },
        { "^\\\\$", "\\\\", 1 },     { "^\\n$", "\\n", 1 },
        { "^\\n$", "\n", 0 },        { "^[\\s]$", "\\t", 1 },
        { "^\\x01$", "\\u0001", 1 }, { "^\xc3\xa9$", "\xc3\xa9", 1 },
        { "^[^a]$", "a", 0 },        { "^[^a]$", "\\\\", 1 },
    };
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int got = fits(cases[i].pattern, REGEX_FIND, CHARS_QUOTED, cases[i].text, &e);

        if (got != cases[i].fits)
            fail_msg("/%s/ in \"%s\": %d%s", cases[i].pattern, cases[i].text, got,
                     got < 0 ? e.text : "");
    }
}

static void refusals(void **state)
{
    static const struct {
        const char *pattern;
        int code;
        const char *says;
    } cases[] = {
        { "(a", ERR_INVALID, "parenthesis" },
        { "a)", ERR_INVALID, "parenthesis" },
        { "[a", ERR_INVALID, "bracket" },
        { "*a", ERR_INVALID, "nothing to repeat" },
        { "a**", ERR_INVALID, "nothing to repeat" },
        { "a{3,2}", ERR_INVALID, "count" },
        { "[b-a]", ERR_INVALID, "range" },
        { "[\\d-z]", ERR_INVALID, "range" },
        { "a\\", ERR_INVALID, "backslash" },
        { "\\xg0", ERR_INVALID, "hexadecimal" },
        { "\\ud800", ERR_INVALID, "surrogate" },
        { "\xff", ERR_INVALID, "UTF-8" },
        { "(?=a)", ERR_UNSUPPORTED, "look-ahead" },
        { "(?!a)", ERR_UNSUPPORTED, "look-ahead" },
        { "(?<=a)", ERR_UNSUPPORTED, "look-behind" },
        { "(?i)a", ERR_UNSUPPORTED, "flags" },
        { "(a)\\1", ERR_UNSUPPORTED, "references" },
        { "\\bword", ERR_UNSUPPORTED, "escape" },
        { "\\p{L}", ERR_UNSUPPORTED, "escape" },
        { "[[:alpha:]]", ERR_UNSUPPORTED, "named classes" },
        { "(^a)", ERR_UNSUPPORTED, "alternative" },
        { "a$b", ERR_UNSUPPORTED, "alternative" },
        { "a++", ERR_UNSUPPORTED, "possessive" },
        { "a{200000}", ERR_LIMIT, "100000" },
        { "(((a{1000}){1000}){1000})", ERR_LIMIT, "states" },
        { "((a?){100}){300}b", ERR_LIMIT, "too many ways at once" },
    };
    char deep[500];
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int got = fits(cases[i].pattern, REGEX_WHOLE, CHARS_PLAIN, "", &e);

        if (got != cases[i].code || !strstr(e.text, cases[i].says))
            fail_msg("/%s/: %d, %s", cases[i].pattern, got, got < 0 ? e.text : "");
    }
    memset(deep, '(', sizeof deep - 1);
    deep[sizeof deep - 1] = 0;
    assert_int_equal(fits(deep, REGEX_WHOLE, CHARS_PLAIN, "", &e), ERR_LIMIT);
}

int main(void)
{
    const struct trie_token token = { "a", 1 };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_texts),
        cmocka_unit_test(found_in_quoted_texts),
        cmocka_unit_test(refusals),
    };
    struct err e;
    int rc;

    if (trie_init(&trie, &token, 1, &e) < 0)
        return 1;
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    trie_done(&trie);
    return rc;
}
