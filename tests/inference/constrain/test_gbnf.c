/* GBNF: texts that fit and texts that do not; errors by line and column. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "inference/constrain/constraint.h"
#include "inference/constrain/spec.h"

static struct trie trie;

/* 1 fits, 0 does not, < 0 the error. */
static int fits(const char *grammar, const char *text, struct err *e)
{
    struct spec spec = { .kind = SPEC_GBNF, .text = grammar, .len = strlen(grammar) };
    struct constraint *c = NULL;
    struct grammar g;
    int32_t root, at;
    int rc;

    grammar_init(&g, 100000);
    rc = spec_grammar(&g, &spec, &root, e);
    if (rc == 0)
        rc = constraint_create(&c, &g, root, &trie, e);
    if (rc == 0) {
        at = constraint_accept(c, constraint_start(c), text, strlen(text));
        assert_int_not_equal(at, MATCH_FAILED);
        rc = at >= 0 && constraint_may_end(c, at);
    }
    constraint_free(c);
    grammar_done(&g);
    return rc;
}

static const char ARITHMETIC[] = "# sums of products\r\n"
                                 "root  ::= (expr \"=\" ws term \"\\n\")+\n"
                                 "expr  ::= term ([-+*/] term)*   # left to right\n"
                                 "term  ::= ident | num |\n"
                                 "          \"(\" ws expr \")\" ws\n"
                                 "ident ::= [a-z] [a-z0-9_]* ws\n"
                                 "num   ::= [0-9]+ ws\n"
                                 "ws    ::= [ \\t\\n]*\n";

static void texts(void **state)
{
    static const struct {
        const char *grammar, *text;
        int fits;
    } cases[] = {
        { ARITHMETIC, "a=b\n", 1 },
        { ARITHMETIC, "(x1 +2)*3 = y\nz= 1\n", 1 },
        { ARITHMETIC, "a=\n", 0 },
        { ARITHMETIC, "(a=b\n", 0 },
        { "root ::= \"a\" | \"b\"", "b", 1 },
        { "root ::= \"a\" |", "", 1 },
        { "root ::= \"\"", "", 1 },
        { "root ::= \"a\\x41\\u00e9\\\"\\\\\"", "aA\xc3\xa9\"\\", 1 },
        { "root ::= [^a\\]] .", "b\xf0\x9f\x98\x80", 1 },
        { "root ::= [^a\\]] .", "]x", 0 },
        { "root ::= [a-]{2}", "-a", 1 },
        { "root ::= [a-]{2}", "-aa", 0 },
        { "root ::= (\"ab\" | [0-9]){1,3} \"x\"?", "ab7abx", 1 },
        { "root ::= (\"ab\" | [0-9]){1,3} \"x\"?", "x", 0 },
        { "root ::= \"a\"{2,}", "aaa", 1 },
        { "root ::= \"a\"{2,}", "a", 0 },
        { "root ::= (\n  \"a\"\n  \"b\"\n)\nx ::= root", "ab", 1 },
        { "root ::= \"(\" root \")\" | \"\"", "((()))", 1 },
        { "root ::= \"(\" root \")\" | \"\"", "(()", 0 },
    };
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int got = fits(cases[i].grammar, cases[i].text, &e);

        if (got != cases[i].fits)
            fail_msg("%s on %s: %d %s", cases[i].grammar, cases[i].text, got,
                     got < 0 ? e.text : "");
    }
}

static void errors(void **state)
{
    static const struct {
        const char *grammar;
        int code;
        const char *says;
    } cases[] = {
        { "", ERR_INVALID, "no rule root" },
        { "a ::= \"b\"", ERR_INVALID, "no rule root" },
        { "root = \"a\"", ERR_INVALID, "line 1, column 6: expected ::=" },
        { "root ::= a\n", ERR_INVALID, "line 1, column 10: there is no rule of that name" },
        { "root ::= \"a\"\nroot ::= \"b\"", ERR_INVALID, "line 2, column 1" },
        { "root ::= (\"a\"", ERR_INVALID, "closing parenthesis" },
        { "root ::= \"a", ERR_INVALID, "closing quote" },
        { "root ::= [a", ERR_INVALID, "closing bracket" },
        { "root ::= [z-a]", ERR_INVALID, "in order" },
        { "root ::= \"\\q\"", ERR_INVALID, "no such escape" },
        { "root ::= \"a\"{3,1}", ERR_INVALID, "expected a count" },
        { "root ::= \"a\"{}", ERR_INVALID, "expected a count" },
        { "root ::= \"a\" )", ERR_INVALID, "line 1, column 14: expected the end" },
        { "root ::= <|eot|>", ERR_UNSUPPORTED, "tokens" },
        { "root ::= root \"a\" | \"b\"", ERR_INVALID, "left recursion" },
        { "root ::= \"a\" root", ERR_INVALID, "exclude" },
        { "root ::= \"a\"{200000}", ERR_LIMIT, "above 100000" },
        { "root ::= \"\xff\"", ERR_INVALID, "UTF-8" },
    };
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int got = fits(cases[i].grammar, "", &e);

        if (got != cases[i].code || !strstr(e.text, cases[i].says))
            fail_msg("%s: %d %s", cases[i].grammar, got, got < 0 ? e.text : "");
    }
}

static int make_trie(void **state)
{
    static const struct trie_token token = { "a", 1 };
    struct err e;

    (void)state;
    return trie_init(&trie, &token, 1, &e);
}

static int free_trie(void **state)
{
    (void)state;
    trie_done(&trie);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),
        cmocka_unit_test(errors),
    };

    return cmocka_run_group_tests(tests, make_trie, free_trie);
}
