#include "kernels/base/json_scan.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/utf8.h"

/* What json-c 0.16 allocates, rounded up: an object has a table of 16 entries of 40 bytes that
 * doubles, an array starts with 32 pointers; a value, with malloc's overhead, its key and its
 * place. */
enum { OBJECT_COST = 900, ARRAY_COST = 450, VALUE_COST = 240 };

struct scanner {
    struct json_scan *out;
    const char *text;
    size_t pos, len;
    size_t copied; /* bytes of text already in out->mended */
    int depth;
    struct err *e;
};

static int bad(struct scanner *s, size_t at, const char *what)
{
    return err_set(s->e, ERR_FORMAT, "JSON, byte %zu: %s", at, what);
}

/* The character at pos, -1 at the end. */
static int peek(const struct scanner *s)
{
    return s->pos < s->len ? (unsigned char)s->text[s->pos] : -1;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

/* number = [ "-" ] int [ frac ] [ exp ]   (RFC 8259, section 6) */
static int scan_number(struct scanner *s)
{
    size_t start = s->pos, digits;
    bool integer = true;
    char copy[24];

    if (peek(s) == '-')
        s->pos++;
    digits = s->pos;
    if (!is_digit(peek(s)))
        return bad(s, s->pos, "a digit was expected after the minus sign");
    while (is_digit(peek(s)))
        s->pos++;
    if (s->text[digits] == '0' && s->pos - digits > 1)
        return bad(s, start, "a number starts with a superfluous zero");
    digits = s->pos - digits;
    if (peek(s) == '.') {
        integer = false;
        s->pos++;
        if (!is_digit(peek(s)))
            return bad(s, s->pos, "a digit was expected after the decimal point");
        while (is_digit(peek(s)))
            s->pos++;
    }
    if (peek(s) == 'e' || peek(s) == 'E') {
        integer = false;
        s->pos++;
        if (peek(s) == '+' || peek(s) == '-')
            s->pos++;
        if (!is_digit(peek(s)))
            return bad(s, s->pos, "a digit was expected in the exponent");
        while (is_digit(peek(s)))
            s->pos++;
    }
    if (!integer || digits < 19)
        return 0;
    if (s->pos - start < sizeof copy) {
        memcpy(copy, s->text + start, s->pos - start);
        copy[s->pos - start] = '\0';
        errno = 0;
        (void)strtoll(copy, NULL, 10);
        if (errno == 0)
            return 0;
    }
    buf_put(&s->out->mended, s->text + s->copied, s->pos - s->copied);
    buf_puts(&s->out->mended, ".0");
    s->copied = s->pos;
    return 0;
}

/* The value of \uXXXX at `at`, -1 if there is none. */
static int32_t escaped_unit(const struct scanner *s, size_t at)
{
    int32_t unit = 0;

    if (at > s->len || s->len - at < 6 || s->text[at] != '\\' || s->text[at + 1] != 'u')
        return -1;
    for (size_t i = at + 2; i < at + 6; i++) {
        int c = s->text[i], digit = c >= '0' && c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;

        if (digit < 0 || digit > 15 || (digit > 9 && (c | 0x20) < 'a'))
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

/* At a backslash: steps over the escape; one of a pair of surrogates is written out. */
static void scan_escape(struct scanner *s)
{
    int32_t high = escaped_unit(s, s->pos), low = escaped_unit(s, s->pos + 6), cp;
    char utf8[4];

    if (high < 0xd800 || high > 0xdbff || low < 0xdc00 || low > 0xdfff) {
        s->pos += s->len - s->pos >= 2 ? 2 : 1; /* json-c knows the escapes */
        return;
    }
    cp = 0x10000 + (high - 0xd800) * 0x400 + (low - 0xdc00);
    buf_put(&s->out->mended, s->text + s->copied, s->pos - s->copied);
    buf_put(&s->out->mended, utf8, utf8_encode(utf8, (uint32_t)cp));
    s->pos += 12;
    s->copied = s->pos;
}

static bool is_blank(int c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Is the string that ended just before pos a key, that is: does a colon follow? */
static bool colon_follows(const struct scanner *s)
{
    size_t i = s->pos;

    while (i < s->len && is_blank((unsigned char)s->text[i]))
        i++;
    return i < s->len && s->text[i] == ':';
}

static int scan_string(struct scanner *s)
{
    size_t start = s->pos++, n;
    bool has_nul = false;
    uint32_t cp;

    for (;;) {
        int c = peek(s);

        if (c < 0)
            return bad(s, start, "the string that starts here does not end");
        if (c < 0x20)
            return bad(s, s->pos, "a control character in a string must be escaped");
        if (c == '"')
            break;
        if (c == '\\') {
            if (s->len - s->pos >= 6 && memcmp(s->text + s->pos, "\\u0000", 6) == 0)
                has_nul = true;
            scan_escape(s);
            continue;
        }
        n = utf8_decode(s->text + s->pos, s->len - s->pos, &cp);
        if (n == 0)
            return bad(s, s->pos, "this is not UTF-8");
        s->pos += n;
    }
    s->pos++;
    if (has_nul && colon_follows(s)) /* json-c would cut the key short */
        return bad(s, start, "a key with a NUL character");
    return 0;
}

static int scan_word(struct scanner *s)
{
    static const char *const words[] = { "true", "false", "null" };

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = strlen(words[i]);

        if (s->len - s->pos >= n && memcmp(s->text + s->pos, words[i], n) == 0) {
            s->pos += n;
            return 0;
        }
    }
    return bad(s, s->pos, "a value was expected");
}

static int scan_token(struct scanner *s, int max_depth)
{
    int c = peek(s);

    switch (c) {
    case '{':
    case '[':
        s->out->cost_bytes += c == '{' ? OBJECT_COST : ARRAY_COST;
        if (++s->depth > max_depth)
            return err_set(s->e, ERR_LIMIT, "JSON, byte %zu: nested deeper than %d", s->pos,
                           max_depth);
        s->pos++;
        return 0;
    case '}':
    case ']':
        s->depth--;
        s->pos++;
        return 0;
    case ',':
        s->out->cost_bytes += VALUE_COST;
        s->pos++;
        return 0;
    case ':':
        s->pos++;
        return 0;
    case '"':
        return scan_string(s);
    default:
        return c == '-' || is_digit(c) ? scan_number(s) : scan_word(s);
    }
}

int json_scan(struct json_scan *out, const char *text, size_t len, int max_depth, struct err *e)
{
    struct scanner s = { .out = out, .text = text, .len = len, .e = e };
    int rc;

    *out = (struct json_scan){ .cost_bytes = VALUE_COST };
    if (len > SIZE_MAX / (2 * OBJECT_COST)) /* so that cost_bytes cannot wrap */
        return err_set(e, ERR_LIMIT, "a JSON text of %zu bytes is too long", len);
    out->cost_bytes += 2 * len;
    while (s.pos < len) {
        if (is_blank(peek(&s))) {
            s.pos++;
            continue;
        }
        rc = scan_token(&s, max_depth);
        if (rc)
            return rc;
    }
    if (s.copied) {
        buf_put(&out->mended, text + s.copied, len - s.copied);
        if (out->mended.failed)
            return err_set(e, ERR_NOMEM, "no memory for a copy of %zu bytes of JSON", len);
    }
    return 0;
}
