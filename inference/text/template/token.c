/* Strings, numbers and operators, as Jinja's lexer reads them. */
#include "inference/text/template/lexer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/utf8.h"

/* \ooo, \xhh, \uhhhh, \Uhhhhhhhh as in Python; *pos is behind the backslash and moves behind it
 * all. */
static int lex_number_escape(struct lexer *x, size_t *pos, size_t end, uint32_t *c)
{
    char kind = x->src[*pos];
    size_t digits = kind == 'x' ? 2 : kind == 'u' ? 4 : kind == 'U' ? 8 : 3, n = 0;
    unsigned base = kind >= '0' && kind <= '7' ? 8 : 16;

    *pos += base == 16;
    for (*c = 0; n < digits && *pos < end; n++, ++*pos) {
        char d = x->src[*pos];
        unsigned v;

        if (d >= '0' && d <= '9')
            v = (unsigned)(d - '0');
        else if ((d | 32) >= 'a' && (d | 32) <= 'f')
            v = (unsigned)((d | 32) - 'a') + 10;
        else
            break;
        if (v >= base)
            break;
        *c = *c * base + v;
    }
    if ((base == 16 && n < digits) || *c > 0x10ffff)
        return template_error(x->t, *pos, x->e, "a bad \\%c escape in a string", kind);
    return 0;
}

/* The text between the quotes at [start, end) with its escapes resolved. */
static int push_string(struct lexer *x, size_t at, size_t start, size_t end)
{
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    char *text = arena_alloc(&x->t->arena, end - start + 1);
    size_t n = 0;

    if (!text)
        return lexer_no_memory(x);
    for (size_t i = start; i < end;) {
        char c = x->src[i++];
        const char *simple;
        uint32_t code;

        if (c != '\\') {
            text[n++] = c;
            continue;
        }
        c = x->src[i];
        simple = c ? strchr(from, c) : NULL;
        if (simple) {
            text[n++] = to[simple - from];
            i++;
        } else if (c == '\n') {
            i++;
        } else if (c == 'x' || c == 'u' || c == 'U' || (c >= '0' && c <= '7')) {
            int rc = lex_number_escape(x, &i, end, &code);

            if (rc)
                return rc;
            n += utf8_encode(text + n, code); /* never longer than the escape */
        } else {
            text[n++] = '\\';
        }
    }
    return lexer_push(x, TOKEN_STRING, at, text, n);
}

int lex_string(struct lexer *x)
{
    size_t at = x->pos, start = at + 1;
    char quote = x->src[at];

    for (size_t i = start; i < x->len; i++) {
        if (x->src[i] == '\\') {
            i++;
        } else if (x->src[i] == quote) {
            x->pos = i + 1;
            return push_string(x, at, start, i);
        }
    }
    return template_error(x->t, at, x->e, "the string that starts here does not end");
}

static bool is_digit(const struct lexer *x, size_t pos)
{
    return pos < x->len && x->src[pos] >= '0' && x->src[pos] <= '9';
}

/* Copies digits, with single underscores between them left out, to *to; pos moves behind them. */
static size_t take_digits(const struct lexer *x, size_t pos, char **to, const char *limit)
{
    while (is_digit(x, pos) || (pos < x->len && x->src[pos] == '_' && is_digit(x, pos + 1))) {
        if (x->src[pos] != '_' && *to < limit)
            *(*to)++ = x->src[pos];
        pos++;
    }
    return pos;
}

/* 0xff, 0o17, 0b1_01; *found: is it one? */
static int lex_based(struct lexer *x, bool *found)
{
    size_t at = x->pos, pos = at + 2;
    char kind = at + 1 < x->len ? (char)(x->src[at + 1] | 32) : '\0', digits[80];
    const char *set = kind == 'x' ? "0123456789abcdefABCDEF" : kind == 'o' ? "01234567" : "01";
    size_t n = 0;

    *found = false;
    if (x->src[at] != '0' || (kind != 'x' && kind != 'o' && kind != 'b'))
        return 0;
    for (;; pos++) {
        size_t digit = pos + lexer_at(x, pos, "_");

        if (digit >= x->len || !x->src[digit] || !strchr(set, x->src[digit]))
            break;
        if (n == sizeof digits - 1)
            return template_error(x->t, at, x->e, "integers beyond 64 bits are not offered");
        digits[n++] = x->src[digit];
        pos = digit;
    }
    digits[n] = '\0';
    *found = n > 0;
    if (!n)
        return 0;
    TRY(lexer_push(x, TOKEN_INT, at, x->src + at, pos - at));
    x->pos = pos;
    errno = 0;
    x->tokens[x->n - 1].integer = strtoll(digits, NULL, kind == 'x' ? 16 : kind == 'o' ? 8 : 2);
    if (errno)
        return template_error(x->t, at, x->e, "integers beyond 64 bits are not offered");
    return 0;
}

/* The zeros a whole number begins with: it has no other digits then. */
static size_t take_zeros(const struct lexer *x, size_t pos)
{
    while (lexer_at(x, pos, "0") || lexer_at(x, pos, "_0"))
        pos += lexer_at(x, pos, "_") + 1u;
    return pos;
}

int lex_number(struct lexer *x)
{
    size_t at = x->pos, pos = at, after;
    char digits[400], *to = digits;
    const char *limit = digits + sizeof digits - 8;
    bool after_dot = at > 0 && x->src[at - 1] == '.', integer = true;
    bool based;

    TRY(lex_based(x, &based));
    if (based)
        return 0;
    pos = take_digits(x, pos, &to, limit);
    if (!after_dot && lexer_at(x, pos, ".") && is_digit(x, pos + 1)) {
        integer = false;
        *to++ = '.';
        pos = take_digits(x, pos + 1, &to, limit);
    }
    after = pos + 1 + (lexer_at(x, pos + 1, "+") || lexer_at(x, pos + 1, "-"));
    if (!after_dot && pos < x->len && (x->src[pos] | 32) == 'e' && is_digit(x, after)) {
        integer = false;
        *to++ = 'e';
        if (after == pos + 2)
            *to++ = x->src[pos + 1];
        pos = take_digits(x, after, &to, limit + 4);
    }
    *to = '\0';
    if (integer && x->src[at] == '0') {
        pos = take_zeros(x, at);
        memcpy(digits, "0", 2);
    }
    x->pos = pos;
    TRY(lexer_push(x, integer ? TOKEN_INT : TOKEN_FLOAT, at, x->src + at, pos - at));
    errno = 0;
    if (integer)
        x->tokens[x->n - 1].integer = strtoll(digits, NULL, 10);
    else
        x->tokens[x->n - 1].number = strtod(digits, NULL);
    if (integer && errno)
        return template_error(x->t, at, x->e, "integers beyond 64 bits are not offered");
    return 0;
}

int lex_operator(struct lexer *x)
{
    static const char *const operators[] = { "**", "//", "==", "!=", "<=", ">=", "+", "-", "*",
                                             "/",  "%",  "~",  "<",  ">",  "=",  "(", ")", "[",
                                             "]",  "{",  "}",  "|",  ",",  ":",  ".", ";" };
    const char *op = NULL;
    char c;

    for (size_t i = 0; !op && i < sizeof operators / sizeof *operators; i++) {
        if (lexer_at(x, x->pos, operators[i]))
            op = operators[i];
    }
    if (!op)
        return template_error(x->t, x->pos, x->e, "an unexpected character");
    c = op[0];
    if (c == '(' || c == '[' || c == '{') {
        if (x->n_brackets == MAX_BRACKETS)
            return template_error(x->t, x->pos, x->e, "brackets nested too deep");
        x->brackets[x->n_brackets++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
        if (x->n_brackets == 0 || x->brackets[--x->n_brackets] != c)
            return template_error(x->t, x->pos, x->e, "a %c that closes nothing", c);
    }
    x->pos += strlen(op);
    return lexer_push(x, TOKEN_OP, x->pos - strlen(op), op, strlen(op));
}
