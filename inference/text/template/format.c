/* str.format().
 *
 * Where the format itself is the template's own text, the pieces of it and the values put in keep
 * their exact ranges of untrusted bytes; a format that a client wrote gives a wholly untrusted
 * text. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "inference/text/template/format.h"
#include "inference/text/template/textops.h"
#include "kernels/base/json.h"

static bool is_align(char c)
{
    return c == '<' || c == '>' || c == '^' || c == '=';
}

int64_t format_take_int(const struct tstr *s, size_t *at)
{
    int64_t n = 0;

    for (; *at < s->len && s->data[*at] >= '0' && s->data[*at] <= '9'; ++*at) {
        if (n <= MAX_WIDTH)
            n = n * 10 + (s->data[*at] - '0');
    }
    return n;
}

bool format_take(const struct tstr *s, size_t *at, const char *set, char *out)
{
    if (*at >= s->len || !s->data[*at] || !strchr(set, s->data[*at]))
        return false;
    *out = s->data[(*at)++];
    return true;
}

static int parse_spec(struct render *r, const struct tstr *s, struct spec *out)
{
    size_t at = 0, n = 0;
    uint32_t c = 0;
    char ignored;

    *out = (struct spec){ .fill = ' ', .precision = -1 };
    if (s->len)
        n = tstr_char_at(s, 0, &c);
    if (n && n < s->len && is_align(s->data[n])) {
        out->fill = c;
        out->align = s->data[n];
        at = n + 1;
    } else {
        format_take(s, &at, "<>^=", &out->align);
    }
    format_take(s, &at, "+- ", &out->sign);
    out->alternate = format_take(s, &at, "#", &ignored);
    if (format_take(s, &at, "0", &ignored) && !out->align) {
        out->fill = '0';
        out->align = '=';
    }
    out->width = format_take_int(s, &at);
    format_take(s, &at, ",_", &out->grouping);
    if (format_take(s, &at, ".", &ignored))
        out->precision = format_take_int(s, &at);
    format_take(s, &at, "sdioxXcbeEfFgGn%r", &out->type);
    if (at != s->len || out->width > MAX_WIDTH || out->precision > MAX_PRECISION)
        return run_fail(r, "Invalid format specifier '%.*s'", (int)(s->len < 60 ? s->len : 60),
                        s->data);
    return 0;
}

/* Digits of a whole number with its sign taken off. */
static void write_digits(char *out, size_t size, uint64_t v, char type)
{
    char bits[72];
    size_t n = sizeof bits;

    if (type != 'b') {
        snprintf(out, size,
                 type == 'x'   ? "%" PRIx64
                 : type == 'X' ? "%" PRIX64
                 : type == 'o' ? "%" PRIo64
                               : "%" PRIu64,
                 v);
        return;
    }
    bits[--n] = '\0';
    do {
        bits[--n] = (char)('0' + (v & 1));
        v >>= 1;
    } while (v);
    snprintf(out, size, "%s", bits + n);
}

/* The magnitude of a number as text; *negative gets its sign. */
static int write_number(struct render *r, struct tval v, const struct spec *sp, char *out,
                        size_t size, bool *negative)
{
    char fmt[] = "%.*f";
    char type = sp->type;

    if (tval_is_integer(v) && (!type || strchr("diouxXbn", type))) {
        int64_t i = tval_integer(v);

        *negative = i < 0;
        write_digits(out, size, i < 0 ? 0 - (uint64_t)i : (uint64_t)i, type);
        return 0;
    }
    if (strchr("dioxXbcn", type) && type)
        return run_fail(r, "Unknown format code '%c' for object of type '%s'", type, tval_type(v));
    *negative = signbit(tval_double(v)) != 0;
    if (!type && sp->precision < 0) {
        json_format_double(out, fabs(tval_double(v)));
        return 0;
    }
    fmt[3] = type == '%' ? 'f' : type ? type : 'g';
    snprintf(out, size, fmt, sp->precision < 0 ? 6 : (int)sp->precision,
             fabs(tval_double(v)) * (type == '%' ? 100 : 1));
    if (type == '%')
        strcat(out, "%");
    return 0;
}

/* 1234567 as 1,234,567; what follows the whole digits stays. */
static void put_grouped(struct render *r, struct tbuf *b, const char *digits, char grouping)
{
    size_t n = strspn(digits, "0123456789");

    for (size_t i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            tbuf_put(r, b, &grouping, 1, false);
        tbuf_put(r, b, digits + i, 1, false);
    }
    tbuf_puts(r, b, digits + n);
}

int format_put_number(struct render *r, struct tbuf *b, struct tval v, const struct spec *sp)
{
    char text[640];
    struct tbuf number = { 0 };
    struct tval body;
    bool negative = false;
    const char *sign;
    int64_t width = sp->width;

    TRY(write_number(r, v, sp, text, sizeof text, &negative));
    sign = negative ? "-" : sp->sign == '+' ? "+" : sp->sign == ' ' ? " " : "";
    if (sp->align == '=') {
        tbuf_puts(r, b, sign);
        width -= (int64_t)strlen(sign);
    } else {
        tbuf_puts(r, &number, sign);
    }
    if (sp->alternate && sp->type && strchr("xXob", sp->type)) {
        tbuf_puts(r, &number, "0");
        tbuf_put(r, &number, &sp->type, 1, false);
    }
    if (sp->grouping)
        put_grouped(r, &number, text, sp->grouping);
    else
        tbuf_puts(r, &number, text);
    TRY(tbuf_done(r, &number, &body));
    TRY(text_pad(r, body.s, width, sp->fill,
                 sp->align == '<'   ? 'l'
                 : sp->align == '^' ? 'm'
                                    : 'r',
                 &body));
    tbuf_str(r, b, body.s);
    return 0;
}

/* One value under a format specifier. */
static int put_value(struct render *r, struct tbuf *b, struct tval v, const struct tstr *text)
{
    struct spec sp;
    struct tval s;

    if (text->len == 0)
        return tval_print(r, b, v);
    TRY(parse_spec(r, text, &sp));
    if (tval_is_number(v) && !(v.kind == T_BOOL && !sp.type))
        return format_put_number(r, b, v, &sp);
    if (v.kind != T_STRING && v.kind != T_BOOL)
        return run_fail(r, "unsupported format string passed to %s.__format__", tval_type(v));
    if (sp.type && sp.type != 's')
        return run_fail(r, "Unknown format code '%c' for object of type '%s'", sp.type,
                        tval_type(v));
    TRY(tval_string(r, v, &s.s));
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
    const struct tstr *fmt;
    const struct args *a;
    size_t next; /* {} takes this one */
};

/* The argument a replacement field begins with: nothing, a number or a name in [start, end). */
static int first_value(struct braces *f, size_t start, size_t end, struct tval *out)
{
    const char *name = f->fmt->data + start;
    size_t len = end - start, index = f->next;
    bool number = len < 10;

    for (size_t i = 0; i < len && number; i++)
        number = name[i] >= '0' && name[i] <= '9';
    if (len && number) {
        index = 0;
        for (size_t i = 0; i < len; i++)
            index = index * 10 + (size_t)(name[i] - '0');
    }
    if (number) {
        f->next += len == 0;
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
static int field_value(struct braces *f, size_t start, size_t end, struct tval *out)
{
    const char *s = f->fmt->data;
    size_t at = start, from;

    while (at < end && s[at] != '.' && s[at] != '[')
        at++;
    TRY(first_value(f, start, at, out));
    while (at < end) {
        bool item = s[at] == '[';

        from = ++at;
        while (at < end && (item ? s[at] != ']' : s[at] != '.' && s[at] != '['))
            at++;
        if (from == at || (item && at == end))
            return run_fail(f->r, "Empty attribute in format string");
        if (item) {
            struct tval key;

            TRY(tstr_slice(f->r, f->fmt, from, at, &key));
            TRY(get_path(f->r, *out, key, out));
            at++;
        } else {
            TRY(get_attr(f->r, *out, s + from, at - from, out));
        }
    }
    return 0;
}

/* {field!conversion:spec}, whose opening brace is at *at - 1. */
static int replacement(struct braces *f, struct tbuf *b, size_t *at)
{
    const struct tstr *fmt = f->fmt;
    size_t start = *at, end = *at, colon;
    struct tval v;
    struct tstr spec;

    while (end < fmt->len && fmt->data[end] != '}' && fmt->data[end] != '{')
        end++;
    if (end == fmt->len || fmt->data[end] == '{')
        return run_fail(f->r, "format: expected '}' before the end of a replacement field");
    for (colon = start; colon < end && fmt->data[colon] != ':' && fmt->data[colon] != '!'; colon++)
        ;
    TRY(field_value(f, start, colon, &v));
    if (colon < end && fmt->data[colon] == '!') {
        char conversion = fmt->data[colon + 1];
        struct tbuf text = { 0 };

        if ((conversion != 'r' && conversion != 's') ||
            (colon + 2 != end && fmt->data[colon + 2] != ':'))
            return run_fail(f->r, "format: an unknown conversion");
        TRY(conversion == 'r' ? tval_repr(f->r, &text, v) : tval_print(f->r, &text, v));
        TRY(tbuf_derived(f->r, &text, false, &v));
        colon += 2;
    }
    spec = (struct tstr){ .data = fmt->data + colon + 1, .len = colon < end ? end - colon - 1 : 0 };
    *at = end + 1;
    return put_value(f->r, b, v, &spec);
}

int format_braces(struct render *r, const struct tstr *fmt, const struct args *a, struct tval *out)
{
    struct braces f = { r, fmt, a, 0 };
    struct tbuf b = { 0 };
    struct tval piece;
    size_t plain = 0;

    TRY(run_charge_bytes(r, fmt->len));
    for (size_t i = 0; i < fmt->len && !b.failed;) {
        char c = fmt->data[i];
        bool twice = i + 1 < fmt->len && fmt->data[i + 1] == c;

        if (c != '{' && c != '}') {
            i++;
            continue;
        }
        TRY(tstr_slice(r, fmt, plain, i + twice, &piece)); /* "{{" gives one of the two */
        tbuf_str(r, &b, piece.s);
        TRY(run_charge(r, 1));
        i += 1 + (size_t)twice;
        if (!twice && c == '}')
            return run_fail(r, "Single '}' encountered in format string");
        if (!twice)
            TRY(replacement(&f, &b, &i));
        plain = i;
    }
    TRY(tstr_slice(r, fmt, plain, fmt->len, &piece));
    tbuf_str(r, &b, piece.s);
    return tstr_tainted(fmt) ? tbuf_derived(r, &b, true, out) : tbuf_done(r, &b, out);
}
