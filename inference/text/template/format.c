/* One number under a format specification, as int and float do it in Python: for str.format() and
 * for the % operator. */
#include "inference/text/template/format.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

int format_parse_spec(struct render *r, const struct tstr *s, struct spec *out)
{
    size_t at = 0, n = 0;
    uint32_t c = 0;
    bool filled = false;
    char ignored;

    *out = (struct spec){ .fill = ' ', .precision = -1 };
    if (s->len)
        n = tstr_char_at(s, 0, &c);
    if (n && n < s->len && is_align(s->data[n])) {
        out->fill = c;
        out->align = s->data[n];
        filled = true;
        at = n + 1;
    } else {
        format_take(s, &at, "<>^=", &out->align);
    }
    format_take(s, &at, "+- ", &out->sign);
    out->alternate = format_take(s, &at, "#", &ignored);
    if (!filled && at < s->len && s->data[at] == '0') {
        out->fill = '0';
        out->zero = !out->align;
    }
    out->width = format_take_int(s, &at);
    format_take(s, &at, ",_", &out->grouping);
    if (format_take(s, &at, ".", &ignored)) {
        size_t digits = at;

        out->precision = format_take_int(s, &at);
        if (at == digits)
            return run_fail(r, "Format specifier missing precision");
    }
    format_take(s, &at, "sdioxXcbeEfFgGn%r", &out->type);
    if (at != s->len || out->width > MAX_WIDTH || out->precision > MAX_PRECISION)
        return run_fail(r, "Invalid format specifier '%.*s'", (int)(s->len < 60 ? s->len : 60),
                        s->data);
    return 0;
}

/* Digits of a whole number with its sign taken off. */
static void write_digits(char *out, size_t size, uint64_t v, char type)
{
    unsigned base = type == 'b' ? 2 : type == 'o' ? 8 : type == 'x' || type == 'X' ? 16 : 10;
    const char *names = type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    char digits[72];
    size_t n = sizeof digits;

    digits[--n] = '\0';
    do {
        digits[--n] = names[v % base];
        v /= base;
    } while (v);
    snprintf(out, size, "%s", digits + n);
}

/* Without a type a float has a digit behind its point, and an exponent one digit earlier than with
 * 'g'. */
static void write_plain_float(double v, int precision, bool alternate, char *out, size_t size)
{
    char text[400];
    int exponent;
    size_t n;

    if (precision == 0)
        precision = 1;
    snprintf(text, sizeof text, "%.*e", precision - 1, v);
    exponent = isfinite(v) ? atoi(strchr(text, 'e') + 1) : 0;
    if (!isfinite(v) || exponent < -4 || exponent >= precision - 1) {
        char *e = strchr(text, 'e'), *end = e;

        if (alternate && isfinite(v))
            snprintf(text, sizeof text, "%#.*e", precision - 1, v);
        else if (isfinite(v) && strchr(text, '.')) { /* zeros at the end of the fraction go */
            while (end[-1] == '0')
                end--;
            end -= end[-1] == '.';
            memmove(end, e, strlen(e) + 1);
        }
        snprintf(out, size, "%s", text);
        return;
    }
    snprintf(out, size, alternate ? "%#.*g" : "%.*g", precision, v);
    n = strlen(out);
    if (!strchr(out, '.') && n + 3 < size)
        memcpy(out + n, ".0", 3);
}

static void write_float(double v, const struct spec *sp, char *out, size_t size)
{
    char fmt[] = "%#.*f", type = sp->type;
    int precision = sp->precision < 0 ? 6 : (int)sp->precision;

    if (!type && sp->precision < 0) {
        json_format_double(out, v);
        return;
    }
    if (!type) {
        write_plain_float(v, precision, sp->alternate, out, size);
        return;
    }
    fmt[4] = type == '%' ? 'f' : type && type != 'n' ? type : 'g';
    if (!sp->alternate)
        memmove(fmt + 1, fmt + 2, 4);
    snprintf(out, size, fmt, precision, v * (type == '%' ? 100 : 1));
    if (type == '%')
        strcat(out, "%");
}

/* What a specification may not ask for, in Python's words. */
static int check_number(struct render *r, struct tval v, const struct spec *sp)
{
    bool whole = tval_is_integer(v) && (!sp->type || strchr("diouxXbcn", sp->type));

    if (sp->type == 's' || (!whole && sp->type && strchr("dioxXbc", sp->type)))
        return run_fail(r, "Unknown format code '%c' for object of type '%s'", sp->type,
                        tval_type(v));
    if (whole && sp->precision >= 0 && !sp->digits)
        return run_fail(r, "Precision not allowed in integer format specifier");
    if (sp->grouping && (sp->type == 'n' || sp->type == 'c' ||
                         (sp->grouping == ',' && sp->type && strchr("xXbo", sp->type))))
        return run_fail(r, "Cannot specify '%c' with '%c'.", sp->grouping, sp->type);
    if (sp->type == 'c' && (sp->sign || sp->alternate))
        return run_fail(r, "%s not allowed with integer format specifier 'c'",
                        sp->sign ? "Sign" : "Alternate form (#)");
    return 0;
}

/* The magnitude of a number as text; *negative gets its sign. */
static int write_number(struct render *r, struct tval v, const struct spec *sp, char *out,
                        size_t size, bool *negative)
{
    char digits[80];
    int64_t i = tval_is_integer(v) ? tval_integer(v) : 0;

    TRY(check_number(r, v, sp));
    if (sp->type == 'c') { /* the caller's */
        *out = '\0';
        return i < 0 || i > 0x10ffff ? run_fail(r, "%%c arg not in range(0x110000)") : 0;
    }
    if (tval_is_integer(v) && (!sp->type || strchr("diouxXbn", sp->type))) {
        *negative = i < 0;
        write_digits(digits, sizeof digits, i < 0 ? 0 - (uint64_t)i : (uint64_t)i, sp->type);
        snprintf(out, size, "%.*s%s",
                 (int)sp->precision - (int)strlen(digits) > 0
                     ? (int)sp->precision - (int)strlen(digits)
                     : 0,
                 "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
                 "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
                 "0000000000000000000000000000000000000000",
                 digits);
    } else {
        *negative = signbit(tval_double(v)) != 0 && !isnan(tval_double(v));
        write_float(fabs(tval_double(v)), sp, out, size);
    }
    return 0;
}

/* 1234567 as 1,234,567; what follows the whole digits stays.  Zeros are put in front, and grouped
 * too, until there are min_chars characters. */
static void put_grouped(struct render *r, struct tbuf *b, const char *text, const struct spec *sp,
                        int64_t min_chars)
{
    bool binary = sp->type && strchr("xXbo", sp->type);
    int64_t per = binary ? 4 : 3, n, total, rest;

    n = (int64_t)strspn(text, binary ? "0123456789abcdefABCDEF" : "0123456789");
    rest = (int64_t)strlen(text) - n;
    total = n;
    while (n && total + (total - 1) / per + rest < min_chars)
        total++;
    for (int64_t i = 0; i < total; i++) {
        if (i && (total - i) % per == 0)
            tbuf_put(r, b, &sp->grouping, 1, false);
        tbuf_put(r, b, i < total - n ? "0" : text + (i - (total - n)), 1, false);
    }
    tbuf_puts(r, b, text + n);
}

int format_put_number(struct render *r, struct tbuf *b, struct tval v, const struct spec *sp)
{
    char text[640], sign[4] = "";
    struct tbuf number = { 0 };
    struct tval body;
    bool negative = false, inside = sp->align == '=' || sp->zero;
    int64_t width = sp->width;
    size_t n = 0;

    TRY(write_number(r, v, sp, text, sizeof text, &negative));
    if (negative || sp->sign == '+' || sp->sign == ' ')
        sign[n++] = negative ? '-' : sp->sign;
    if (sp->alternate && sp->type && strchr("xXob", sp->type)) {
        sign[n++] = '0';
        sign[n++] = sp->type;
    }
    if (inside) {
        tbuf_put(r, b, sign, n, false);
        width -= (int64_t)n;
    } else {
        tbuf_put(r, &number, sign, n, false);
    }
    if (sp->grouping)
        put_grouped(r, &number, text, sp, sp->fill == '0' && inside ? width : 0);
    else
        tbuf_puts(r, &number, text);
    if (sp->type == 'c')
        tbuf_char(r, &number, (uint32_t)tval_integer(v), false);
    TRY(tbuf_done(r, &number, &body));
    TRY(text_pad(r, body.s, width, sp->fill,
                 sp->align == '<'   ? 'l'
                 : sp->align == '^' ? 'm'
                                    : 'r',
                 &body));
    tbuf_str(r, b, body.s);
    return 0;
}
