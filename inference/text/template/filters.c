/* Filters on single values: strings and numbers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
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
    int64_t count = -1;

    TRY(tval_string(r, self, &s));
    TRY(tval_string(r, v[0], &old));
    TRY(tval_string(r, v[1], &new));
    if (v[2].kind != T_MISSING && v[2].kind != T_NONE)
        TRY(arg_int(r, v[2], "count", &count));
    return text_replace(r, s, old, new, count, out);
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
    static const struct {
        char c;
        const char *text;
    } entities[] = {
        { '&', "&amp;" }, { '<', "&lt;" }, { '>', "&gt;" }, { '"', "&#34;" }, { '\'', "&#39;" },
    };
    const struct tstr *s;
    struct tbuf b = { 0 };
    size_t plain = 0;

    TRY(tval_string(r, self, &s));
    TRY(run_charge_bytes(r, s->len));
    for (size_t i = 0; i < s->len; i++) {
        for (size_t k = 0; k < sizeof entities / sizeof *entities; k++) {
            if (s->data[i] != entities[k].c)
                continue;
            tbuf_put(r, &b, s->data + plain, i - plain, false);
            tbuf_puts(r, &b, entities[k].text);
            plain = i + 1;
        }
    }
    tbuf_put(r, &b, s->data + plain, s->len - plain, false);
    return tbuf_derived(r, &b, tstr_tainted(s), out);
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

static int filter_abs(BUILTIN_ARGS)
{
    if (self.kind == T_UNDEFINED)
        return tval_trip(r, self);
    if (!tval_is_number(self))
        return run_fail(r, "bad operand type for abs(): '%s'", tval_type(self));
    if (self.kind == T_FLOAT) {
        *out = tval_float(fabs(self.d));
        return 0;
    }
    *out = tval_int(tval_integer(self));
    return out->i < 0 ? op_binary(r, OP_SUB, tval_int(0), self, out) : 0;
}

/* The number that a string spells, digits grouped by underscores and blanks around it allowed. */
static bool read_number(struct render *r, const struct tstr *s, int base, struct tval *out)
{
    struct tval stripped;
    char text[340], *end;
    size_t n = 0;
    bool real = base == 0;

    if (text_strip(r, s, NULL, true, true, &stripped))
        return false;
    s = stripped.s;
    if (!s->len || s->len >= sizeof text || s->data[0] == '_' || s->data[s->len - 1] == '_')
        return false;
    for (size_t i = 0; i < s->len; i++) {
        char c = s->data[i];

        if (c == '_' && s->data[i - 1] != '_')
            continue;
        if (c == '_' || char_is_space((unsigned char)c) || c == '\0' || (real && (c | 32) == 'x'))
            return false;
        text[n++] = c;
    }
    text[n] = '\0';
    if (real) {
        *out = tval_float(strtod(text, &end));
        return end == text + n && !strchr(text, '(');
    }
    *out = tval_int((int64_t)strtoll(text, &end, base));
    return end == text + n && out->i != INT64_MAX && out->i != INT64_MIN;
}

static int filter_int(BUILTIN_ARGS)
{
    struct tval x = self;
    int64_t base = 10;

    if (self.kind == T_UNDEFINED)
        return tval_trip(r, self);
    if (v[1].kind != T_MISSING)
        TRY(arg_int(r, v[1], "base", &base));
    *out = v[0].kind == T_MISSING ? tval_int(0) : v[0];
    if (self.kind == T_STRING) {
        if (base >= 2 && base <= 36 && read_number(r, self.s, (int)base, out))
            return 0;
        *out = v[0].kind == T_MISSING ? tval_int(0) : v[0];
        if (!read_number(r, self.s, 0, &x)) /* '3.9' | int is 3 */
            return 0;
    }
    if (tval_is_integer(x))
        *out = tval_int(tval_integer(x));
    else if (x.kind == T_FLOAT && fabs(x.d) < 9.2e18)
        *out = tval_int((int64_t)x.d);
    return 0;
}

static int filter_float(BUILTIN_ARGS)
{
    if (self.kind == T_UNDEFINED)
        return tval_trip(r, self);
    if (tval_is_number(self)) {
        *out = tval_float(tval_double(self));
        return 0;
    }
    if (self.kind == T_STRING && read_number(r, self.s, 0, out))
        return 0;
    *out = v[0].kind == T_MISSING ? tval_float(0) : v[0];
    return 0;
}

/* round(value, precision, method): "common" rounds as Python does, exactly on the binary value. */
static int filter_round(BUILTIN_ARGS)
{
    const struct tstr *method = &(const struct tstr){ .data = "common", .len = 6 };
    int64_t precision = 0;
    double x, scale;
    char text[400];

    if (self.kind == T_UNDEFINED)
        return tval_trip(r, self);
    if (!tval_is_number(self))
        return run_fail(r, "type %s cannot be rounded", tval_type(self));
    if (v[0].kind != T_MISSING)
        TRY(arg_int(r, v[0], "precision", &precision));
    if (v[1].kind != T_MISSING)
        TRY(arg_string(r, v[1], "method", &method));
    if (precision < -20 || precision > 40)
        return run_fail(r, "a precision of %lld is out of range", (long long)precision);
    x = tval_double(self);
    scale = pow(10, (double)precision);
    if (tstr_is(method, "ceil")) {
        *out = tval_float(ceil(x * scale) / scale);
    } else if (tstr_is(method, "floor")) {
        *out = tval_float(floor(x * scale) / scale);
    } else if (!tstr_is(method, "common")) {
        return run_fail(r, "method must be common, ceil or floor");
    } else if (tval_is_integer(self)) {
        int64_t i = tval_integer(self);

        *out = tval_int(precision >= 0 ? i : (int64_t)(nearbyint((double)i * scale) / scale));
    } else if (precision >= 0) {
        snprintf(text, sizeof text, "%.*f", (int)precision, x);
        *out = tval_float(strtod(text, NULL));
    } else {
        *out = tval_float(nearbyint(x * scale) / scale);
    }
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
    b = (struct tbuf){ 0 };
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

static int filter_urlencode(BUILTIN_ARGS)
{
    const struct tstr *s;
    struct tbuf b = { 0 };
    char hex[4];

    TRY(tval_string(r, self, &s));
    TRY(run_charge_bytes(r, s->len));
    for (size_t i = 0; i < s->len && !b.failed; i++) {
        unsigned char c = (unsigned char)s->data[i];

        if ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
            (c && strchr("_.-~/", c))) {
            tbuf_put(r, &b, s->data + i, 1, false);
        } else {
            snprintf(hex, sizeof hex, "%%%02X", c);
            tbuf_puts(r, &b, hex);
        }
    }
    return tbuf_derived(r, &b, tstr_tainted(s), out);
}

const struct builtin template_string_filters[] = {
    { "abs", filter_abs, "", 0 },
    { "capitalize", filter_capitalize, "", 0 },
    { "center", filter_center, "width", 0 },
    { "count", filter_length, "", 0 },
    { "d", filter_default, "default_value boolean", 0 },
    { "default", filter_default, "default_value boolean", 0 },
    { "e", filter_escape, "", 0 },
    { "escape", filter_escape, "", 0 },
    { "float", filter_float, "default", 0 },
    { "forceescape", filter_escape, "", 0 },
    { "format", filter_format, NULL, 0 },
    { "indent", filter_indent, "width first blank", 0 },
    { "int", filter_int, "default base", 0 },
    { "length", filter_length, "", 0 },
    { "lower", filter_lower, "", 0 },
    { "replace", filter_replace, "old new count", 2 },
    { "round", filter_round, "precision method", 0 },
    { "safe", filter_string, "", 0 },
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
