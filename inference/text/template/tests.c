/* `x is test`: Jinja's own tests. */
#include <string.h>

#include "inference/text/template/char.h"
#include "inference/text/template/run.h"

#define KIND_TEST(name, condition)       \
    static int test_##name(BUILTIN_ARGS) \
    {                                    \
        (void)r;                         \
        (void)v;                         \
        (void)a;                         \
        *out = tval_bool(condition);     \
        return 0;                        \
    }

KIND_TEST(defined, self.kind != T_UNDEFINED)
KIND_TEST(undefined, self.kind == T_UNDEFINED)
KIND_TEST(none, self.kind == T_NONE)
KIND_TEST(boolean, self.kind == T_BOOL)
KIND_TEST(true, self.kind == T_BOOL && self.b)
KIND_TEST(false, self.kind == T_BOOL && !self.b)
KIND_TEST(integer, self.kind == T_INT)
KIND_TEST(float, self.kind == T_FLOAT)
KIND_TEST(number, tval_is_number(self))
KIND_TEST(string, self.kind == T_STRING)
KIND_TEST(mapping, self.kind == T_DICT)
KIND_TEST(iterable, tval_iterable(self))
KIND_TEST(sequence, self.kind == T_STRING || self.kind == T_DICT || self.kind == T_UNDEFINED ||
                        (self.kind == T_LIST && self.list->flavour <= LIST_RANGE))
KIND_TEST(callable, self.kind == T_BUILTIN || self.kind == T_MACRO || self.kind == T_JOINER ||
                        self.kind == T_UNDEFINED || self.kind == T_LOOP || self.kind == T_BLOCK)
KIND_TEST(escaped, self.kind == T_STRING && self.s->markup)

static int test_filter(BUILTIN_ARGS)
{
    *out = tval_bool(self.kind == T_STRING && filter_find(self.s->data, self.s->len));
    return tval_hashable(r, self);
}

static int test_test(BUILTIN_ARGS)
{
    *out = tval_bool(self.kind == T_STRING && test_find(self.s->data, self.s->len));
    return tval_hashable(r, self);
}

/* self % 2 == rest: for 2.5 neither test holds, as in Python. */
static int parity(struct render *r, struct tval self, int64_t rest, struct tval *out)
{
    struct tval found;
    bool same;

    TRY(op_binary(r, OP_MOD, self, tval_int(2), &found));
    TRY(tval_equal(r, found, tval_int(rest), &same));
    *out = tval_bool(same);
    return 0;
}

static int test_even(BUILTIN_ARGS)
{
    return parity(r, self, 0, out);
}

static int test_odd(BUILTIN_ARGS)
{
    return parity(r, self, 1, out);
}

static int test_divisibleby(BUILTIN_ARGS)
{
    struct tval rest;
    bool zero;

    TRY(op_binary(r, OP_MOD, self, v[0], &rest));
    TRY(tval_equal(r, rest, tval_int(0), &zero));
    *out = tval_bool(zero);
    return 0;
}

#define COMPARE_TEST(name, op)                    \
    static int test_##name(BUILTIN_ARGS)          \
    {                                             \
        bool yes;                                 \
                                                  \
        (void)a;                                  \
        TRY(op_compare(r, op, self, v[0], &yes)); \
        *out = tval_bool(yes);                    \
        return 0;                                 \
    }

COMPARE_TEST(eq, OP_EQ)
COMPARE_TEST(ne, OP_NE)
COMPARE_TEST(lt, OP_LT)
COMPARE_TEST(le, OP_LE)
COMPARE_TEST(gt, OP_GT)
COMPARE_TEST(ge, OP_GE)
COMPARE_TEST(in, OP_IN)

static int test_sameas(BUILTIN_ARGS)
{
    *out = tval_bool(self.kind == v[0].kind &&
                     (self.kind == T_NONE || self.kind == T_UNDEFINED ||
                      (self.kind == T_BOOL ? self.b == v[0].b : self.i == v[0].i)));
    return 0;
}

/* str(self).islower() and .isupper(): at least one cased letter, and none of the other case. */
static int cased(struct render *r, struct tval self, bool upper, struct tval *out)
{
    const struct tstr *s;
    bool any = false, other = false;

    TRY(tval_string(r, self, &s));
    for (size_t i = 0; i < s->len;) {
        uint32_t c;

        i += tstr_char_at(s, i, &c);
        any |= upper ? char_is_upper(c) : char_is_lower(c);
        other |= upper ? char_is_lower(c) : char_is_upper(c);
    }
    *out = tval_bool(any && !other);
    return run_charge_bytes(r, s->len);
}

static int test_lower(BUILTIN_ARGS)
{
    return cased(r, self, false, out);
}

static int test_upper(BUILTIN_ARGS)
{
    return cased(r, self, true, out);
}

const struct builtin template_tests[] = {
    { "defined", test_defined, "", 0 },
    { "undefined", test_undefined, "", 0 },
    { "none", test_none, "", 0 },
    { "boolean", test_boolean, "", 0 },
    { "true", test_true, "", 0 },
    { "false", test_false, "", 0 },
    { "integer", test_integer, "", 0 },
    { "float", test_float, "", 0 },
    { "number", test_number, "", 0 },
    { "string", test_string, "", 0 },
    { "mapping", test_mapping, "", 0 },
    { "iterable", test_iterable, "", 0 },
    { "sequence", test_sequence, "", 0 },
    { "callable", test_callable, "", 0 },
    { "escaped", test_escaped, "", 0 },
    { "filter", test_filter, "", 0 },
    { "test", test_test, "", 0 },
    { "even", test_even, "", 0 },
    { "odd", test_odd, "", 0 },
    { "divisibleby", test_divisibleby, "num", 1 },
    { "eq", test_eq, "other", 1 },
    { "equalto", test_eq, "other", 1 },
    { "==", test_eq, "other", 1 },
    { "ne", test_ne, "other", 1 },
    { "!=", test_ne, "other", 1 },
    { "lt", test_lt, "other", 1 },
    { "lessthan", test_lt, "other", 1 },
    { "<", test_lt, "other", 1 },
    { "le", test_le, "other", 1 },
    { "<=", test_le, "other", 1 },
    { "gt", test_gt, "other", 1 },
    { "greaterthan", test_gt, "other", 1 },
    { ">", test_gt, "other", 1 },
    { "ge", test_ge, "other", 1 },
    { ">=", test_ge, "other", 1 },
    { "in", test_in, "seq", 1 },
    { "sameas", test_sameas, "other", 1 },
    { "lower", test_lower, "", 0 },
    { "upper", test_upper, "", 0 },
    { NULL, NULL, NULL, 0 },
};
