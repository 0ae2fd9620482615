/* Operators between values, as Python computes them; integers stay within 64 bits. */
#include <math.h>
#include <string.h>

#include "inference/text/template/run.h"

static const char *const op_text[] = {
    [OP_ADD] = "+", [OP_SUB] = "-",  [OP_MUL] = "*", [OP_DIV] = "/", [OP_FLOORDIV] = "//",
    [OP_MOD] = "%", [OP_POW] = "**", [OP_EQ] = "==", [OP_NE] = "!=", [OP_LT] = "<",
    [OP_LE] = "<=", [OP_GT] = ">",   [OP_GE] = ">=", [OP_IN] = "in", [OP_NOT_IN] = "not in",
};

static int too_large(struct render *r)
{
    return run_fail(r, "integers beyond 64 bits are not offered");
}

static int int_power(struct render *r, int64_t base, int64_t exponent, struct tval *out)
{
    int64_t result = 1;

    if (exponent < 0) {
        if (base == 0)
            return run_fail(r, "0.0 cannot be raised to a negative power");
        *out = tval_float(pow((double)base, (double)exponent));
        return 0;
    }
    while (exponent) {
        if ((exponent & 1) && __builtin_mul_overflow(result, base, &result))
            return too_large(r);
        exponent >>= 1;
        if (exponent && __builtin_mul_overflow(base, base, &base))
            return too_large(r);
    }
    *out = tval_int(result);
    return 0;
}

static int int_op(struct render *r, enum op op, int64_t a, int64_t b, struct tval *out)
{
    int64_t result = 0;
    bool over = false;

    switch (op) {
    case OP_ADD:
        over = __builtin_add_overflow(a, b, &result);
        break;
    case OP_SUB:
        over = __builtin_sub_overflow(a, b, &result);
        break;
    case OP_MUL:
        over = __builtin_mul_overflow(a, b, &result);
        break;
    case OP_POW:
        return int_power(r, a, b, out);
    default: /* / // % */
        if (b == 0)
            return run_fail(r, "division by zero");
        if (op == OP_DIV) {
            *out = tval_float((double)a / (double)b);
            return 0;
        }
        if (b == -1) { /* INT64_MIN / -1 traps */
            over = op == OP_FLOORDIV && __builtin_sub_overflow((int64_t)0, a, &result);
            break;
        }
        result = op == OP_FLOORDIV ? a / b : a % b;
        if (a % b != 0 && (a < 0) != (b < 0)) /* rounds towards minus infinity */
            result += op == OP_FLOORDIV ? -1 : b;
        break;
    }
    if (over)
        return too_large(r);
    *out = tval_int(result);
    return 0;
}

static int float_op(struct render *r, enum op op, double a, double b, struct tval *out)
{
    double mod, result = 0;

    if ((op == OP_DIV || op == OP_FLOORDIV || op == OP_MOD) && b == 0)
        return run_fail(r, "division by zero");
    mod = op == OP_FLOORDIV || op == OP_MOD ? fmod(a, b) : 0;
    if (mod != 0 && (mod < 0) != (b < 0))
        mod += b;
    switch (op) {
    case OP_ADD:
        result = a + b;
        break;
    case OP_SUB:
        result = a - b;
        break;
    case OP_MUL:
        result = a * b;
        break;
    case OP_DIV:
        result = a / b;
        break;
    case OP_FLOORDIV:
        result = floor((a - mod) / b + 0.5); /* (a - mod) / b is whole but for rounding */
        if (result == 0)
            result = copysign(0, a / b);
        break;
    case OP_MOD:
        result = mod == 0 ? copysign(0, b) : mod;
        break;
    default:
        if (a == 0 && b < 0)
            return run_fail(r, "0.0 cannot be raised to a negative power");
        result = pow(a, b);
        if (isnan(result) && !isnan(a) && !isnan(b))
            return run_fail(r, "complex numbers are not offered");
        if (isinf(result) && isfinite(a) && isfinite(b))
            return run_fail(r, "(34, 'Numerical result out of range')");
        break;
    }
    *out = tval_float(result);
    return 0;
}

static int add_lists(struct render *r, const struct tlist *a, const struct tlist *b,
                     struct tval *out)
{
    TRY(tval_list(r, a->flavour, a->len + b->len, out));
    if (a->len)
        memcpy(out->list->items, a->items, a->len * sizeof *a->items);
    if (b->len)
        memcpy(out->list->items + a->len, b->items, b->len * sizeof *b->items);
    return run_charge(r, (a->len + b->len) / 16);
}

/* 'ab' * 3, [0] * 3. */
static int repeat(struct render *r, struct tval v, int64_t times, struct tval *out)
{
    struct tbuf b = { .markup = v.kind == T_STRING && v.s->markup };
    size_t n = times > 0 ? (size_t)times : 0, len;

    if (v.kind == T_STRING) {
        TRY(run_charge(r, v.s->len ? n : 0));
        for (; v.s->len && n && !b.failed; n--)
            tbuf_str(r, &b, v.s);
        return tbuf_done(r, &b, out);
    }
    if (v.list->len == 0)
        n = 0;
    if (__builtin_mul_overflow(v.list->len, n, &len))
        return run_full(r);
    TRY(tval_list(r, v.list->flavour, len, out));
    TRY(run_charge(r, len / 16));
    for (size_t i = 0; i < len; i++)
        out->list->items[i] = v.list->items[i % v.list->len];
    return 0;
}

static bool is_plain_list(struct tval v)
{
    return v.kind == T_LIST && v.list->flavour <= LIST_TUPLE;
}

static int add_strings(struct render *r, const struct tstr *a, const struct tstr *b,
                       struct tval *out)
{
    struct tbuf text = { .markup = a->markup || b->markup };
    struct tval left, right;

    if (text.markup) {
        TRY(tstr_escape(r, a, &left));
        TRY(tstr_escape(r, b, &right));
        a = left.s;
        b = right.s;
    }
    tbuf_str(r, &text, a);
    tbuf_str(r, &text, b);
    return tbuf_done(r, &text, out);
}

int op_binary(struct render *r, enum op op, struct tval a, struct tval b, struct tval *out)
{
    if (tval_is_number(a) && tval_is_number(b)) {
        if (tval_is_integer(a) && tval_is_integer(b))
            return int_op(r, op, tval_integer(a), tval_integer(b), out);
        return float_op(r, op, tval_double(a), tval_double(b), out);
    }
    if (a.kind == T_STRING && op == OP_MOD)
        return format_percent(r, a.s, b, out);
    if (a.kind == T_UNDEFINED || b.kind == T_UNDEFINED)
        return tval_trip(r, a.kind == T_UNDEFINED ? a : b);
    if (op == OP_ADD) {
        if (a.kind == T_STRING && b.kind == T_STRING)
            return add_strings(r, a.s, b.s, out);
        if (is_plain_list(a) && is_plain_list(b) && a.list->flavour == b.list->flavour)
            return add_lists(r, a.list, b.list, out);
        if (a.kind == T_STRING || is_plain_list(a))
            return run_fail(r, "can only concatenate %s (not \"%s\") to %s", tval_type(a),
                            tval_type(b), tval_type(a));
    }
    if (op == OP_MUL && tval_is_integer(b) && (a.kind == T_STRING || is_plain_list(a)))
        return repeat(r, a, tval_integer(b), out);
    if (op == OP_MUL && tval_is_integer(a) && (b.kind == T_STRING || is_plain_list(b)))
        return repeat(r, b, tval_integer(a), out);
    return run_fail(r, "unsupported operand type(s) for %s: '%s' and '%s'", op_text[op],
                    tval_type(a), tval_type(b));
}

static int op_in(struct render *r, struct tval a, struct tval b, bool *out)
{
    struct tval *found, *items;
    size_t n;

    *out = false;
    switch (b.kind) {
    case T_UNDEFINED:
        return 0;
    case T_STRING:
        if (a.kind != T_STRING)
            return run_fail(r, "'in <string>' requires string as left operand, not %s",
                            tval_type(a));
        TRY(run_charge_bytes(r, b.s->len));
        *out = tstr_find(b.s, a.s->data, a.s->len, 0) != SIZE_MAX;
        return 0;
    case T_DICT:
        TRY(tval_hashable(r, a));
        TRY(tdict_find(r, b.dict, a, &found));
        *out = found != NULL;
        return 0;
    case T_LIST:
        TRY(tval_iterate(r, b, &items, &n));
        TRY(run_charge(r, n / 16));
        for (size_t i = 0; i < n && !*out; i++)
            TRY(tval_equal(r, items[i], a, out));
        return 0;
    default:
        return run_fail(r, "argument of type '%s' is not iterable", tval_type(b));
    }
}

int op_compare(struct render *r, enum op op, struct tval a, struct tval b, bool *out)
{
    int order;

    switch (op) {
    case OP_EQ:
        return tval_equal(r, a, b, out);
    case OP_NE:
        TRY(tval_equal(r, a, b, out));
        *out = !*out;
        return 0;
    case OP_IN:
        return op_in(r, a, b, out);
    case OP_NOT_IN:
        TRY(op_in(r, a, b, out));
        *out = !*out;
        return 0;
    default:
        break;
    }
    TRY(tval_compare(r, a, b, op_text[op], &order));
    if (order == 2)
        *out = false; /* NaN */
    else
        *out = op == OP_LT   ? order < 0
               : op == OP_LE ? order <= 0
               : op == OP_GT ? order > 0
                             : order >= 0;
    return 0;
}
