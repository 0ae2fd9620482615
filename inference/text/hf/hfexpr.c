/* hfexpr - expressions of tokenizer.json, which are Oniguruma's, for PCRE2.
 *
 * Most signs mean the same in both; those that do not are spelled out, or refused.  Letters and
 * numbers are those of the Unicode that PCRE2 knows. */
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "inference/text/hf/hfchars.h"

/* White_Space of Unicode, to stand in a class: PCRE2's \s has U+180E too. */
#define WHITE                                                                                   \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}" \
    "\\x{205f}\\x{3000}"

/* \w of Oniguruma within a class; alone it has some of Latin-1's numbers, too. */
#define LETTERS "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
#define WORD    LETTERS "\\x{b2}\\x{b3}\\x{b9}\\x{bc}\\x{bd}\\x{be}"
#define HEX     "0-9A-Fa-f"

/* An expression on its way. */
struct rewriting {
    const char *s;
    size_t len, at;
    bool in_class;
};

static int refuse(const struct rewriting *r, const char *what, struct err *e)
{
    return err_set(e, ERR_UNSUPPORTED, "tokenizer.json: %s in the expression %.*s is not supported",
                   what, (int)(r->len < 100 ? r->len : 100), r->s);
}

/* \p{Han}: PCRE2 takes the name of a script for all that is used in it (Script_Extensions). */
static void put_property(struct buf *b, struct rewriting *r)
{
    static const char *const others[] = { "Any", "Alphabetic", "Lowercase", "Uppercase" };
    const char *name = r->s + r->at + 3, *close = memchr(name, '}', r->len - r->at - 3);
    size_t n = close ? (size_t)(close - name) : 0, inverted = n && *name == '^';
    bool script = n - inverted > 2;

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        script &= strlen(others[i]) != n - inverted ||
                  memcmp(others[i], name + inverted, n - inverted) != 0;
    buf_printf(b, "\\%c{%s%s%.*s", r->s[r->at + 1], inverted ? "^" : "", script ? "sc:" : "",
               (int)(n - inverted), name + inverted);
    r->at += 3 + n;
}

/* A backslash and what follows. */
static int put_escape(struct buf *b, struct rewriting *r, struct err *e)
{
    static const struct {
        char sign;
        const char *within, *alone; /* in a class, and outside; NULL: cannot be */
    } signs[] = {
        { 's', WHITE, "[" WHITE "]" },
        { 'S', "\\S", "[^" WHITE "]" }, /* whose one difference (U+180E) stays in a class */
        { 'w', LETTERS, "[" WORD "]" },
        { 'W', NULL, "[^" WORD "]" },
        { 'h', HEX, "[" HEX "]" },
        { 'H', NULL, "[^" HEX "]" },
        { 'b', "\\b", "(?:(?<=[" WORD "])(?![" WORD "])|(?<![" WORD "])(?=[" WORD "]))" },
        { 'B', NULL, "(?:(?<=[" WORD "])(?=[" WORD "])|(?<![" WORD "])(?![" WORD "]))" },
    };
    char sign = r->s[r->at + 1];

    if ((sign == 'p' || sign == 'P') && r->at + 2 < r->len && r->s[r->at + 2] == '{') {
        put_property(b, r);
        return 0;
    }
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (signs[i].sign == sign) {
            const char *to = r->in_class ? signs[i].within : signs[i].alone;

            if (!to)
                return refuse(r, (const char[]){ '\\', sign, '\0' }, e);
            buf_puts(b, to);
            r->at += 2;
            return 0;
        }
    buf_put(b, r->s + r->at, 2);
    r->at += 2;
    return 0;
}

/* Within a class: Oniguruma's classes nest and intersect, and most that have names are wider. */
static int put_in_class(struct buf *b, struct rewriting *r, struct err *e)
{
    static const char punct[] = "[:punct:]";
    const char *s = r->s + r->at;
    size_t left = r->len - r->at;

    if (left >= strlen(punct) && memcmp(s, punct, strlen(punct)) == 0) {
        buf_puts(b, "\\p{P}\\p{S}");
        r->at += strlen(punct);
        return 0;
    }
    if (*s == '[' || (left > 1 && s[0] == '&' && s[1] == '&'))
        return refuse(r, "a class of classes", e);
    r->in_class = *s != ']';
    buf_putc(b, *s);
    r->at++;
    return 0;
}

static int put_expression(struct buf *b, const char *s, size_t len, struct err *e)
{
    struct rewriting r = { .s = s, .len = len };
    int rc = 0;

    while (r.at < len && !rc) {
        if (s[r.at] == '\\' && r.at + 1 < len) {
            rc = put_escape(b, &r, e);
        } else if (r.in_class) {
            rc = put_in_class(b, &r, e);
        } else {
            r.in_class = s[r.at] == '[';
            buf_putc(b, s[r.at++]);
            if (r.in_class && r.at < len && s[r.at] == '^')
                buf_putc(b, s[r.at++]);
            if (r.in_class && r.at < len && s[r.at] == ']') /* the first is meant */
                buf_putc(b, s[r.at++]);
        }
    }
    if (!rc && b->failed)
        rc = err_set(e, ERR_NOMEM, "no memory for an expression");
    return rc;
}

int hf_compile(void **code, const char *expression, size_t len, struct err *e)
{
    struct buf b = { 0 };
    pcre2_code *made = NULL;
    PCRE2_SIZE at = 0;
    int problem = 0, rc = 0;
    unsigned char text[160] = "";

    if ((rc = put_expression(&b, expression, len, e)))
        goto out;
    made =
        pcre2_compile((PCRE2_SPTR)buf_str(&b), b.len, PCRE2_UTF | PCRE2_UCP, &problem, &at, NULL);
    if (!made) {
        pcre2_get_error_message(problem, text, sizeof text);
        rc = problem == PCRE2_ERROR_HEAP_FAILED
                 ? err_set(e, ERR_NOMEM, "no memory for the expression %.120s", expression)
                 : err_set(e, ERR_UNSUPPORTED, "tokenizer.json: the expression %.120s: %s",
                           expression, (const char *)text);
        goto out;
    }
    /* Without a compiler for this machine the interpreter does the same, slower. */
    (void)pcre2_jit_compile(made, PCRE2_JIT_COMPLETE);
    *code = made;
out:
    buf_done(&b);
    return rc;
}

int hf_compile_punctuation(void **code, struct err *e)
{
    struct buf b = { 0 };
    int rc;

    buf_putc(&b, '[');
    for (size_t i = 0; i < hf_n_punctuation; i++)
        buf_printf(&b, "\\x{%x}-\\x{%x}", (unsigned)hf_punctuation[i].first,
                   (unsigned)hf_punctuation[i].last);
    buf_putc(&b, ']');
    rc = b.failed ? err_set(e, ERR_NOMEM, "no memory for an expression")
                  : hf_compile(code, buf_str(&b), b.len, e);
    buf_done(&b);
    return rc;
}

/* Every ASCII sign that is no letter or digit by its number. */
void hf_quote(struct buf *b, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)s[i] < 0x80 && !((s[i] | 32) >= 'a' && (s[i] | 32) <= 'z') &&
            !(s[i] >= '0' && s[i] <= '9'))
            buf_printf(b, "\\x{%x}", (unsigned)(unsigned char)s[i]);
        else
            buf_putc(b, s[i]);
}

int hf_pattern(void **code, const struct value *component, struct err *e)
{
    const struct value *pattern = value_get(component, "pattern");
    size_t len;
    const char *s = hf_string(pattern, "Regex", &len);
    struct buf b = { 0 };
    int rc;

    if (s)
        return hf_compile(code, s, len, e);
    s = hf_string(pattern, "String", &len);
    if (!s || len == 0)
        return err_set(e, ERR_FORMAT, "tokenizer.json: %.40s needs a pattern, a String or a Regex",
                       hf_type(component));
    hf_quote(&b, s, len);
    rc = b.failed ? err_set(e, ERR_NOMEM, "no memory for an expression")
                  : hf_compile(code, buf_str(&b), b.len, e);
    buf_done(&b);
    return rc;
}
