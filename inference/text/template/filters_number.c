/* Filters that give numbers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inference/text/template/char.h"
#include "inference/text/template/textops.h"

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
        *out = tval_float((ceil(x * scale) + 0.0) / scale);
    } else if (tstr_is(method, "floor")) {
        *out = tval_float((floor(x * scale) + 0.0) / scale);
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

const struct builtin template_number_filters[] = {
    { "abs", filter_abs, "", 0 },
    { "float", filter_float, "default", 0 },
    { "int", filter_int, "default base", 0 },
    { "round", filter_round, "precision method", 0 },
    { NULL, NULL, NULL, 0 },
};
