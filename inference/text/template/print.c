/* str() and repr() of values, as Python prints them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "inference/text/template/char.h"
#include "inference/text/template/run.h"
#include "kernels/base/json.h"

static void repr_char(struct render *r, struct tbuf *b, uint32_t c, char quote, bool untrusted)
{
    char text[16];

    switch (c) {
    case '\n':
        tbuf_put(r, b, "\\n", 2, untrusted);
        return;
    case '\t':
        tbuf_put(r, b, "\\t", 2, untrusted);
        return;
    case '\r':
        tbuf_put(r, b, "\\r", 2, untrusted);
        return;
    default:
        break;
    }
    if (c == '\\' || c == (unsigned char)quote)
        snprintf(text, sizeof text, "\\%c", (char)c);
    else if (c < 0x100)
        snprintf(text, sizeof text, "\\x%02x", (unsigned)c);
    else
        snprintf(text, sizeof text, c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
    tbuf_put(r, b, text, strlen(text), untrusted);
}

static void repr_string(struct render *r, struct tbuf *b, const struct tstr *s)
{
    bool tainted = tstr_tainted(s);
    char quote =
        s->len && memchr(s->data, '\'', s->len) && !memchr(s->data, '"', s->len) ? '"' : '\'';
    size_t plain = 0;

    tbuf_put(r, b, &quote, 1, false);
    for (size_t i = 0; i < s->len;) {
        uint32_t c;
        size_t n = tstr_char_at(s, i, &c);

        if (c == '\\' || c == (unsigned char)quote || !char_is_printable(c)) {
            tbuf_put(r, b, s->data + plain, i - plain, tainted);
            repr_char(r, b, c, quote, tainted);
            plain = i + n;
        }
        i += n;
    }
    tbuf_put(r, b, s->data + plain, s->len - plain, tainted);
    tbuf_put(r, b, &quote, 1, false);
}

static int repr_list(struct render *r, struct tbuf *b, const struct tlist *l)
{
    static const char *const open[] = { [LIST_LIST] = "[", [LIST_TUPLE] = "(" };
    char text[96];

    if (l->flavour == LIST_ITER) {
        tbuf_puts(r, b, "<generator object>");
        return 0;
    }
    if (l->flavour == LIST_RANGE) {
        snprintf(text, sizeof text, "range(%" PRId64 ", %" PRId64, l->range[0], l->range[1]);
        tbuf_puts(r, b, text);
        snprintf(text, sizeof text, ", %" PRId64, l->range[2]);
        tbuf_puts(r, b, l->range[2] == 1 ? "" : text);
        tbuf_puts(r, b, ")");
        return 0;
    }
    if (l->flavour == LIST_VIEW) {
        tbuf_puts(r, b, l->name);
        tbuf_puts(r, b, "([");
    } else {
        tbuf_puts(r, b, open[l->flavour]);
    }
    for (size_t i = 0; i < l->len; i++) {
        if (i)
            tbuf_puts(r, b, ", ");
        TRY(tval_repr(r, b, l->items[i]));
    }
    if (l->flavour == LIST_TUPLE && l->len == 1)
        tbuf_puts(r, b, ",");
    tbuf_puts(r, b, l->flavour == LIST_VIEW ? "])" : l->flavour == LIST_TUPLE ? ")" : "]");
    return 0;
}

static int repr_dict(struct render *r, struct tbuf *b, const struct tdict *d)
{
    tbuf_puts(r, b, "{");
    for (size_t i = 0; i < d->len; i++) {
        if (i)
            tbuf_puts(r, b, ", ");
        TRY(tval_repr(r, b, d->pairs[i].key));
        tbuf_puts(r, b, ": ");
        TRY(tval_repr(r, b, d->pairs[i].value));
    }
    tbuf_puts(r, b, "}");
    return 0;
}

int tval_repr(struct render *r, struct tbuf *b, struct tval v)
{
    char text[64];

    TRY(run_charge(r, 1));
    switch (v.kind) {
    case T_MISSING:
    case T_UNDEFINED:
        tbuf_puts(r, b, "Undefined");
        return 0;
    case T_NONE:
        tbuf_puts(r, b, "None");
        return 0;
    case T_BOOL:
        tbuf_puts(r, b, v.b ? "True" : "False");
        return 0;
    case T_INT:
        snprintf(text, sizeof text, "%" PRId64, v.i);
        tbuf_puts(r, b, text);
        return 0;
    case T_FLOAT:
        json_format_double(text, v.d);
        tbuf_puts(r, b, text);
        return 0;
    case T_STRING:
        TRY(run_charge_bytes(r, v.s->len));
        tbuf_puts(r, b, v.s->markup ? "Markup(" : "");
        repr_string(r, b, v.s);
        tbuf_puts(r, b, v.s->markup ? ")" : "");
        return 0;
    case T_LIST:
    case T_DICT:
    case T_NAMESPACE:
        TRY(run_enter(r));
        if (v.kind == T_NAMESPACE)
            tbuf_puts(r, b, "<Namespace ");
        TRY(v.kind == T_LIST ? repr_list(r, b, v.list) : repr_dict(r, b, v.dict));
        if (v.kind == T_NAMESPACE)
            tbuf_puts(r, b, ">");
        run_leave(r);
        return 0;
    case T_MACRO:
        tbuf_puts(r, b, v.macro->def->name ? "<Macro '" : "<Macro anonymous");
        tbuf_puts(r, b, v.macro->def->name ? v.macro->def->name->name : "");
        tbuf_puts(r, b, v.macro->def->name ? "'>" : ">");
        return 0;
    default:
        snprintf(text, sizeof text, "<%s>", tval_type(v));
        tbuf_puts(r, b, text);
        return 0;
    }
}

int tval_ascii(struct render *r, struct tbuf *b, struct tval v)
{
    struct tbuf own = { 0 };
    struct tval text;

    TRY(tval_repr(r, &own, v));
    TRY(tbuf_derived(r, &own, false, &text));
    for (size_t i = 0; i < text.s->len;) {
        uint32_t c;
        size_t n = tstr_char_at(text.s, i, &c);

        if (c < 0x80)
            tbuf_put(r, b, text.s->data + i, n, text.s->untrusted);
        else
            repr_char(r, b, c, '\'', text.s->untrusted);
        i += n;
    }
    return 0;
}

int tval_print(struct render *r, struct tbuf *b, struct tval v)
{
    struct tbuf own = { 0 };
    struct tval text;

    if (v.kind == T_STRING) {
        tbuf_str(r, b, v.s);
        return 0;
    }
    if (v.kind == T_UNDEFINED || v.kind == T_MISSING)
        return 0;
    if (v.kind != T_LIST && v.kind != T_DICT && v.kind != T_NAMESPACE)
        return tval_repr(r, b, v);
    TRY(tval_repr(r, &own, v)); /* text made from a value is untrusted as a whole */
    TRY(tbuf_derived(r, &own, false, &text));
    tbuf_str(r, b, text.s);
    return 0;
}

int tval_string(struct render *r, struct tval v, const struct tstr **out)
{
    struct tbuf b = { 0 };
    struct tval text;

    if (v.kind == T_STRING) {
        *out = v.s;
        return 0;
    }
    TRY(tval_print(r, &b, v));
    TRY(tbuf_done(r, &b, &text));
    *out = text.s;
    return 0;
}
