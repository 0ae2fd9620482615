/* Filters on single values, mostly strings. */
#include <stdio.h>
#include <string.h>

#include "inference/text/template/char.h"
#include "inference/text/template/textops.h"

#define CASE_FILTER(name, how)             \
    static int filter_##name(BUILTIN_ARGS) \
    {                                      \
        const struct tstr *s;              \
                                           \
        TRY(tval_string(r, self, &s));     \
        return text_case(r, s, how, out);  \
    }

CASE_FILTER(upper, CASE_UPPER)
CASE_FILTER(lower, CASE_LOWER)
CASE_FILTER(title, CASE_WORDS)
CASE_FILTER(capitalize, CASE_CAPITALIZE)

static int filter_trim(BUILTIN_ARGS)
{
    const struct tstr *s, *chars = NULL;

    TRY(tval_string(r, self, &s));
    if (v[0].kind != T_MISSING && v[0].kind != T_NONE)
        TRY(arg_string(r, v[0], "chars", &chars));
    return text_strip(r, s, chars, true, true, out);
}

static int filter_replace(BUILTIN_ARGS)
{
    const struct tstr *s, *old, *new;
    struct tstr plain;
    int64_t count = -1;

    TRY(tval_string(r, self, &s));
    TRY(tval_string(r, v[0], &old));
    TRY(tval_string(r, v[1], &new));
    if (v[2].kind != T_MISSING && v[2].kind != T_NONE)
        TRY(arg_int(r, v[2], "count", &count));
    plain = *s;
    plain.markup = false;
    return text_replace(r, &plain, old, new, count, out);
}

static int filter_string(BUILTIN_ARGS)
{
    const struct tstr *s;

    TRY(tval_string(r, self, &s));
    *out = (struct tval){ .kind = T_STRING, .s = s };
    return 0;
}

static int filter_escape(BUILTIN_ARGS)
{
    const struct tstr *s;

    TRY(tval_string(r, self, &s));
    return tstr_escape(r, s, out);
}

static int filter_forceescape(BUILTIN_ARGS)
{
    const struct tstr *s;
    struct tstr plain;

    TRY(tval_string(r, self, &s));
    plain = *s;
    plain.markup = false;
    return tstr_escape(r, &plain, out);
}

static int filter_safe(BUILTIN_ARGS)
{
    struct tbuf b = { .markup = true };
    const struct tstr *s;

    TRY(tval_string(r, self, &s));
    tbuf_str(r, &b, s);
    return tbuf_done(r, &b, out);
}

static int filter_default(BUILTIN_ARGS)
{
    *out = self;
    if (self.kind != T_UNDEFINED && !(tval_truth(v[1]) && !tval_truth(self)))
        return 0;
    *out = v[0];
    return v[0].kind == T_MISSING ? tstr_borrow(r, "", 0, false, out) : 0;
}

static int filter_length(BUILTIN_ARGS)
{
    size_t n;

    TRY(tval_length(r, self, &n));
    *out = tval_int((int64_t)n);
    return 0;
}

static int filter_tojson(BUILTIN_ARGS)
{
    return json_dumps(r, self, v, out);
}

static int filter_format(BUILTIN_ARGS)
{
    const struct tstr *s;
    struct tval values;

    TRY(tval_string(r, self, &s));
    if (a->n_kw && a->n_pos)
        return run_fail(r, "can't handle positional and keyword arguments at the same time");
    if (a->n_kw) {
        TRY(builtin_find(template_globals, "dict", 4)->fn(r, self, v, a, &values));
    } else {
        TRY(tval_list(r, LIST_TUPLE, a->n_pos, &values));
        for (size_t i = 0; i < a->n_pos; i++)
            values.list->items[i] = a->pos[i];
    }
    return format_percent(r, s, values, out);
}

static int filter_center(BUILTIN_ARGS)
{
    const struct tstr *s;
    int64_t width = 80;

    TRY(tval_string(r, self, &s));
    if (v[0].kind != T_MISSING)
        TRY(arg_int(r, v[0], "width", &width));
    return text_pad(r, s, width, ' ', 'c', out);
}

/* indent(width=4, first=False, blank=False); width may be the text to put in front. */
static int filter_indent(BUILTIN_ARGS)
{
    const struct tstr *s, *lead;
    struct tval lines, pad, text;
    struct tbuf b = { 0 };
    int64_t width = 4;

    TRY(arg_string(r, self, "s", &s));
    if (v[0].kind == T_STRING) {
        lead = v[0].s;
    } else {
        if (v[0].kind != T_MISSING)
            TRY(arg_int(r, v[0], "width", &width));
        TRY(text_pad(r, &(const struct tstr){ .data = "" }, width, ' ', 'l', &pad));
        lead = pad.s;
    }
    tbuf_str(r, &b, s);
    tbuf_puts(r, &b, "\n"); /* so that an empty last line is one */
    TRY(tbuf_done(r, &b, &text));
    TRY(text_lines(r, text.s, false, &lines));
    b = (struct tbuf){ .markup = s->markup };
    for (size_t i = 0; i < lines.list->len && !b.failed; i++) {
        const struct tstr *line = lines.list->items[i].s;

        if (i)
            tbuf_puts(r, &b, "\n");
        if (i ? line->len || tval_truth(v[2]) : tval_truth(v[1]))
            tbuf_str(r, &b, lead);
        tbuf_str(r, &b, line);
    }
    return tbuf_derived(r, &b, false, out);
}

static int filter_truncate(BUILTIN_ARGS)
{
    const struct tstr *s, *end = &(const struct tstr){ .data = "...", .len = 3 };
    int64_t length = 255, leeway = 5, keep;
    struct tval head, parts;
    struct tbuf b = { 0 };

    *out = self;
    if (self.kind == T_UNDEFINED)
        return 0;
    TRY(arg_string(r, self, "s", &s));
    if (v[0].kind != T_MISSING)
        TRY(arg_int(r, v[0], "length", &length));
    if (v[2].kind != T_MISSING)
        TRY(arg_string(r, v[2], "end", &end));
    if (v[3].kind != T_MISSING && v[3].kind != T_NONE)
        TRY(arg_int(r, v[3], "leeway", &leeway));
    if (length < (int64_t)tstr_chars(end) || leeway < 0 || length > INT64_MAX - leeway)
        return run_fail(r, "truncate: expected a length of at least that of the end");
    TRY(run_charge_bytes(r, s->len));
    if ((int64_t)tstr_chars(s) <= length + leeway)
        return 0;
    keep = length - (int64_t)tstr_chars(end);
    TRY(tstr_slice(r, s, 0, tstr_offset(s, (size_t)keep), &head));
    if (!tval_truth(v[1])) {
        TRY(text_split(r, head.s, &(const struct tstr){ .data = " ", .len = 1 }, 1, true, &parts));
        head = parts.list->items[0];
    }
    b.markup = s->markup || end->markup;
    if (b.markup) {
        TRY(tstr_escape(r, head.s, &head));
        TRY(tstr_escape(r, end, &parts));
        end = parts.s;
    }
    tbuf_str(r, &b, head.s);
    tbuf_str(r, &b, end);
    return tbuf_derived(r, &b, false, out);
}

static int filter_wordcount(BUILTIN_ARGS)
{
    const struct tstr *s;
    bool inside = false;
    int64_t n = 0;

    TRY(tval_string(r, self, &s));
    TRY(run_charge_bytes(r, s->len));
    for (size_t i = 0; i < s->len;) {
        uint32_t c;
        bool word;

        i += tstr_char_at(s, i, &c);
        word = c == '_' || char_is_alpha(c) || char_is_digit(c);
        n += word && !inside;
        inside = word;
    }
    *out = tval_int(n);
    return 0;
}

/* The text with what a URL may not hold as %XX; in a query, / too, and blanks as +. */
static void put_quoted(struct render *r, struct tbuf *b, const struct tstr *s, bool query)
{
    char hex[4];

    for (size_t i = 0; i < s->len && !b->failed; i++) {
        unsigned char c = (unsigned char)s->data[i];

        if ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
            (c && strchr("_.-~", c)) || (c == '/' && !query)) {
            tbuf_put(r, b, s->data + i, 1, false);
        } else if (c == ' ' && query) {
            tbuf_put(r, b, "+", 1, false);
        } else {
            snprintf(hex, sizeof hex, "%%%02X", c);
            tbuf_puts(r, b, hex);
        }
    }
}

/* A string, or the pairs of a mapping or list: a=b&c=d. */
static int filter_urlencode(BUILTIN_ARGS)
{
    struct tval pairs, *items, *two;
    struct args none = { 0 };
    const struct tstr *s;
    struct tbuf b = { 0 };
    bool tainted = false;
    size_t n, len;

    if (self.kind == T_STRING || !tval_iterable(self)) {
        TRY(tval_string(r, self, &s));
        TRY(run_charge_bytes(r, s->len));
        put_quoted(r, &b, s, false);
        return tbuf_derived(r, &b, tstr_tainted(s), out);
    }
    pairs = self;
    if (self.kind == T_DICT)
        TRY(builtin_find(template_dict_methods, "items", 5)->fn(r, self, NULL, &none, &pairs));
    TRY(tval_iterate(r, pairs, &items, &n));
    for (size_t i = 0; i < n; i++) {
        TRY(tval_iterate(r, items[i], &two, &len));
        if (len != 2)
            return run_fail(r, "expected pairs, found %zu value(s)", len);
        for (size_t k = 0; k < 2; k++) {
            TRY(tval_string(r, two[k], &s));
            TRY(run_charge_bytes(r, s->len));
            tbuf_puts(r, &b, k ? "=" : i ? "&" : "");
            put_quoted(r, &b, s, true);
            tainted |= tstr_tainted(s);
        }
    }
    return tbuf_derived(r, &b, tainted, out);
}

const struct builtin template_string_filters[] = {
    { "capitalize", filter_capitalize, "", 0 },
    { "center", filter_center, "width", 0 },
    { "count", filter_length, "", 0 },
    { "d", filter_default, "default_value boolean", 0 },
    { "default", filter_default, "default_value boolean", 0 },
    { "e", filter_escape, "", 0 },
    { "escape", filter_escape, "", 0 },
    { "forceescape", filter_forceescape, "", 0 },
    { "format", filter_format, NULL, 0 },
    { "indent", filter_indent, "width first blank", 0 },
    { "length", filter_length, "", 0 },
    { "lower", filter_lower, "", 0 },
    { "replace", filter_replace, "old new count", 2 },
    { "safe", filter_safe, "", 0 },
    { "string", filter_string, "", 0 },
    { "title", filter_title, "", 0 },
    { "tojson", filter_tojson, "ensure_ascii indent separators sort_keys", 0 },
    { "trim", filter_trim, "chars", 0 },
    { "truncate", filter_truncate, "length killwords end leeway", 0 },
    { "upper", filter_upper, "", 0 },
    { "urlencode", filter_urlencode, "", 0 },
    { "wordcount", filter_wordcount, "", 0 },
    { NULL, NULL, NULL, 0 },
};
