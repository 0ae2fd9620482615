/* Methods of str that ask something of every character. */
#include "inference/text/template/char.h"
#include "inference/text/template/textops.h"

static bool is_alnum(uint32_t c)
{
    return char_is_alpha(c) || char_is_numeric(c);
}

static bool is_ascii(uint32_t c)
{
    return c < 0x80;
}

/* Do all characters have a property?  empty: what holds of a string without any. */
static int all(struct render *r, const struct tstr *s, bool (*is)(uint32_t), bool empty,
               struct tval *out)
{
    bool yes = s->len > 0 || empty;

    for (size_t i = 0; i < s->len && yes;) {
        uint32_t c;

        i += tstr_char_at(s, i, &c);
        yes = is(c);
    }
    *out = tval_bool(yes);
    return run_charge_bytes(r, s->len);
}

#define IS_METHOD(name, is, empty)             \
    static int str_##name(BUILTIN_ARGS)        \
    {                                          \
        return all(r, self.s, is, empty, out); \
    }

IS_METHOD(isalpha, char_is_alpha, false)
IS_METHOD(isdecimal, char_is_digit, false)
IS_METHOD(isdigit, char_is_any_digit, false)
IS_METHOD(isnumeric, char_is_numeric, false)
IS_METHOD(isalnum, is_alnum, false)
IS_METHOD(isspace, char_is_space, false)
IS_METHOD(isprintable, char_is_printable, true)
IS_METHOD(isascii, is_ascii, true)

static int str_isidentifier(BUILTIN_ARGS)
{
    bool yes = self.s->len > 0;

    for (size_t i = 0; i < self.s->len && yes;) {
        bool first = i == 0;
        uint32_t c;

        i += tstr_char_at(self.s, i, &c);
        yes = c == '_' || char_is_alpha(c) || (!first && char_is_digit(c));
    }
    *out = tval_bool(yes);
    return run_charge_bytes(r, self.s->len);
}

/* Capitals begin words, small letters go on, and there is at least one letter. */
static int str_istitle(BUILTIN_ARGS)
{
    bool any = false, inside = false, yes = true;

    for (size_t i = 0; i < self.s->len && yes;) {
        uint32_t c;
        bool upper, lower;

        i += tstr_char_at(self.s, i, &c);
        upper = char_is_upper(c);
        lower = char_is_lower(c);
        yes = !(upper && inside) && !(lower && !inside);
        inside = upper || lower;
        any |= inside;
    }
    *out = tval_bool(yes && any);
    return run_charge_bytes(r, self.s->len);
}

static int str_islower(BUILTIN_ARGS)
{
    return test_find("lower", 5)->fn(r, self, v, a, out);
}

static int str_isupper(BUILTIN_ARGS)
{
    return test_find("upper", 5)->fn(r, self, v, a, out);
}

const struct builtin template_str_questions[] = {
    { "isalpha", str_isalpha, "", 0 },
    { "isalnum", str_isalnum, "", 0 },
    { "isascii", str_isascii, "", 0 },
    { "isdecimal", str_isdecimal, "", 0 },
    { "isdigit", str_isdigit, "", 0 },
    { "isidentifier", str_isidentifier, "", 0 },
    { "islower", str_islower, "", 0 },
    { "isnumeric", str_isnumeric, "", 0 },
    { "isprintable", str_isprintable, "", 0 },
    { "isspace", str_isspace, "", 0 },
    { "istitle", str_istitle, "", 0 },
    { "isupper", str_isupper, "", 0 },
    { NULL, NULL, NULL, 0 },
};
