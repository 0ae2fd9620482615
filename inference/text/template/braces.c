/* str.format().
 *
 * Where the format itself is the template's own text, the pieces of it and the values put in keep
 * their exact ranges of untrusted bytes; a format that a client wrote gives a wholly untrusted
 * text. */
#include <string.h>

#include "inference/text/template/format.h"
#include "inference/text/template/textops.h"

/* One value under a format specification. */
static int put_value(struct render *r, struct tbuf *b, struct tval v, const struct tstr *text)
{
    struct spec sp;
    struct tval s = v;

    if (text->len == 0)
        return tval_print(r, b, v);
    if (!tval_is_number(v) && v.kind != T_STRING)
        return run_fail(r, "unsupported format string passed to %s.__format__", tval_type(v));
    TRY(format_parse_spec(r, text, &sp));
    if (tval_is_number(v))
        return format_put_number(r, b, v, &sp);
    if (sp.type && sp.type != 's')
        return run_fail(r, "Unknown format code '%c' for object of type 'str'", sp.type);
    if (sp.sign || sp.alternate || sp.grouping || sp.align == '=')
        return run_fail(r, "'%c' is not allowed in string format specifier",
                        sp.sign       ? sp.sign
                        : sp.grouping ? sp.grouping
                        : sp.align    ? '='
                                      : '#');
    if (sp.precision >= 0)
        TRY(tstr_slice(r, s.s, 0, tstr_offset(s.s, (size_t)sp.precision), &s));
    TRY(text_pad(r, s.s, sp.width, sp.fill,
                 sp.align == '>'   ? 'r'
                 : sp.align == '^' ? 'm'
                                   : 'l',
                 &s));
    tbuf_str(r, b, s.s);
    return 0;
}

struct braces {
    struct render *r;
    const struct args *a;
    size_t next;  /* {} takes this one */
    bool counted; /* there was a {}, */
    bool named;   /* a {0}: not both in one format */
    bool escapes; /* the format is markup */
};

/* The argument a replacement field begins with: nothing, a number or a name in [start, end). */
static int first_value(struct braces *f, const struct tstr *fmt, size_t start, size_t end,
                       bool alone, struct tval *out)
{
    const char *name = fmt->data + start;
    size_t len = end - start, index = f->next;
    bool number = len < 10 && (len || alone);

    for (size_t i = 0; i < len && number; i++)
        number = name[i] >= '0' && name[i] <= '9';
    if (len && number) {
        index = 0;
        for (size_t i = 0; i < len; i++)
            index = index * 10 + (size_t)(name[i] - '0');
    }
    if (number) {
        f->next += len == 0;
        f->counted |= alone && len == 0;
        f->named |= alone && len != 0;
        if (f->counted && f->named)
            return run_fail(f->r, "format: numbered fields do not go together with {}");
        if (index >= f->a->n_pos)
            return run_fail(f->r, "Replacement index %zu out of range for positional args tuple",
                            index);
        *out = f->a->pos[index];
        return 0;
    }
    for (size_t i = 0; i < f->a->n_kw; i++) {
        if (f->a->kw[i].len == len && memcmp(f->a->kw[i].name, name, len) == 0) {
            *out = f->a->kw[i].value;
            return 0;
        }
    }
    return run_fail(f->r, "format: there is no argument '%.*s'", (int)(len < 60 ? len : 60), name);
}

/* name.attr[key] in [start, end). */
static int field_value(struct braces *f, const struct tstr *fmt, size_t start, size_t end,
                       struct tval *out)
{
    const char *s = fmt->data;
    size_t at = start, from;

    while (at < end && s[at] != '.' && s[at] != '[')
        at++;
    TRY(first_value(f, fmt, start, at, at == end, out));
    while (at < end) {
        bool item = s[at] == '[';

        from = ++at;
        while (at < end && (item ? s[at] != ']' : s[at] != '.' && s[at] != '['))
            at++;
        if (from == at || (item && at == end))
            return run_fail(f->r, "Empty attribute in format string");
        if (item) {
            struct tval key;

            TRY(get_key(f->r, fmt, from, at, &key));
            TRY(get_item(f->r, *out, key, out));
            at++;
            if (at < end && s[at] != '.' && s[at] != '[')
                return run_fail(f->r, "Only '.' or '[' may follow ']' in a format's field");
        } else {
            TRY(get_attr(f->r, *out, s + from, at - from, out));
        }
    }
    return 0;
}

static int put_fields(struct braces *f, const struct tstr *fmt, struct tbuf *b, int depth);

/* A field that starts at `at`: where its name ends (at ! : or the closing brace), and where it ends
 * itself.  Brackets of the name may hold braces, and the specification fields. */
static int field_extent(struct braces *f, const struct tstr *fmt, size_t at, size_t *name_end,
                        size_t *end)
{
    int open = 1;

    for (; at < fmt->len && !strchr("}:!", fmt->data[at]); at++) {
        if (fmt->data[at] == '{')
            return run_fail(f->r, "unexpected '{' in field name");
        if (fmt->data[at] != '[')
            continue;
        at = tstr_find(fmt, "]", 1, at);
        if (at == SIZE_MAX)
            return run_fail(f->r, "expected '}' before end of string");
    }
    *name_end = at;
    for (; at < fmt->len; at++) {
        open += fmt->data[at] == '{';
        open -= fmt->data[at] == '}';
        *end = at;
        if (open == 0)
            return 0;
    }
    return run_fail(f->r, "expected '}' before end of string");
}

/* !r, !s or !a at *colon, if there is one; *colon moves behind it. */
static int convert(struct braces *f, const struct tstr *fmt, size_t end, size_t *colon,
                   struct tval *v)
{
    struct tbuf text = { 0 };
    char conversion;

    if (*colon == end || fmt->data[*colon] != '!')
        return 0;
    conversion = fmt->data[*colon + 1];
    if (*colon + 1 == end || !strchr("rsa", conversion) ||
        (*colon + 2 != end && fmt->data[*colon + 2] != ':'))
        return run_fail(f->r, "format: an unknown conversion");
    TRY(conversion == 's'   ? tval_print(f->r, &text, *v)
        : conversion == 'r' ? tval_repr(f->r, &text, *v)
                            : tval_ascii(f->r, &text, *v));
    TRY(conversion == 's' ? tbuf_done(f->r, &text, v) : tbuf_derived(f->r, &text, false, v));
    *colon += 2;
    return 0;
}

/* {field!conversion:spec}, whose opening brace is at *at - 1; the spec may hold fields itself. */
static int replacement(struct braces *f, const struct tstr *fmt, struct tbuf *b, size_t *at,
                       int depth)
{
    size_t start = *at, end = 0, colon = 0;
    struct tbuf text = { 0 };
    struct tval v, spec;

    TRY(field_extent(f, fmt, start, &colon, &end));
    TRY(field_value(f, fmt, start, colon, &v));
    TRY(convert(f, fmt, end, &colon, &v));
    TRY(tstr_slice(f->r, fmt, colon + (colon < end), end, &spec));
    if (tstr_find(spec.s, "{", 1, 0) != SIZE_MAX) {
        if (depth == 0)
            return run_fail(f->r, "Max string recursion exceeded");
        TRY(put_fields(f, spec.s, &text, depth - 1));
        TRY(tbuf_done(f->r, &text, &spec));
    }
    *at = end + 1;
    if (!f->escapes)
        return put_value(f->r, b, v, spec.s);
    text = (struct tbuf){ .markup = v.kind == T_STRING && v.s->markup };
    TRY(put_value(f->r, &text, v, spec.s));
    TRY(tbuf_done(f->r, &text, &v));
    TRY(tstr_escape(f->r, v.s, &v));
    tbuf_str(f->r, b, v.s);
    return 0;
}

static int put_fields(struct braces *f, const struct tstr *fmt, struct tbuf *b, int depth)
{
    struct tval piece;
    size_t plain = 0;

    TRY(run_charge_bytes(f->r, fmt->len));
    for (size_t i = 0; i < fmt->len && !b->failed;) {
        char c = fmt->data[i];
        bool twice = i + 1 < fmt->len && fmt->data[i + 1] == c;

        if (c != '{' && c != '}') {
            i++;
            continue;
        }
        TRY(tstr_slice(f->r, fmt, plain, i + twice, &piece)); /* "{{" gives one of the two */
        tbuf_str(f->r, b, piece.s);
        TRY(run_charge(f->r, 1));
        i += 1 + (size_t)twice;
        if (!twice && c == '}')
            return run_fail(f->r, "Single '}' encountered in format string");
        if (!twice)
            TRY(replacement(f, fmt, b, &i, depth));
        plain = i;
    }
    TRY(tstr_slice(f->r, fmt, plain, fmt->len, &piece));
    tbuf_str(f->r, b, piece.s);
    return 0;
}

int format_braces(struct render *r, const struct tstr *fmt, const struct args *a, struct tval *out)
{
    struct braces f = { .r = r, .a = a };
    struct tbuf b = { .markup = fmt->markup };

    f.escapes = fmt->markup;
    TRY(put_fields(&f, fmt, &b, 1));
    return tstr_tainted(fmt) ? tbuf_derived(r, &b, true, out) : tbuf_done(r, &b, out);
}
