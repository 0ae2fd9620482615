/* The % operator on strings; trust is kept as in str.format(). */
#include <math.h>
#include <string.h>

#include "inference/text/template/format.h"
#include "inference/text/template/textops.h"

struct percent {
    struct render *r;
    const struct tstr *fmt;
    struct tval values;
    size_t next;
};

static int next_value(struct percent *f, struct tval *out)
{
    bool tuple = f->values.kind == T_LIST && f->values.list->flavour == LIST_TUPLE;

    if (f->next >= (tuple ? f->values.list->len : 1))
        return run_fail(f->r, "not enough arguments for format string");
    *out = tuple ? f->values.list->items[f->next] : f->values;
    f->next++;
    return 0;
}

/* %(name)s looks in a mapping. */
static int named_value(struct percent *f, size_t *at, struct tval *out)
{
    size_t end = tstr_find(f->fmt, ")", 1, *at);
    struct tval key, *found;

    if (end == SIZE_MAX)
        return run_fail(f->r, "incomplete format key");
    if (f->values.kind != T_DICT)
        return run_fail(f->r, "format requires a mapping");
    TRY(tstr_slice(f->r, f->fmt, *at, end, &key));
    TRY(tdict_find(f->r, f->values.dict, key, &found));
    if (!found)
        return run_fail(f->r, "format: there is no key of that name");
    *out = *found;
    f->next = 1; /* %s cannot take the whole mapping any more */
    *at = end + 1;
    return 0;
}

/* A width or precision: digits, or * for the next value. */
static int take_amount(struct percent *f, size_t *at, int64_t *out)
{
    struct tval v;
    char star;

    if (!format_take(f->fmt, at, "*", &star)) {
        *out = format_take_int(f->fmt, at);
        return 0;
    }
    TRY(next_value(f, &v));
    if (!tval_is_integer(v))
        return run_fail(f->r, "* wants int");
    *out = tval_integer(v);
    return 0;
}

static int percent_number(struct percent *f, struct tbuf *b, struct tval v, const struct spec *sp)
{
    struct spec own = *sp;

    if (v.kind == T_UNDEFINED)
        return tval_trip(f->r, v);
    if (!tval_is_number(v) || (v.kind == T_FLOAT && strchr("xXo", sp->type)))
        return run_fail(f->r, "%%%c format: %s is required, not %s", sp->type,
                        strchr("xXo", sp->type) ? "an integer" : "a real number", tval_type(v));
    if (strchr("diu", sp->type)) {
        own.type = 'd';
        if (v.kind == T_FLOAT) {
            if (!(fabs(v.d) < 9.2e18))
                return run_fail(f->r, "integers beyond 64 bits are not offered");
            v = tval_int((int64_t)v.d);
        }
    } else if (strchr("eEfFgG", sp->type)) {
        v = tval_float(tval_double(v));
    }
    own.digits = true;
    own.align = sp->align == '<' ? '<' : sp->fill == '0' ? '=' : '>';
    own.fill = own.align == '<' ? ' ' : sp->fill;
    return format_put_number(f->r, b, v, &own);
}

/* %c: a character, or the number of one. */
static int percent_char(struct percent *f, struct tval *v)
{
    struct tbuf text = { 0 };

    if (v->kind == T_STRING && tstr_chars(v->s) == 1)
        return 0;
    if (!tval_is_integer(*v))
        return run_fail(f->r, "%%c requires int or char");
    if (tval_integer(*v) < 0 || tval_integer(*v) > 0x10ffff)
        return run_fail(f->r, "%%c arg not in range(0x110000)");
    tbuf_char(f->r, &text, (uint32_t)tval_integer(*v), false);
    return tbuf_done(f->r, &text, v);
}

/* A value as text: %s %r %a %c. */
static int percent_text(struct percent *f, struct tbuf *b, struct tval v, const struct spec *sp)
{
    struct tbuf text = { 0 };

    if (sp->type == 'c') {
        TRY(percent_char(f, &v));
    } else if (sp->type == 's') {
        TRY(tval_print(f->r, &text, v));
        TRY(tbuf_done(f->r, &text, &v));
    } else {
        TRY(sp->type == 'r' ? tval_repr(f->r, &text, v) : tval_ascii(f->r, &text, v));
        TRY(tbuf_derived(f->r, &text, false, &v));
    }
    if (f->fmt->markup && sp->type != 'c')
        TRY(tstr_escape(f->r, v.s, &v));
    if (sp->precision >= 0 && sp->type != 'c')
        TRY(tstr_slice(f->r, v.s, 0, tstr_offset(v.s, (size_t)sp->precision), &v));
    if (sp->width)
        TRY(text_pad(f->r, v.s, sp->width, ' ', sp->align == '<' ? 'l' : 'r', &v));
    tbuf_str(f->r, b, v.s);
    return 0;
}

/* What follows a percent sign. */
static int conversion(struct percent *f, struct tbuf *b, size_t *at)
{
    struct spec sp = { .fill = ' ', .precision = -1 };
    struct tval v = { .kind = T_MISSING };
    char flag = '\0', ignored;

    if (format_take(f->fmt, at, "(", &flag))
        TRY(named_value(f, at, &v));
    while (format_take(f->fmt, at, "-+ 0#", &flag)) {
        if (flag == '-')
            sp.align = '<';
        else if (flag == '0')
            sp.fill = '0';
        else if (flag == '#')
            sp.alternate = true;
        else if (sp.sign != '+')
            sp.sign = flag;
    }
    TRY(take_amount(f, at, &sp.width));
    if (sp.width < 0) { /* only * can be */
        sp.align = '<';
        sp.width = sp.width < -MAX_WIDTH ? MAX_WIDTH + 1 : -sp.width;
    }
    if (format_take(f->fmt, at, ".", &ignored)) {
        TRY(take_amount(f, at, &sp.precision));
        sp.precision = sp.precision < 0 ? 0 : sp.precision;
    }
    format_take(f->fmt, at, "hlL", &ignored);
    if (!format_take(f->fmt, at, "sraciduxXoeEfFgG", &sp.type) || sp.width > MAX_WIDTH ||
        sp.precision > MAX_PRECISION)
        return run_fail(f->r, "unsupported format character in a format string");
    if (v.kind == T_MISSING)
        TRY(next_value(f, &v));
    return strchr("srac", sp.type) ? percent_text(f, b, v, &sp) : percent_number(f, b, v, &sp);
}

int format_percent(struct render *r, const struct tstr *fmt, struct tval values, struct tval *out)
{
    struct percent f = { r, fmt, values, 0 };
    struct tbuf b = { .markup = fmt->markup };
    struct tval piece;
    size_t plain = 0, at;

    TRY(run_charge_bytes(r, fmt->len));
    while ((at = tstr_find(fmt, "%", 1, plain)) != SIZE_MAX && !b.failed) {
        bool twice = at + 1 < fmt->len && fmt->data[at + 1] == '%';

        TRY(tstr_slice(r, fmt, plain, at + twice, &piece));
        tbuf_str(r, &b, piece.s);
        TRY(run_charge(r, 1));
        at += 1 + (size_t)twice;
        if (!twice)
            TRY(conversion(&f, &b, &at));
        plain = at;
    }
    TRY(tstr_slice(r, fmt, plain, fmt->len, &piece));
    tbuf_str(r, &b, piece.s);
    if (values.kind == T_LIST && values.list->flavour == LIST_TUPLE && f.next < values.list->len)
        return run_fail(r, "not all arguments converted during string formatting");
    if (values.kind != T_LIST && values.kind != T_DICT && values.kind != T_UNDEFINED && f.next == 0)
        return run_fail(r, "not all arguments converted during string formatting");
    return tstr_tainted(fmt) ? tbuf_derived(r, &b, true, out) : tbuf_done(r, &b, out);
}
