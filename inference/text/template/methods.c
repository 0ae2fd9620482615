/* Methods of str. */
#include <string.h>

#include "inference/text/template/char.h"
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
    return text_lines(r, self.s, tval_truth(v[0]), out);
}

/* The three parts of [.. at)[at .. at + len)[.. end). */
static int three_parts(struct render *r, const struct tstr *s, size_t at, size_t len,
                       struct tval *out)
{
    TRY(tval_list(r, LIST_TUPLE, 3, out));
    TRY(tstr_slice(r, s, 0, at, &out->list->items[0]));
    TRY(tstr_slice(r, s, at, at + len, &out->list->items[1]));
    return tstr_slice(r, s, at + len, s->len, &out->list->items[2]);
}

/* Last occurrence in [from, to), SIZE_MAX if none. */
static size_t find_last(const struct tstr *s, const struct tstr *what, size_t from, size_t to)
{
    for (size_t at = to; at >= from + what->len; at--) {
        if (what->len == 0 || memcmp(s->data + at - what->len, what->data, what->len) == 0)
            return at - what->len;
        if (at == 0)
            break;
    }
    return SIZE_MAX;
}

static int str_partition(BUILTIN_ARGS)
{
    const struct tstr *sep;
    size_t at;

    TRY(arg_string(r, v[0], "sep", &sep));
    if (!sep->len)
        return run_fail(r, "empty separator");
    TRY(run_charge_bytes(r, self.s->len));
    at = tstr_find(self.s, sep->data, sep->len, 0);
    return at == SIZE_MAX ? three_parts(r, self.s, self.s->len, 0, out)
                          : three_parts(r, self.s, at, sep->len, out);
}

static int str_rpartition(BUILTIN_ARGS)
{
    const struct tstr *sep;
    size_t at;

    TRY(arg_string(r, v[0], "sep", &sep));
    if (!sep->len)
        return run_fail(r, "empty separator");
    TRY(run_charge_bytes(r, self.s->len));
    at = find_last(self.s, sep, 0, self.s->len);
    return at == SIZE_MAX ? three_parts(r, self.s, 0, 0, out)
                          : three_parts(r, self.s, at, sep->len, out);
}

/* The bytes that the character positions [start, end) of a call's arguments mean. */
static int part(struct render *r, const struct tstr *s, struct tval start, struct tval end,
                size_t *from, size_t *to)
{
    int64_t n, i = 0, j;

    TRY(run_charge_bytes(r, s->len));
    n = (int64_t)tstr_chars(s);
    j = n;
    if (start.kind != T_MISSING && start.kind != T_NONE)
        TRY(arg_int(r, start, "start", &i));
    if (end.kind != T_MISSING && end.kind != T_NONE)
        TRY(arg_int(r, end, "end", &j));
    i = i < 0 ? (i < -n ? 0 : i + n) : i;
    j = j < 0 ? (j < -n ? 0 : j + n) : j > n ? n : j;
    *from = i > n ? SIZE_MAX : tstr_offset(s, (size_t)i); /* behind the end not even '' is found */
    *to = tstr_offset(s, (size_t)j);
    return 0;
}

static int find(struct render *r, const struct tstr *s, const struct tval *v, bool last,
                int64_t *out)
{
    const struct tstr *what;
    struct tstr head = *s;
    size_t from, to, at = SIZE_MAX;

    *out = -1;
    TRY(arg_string(r, v[0], "sub", &what));
    TRY(part(r, s, v[1], v[2], &from, &to));
    if (from > to)
        return 0;
    head.len = to;
    at = last ? find_last(&head, what, from, to) : tstr_find(&head, what->data, what->len, from);
    if (at == SIZE_MAX)
        return 0;
    head.len = at;
    *out = (int64_t)tstr_chars(&head);
    return 0;
}

static int find_result(struct render *r, const struct tstr *s, const struct tval *v, bool last,
                       bool must, struct tval *out)
{
    int64_t at;

    TRY(find(r, s, v, last, &at));
    if (must && at < 0)
        return run_fail(r, "substring not found");
    *out = tval_int(at);
    return 0;
}

static int str_find(BUILTIN_ARGS)
{
    return find_result(r, self.s, v, false, false, out);
}

static int str_rfind(BUILTIN_ARGS)
{
    return find_result(r, self.s, v, true, false, out);
}

static int str_index(BUILTIN_ARGS)
{
    return find_result(r, self.s, v, false, true, out);
}

static int str_rindex(BUILTIN_ARGS)
{
    return find_result(r, self.s, v, true, true, out);
}

static int str_count(BUILTIN_ARGS)
{
    const struct tstr *what;
    struct tstr head = *self.s;
    size_t from, to;
    int64_t n = 0;

    TRY(arg_string(r, v[0], "sub", &what));
    TRY(part(r, self.s, v[1], v[2], &from, &to));
    head.len = to;
    if (from <= to && what->len == 0) {
        head.data += from;
        head.len -= from;
        *out = tval_int((int64_t)tstr_chars(&head) + 1);
        return 0;
    }
    while (from <= to && (from = tstr_find(&head, what->data, what->len, from)) != SIZE_MAX) {
        n++;
        from += what->len;
    }
    *out = tval_int(n);
    return 0;
}

/* startswith and endswith: the argument is a string or a tuple of them. */
static int affix(struct render *r, const struct tstr *s, const struct tval *v, bool at_end,
                 struct tval *out)
{
    struct tval one = v[0];
    const struct tval *list = &one;
    size_t n = 1, from, to;

    TRY(part(r, s, v[1], v[2], &from, &to));
    if (v[0].kind == T_LIST && v[0].list->flavour == LIST_TUPLE) {
        list = v[0].list->items;
        n = v[0].list->len;
    }
    *out = tval_bool(false);
    for (size_t i = 0; i < n && !out->b; i++) {
        const struct tstr *x;

        TRY(arg_string(r, list[i], at_end ? "suffix" : "prefix", &x));
        if (from <= to && x->len <= to - from)
            out->b = memcmp(s->data + (at_end ? to - x->len : from), x->data, x->len) == 0;
    }
    return 0;
}

static int str_startswith(BUILTIN_ARGS)
{
    return affix(r, self.s, v, false, out);
}

static int str_endswith(BUILTIN_ARGS)
{
    return affix(r, self.s, v, true, out);
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
    struct tbuf b = { 0 };
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

static bool is_alnum(uint32_t c)
{
    return char_is_alpha(c) || char_is_digit(c);
}

/* Are there characters, and are all of them so? */
static int all(struct render *r, const struct tstr *s, bool (*is)(uint32_t), struct tval *out)
{
    bool yes = s->len > 0;

    for (size_t i = 0; i < s->len && yes;) {
        uint32_t c;

        i += tstr_char_at(s, i, &c);
        yes = is(c);
    }
    *out = tval_bool(yes);
    return run_charge_bytes(r, s->len);
}

#define IS_METHOD(name, is)             \
    static int str_##name(BUILTIN_ARGS) \
    {                                   \
        return all(r, self.s, is, out); \
    }

IS_METHOD(isalpha, char_is_alpha)
IS_METHOD(isdigit, char_is_digit)
IS_METHOD(isalnum, is_alnum)
IS_METHOD(isspace, char_is_space)

static int str_islower(BUILTIN_ARGS)
{
    return test_find("lower", 5)->fn(r, self, v, a, out);
}

static int str_isupper(BUILTIN_ARGS)
{
    return test_find("upper", 5)->fn(r, self, v, a, out);
}

const struct builtin template_str_methods[] = {
    { "upper", str_upper, "", 0 },
    { "lower", str_lower, "", 0 },
    { "casefold", str_lower, "", 0 },
    { "title", str_title, "", 0 },
    { "capitalize", str_capitalize, "", 0 },
    { "swapcase", str_swapcase, "", 0 },
    { "strip", str_strip, "chars", 0 },
    { "lstrip", str_lstrip, "chars", 0 },
    { "rstrip", str_rstrip, "chars", 0 },
    { "split", str_split, "sep maxsplit", 0 },
    { "rsplit", str_rsplit, "sep maxsplit", 0 },
    { "splitlines", str_splitlines, "keepends", 0 },
    { "partition", str_partition, "sep", 1 },
    { "rpartition", str_rpartition, "sep", 1 },
    { "find", str_find, "sub start end", 1 },
    { "rfind", str_rfind, "sub start end", 1 },
    { "index", str_index, "sub start end", 1 },
    { "rindex", str_rindex, "sub start end", 1 },
    { "count", str_count, "sub start end", 1 },
    { "startswith", str_startswith, "prefix start end", 1 },
    { "endswith", str_endswith, "suffix start end", 1 },
    { "removeprefix", str_removeprefix, "prefix", 1 },
    { "removesuffix", str_removesuffix, "suffix", 1 },
    { "replace", str_replace, "old new count", 2 },
    { "join", str_join, "iterable", 1 },
    { "format", str_format, NULL, 0 },
    { "center", str_center, "width fillchar", 1 },
    { "ljust", str_ljust, "width fillchar", 1 },
    { "rjust", str_rjust, "width fillchar", 1 },
    { "zfill", str_zfill, "width", 1 },
    { "isalpha", str_isalpha, "", 0 },
    { "isdigit", str_isdigit, "", 0 },
    { "isdecimal", str_isdigit, "", 0 },
    { "isnumeric", str_isdigit, "", 0 },
    { "isalnum", str_isalnum, "", 0 },
    { "isspace", str_isspace, "", 0 },
    { "islower", str_islower, "", 0 },
    { "isupper", str_isupper, "", 0 },
    { NULL, NULL, NULL, 0 },
};
