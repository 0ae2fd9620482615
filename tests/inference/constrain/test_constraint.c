/* Random grammars against a plain reader of the same expressions, and masks against trying every
 * token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "inference/constrain/constraint.h"

enum { MAX_TEXT = 40, MAX_TOKENS = 600 };

static uint32_t seed;

static uint32_t pick(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

/* --- a plain reader: from a set of positions (bits) through a node to the set after it --- */

struct reader {
    const struct grammar *g;
    const char *text;
    size_t len;
    int steps; /* left, so that left recursion ends */
};

static uint64_t after(struct reader *r, int32_t node, uint64_t from, int depth);

static uint64_t after_repeat(struct reader *r, const struct gnode *n, uint64_t from, int depth)
{
    uint64_t all = n->min == 0 ? from : 0, now = from;

    for (size_t i = 1; i <= n->max && i < 60; i++) {
        uint64_t next = after(r, n->a, now, depth);

        if (i >= n->min)
            all |= next;
        if (next == 0 || (next == now && i >= n->min))
            break;
        now = next;
    }
    return all;
}

static uint64_t after_class(struct reader *r, const struct gnode *n, uint64_t from)
{
    uint64_t to = 0;

    for (size_t i = 0; i < r->len; i++)
        for (size_t k = 0; (from >> i & 1) && k < n->len; k++) {
            const struct code_range *c = &r->g->ranges[n->at + k];
            unsigned char b = (unsigned char)r->text[i];

            if (b < 0x80 && b >= c->lo && b <= c->hi)
                to |= 1ull << (i + 1);
            if (b == 0xc3 && i + 1 < r->len) { /* U+00C0 .. U+00FF are all that the tests use */
                uint32_t cp = 0xc0u | ((unsigned char)r->text[i + 1] & 0x3fu);

                if (((unsigned char)r->text[i + 1] & 0xc0) == 0x80 && cp >= c->lo && cp <= c->hi)
                    to |= 1ull << (i + 2);
            }
        }
    return to;
}

static uint64_t after(struct reader *r, int32_t node, uint64_t from, int depth)
{
    const struct gnode *n = &r->g->nodes[node];
    uint64_t to = 0;

    if (from == 0 || depth > 300 || r->steps-- < 0)
        return 0;
    switch (n->kind) {
    case GNODE_EMPTY:
        return from;
    case GNODE_NEVER:
        return 0;
    case GNODE_BYTES:
        for (size_t i = 0; i + n->len <= r->len; i++)
            if ((from >> i & 1) && memcmp(r->text + i, r->g->bytes + n->at, n->len) == 0)
                to |= 1ull << (i + n->len);
        return to;
    case GNODE_CLASS:
        return after_class(r, n, from);
    case GNODE_SEQ:
        return after(r, n->b, after(r, n->a, from, depth + 1), depth + 1);
    case GNODE_ALT:
        return after(r, n->a, from, depth + 1) | after(r, n->b, from, depth + 1);
    case GNODE_REPEAT:
        return after_repeat(r, n, from, depth + 1);
    case GNODE_CALL:
        return after(r, r->g->rules[n->a], from, depth + 1);
    case GNODE_AUTOMATON: /* not among the random ones: see test_schema.c */
        return 0;
    }
    return 0;
}

static bool in_language(const struct grammar *g, int32_t root, const char *text, size_t len)
{
    struct reader r = { g, text, len, 2000000 };

    return after(&r, g->rules[root], 1, 0) >> len & 1;
}

/* --- random grammars and vocabularies --- */

static const char *const pieces[] = { "a", "b", "ab", "ba", "c", "\xc3\xa9", "aa", "{", "}", "\"" };

static int32_t random_node(struct grammar *g, int depth)
{
    static const struct code_range ranges[] = {
        { 'a', 'b' }, { 'c', 0xe9 }, { 0xc0, 0xff }, { 'b', 'b' }, { 0x20, 0x10ffff }
    };
    uint32_t kind = pick(depth > 4 ? 3 : 9);

    if (kind == 0)
        return grammar_class(g, ranges + pick(5), 1);
    if (kind <= 2 || (kind == 8 && pick(3)))
        return grammar_text(g, pieces[pick(10)]);
    if (kind <= 4)
        return grammar_seq(g, random_node(g, depth + 1), random_node(g, depth + 1));
    if (kind == 5)
        return grammar_alt(g, random_node(g, depth + 1), random_node(g, depth + 1));
    if (kind == 6) {
        size_t min = pick(3);

        return grammar_repeat(g, random_node(g, depth + 1), min,
                              pick(2) ? GRAMMAR_UNBOUNDED : min + pick(3));
    }
    if (kind == 7)
        return grammar_call(g, (int32_t)pick((uint32_t)g->n_rules));
    return pick(4) ? grammar_empty(g) : grammar_never(g);
}

static size_t random_vocabulary(struct trie_token *tokens, char *text)
{
    size_t n = 0;

    for (; n < MAX_TOKENS; n++) {
        size_t len = 0, parts = n < 20 ? n < 10 : pick(5);

        for (size_t i = 0; i < parts; i++) {
            const char *p = n < 10 ? pieces[n] : pieces[pick(10)];

            memcpy(text + len, p, strlen(p));
            len += strlen(p);
        }
        if (n > 30 && len > 1 && pick(8) == 0)
            len--; /* half a character */
        tokens[n] = (struct trie_token){ text, len };
        text += 16;
    }
    return n;
}

/* False where the grammar is so ambiguous that reading was given up. */
static bool check_mask(struct constraint *c, int32_t at, const struct trie_token *tokens, size_t n,
                       uint64_t *mask)
{
    int set = constraint_mask(c, at, mask), expected = 0;

    if (set == MATCH_FAILED)
        return false;

    for (size_t i = 0; i < n; i++) {
        int32_t to =
            tokens[i].len ? constraint_accept(c, at, tokens[i].data, tokens[i].len) : MATCH_DEAD;

        if (to == MATCH_FAILED)
            return false;
        expected |= to >= 0;
        if ((mask[i / 64] >> i % 64 & 1) != (to >= 0))
            fail_msg("token %zu (%.*s) is %d in the mask", i, (int)tokens[i].len, tokens[i].data,
                     to < 0);
    }
    assert_int_equal(set, expected);
    return true;
}

/* Generates by the mask and checks on the way; returns whether a finished text came out. */
static bool generate(struct constraint *c, const struct grammar *g, int32_t root,
                     const struct trie_token *tokens, size_t n)
{
    char text[MAX_TEXT + 16], forced[4];
    uint64_t mask[(MAX_TOKENS + 63) / 64];
    size_t len = 0;

    for (int32_t at = constraint_start(c); len < MAX_TEXT;) {
        size_t token = pick((uint32_t)n), tries = 0, n_forced = constraint_forced(c, at, forced, 4);

        if (!check_mask(c, at, tokens, n, mask))
            return false;
        assert_int_equal(constraint_may_end(c, at), in_language(g, root, text, len));
        for (size_t i = 0; i < n; i++) /* what is forced begins every token that fits */
            if (mask[i / 64] >> i % 64 & 1)
                assert_memory_equal(tokens[i].data, forced,
                                    tokens[i].len < n_forced ? tokens[i].len : n_forced);
        if (constraint_must_end(c, at) || (constraint_may_end(c, at) && pick(4) == 0))
            return true;
        while (!(mask[token / 64] >> token % 64 & 1) && tries++ < n)
            token = (token + 1) % n;
        if (tries > n)
            return false; /* bytes that no token has */
        memcpy(text + len, tokens[token].data, tokens[token].len);
        len += tokens[token].len;
        at = constraint_accept(c, at, tokens[token].data, tokens[token].len);
        assert_true(at >= 0);
    }
    return false;
}

/* Every text of up to four pieces: accepted just where the plain reader accepts it. */
static void all_short_texts(struct constraint *c, const struct grammar *g, int32_t root)
{
    for (size_t k = 0; k < 10000; k += 1 + pick(7)) {
        char text[16];
        size_t len = 0;
        int32_t at;

        for (size_t rest = k; rest > 0; rest /= 10) {
            memcpy(text + len, pieces[rest % 10], strlen(pieces[rest % 10]));
            len += strlen(pieces[rest % 10]);
        }
        at = constraint_accept(c, constraint_start(c), text, len);
        if (at == MATCH_FAILED)
            return;
        if ((at >= 0 && constraint_may_end(c, at)) != in_language(g, root, text, len))
            fail_msg("\"%.*s\": %d", (int)len, text, at);
    }
}

static void random_grammars(void **state)
{
    static char text[MAX_TOKENS * 16];
    struct trie_token tokens[MAX_TOKENS];
    size_t n = random_vocabulary(tokens, text), compiled = 0, finished = 0, refused = 0;
    struct trie trie;
    struct err e;

    (void)state;
    seed = 1;
    assert_int_equal(trie_init(&trie, tokens, n, &e), 0);
    assert_int_equal(trie_slice(&trie, tokens, 4, &e), 0);
    assert_int_equal(trie_slice(&trie, tokens, 2, &e), 0);
    for (int i = 0; i < 400; i++) {
        struct constraint *c;
        struct grammar g;

        grammar_init(&g, 10000);
        for (uint32_t r = 0, rules = 1 + pick(4); r < rules; r++)
            (void)grammar_rule(&g);
        for (size_t r = 0; r < g.n_rules; r++)
            grammar_define(&g, (int32_t)r, random_node(&g, 0));
        if (constraint_create(&c, &g, 0, &trie, &e) == 0) {
            compiled++;
            all_short_texts(c, &g, 0);
            for (int k = 0; k < 10; k++)
                finished += generate(c, &g, 0, tokens, n);
            constraint_free(c);
        } else {
            assert_int_equal(e.code, ERR_INVALID);
            refused++;
        }
        grammar_done(&g);
    }
    trie_done(&trie);
    assert_true(compiled > 150 && finished > 500 && refused > 10);
}

/* --- errors and bounds --- */

static int compile(struct grammar *g, int32_t root, struct err *e)
{
    struct trie_token token = { "a", 1 };
    struct constraint *c = NULL;
    struct trie trie;
    int rc;

    assert_int_equal(trie_init(&trie, &token, 1, e), 0);
    rc = constraint_create(&c, g, root, &trie, e);
    assert_int_equal(rc == 0, c != NULL);
    constraint_free(c);
    trie_done(&trie);
    return rc;
}

static void bad_grammars(void **state)
{
    struct grammar g;
    struct err e;
    int32_t a, b;

    (void)state;
    grammar_init(&g, 1000); /* a = a "x" | "y" */
    a = grammar_rule(&g);
    grammar_define(&g, a,
                   grammar_alt(&g, grammar_seq(&g, grammar_call(&g, a), grammar_text(&g, "x")),
                               grammar_text(&g, "y")));
    assert_int_equal(compile(&g, a, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "left recursion"));
    grammar_done(&g);

    grammar_init(&g, 1000); /* never ends */
    a = grammar_rule(&g);
    grammar_define(&g, a, grammar_seq(&g, grammar_text(&g, "x"), grammar_call(&g, a)));
    assert_int_equal(compile(&g, a, &e), ERR_INVALID);
    grammar_done(&g);

    grammar_init(&g, 1000); /* not defined */
    a = grammar_rule(&g);
    b = grammar_rule(&g);
    grammar_define(&g, a, grammar_call(&g, b));
    assert_int_equal(compile(&g, a, &e), ERR_INVALID);
    grammar_done(&g);

    grammar_init(&g, 1000); /* too many states */
    a = grammar_rule(&g);
    b = grammar_repeat(&g, grammar_text(&g, "abcdefghij"), 0, 100);
    grammar_define(&g, a, grammar_repeat(&g, grammar_repeat(&g, b, 0, 100), 0, 1000));
    assert_int_equal(compile(&g, a, &e), ERR_LIMIT);
    grammar_done(&g);

    grammar_init(&g, 8); /* too many nodes */
    a = grammar_rule(&g);
    grammar_define(&g, a, grammar_text(&g, "abcdefghij"));
    assert_int_equal(compile(&g, a, &e), ERR_LIMIT);
    grammar_done(&g);
}

/* A thousand nested braces take a thousand frames and no more; and a list none. */
static void depth_and_lists(void **state)
{
    const struct trie_token tokens[] = { { "{", 1 }, { "}", 1 }, { "a,", 2 }, { "a", 1 } };
    struct constraint *c;
    struct grammar g;
    struct trie trie;
    struct err e;
    int32_t a, at;
    size_t bytes;

    (void)state;
    assert_int_equal(trie_init(&trie, tokens, 4, &e), 0);
    grammar_init(&g, 1000); /* a = "{" a "}" | list; list = "a" | "a," list */
    a = grammar_rule(&g);
    at = grammar_rule(&g);
    grammar_define(&g, at,
                   grammar_alt(&g, grammar_text(&g, "a"),
                               grammar_seq(&g, grammar_text(&g, "a,"), grammar_call(&g, at))));
    grammar_define(&g, a,
                   grammar_alt(&g,
                               grammar_seq(&g, grammar_text(&g, "{"),
                                           grammar_seq(&g, grammar_call(&g, a),
                                                       grammar_text(&g, "}"))),
                               grammar_call(&g, at)));
    assert_int_equal(constraint_create(&c, &g, a, &trie, &e), 0);
    at = constraint_start(c);
    for (int i = 0; i < 1000; i++)
        at = constraint_accept(c, at, "{", 1);
    for (int i = 0; i < 100; i++)
        at = constraint_accept(c, at, "a,", 2);
    bytes = constraint_bytes(c);
    for (int i = 0; i < 100000; i++)
        at = constraint_accept(c, at, "a,", 2);
    assert_int_equal(constraint_bytes(c), bytes);
    at = constraint_accept(c, at, "a", 1);
    for (int i = 0; i < 1000; i++) {
        assert_false(constraint_may_end(c, at));
        at = constraint_accept(c, at, "}", 1);
        assert_true(at >= 0);
    }
    assert_true(constraint_may_end(c, at) && constraint_must_end(c, at));
    assert_int_equal(constraint_accept(c, at, "}", 1), MATCH_DEAD);
    constraint_free(c);
    grammar_done(&g);
    trie_done(&trie);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_grammars),
        cmocka_unit_test(bad_grammars),
        cmocka_unit_test(depth_and_lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
