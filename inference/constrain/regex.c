#include "inference/constrain/regex.h"

#include <string.h>

#include "kernels/base/utf8.h"

enum {
    MAX_DEPTH = 100,
    MAX_COUNT = 100000, /* of {m,n} */
    END = -1,
};

struct regex {
    struct grammar *g;
    const char *s;
    size_t len, at;
    enum char_style style;
    enum regex_reach reach;
    int depth;
    struct err *e;
    int rc;         /* the first error */
    bool inverted;  /* the class being read */
    unsigned named; /* of dwsDWS, those that it has: bits */
};

static int32_t fail(struct regex *r, int code, const char *what)
{
    if (r->rc == 0)
        r->rc = err_set(r->e, code, "regular expression, position %zu: %s", r->at, what);
    return GRAMMAR_NONE;
}

static int64_t peek(const struct regex *r)
{
    uint32_t cp;

    if (r->rc || r->at >= r->len)
        return END;
    (void)utf8_decode(r->s + r->at, r->len - r->at, &cp);
    return cp;
}

static int64_t take(struct regex *r)
{
    uint32_t cp;
    size_t n;

    if (r->rc || r->at >= r->len)
        return END;
    n = utf8_decode(r->s + r->at, r->len - r->at, &cp);
    if (n == 0) {
        (void)fail(r, ERR_INVALID, "not UTF-8");
        return END;
    }
    r->at += n;
    return cp;
}

static bool take_if(struct regex *r, char c)
{
    if (peek(r) != c)
        return false;
    r->at++;
    return true;
}

/* --- characters and classes --- */

static const char NAMES[] = "dwsDWS";

/* \d \w \s, or with an upper-case letter what is none of them.  Engines differ beyond ASCII:
 * ECMA-262 knows digits and letters of ASCII only, Python's re those of all scripts, and each has
 * spaces that the other has not. What is generated shall fit with all: the small set where the name
 * adds characters, and the complement of the large one where it takes them away. */
static void add_named(struct char_set *s, char name, bool inverted)
{
    struct char_set set = { 0 };
    bool large = inverted != !(name & 0x20);

    switch (name | 0x20) {
    case 'd':
        char_set_add(&set, '0', '9');
        break;
    case 'w':
        char_set_add(&set, '0', '9');
        char_set_add(&set, 'A', 'Z');
        char_set_add(&set, '_', '_');
        char_set_add(&set, 'a', 'z');
        break;
    default: /* white space and line terminators */
        char_set_add(&set, 9, 13);
        char_set_add(&set, ' ', ' ');
        char_set_add(&set, 0xa0, 0xa0);
        char_set_add(&set, 0x1680, 0x1680);
        char_set_add(&set, 0x2000, 0x200a);
        char_set_add(&set, 0x2028, 0x2029);
        char_set_add(&set, 0x202f, 0x202f);
        char_set_add(&set, 0x205f, 0x205f);
        char_set_add(&set, 0x3000, 0x3000);
        if (large) { /* either of Python's or of ECMA-262 */
            char_set_add(&set, 0x1c, 0x1f);
            char_set_add(&set, 0x85, 0x85);
            char_set_add(&set, 0xfeff, 0xfeff);
        }
    }
    if (large && (name | 0x20) != 's')
        char_set_add(&set, 0x80, 0x10ffff);
    if (!(name & 0x20))
        char_set_invert(&set);
    for (size_t i = 0; i < set.n; i++)
        char_set_add(s, set.ranges[i].lo, set.ranges[i].hi);
}

static int hex_digit(int64_t c)
{
    if (c >= '0' && c <= '9')
        return (int)c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? (int)c - 'a' + 10 : -1;
}

/* Exactly n digits, or with n 0 one to six and a closing brace. */
static int64_t hex(struct regex *r, int n)
{
    int64_t v = 0;
    int i = 0;

    for (; n == 0 ? peek(r) != '}' && i < 6 : i < n; i++) {
        int d = hex_digit(take(r));

        if (d < 0) {
            (void)fail(r, ERR_INVALID, "expected a hexadecimal digit");
            return 0;
        }
        v = v << 4 | d;
    }
    if (n == 0 && (i == 0 || !take_if(r, '}') || v > 0x10ffff))
        (void)fail(r, ERR_INVALID, "expected \\u{...}, a code point in hexadecimal");
    return v;
}

/* \uD83D\uDE00 is one character. */
static int64_t code_unit(struct regex *r)
{
    int64_t v = take_if(r, '{') ? hex(r, 0) : hex(r, 4);

    if (v >= 0xd800 && v <= 0xdbff && r->at + 1 < r->len && r->s[r->at] == '\\' &&
        r->s[r->at + 1] == 'u') {
        int64_t low;

        r->at += 2;
        low = hex(r, 4);
        if (low < 0xdc00 || low > 0xdfff)
            (void)fail(r, ERR_INVALID, "half of a surrogate pair");
        return 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
    }
    if (v >= 0xd800 && v <= 0xdfff)
        (void)fail(r, ERR_INVALID, "half of a surrogate pair");
    return v;
}

/* After a backslash: one character, or END where a named class went into *set. */
static int64_t escape(struct regex *r, struct char_set *set, bool in_class)
{
    int64_t c = take(r);

    switch (c) {
    case 'd':
    case 'D':
    case 'w':
    case 'W':
    case 's':
    case 'S':
        add_named(set, (char)c, r->inverted);
        r->named |= 1u << (strchr(NAMES, (int)c) - NAMES);
        return END;
    case 't':
        return '\t';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 'f':
        return '\f';
    case 'v':
        return '\v';
    case '0':
        if (peek(r) >= '0' && peek(r) <= '9')
            (void)fail(r, ERR_UNSUPPORTED, "octal escapes are not supported");
        return 0;
    case 'x':
        return hex(r, 2);
    case 'u':
        return code_unit(r);
    case 'c':
        c = take(r);
        if ((c | 0x20) < 'a' || (c | 0x20) > 'z')
            (void)fail(r, ERR_INVALID, "expected a letter after \\c");
        return c & 31;
    case 'b':
        if (in_class)
            return '\b';
        break;
    default:
        break;
    }
    if (c == END)
        (void)fail(r, ERR_INVALID, "ends with a backslash");
    else if (c >= '1' && c <= '9')
        (void)fail(r, ERR_UNSUPPORTED, "references to groups are not supported");
    else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        (void)fail(r, ERR_UNSUPPORTED, "this escape is not supported");
    return c;
}

/* One end of a range; END where it was a named class. */
static int64_t class_character(struct regex *r, struct char_set *set)
{
    if (take_if(r, '\\'))
        return escape(r, set, true);
    return take(r);
}

/* After the opening bracket. */
static int32_t class_node(struct regex *r)
{
    struct char_set set = { 0 };
    bool invert = take_if(r, '^');

    r->inverted = invert;
    r->named = 0;
    while (peek(r) != ']') { /* at once: an empty class */
        int64_t lo, hi;

        if (peek(r) == END)
            return fail(r, ERR_INVALID, "a class without its closing bracket");
        if (peek(r) == '[' && r->at + 1 < r->len && strchr(":.=", r->s[r->at + 1]))
            return fail(r, ERR_UNSUPPORTED, "named classes such as [:alpha:] are not supported");
        lo = hi = class_character(r, &set);
        if (peek(r) == '-' && r->at + 1 < r->len && r->s[r->at + 1] != ']') {
            r->at++;
            hi = class_character(r, &set);
            if (lo == END || hi == END || lo > hi)
                return fail(r, ERR_INVALID, "a range whose ends are not two characters in order");
        }
        if (lo != END)
            char_set_add(&set, (uint32_t)lo, (uint32_t)hi);
    }
    r->at++;
    if (set.full)
        return fail(r, ERR_LIMIT, "a class of too many ranges");
    r->inverted = false;
    if (r->named & r->named >> 3) /* [\s\S] and the like: any character */
        char_set_add(&set, 0, 0x10ffff);
    if (invert)
        char_set_invert(&set);
    return chars_node(r->g, &set, r->style);
}

static int32_t one_character(struct regex *r, int64_t c)
{
    struct char_set set = { 0 };

    char_set_add(&set, (uint32_t)c, (uint32_t)c);
    return chars_node(r->g, &set, r->style);
}

static int32_t any_character(struct regex *r, bool newlines)
{
    struct char_set set = { 0 };

    if (!newlines) {
        char_set_add(&set, '\n', '\n');
        char_set_add(&set, '\r', '\r');
        char_set_add(&set, 0x2028, 0x2029);
    }
    char_set_invert(&set);
    return chars_node(r->g, &set, r->style);
}

/* --- structure --- */

static int32_t alternatives(struct regex *r);

static int32_t group(struct regex *r)
{
    int32_t node;

    if (take_if(r, '?')) {
        bool name = take_if(r, 'P');

        if (take_if(r, '<')) {
            if (peek(r) == '=' || peek(r) == '!')
                return fail(r, ERR_UNSUPPORTED, "look-behind is not supported");
            while (peek(r) != '>' && peek(r) != END)
                (void)take(r);
            if (!take_if(r, '>'))
                return fail(r, ERR_INVALID, "a group's name without its end");
        } else if (name || !take_if(r, ':')) {
            return fail(r, ERR_UNSUPPORTED,
                        peek(r) == '=' || peek(r) == '!'
                            ? "look-ahead is not supported"
                            : "flags and conditions are not supported");
        }
    }
    if (++r->depth > MAX_DEPTH)
        return fail(r, ERR_LIMIT, "groups nest too deeply");
    node = alternatives(r);
    r->depth--;
    if (!take_if(r, ')'))
        return fail(r, ERR_INVALID, "a group without its closing parenthesis");
    return node;
}

static int32_t atom(struct regex *r)
{
    struct char_set set = { 0 };
    int64_t c = take(r);

    switch (c) {
    case '(':
        return group(r);
    case '[':
        return class_node(r);
    case '.':
        return any_character(r, false);
    case '\\':
        c = escape(r, &set, false);
        return c == END ? chars_node(r->g, &set, r->style) : one_character(r, c);
    case '*':
    case '+':
    case '?':
        return fail(r, ERR_INVALID, "nothing to repeat");
    case '^':
    case '$':
        return fail(r, ERR_UNSUPPORTED, "^ and $ are supported at the ends of an alternative only");
    default:
        return one_character(r, c);
    }
}

static bool number(struct regex *r, size_t *out)
{
    size_t v = 0;
    bool any = false;

    for (int64_t c; (c = peek(r)) >= '0' && c <= '9'; any = true) {
        v = v * 10 + (size_t)(c - '0');
        if (v > MAX_COUNT)
            (void)fail(r, ERR_LIMIT, "a count above 100000");
        r->at++;
    }
    *out = v;
    return any;
}

/* {m}, {m,}, {m,n}; false where the brace is none of these and stands for itself. */
static bool counts(struct regex *r, size_t *min, size_t *max)
{
    size_t start = r->at;

    if (!take_if(r, '{'))
        return false;
    if (number(r, min)) {
        *max = *min;
        if (take_if(r, ',') && !number(r, max))
            *max = GRAMMAR_UNBOUNDED;
        if (take_if(r, '}'))
            return true;
    }
    r->at = start;
    return false;
}

static int32_t repeated(struct regex *r)
{
    int32_t node = atom(r);

    for (int n = 0; r->rc == 0; n++) {
        size_t min = 0, max = GRAMMAR_UNBOUNDED;

        if (take_if(r, '+'))
            min = 1;
        else if (take_if(r, '?'))
            max = 1;
        else if (!take_if(r, '*') && !counts(r, &min, &max))
            break;
        if (n > 0)
            return fail(r, ERR_INVALID, "nothing to repeat");
        if (max < min)
            return fail(r, ERR_INVALID, "a count whose end is before its beginning");
        if (peek(r) == '+')
            return fail(r, ERR_UNSUPPORTED, "possessive repetition is not supported");
        (void)take_if(r, '?'); /* lazy: the same texts */
        node = grammar_repeat(r->g, node, min, max);
    }
    return node;
}

static bool anchor(struct regex *r, char sign, char letter, char other)
{
    if (r->depth == 0 && take_if(r, sign))
        return true;
    if (r->depth == 0 && r->at + 1 < r->len && r->s[r->at] == '\\' &&
        (r->s[r->at + 1] == letter || r->s[r->at + 1] == other)) {
        r->at += 2;
        return true;
    }
    return false;
}

/* One alternative.  Where a text only has to hold a match, anything may stand before and after it.
 */
static int32_t sequence(struct regex *r)
{
    bool open = r->depth == 0 && r->reach == REGEX_FIND;
    bool begin = anchor(r, '^', 'A', 'A'), end = false;
    int32_t node = grammar_empty(r->g);

    if (open && !begin)
        node = grammar_repeat(r->g, any_character(r, true), 0, GRAMMAR_UNBOUNDED);
    while (r->rc == 0 && peek(r) != END && peek(r) != '|' && !(peek(r) == ')' && r->depth > 0)) {
        end = anchor(r, '$', 'z', 'Z');
        if (end)
            break;
        if (peek(r) == ')')
            return fail(r, ERR_INVALID, "a closing parenthesis without a group");
        node = grammar_seq(r->g, node, repeated(r));
    }
    if (end && peek(r) != END && peek(r) != '|')
        return fail(r, ERR_UNSUPPORTED, "$ is supported at the end of an alternative only");
    if (open && !end)
        node = grammar_seq(r->g, node,
                           grammar_repeat(r->g, any_character(r, true), 0, GRAMMAR_UNBOUNDED));
    return node;
}

static int32_t alternatives(struct regex *r)
{
    int32_t node = sequence(r);

    while (r->rc == 0 && take_if(r, '|'))
        node = grammar_alt(r->g, node, sequence(r));
    return node;
}

int regex_node(struct grammar *g, const char *pattern, size_t len, enum regex_reach reach,
               enum char_style style, int32_t *out, struct err *e)
{
    struct regex r = { .g = g, .s = pattern, .len = len, .style = style, .reach = reach, .e = e };

    *out = alternatives(&r);
    return r.rc;
}
