/* Methods of str. */
#include <string.h>

#include "inference/text/template/textops.h"

static int optional_string(struct render *r, struct tval v, const char *name,
                           const struct tstr **out)
{
    *out = NULL;
    return v.kind == T_MISSING || v.kind == T_NONE ? 0 : arg_string(r, v, name, out);
}

static int optional_int(struct render *r, struct tval v, const char *name, int64_t fallback,
                        int64_t *out)
{
    *out = fallback;
    return v.kind == T_MISSING ? 0 : arg_int(r, v, name, out);
}

#define CASE_METHOD(name, how)                 \
    static int str_##name(BUILTIN_ARGS)        \
    {                                          \
        return text_case(r, self.s, how, out); \
    }

CASE_METHOD(upper, CASE_UPPER)
CASE_METHOD(lower, CASE_LOWER)
CASE_METHOD(title, CASE_TITLE)
CASE_METHOD(capitalize, CASE_CAPITALIZE)
CASE_METHOD(swapcase, CASE_SWAP)

/* Lower case, and German sharp s in full. */
static int str_casefold(BUILTIN_ARGS)
{
    static const struct tstr sharp = { .data = "\xc3\x9f", .len = 2 };
    static const struct tstr full = { .data = "ss", .len = 2 };

    TRY(text_case(r, self.s, CASE_LOWER, out));
    return text_replace(r, out->s, &sharp, &full, -1, out);
}

static int strip(struct render *r, const struct tstr *s, const struct tval *v, bool left,
                 bool right, struct tval *out)
{
    const struct tstr *chars;

    TRY(optional_string(r, v[0], "chars", &chars));
    return text_strip(r, s, chars, left, right, out);
}

static int str_strip(BUILTIN_ARGS)
{
    return strip(r, self.s, v, true, true, out);
}

static int str_lstrip(BUILTIN_ARGS)
{
    return strip(r, self.s, v, true, false, out);
}

static int str_rstrip(BUILTIN_ARGS)
{
    return strip(r, self.s, v, false, true, out);
}

static int split(struct render *r, const struct tstr *s, const struct tval *v, bool from_right,
                 struct tval *out)
{
    const struct tstr *sep;
    int64_t max;

    TRY(optional_string(r, v[0], "sep", &sep));
    TRY(optional_int(r, v[1], "maxsplit", -1, &max));
    return text_split(r, s, sep, max, from_right, out);
}

static int str_split(BUILTIN_ARGS)
{
    return split(r, self.s, v, false, out);
}

static int str_rsplit(BUILTIN_ARGS)
{
    return split(r, self.s, v, true, out);
}

static int str_splitlines(BUILTIN_ARGS)
{
    int64_t keep;

    TRY(optional_int(r, v[0], "keepends", 0, &keep));
    return text_lines(r, self.s, keep != 0, out);
}

static int str_removeprefix(BUILTIN_ARGS)
{
    const struct tstr *x;
    size_t start = 0;

    TRY(arg_string(r, v[0], "prefix", &x));
    if (x->len <= self.s->len && memcmp(self.s->data, x->data, x->len) == 0)
        start = x->len;
    return tstr_slice(r, self.s, start, self.s->len, out);
}

static int str_removesuffix(BUILTIN_ARGS)
{
    const struct tstr *x;
    size_t end = self.s->len;

    TRY(arg_string(r, v[0], "suffix", &x));
    if (x->len <= end && memcmp(self.s->data + end - x->len, x->data, x->len) == 0)
        end -= x->len;
    return tstr_slice(r, self.s, 0, end, out);
}

static int str_replace(BUILTIN_ARGS)
{
    const struct tstr *old, *new;
    int64_t count;

    TRY(arg_string(r, v[0], "old", &old));
    TRY(arg_string(r, v[1], "new", &new));
    TRY(optional_int(r, v[2], "count", -1, &count));
    return text_replace(r, self.s, old, new, count, out);
}

static int str_join(BUILTIN_ARGS)
{
    struct tval *items;
    size_t n;

    TRY(tval_iterate(r, v[0], &items, &n));
    return text_join(r, self.s, items, n, false, out);
}

static int str_format(BUILTIN_ARGS)
{
    return format_braces(r, self.s, a, out);
}

static int pad(struct render *r, const struct tstr *s, const struct tval *v, char where,
               struct tval *out)
{
    const struct tstr *fill;
    uint32_t c = ' ';
    int64_t width;

    TRY(arg_int(r, v[0], "width", &width));
    TRY(optional_string(r, v[1], "fillchar", &fill));
    if (fill && (!fill->len || tstr_char_at(fill, 0, &c) != fill->len))
        return run_fail(r, "The fill character must be exactly one character long");
    return text_pad(r, s, width, c, where, out);
}

static int str_center(BUILTIN_ARGS)
{
    return pad(r, self.s, v, 'c', out);
}

static int str_ljust(BUILTIN_ARGS)
{
    return pad(r, self.s, v, 'l', out);
}

static int str_rjust(BUILTIN_ARGS)
{
    return pad(r, self.s, v, 'r', out);
}

static int str_zfill(BUILTIN_ARGS)
{
    struct tval sign, rest;
    struct tbuf b = { .markup = self.s->markup };
    int64_t width;
    bool has_sign = self.s->len && (self.s->data[0] == '-' || self.s->data[0] == '+');

    TRY(arg_int(r, v[0], "width", &width));
    TRY(tstr_slice(r, self.s, 0, has_sign, &sign));
    TRY(tstr_slice(r, self.s, has_sign, self.s->len, &rest));
    TRY(text_pad(r, rest.s, width > 0 ? width - has_sign : 0, '0', 'r', &rest));
    tbuf_str(r, &b, sign.s);
    tbuf_str(r, &b, rest.s);
    return tbuf_derived(r, &b, false, out);
}

/* Tabs become blanks up to the next column that tabsize divides. */
static int str_expandtabs(BUILTIN_ARGS)
{
    struct tbuf b = { .markup = self.s->markup };
    struct tval piece;
    int64_t size, column = 0;
    size_t plain = 0;

    TRY(optional_int(r, v[0], "tabsize", 8, &size));
    TRY(run_charge_bytes(r, self.s->len));
    for (size_t i = 0; i < self.s->len && !b.failed;) {
        uint32_t c;
        size_t n = tstr_char_at(self.s, i, &c);

        if (c == '\t') {
            int64_t blanks = size > 0 ? size - column % size : 0;

            TRY(tstr_slice(r, self.s, plain, i, &piece));
            TRY(run_charge(r, (size_t)blanks / 8));
            tbuf_str(r, &b, piece.s);
            for (int64_t k = 0; k < blanks && !b.failed; k++)
                tbuf_put(r, &b, " ", 1, false);
            column += blanks;
            plain = i + n;
        } else {
            column = c == '\n' || c == '\r' ? 0 : column + 1;
        }
        i += n;
    }
    TRY(tstr_slice(r, self.s, plain, self.s->len, &piece));
    tbuf_str(r, &b, piece.s);
    return tbuf_done(r, &b, out);
}

const struct builtin template_str_methods[] = {
    { "upper", str_upper, "", 0 },
    { "lower", str_lower, "", 0 },
    { "casefold", str_casefold, "", 0 },
    { "title", str_title, "", 0 },
    { "capitalize", str_capitalize, "", 0 },
    { "swapcase", str_swapcase, "", 0 },
    { "strip", str_strip, "chars", 0 },
    { "lstrip", str_lstrip, "chars", 0 },
    { "rstrip", str_rstrip, "chars", 0 },
    { "split", str_split, "sep maxsplit", 0 },
    { "rsplit", str_rsplit, "sep maxsplit", 0 },
    { "splitlines", str_splitlines, "keepends", 0 },
    { "removeprefix", str_removeprefix, "prefix", 1 },
    { "removesuffix", str_removesuffix, "suffix", 1 },
    { "replace", str_replace, "old new count", 2 },
    { "join", str_join, "iterable", 1 },
    { "format", str_format, NULL, 0 },
    { "center", str_center, "width fillchar", 1 },
    { "ljust", str_ljust, "width fillchar", 1 },
    { "rjust", str_rjust, "width fillchar", 1 },
    { "zfill", str_zfill, "width", 1 },
    { "expandtabs", str_expandtabs, "tabsize", 0 },
    { NULL, NULL, NULL, 0 },
};
