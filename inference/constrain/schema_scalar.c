#include <string.h>

#include "inference/constrain/formats.h"
#include "inference/constrain/meet.h"
#include "inference/constrain/regex.h"
#include "inference/constrain/schema_work.h"

enum {
    MAX_COUNTED = 1000, /* characters, where lengths are held against patterns */
    MAX_LISTED = 1000,  /* multiples of a large number */
};

/* --- strings --- */

/* *all becomes what it has in common with node; the first time just that. */
static int narrow(struct work *w, const struct value *s, const char *keyword, int32_t *all,
                  int32_t node)
{
    struct err inner;
    int rc;

    if (*all < 0) {
        *all = node;
        return 0;
    }
    rc = meet_node(w->g, *all, node, MEET_BOTH, all, &inner);
    return rc ? work_fail(w, s, keyword, rc, "%s", inner.text) : 0;
}

/* The characters of a pattern or a format. */
static int expression(struct work *w, const struct value *s, const char *keyword,
                      const char *pattern, size_t len, enum regex_reach reach, int32_t *all)
{
    struct err inner;
    int32_t node;
    int rc = regex_node(w->g, pattern, len, reach, CHARS_QUOTED, &node, &inner);

    return rc ? work_fail(w, s, keyword, rc, "%s", inner.text) : narrow(w, s, keyword, all, node);
}

static int expressions(struct work *w, const struct schemas *s, int32_t *all)
{
    int rc = 0;

    *all = GRAMMAR_NONE;
    for (size_t i = 0; rc == 0 && i < s->n; i++) {
        const struct value *l = s->items[i], *pattern = value_get(l, "pattern");
        const struct value *format = value_get(l, "format");
        const char *f = format ? format_pattern(format->string.data) : NULL;

        if (pattern)
            rc = expression(w, l, "pattern", pattern->string.data, pattern->string.len, REGEX_FIND,
                            all);
        if (rc == 0 && f)
            rc = expression(w, l, "format", f, strlen(f), REGEX_WHOLE, all);
    }
    return rc;
}

static int exclude(struct work *w, const struct value *s, int32_t *all, int32_t node)
{
    struct err inner;
    int rc;

    if (*all < 0)
        *all = grammar_repeat(w->g, w->json.character, 0, GRAMMAR_UNBOUNDED);
    rc = meet_node(w->g, *all, node, MEET_ONLY, all, &inner);
    return rc ? work_fail(w, s, NULL, rc, "what must not hold: %s", inner.text) : 0;
}

/* What our own schemas rule out. */
static int exclusions(struct work *w, const struct schemas *s, int32_t *all)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < s->n; i++) {
        const struct value *texts = schema_own_get(s->items[i], SCHEMA_NOT_TEXTS);
        const struct value *pattern = schema_own_get(s->items[i], SCHEMA_NOT_PATTERN);
        int32_t node = grammar_never(w->g), match = GRAMMAR_NONE;

        for (size_t k = texts ? texts->list.len : 0; k-- > 0;) {
            const struct value *v = texts->list.items[k];

            node = grammar_alt(w->g, chars_text(w->g, v->string.data, v->string.len, CHARS_QUOTED),
                               node);
        }
        if (texts)
            rc = exclude(w, s->items[i], all, node);
        if (rc == 0 && pattern)
            rc = expression(w, s->items[i], "pattern", pattern->string.data, pattern->string.len,
                            REGEX_FIND, &match);
        if (rc == 0 && pattern)
            rc = exclude(w, s->items[i], all, match);
    }
    return rc;
}

static bool says_of_strings(const struct value *s)
{
    const struct value *format = value_get(s, "format");

    return value_get(s, "minLength") || value_get(s, "maxLength") || value_get(s, "pattern") ||
           (format && format_pattern(format->string.data)) || schema_own_get(s, SCHEMA_NOT_TEXTS) ||
           schema_own_get(s, SCHEMA_NOT_PATTERN);
}

/* The first of the set that has the keyword, for errors. */
static const struct value *who(const struct schemas *s, const char *keyword)
{
    for (size_t i = 0; i < s->n; i++)
        if (value_get(s->items[i], keyword))
            return s->items[i];
    return NULL;
}

static int characters(struct work *w, const struct schemas *s, bool flat, int32_t *out)
{
    size_t min = schemas_count(s, "minLength", true, 0);
    size_t max = schemas_count(s, "maxLength", false, GRAMMAR_UNBOUNDED);
    int rc = expressions(w, s, out);

    if (rc == 0)
        rc = exclusions(w, s, out);
    if (rc)
        return rc;
    flat |= *out >= 0;
    if (*out >= 0 && min == 0 && max == GRAMMAR_UNBOUNDED)
        return 0;
    if (flat && max != GRAMMAR_UNBOUNDED && max > MAX_COUNTED)
        max = MAX_COUNTED; /* a part of what is valid */
    if ((flat && min > MAX_COUNTED) || min > 100000)
        return work_fail(w, who(s, "minLength"), "minLength", ERR_LIMIT, "is too large");
    if (max != GRAMMAR_UNBOUNDED && max > 1000000)
        max = 1000000;
    return narrow(w, who(s, min ? "minLength" : "maxLength"), min ? "minLength" : "maxLength", out,
                  json_characters(&w->json, min, max, flat));
}

int string_characters(struct work *w, const struct schemas *s, int32_t *out)
{
    return characters(w, s, true, out);
}

int string_node(struct work *w, const struct schemas *s, int32_t *out)
{
    bool plain = true;
    int rc;

    for (size_t i = 0; plain && i < s->n; i++)
        plain = !says_of_strings(s->items[i]);
    *out = w->json.string;
    if (plain)
        return 0;
    rc = characters(w, s, false, out);
    if (rc == 0)
        *out = json_quoted(&w->json, *out);
    return rc;
}

/* --- numbers --- */

/* The tighter of two bounds; side is 1 for lower ones, -1 for upper ones. */
static void tighten(struct bound *b, const struct value *v, bool exclusive, int side)
{
    struct bound n = { .set = true, .exclusive = exclusive };
    int by;

    decimal_of(&n.at, v);
    by = b->set ? side * decimal_compare(&n.at, &b->at) : 1;
    if (by > 0)
        *b = n;
    else if (by == 0)
        b->exclusive |= exclusive;
}

/* Draft 4's exclusiveMinimum is a boolean beside minimum. */
static void bound_of(struct bound *b, const struct value *s, const char *at, const char *exclusive,
                     int side)
{
    const struct value *v = value_get(s, at), *x = value_get(s, exclusive);

    if (v)
        tighten(b, v, x && x->kind == VALUE_BOOL && x->boolean, side);
    if (x && x->kind != VALUE_BOOL)
        tighten(b, x, true, side);
}

void number_bounds(const struct schemas *s, struct bound *lo, struct bound *hi)
{
    *lo = *hi = (struct bound){ 0 };
    for (size_t i = 0; i < s->n; i++) {
        bound_of(lo, s->items[i], "minimum", "exclusiveMinimum", 1);
        bound_of(hi, s->items[i], "maximum", "exclusiveMaximum", -1);
    }
}

/* The smallest integer that is a multiple of v (p / 10^k: p by the divisor it has in common with
 * 10^k); 0 where it has no 63 bits. */
static int64_t whole_divisor(const struct value *v)
{
    struct decimal d;
    int64_t p = 0;
    size_t twos, fives;

    decimal_of(&d, v);
    for (size_t i = 0; i < d.n_whole + d.n_part; i++) {
        char c = i < d.n_whole ? d.whole[i] : d.part[i - d.n_whole];

        if (__builtin_mul_overflow(p, 10, &p) || __builtin_add_overflow(p, c - '0', &p))
            return 0;
    }
    for (twos = fives = d.n_part; twos && p % 2 == 0; twos--)
        p /= 2;
    for (; fives && p % 5 == 0; fives--)
        p /= 5;
    return p;
}

static bool within(const struct value *v, const struct bound *lo, const struct bound *hi)
{
    struct decimal d;
    int by;

    decimal_of(&d, v);
    by = lo->set ? decimal_compare(&d, &lo->at) : 1;
    if (by < 0 || (by == 0 && lo->exclusive))
        return false;
    by = hi->set ? decimal_compare(&d, &hi->at) : -1;
    return by < 0 || (by == 0 && !hi->exclusive);
}

/* The whole part of a bound over m. */
static int64_t quotient(const struct decimal *d, int64_t m)
{
    double x = 0;

    for (size_t i = 0; i < d->n_whole; i++)
        x = x * 10 + (d->whole[i] - '0');
    x /= (double)m;
    return x < 1e18 ? (int64_t)x : 0;
}

/* Some multiples of m within the bounds, one by one: those nearest to 0. */
static int32_t listed(struct work *w, int64_t m, const struct bound *lo, const struct bound *hi)
{
    int32_t out = grammar_never(w->g);

    for (int64_t k = 0; k < MAX_LISTED; k++) {
        struct value v = { .kind = VALUE_INT };
        int64_t times = k % 2 ? (k + 1) / 2 : -(k / 2);

        if (lo->set && !lo->at.negative)
            times = k + quotient(&lo->at, m);
        else if (hi->set && hi->at.negative)
            times = -k - quotient(&hi->at, m);
        if (__builtin_mul_overflow(m, times, &v.integer) || !within(&v, lo, hi))
            continue;
        out = grammar_alt(w->g, json_literal(&w->json, &v), out);
    }
    return out;
}

static int multiples(struct work *w, const struct value *s, const struct value *v, bool integer,
                     const struct bound *lo, const struct bound *hi, int32_t *all)
{
    int64_t m = whole_divisor(v);
    struct decimal d;

    decimal_of(&d, v);
    if (!integer && d.n_part)
        return work_fail(w, s, "multipleOf", ERR_UNSUPPORTED,
                         "is supported for integers only: give an integer, or the type integer");
    if (m == 0)
        return work_fail(w, s, "multipleOf", ERR_LIMIT, "has too many digits");
    if (m > DIGITS_MAX_DIVISOR)
        return narrow(w, s, "multipleOf", all, listed(w, m, lo, hi));
    return m == 1 ? 0 : narrow(w, s, "multipleOf", all, digits_multiples(w->g, (unsigned)m));
}

int number_node(struct work *w, const struct schemas *s, bool integer, int32_t *out)
{
    bool multiple = who(s, "multipleOf") != NULL;
    struct bound *b = arena_array(&w->arena, 2, sizeof *b);
    int rc = 0;

    if (!b)
        return work_no_memory(w);
    number_bounds(s, &b[0], &b[1]);
    *out = integer ? w->json.integer : w->json.number;
    if (!b[0].set && !b[1].set && !multiple)
        return 0;
    *out = digits_between(w->g, &b[0], &b[1], integer || multiple);
    for (size_t i = 0; rc == 0 && i < s->n; i++) {
        const struct value *v = value_get(s->items[i], "multipleOf");

        if (v)
            rc = multiples(w, s->items[i], v, integer, &b[0], &b[1], out);
    }
    return rc;
}
