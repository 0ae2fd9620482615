#include "inference/constrain/gbnf.h"

#include <stdlib.h>
#include <string.h>

#include "inference/constrain/chars.h"
#include "kernels/base/utf8.h"

enum { MAX_DEPTH = 100, MAX_COUNT = 100000, END = -1 };

struct rule_name {
    const char *name;
    size_t len, at; /* at: where it was first named */
    int32_t rule;
    bool defined;
};

struct gbnf {
    struct grammar *g;
    const char *s;
    size_t len, at;
    struct rule_name *names;
    size_t n_names, cap_names;
    int depth;
    struct err *e;
    int rc; /* the first error */
};

static int32_t fail_at(struct gbnf *p, size_t at, int code, const char *what)
{
    size_t line = 1, column = 1;

    if (p->rc)
        return GRAMMAR_NONE;
    for (size_t i = 0; i < at && i < p->len; i++) {
        column = p->s[i] == '\n' ? 1 : column + 1;
        line += p->s[i] == '\n';
    }
    p->rc = err_set(p->e, code, "line %zu, column %zu: %s", line, column, what);
    return GRAMMAR_NONE;
}

static int32_t fail(struct gbnf *p, int code, const char *what)
{
    return fail_at(p, p->at, code, what);
}

static int peek(const struct gbnf *p)
{
    return p->rc || p->at >= p->len ? END : (unsigned char)p->s[p->at];
}

static bool take_if(struct gbnf *p, char c)
{
    if (peek(p) != (unsigned char)c)
        return false;
    p->at++;
    return true;
}

static void skip_space(struct gbnf *p, bool lines)
{
    for (int c; (c = peek(p)) != END; p->at++) {
        if (c == '#')
            while (peek(p) != END && peek(p) != '\n' && peek(p) != '\r')
                p->at++;
        c = peek(p);
        if (c != ' ' && c != '\t' && !(lines && (c == '\n' || c == '\r')))
            return;
    }
}

/* --- characters --- */

static int64_t hex(struct gbnf *p, int n)
{
    int64_t v = 0;

    while (n-- > 0) {
        int c = peek(p), d = c >= '0' && c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;

        if (c == END || d < 0 || d > 15 || (c > '9' && (c | 0x20) < 'a'))
            return fail(p, ERR_INVALID, "expected a hexadecimal digit");
        v = v << 4 | d;
        p->at++;
    }
    return v;
}

/* One character of a literal or a class. */
static int64_t character(struct gbnf *p)
{
    static const char escapes[] = "n\nr\rt\t\\\\\"\"[[]]--^^//''";
    uint32_t cp;
    size_t n;
    int c;

    if (!take_if(p, '\\')) {
        n = p->at < p->len ? utf8_decode(p->s + p->at, p->len - p->at, &cp) : 0;
        if (n == 0)
            return fail(p, ERR_INVALID, "the text ends, or is not UTF-8");
        p->at += n;
        return cp;
    }
    c = peek(p);
    p->at += c != END;
    if (c == 'x' || c == 'u' || c == 'U') {
        int64_t v = hex(p, c == 'x' ? 2 : c == 'u' ? 4 : 8);

        return v > 0x10ffff ? fail(p, ERR_INVALID, "no such character") : v;
    }
    for (size_t i = 0; i + 1 < sizeof escapes; i += 2)
        if (c == escapes[i])
            return (unsigned char)escapes[i + 1];
    return fail(p, ERR_INVALID, "no such escape");
}

/* After the opening quote. */
static int32_t literal(struct gbnf *p)
{
    int32_t node = grammar_empty(p->g);

    while (p->rc == 0 && !take_if(p, '"')) {
        int64_t c = peek(p) == END ? fail(p, ERR_INVALID, "a literal without its closing quote")
                                   : character(p);
        char bytes[4];

        if (p->rc == 0)
            node = grammar_seq(p->g, node,
                               grammar_bytes(p->g, bytes, utf8_encode(bytes, (uint32_t)c)));
    }
    return node;
}

/* After the opening bracket. */
static int32_t class_node(struct gbnf *p)
{
    struct char_set set = { 0 };
    bool invert = take_if(p, '^');

    while (p->rc == 0 && !take_if(p, ']')) {
        int64_t lo = peek(p) == END ? fail(p, ERR_INVALID, "a class without its closing bracket")
                                    : character(p),
                hi = lo;

        if (peek(p) == '-' && p->at + 1 < p->len && p->s[p->at + 1] != ']') {
            p->at++;
            hi = character(p);
        }
        if (p->rc == 0 && lo > hi)
            return fail(p, ERR_INVALID, "a range whose ends are not in order");
        if (p->rc == 0)
            char_set_add(&set, (uint32_t)lo, (uint32_t)hi);
    }
    if (set.full)
        return fail(p, ERR_LIMIT, "a class of too many ranges");
    if (invert)
        char_set_invert(&set);
    return p->rc ? GRAMMAR_NONE : chars_node(p->g, &set, CHARS_PLAIN);
}

static int32_t any_character(struct gbnf *p)
{
    static const struct code_range all = { 0, 0x10ffff };

    return grammar_class(p->g, &all, 1);
}

/* --- rules --- */

static bool is_name(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static struct rule_name *name_of(struct gbnf *p)
{
    size_t start = p->at, len;

    while (is_name(peek(p)))
        p->at++;
    len = p->at - start;
    for (size_t i = 0; i < p->n_names; i++)
        if (p->names[i].len == len && !memcmp(p->names[i].name, p->s + start, len))
            return &p->names[i];
    if (p->n_names == p->cap_names) {
        size_t cap = 2 * p->cap_names + 32;
        struct rule_name *q = realloc(p->names, cap * sizeof *q);

        if (!q) {
            (void)fail(p, ERR_NOMEM, "no memory for a grammar");
            return NULL;
        }
        p->names = q;
        p->cap_names = cap;
    }
    p->names[p->n_names] =
        (struct rule_name){ p->s + start, len, start, grammar_rule(p->g), false };
    return &p->names[p->n_names++];
}

static int32_t alternatives(struct gbnf *p, bool nested);

static int32_t group(struct gbnf *p)
{
    int32_t node;

    if (++p->depth > MAX_DEPTH)
        return fail(p, ERR_LIMIT, "groups nest too deeply");
    node = alternatives(p, true);
    p->depth--;
    if (!take_if(p, ')'))
        return fail(p, ERR_INVALID, "a group without its closing parenthesis");
    return node;
}

/* Where no item begins: GRAMMAR_NONE without an error. */
static int32_t item(struct gbnf *p)
{
    struct rule_name *n;

    if (take_if(p, '"'))
        return literal(p);
    if (take_if(p, '['))
        return class_node(p);
    if (take_if(p, '('))
        return group(p);
    if (take_if(p, '.'))
        return any_character(p);
    if (peek(p) == '<' || peek(p) == '!')
        return fail(p, ERR_UNSUPPORTED, "tokens of the vocabulary are not supported");
    if (!is_name(peek(p)))
        return GRAMMAR_NONE;
    n = name_of(p);
    return n ? grammar_call(p->g, n->rule) : GRAMMAR_NONE;
}

static bool number(struct gbnf *p, size_t *out)
{
    bool any = false;

    *out = 0;
    for (int c; (c = peek(p)) >= '0' && c <= '9'; p->at++, any = true) {
        *out = *out * 10 + (size_t)(c - '0');
        if (*out > MAX_COUNT)
            (void)fail(p, ERR_LIMIT, "a count above 100000");
    }
    return any;
}

/* {m}, {m,}, {m,n}, {,n}; after the brace. */
static void counts(struct gbnf *p, size_t *min, size_t *max)
{
    bool any = number(p, min);

    *max = *min;
    skip_space(p, true);
    if (take_if(p, ',')) {
        skip_space(p, true);
        if (!number(p, max))
            *max = GRAMMAR_UNBOUNDED;
        any |= *max != GRAMMAR_UNBOUNDED;
        skip_space(p, true);
    }
    if (!any || !take_if(p, '}') || *max < *min)
        (void)fail(p, ERR_INVALID, "expected a count as {m}, {m,} or {m,n}");
}

static int32_t repeated(struct gbnf *p, int32_t node, bool nested)
{
    while (p->rc == 0) {
        size_t min = 0, max = GRAMMAR_UNBOUNDED;

        if (take_if(p, '+'))
            min = 1;
        else if (take_if(p, '?'))
            max = 1;
        else if (take_if(p, '{'))
            counts(p, &min, &max);
        else if (!take_if(p, '*'))
            break;
        node = grammar_repeat(p->g, node, min, max);
        skip_space(p, nested);
    }
    return node;
}

static int32_t sequence(struct gbnf *p, bool nested)
{
    int32_t node = grammar_empty(p->g);

    while (p->rc == 0) {
        int32_t next = item(p);

        if (next < 0)
            break;
        skip_space(p, nested);
        node = grammar_seq(p->g, node, repeated(p, next, nested));
    }
    return node;
}

static int32_t alternatives(struct gbnf *p, bool nested)
{
    int32_t node;

    skip_space(p, true);
    node = sequence(p, nested);
    while (p->rc == 0 && take_if(p, '|')) {
        skip_space(p, true);
        node = grammar_alt(p->g, node, sequence(p, nested));
    }
    return node;
}

static void rule(struct gbnf *p)
{
    struct rule_name *n;
    size_t k, start = p->at;
    int32_t node;

    if (!is_name(peek(p))) {
        (void)fail(p, ERR_INVALID, "expected the name of a rule");
        return;
    }
    n = name_of(p);
    if (!n)
        return;
    k = (size_t)(n - p->names); /* the array may move */
    if (n->defined)
        (void)fail_at(p, start, ERR_INVALID, "a rule of that name was there before");
    skip_space(p, false);
    if (p->rc == 0 && (p->len - p->at < 3 || memcmp(p->s + p->at, "::=", 3) != 0))
        (void)fail(p, ERR_INVALID, "expected ::=");
    p->at += 3;
    node = alternatives(p, false);
    if (p->rc == 0 && peek(p) != END && peek(p) != '\n' && peek(p) != '\r')
        (void)fail(p, ERR_INVALID, "expected the end of the rule");
    if (p->rc)
        return;
    grammar_define(p->g, p->names[k].rule, node);
    p->names[k].defined = true;
}

/* All names are rules, and root is one of them. */
static int32_t find_root(struct gbnf *p)
{
    int32_t root = GRAMMAR_NONE;

    for (size_t i = 0; i < p->n_names; i++) {
        if (!p->names[i].defined)
            return fail_at(p, p->names[i].at, ERR_INVALID, "there is no rule of that name");
        if (p->names[i].len == 4 && !memcmp(p->names[i].name, "root", 4))
            root = p->names[i].rule;
    }
    return root < 0 ? fail(p, ERR_INVALID, "there is no rule root") : root;
}

int gbnf_node(struct grammar *g, const char *text, size_t len, int32_t *out, struct err *e)
{
    struct gbnf p = { .g = g, .s = text, .len = len, .e = e };
    int32_t root = GRAMMAR_NONE;

    skip_space(&p, true);
    while (p.rc == 0 && peek(&p) != END) {
        rule(&p);
        skip_space(&p, true);
    }
    if (p.rc == 0)
        root = find_root(&p);
    *out = p.rc ? GRAMMAR_NONE : grammar_call(g, root);
    free(p.names);
    return p.rc;
}
