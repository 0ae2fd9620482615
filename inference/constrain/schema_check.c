/* schema_check.c - does a value fit a schema?  For those that stand in the schema itself: enum,
 * const, names of properties.  What cannot be told for sure is said to be so. */
#include <math.h>
#include <string.h>

#include "inference/constrain/formats.h"
#include "inference/constrain/meet.h"
#include "inference/constrain/regex.h"
#include "inference/constrain/schema_work.h"
#include "kernels/base/utf8.h"

enum { UNSURE = -1, NO = 0, YES = 1, MAX_DEPTH = 60 };

static double number_of(const struct value *v)
{
    return v->kind == VALUE_INT ? (double)v->integer : v->number;
}

static bool is_number(const struct value *v)
{
    return v->kind == VALUE_INT || v->kind == VALUE_FLOAT;
}

bool value_equal(const struct value *a, const struct value *b)
{
    if (is_number(a) && is_number(b))
        return a->kind == VALUE_INT && b->kind == VALUE_INT
                   ? a->integer == b->integer
                   : !(number_of(a) < number_of(b)) && !(number_of(a) > number_of(b));
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case VALUE_BOOL:
        return a->boolean == b->boolean;
    case VALUE_STRING:
        return a->string.len == b->string.len &&
               !memcmp(a->string.data, b->string.data, a->string.len);
    case VALUE_LIST:
        for (size_t i = 0; a->list.len == b->list.len && i < a->list.len; i++)
            if (!value_equal(a->list.items[i], b->list.items[i]))
                return false;
        return a->list.len == b->list.len;
    case VALUE_MAP:
        for (size_t i = 0; a->map.len == b->map.len && i < a->map.len; i++) {
            const struct value_pair *p = &a->map.pairs[i];
            const struct value *v = value_getn(b, p->key, p->key_len);

            if (!v || !value_equal(p->value, v))
                return false;
        }
        return a->map.len == b->map.len;
    default:
        return true;
    }
}

unsigned value_type(const struct value *v)
{
    switch (v->kind) {
    case VALUE_NULL:
        return TYPE_NULL;
    case VALUE_BOOL:
        return TYPE_BOOL;
    case VALUE_INT:
        return TYPE_INTEGER;
    case VALUE_FLOAT:
        return floor(v->number) < v->number ? TYPE_FRACTION : TYPE_INTEGER;
    case VALUE_STRING:
        return TYPE_STRING;
    case VALUE_LIST:
        return TYPE_ARRAY;
    case VALUE_MAP:
        return TYPE_OBJECT;
    }
    return 0;
}

/* Of two conditions that both must hold. */
static int both(int a, int b)
{
    return a == NO || b == NO ? NO : a == UNSURE || b == UNSURE ? UNSURE : YES;
}

static int check(struct work *w, const struct value *v, const struct value *s, int depth);

static int check_enum(const struct value *v, const struct value *s)
{
    const struct value *one = value_get(s, "const"), *list = value_get(s, "enum");

    if (one && !value_equal(v, one))
        return NO;
    for (size_t i = 0; list && list->kind == VALUE_LIST && i < list->list.len; i++)
        if (value_equal(v, list->list.items[i]))
            return YES;
    return list ? NO : YES;
}

static int check_count(const struct value *s, const char *min, const char *max, size_t n)
{
    const struct schemas own = { .items = { s }, .n = 1 };

    return n >= schemas_count(&own, min, true, 0) && n <= schemas_count(&own, max, false, SIZE_MAX);
}

static int check_multiple(const struct value *v, const struct value *of)
{
    if (!of)
        return YES;
    if (v->kind != VALUE_INT || of->kind != VALUE_INT)
        return UNSURE;
    return v->integer % of->integer == 0;
}

static int check_number(const struct value *v, const struct value *s)
{
    const struct schemas own = { .items = { s }, .n = 1 };
    struct bound lo, hi;
    struct decimal d;
    int by;

    number_bounds(&own, &lo, &hi);
    decimal_of(&d, v);
    by = lo.set ? decimal_compare(&d, &lo.at) : 1;
    if (by < 0 || (by == 0 && lo.exclusive))
        return NO;
    by = hi.set ? decimal_compare(&d, &hi.at) : -1;
    if (by > 0 || (by == 0 && hi.exclusive))
        return NO;
    return check_multiple(v, value_get(s, "multipleOf"));
}

static int matches(struct work *w, const char *text, size_t len, const char *pattern,
                   enum regex_reach reach)
{
    struct err inner;
    int32_t node;
    int rc = regex_node(w->g, pattern, strlen(pattern), reach, CHARS_PLAIN, &node, &inner);

    rc = rc ? rc : meet_reads(w->g, node, text, len, &inner);
    return rc < 0 ? UNSURE : rc;
}

static int opposite(int rc)
{
    return rc == UNSURE ? UNSURE : !rc;
}

/* What schemas of our own rule out. */
static int check_ruled_out(struct work *w, const struct value *v, const struct value *s)
{
    const struct value *texts = schema_own_get(s, SCHEMA_NOT_TEXTS);
    const struct value *pattern = schema_own_get(s, SCHEMA_NOT_PATTERN);

    for (size_t i = 0; texts && i < texts->list.len; i++)
        if (value_equal(v, texts->list.items[i]))
            return NO;
    return pattern ? opposite(matches(w, v->string.data, v->string.len, pattern->string.data,
                                      REGEX_FIND))
                   : YES;
}

static int check_string(struct work *w, const struct value *v, const struct value *s)
{
    const struct value *pattern = value_get(s, "pattern"), *format = value_get(s, "format");
    const char *f =
        format && format->kind == VALUE_STRING ? format_pattern(format->string.data) : NULL;
    const char *text = v->string.data;
    size_t n = 0;
    int rc;

    for (size_t i = 0; i < v->string.len; i++)
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    rc = check_count(s, "minLength", "maxLength", n);
    if (rc == YES && pattern)
        rc = matches(w, text, v->string.len, pattern->string.data, REGEX_FIND);
    if (rc != NO)
        rc = both(rc, check_ruled_out(w, v, s));
    if (rc == YES && f && matches(w, text, v->string.len, f, REGEX_WHOLE) != YES)
        rc = UNSURE; /* the expression is a part of the format */
    return rc;
}

static int check_unique(const struct value *v, const struct value *s)
{
    const struct value *unique = value_get(s, "uniqueItems");

    for (size_t i = 0; unique && unique->boolean && i < v->list.len; i++)
        for (size_t k = 0; k < i; k++)
            if (value_equal(v->list.items[i], v->list.items[k]))
                return NO;
    return YES;
}

static int check_contains(struct work *w, const struct value *v, const struct value *s, int depth)
{
    const struct value *contains = value_get(s, "contains");
    const struct schemas own = { .items = { s }, .n = 1 };
    size_t min = schemas_count(&own, "minContains", true, 1), yes = 0, unsure = 0;
    size_t max = schemas_count(&own, "maxContains", false, SIZE_MAX);

    if (!contains)
        return YES;
    for (size_t i = 0; i < v->list.len; i++) {
        int rc = check(w, v->list.items[i], contains, depth);

        yes += rc == YES;
        unsure += rc == UNSURE;
    }
    if (yes > max || yes + unsure < min)
        return NO;
    return yes >= min && yes + unsure <= max ? YES : UNSURE;
}

static int check_array(struct work *w, const struct value *v, const struct value *s, int depth)
{
    const struct value *prefix = value_get(s, "prefixItems"), *items = value_get(s, "items");
    int rc = both(check_count(s, "minItems", "maxItems", v->list.len), check_unique(v, s));

    if ((items && items->kind == VALUE_LIST) || value_get(s, "unevaluatedItems"))
        rc = both(rc, UNSURE);
    if (rc != NO)
        rc = both(rc, check_contains(w, v, s, depth));
    for (size_t i = 0; rc != NO && i < v->list.len; i++) {
        const struct value *own = prefix && i < prefix->list.len ? prefix->list.items[i] : items;

        if (own && own->kind != VALUE_LIST)
            rc = both(rc, check(w, v->list.items[i], own, depth));
    }
    return rc;
}

/* One property against all that s says of it. */
static int check_property(struct work *w, const struct value_pair *p, const struct value *s,
                          int depth)
{
    const struct value *own = value_getn(value_get(s, "properties"), p->key, p->key_len);
    const struct value *patterns = value_get(s, "patternProperties");
    const struct value *names = value_get(s, "propertyNames");
    const struct value *others = value_get(s, "additionalProperties");
    struct value name = { .kind = VALUE_STRING };
    int rc = own ? check(w, p->value, own, depth) : YES, known = own ? YES : NO;

    name.string.data = p->key;
    name.string.len = p->key_len;
    if (names)
        rc = both(rc, check(w, &name, names, depth));
    for (size_t i = 0; rc != NO && patterns && i < patterns->map.len; i++) {
        int yes = matches(w, p->key, p->key_len, patterns->map.pairs[i].key, REGEX_FIND);

        if (yes != NO && known != YES)
            known = yes;
        if (yes != NO) {
            int fits = check(w, p->value, patterns->map.pairs[i].value, depth);

            rc = both(rc, yes == YES || fits == YES ? fits : UNSURE);
        }
    }
    if (rc != NO && others && known != YES) {
        int fits = check(w, p->value, others, depth);

        rc = both(rc, known == NO || fits == YES ? fits : UNSURE);
    }
    return rc;
}

static int check_object(struct work *w, const struct value *v, const struct value *s, int depth)
{
    const struct value *required = value_get(s, "required");
    int rc = check_count(s, "minProperties", "maxProperties", v->map.len);

    if (value_get(s, "unevaluatedProperties"))
        rc = both(rc, UNSURE);
    for (size_t i = 0; rc != NO && required && i < required->list.len; i++) {
        const struct value *name = required->list.items[i];

        if (!value_getn(v, name->string.data, name->string.len))
            return NO;
    }
    for (size_t i = 0; rc != NO && i < v->map.len; i++)
        rc = both(rc, check_property(w, &v->map.pairs[i], s, depth));
    return rc;
}

/* How many branches fit: at least, at most. */
static int check_branches(struct work *w, const struct value *v, const struct value *branches,
                          bool one, int depth)
{
    size_t yes = 0, unsure = 0;

    for (size_t i = 0; i < branches->list.len; i++) {
        int rc = check(w, v, branches->list.items[i], depth);

        yes += rc == YES;
        unsure += rc == UNSURE;
    }
    if (one)
        return yes > 1 || yes + unsure == 0 ? NO : unsure ? UNSURE : YES;
    return yes ? YES : unsure ? UNSURE : NO;
}

static int check_if(struct work *w, const struct value *v, const struct value *s, int depth)
{
    const struct value *cond = value_get(s, "if"), *then = value_get(s, "then");
    const struct value *otherwise = value_get(s, "else");
    int fits, yes, no;

    if (!cond || (!then && !otherwise))
        return YES;
    fits = check(w, v, cond, depth);
    yes = then ? check(w, v, then, depth) : YES;
    no = otherwise ? check(w, v, otherwise, depth) : YES;
    return fits == YES ? yes : fits == NO ? no : yes == no ? yes : UNSURE;
}

/* Those whose property is there. */
static int check_dependents(struct work *w, const struct value *v, const struct value *all,
                            int depth)
{
    int rc = YES;

    for (size_t i = 0; rc != NO && all && v->kind == VALUE_MAP && i < all->map.len; i++) {
        const struct value_pair *p = &all->map.pairs[i];

        if (!value_getn(v, p->key, p->key_len))
            continue;
        if (p->value->kind != VALUE_LIST)
            rc = both(rc, check(w, v, p->value, depth));
        for (size_t k = 0; p->value->kind == VALUE_LIST && k < p->value->list.len; k++) {
            const struct value *name = p->value->list.items[k];

            if (!value_getn(v, name->string.data, name->string.len))
                rc = NO;
        }
    }
    return rc;
}

static int check_parts(struct work *w, const struct value *v, const struct value *s, int depth)
{
    static const char *const dependents[] = { "dependentRequired", "dependentSchemas",
                                              "dependencies" };
    const struct value *all = value_get(s, "allOf"), *any = value_get(s, "anyOf");
    const struct value *one = value_get(s, "oneOf"), *no = value_get(s, "not"), *target = NULL;
    int rc = value_get(s, "$dynamicRef") ? UNSURE : YES;

    for (size_t i = 0; i < sizeof dependents / sizeof *dependents; i++)
        rc = both(rc, check_dependents(w, v, value_get(s, dependents[i]), depth));
    if (value_get(s, "$ref"))
        rc = both(rc, ref_target(w, s, "$ref", &target) ? UNSURE : check(w, v, target, depth));
    for (size_t i = 0; rc != NO && all && i < all->list.len; i++)
        rc = both(rc, check(w, v, all->list.items[i], depth));
    if (rc != NO && any)
        rc = both(rc, check_branches(w, v, any, false, depth));
    if (rc != NO && one)
        rc = both(rc, check_branches(w, v, one, true, depth));
    if (rc != NO && no)
        rc = both(rc, opposite(check(w, v, no, depth)));
    return rc == NO ? NO : both(rc, check_if(w, v, s, depth));
}

static int check(struct work *w, const struct value *v, const struct value *s, int depth)
{
    int rc;

    if (s->kind == VALUE_BOOL)
        return s->boolean;
    if (s->kind != VALUE_MAP || depth > MAX_DEPTH || keywords_check(w, s))
        return UNSURE;
    if (!(keywords_type(s) & value_type(v)) || check_enum(v, s) == NO)
        return NO;
    rc = check_parts(w, v, s, depth + 1);
    if (rc == NO)
        return NO;
    if (is_number(v))
        return both(rc, check_number(v, s));
    if (v->kind == VALUE_STRING)
        return both(rc, check_string(w, v, s));
    if (v->kind == VALUE_LIST)
        return both(rc, check_array(w, v, s, depth + 1));
    return v->kind == VALUE_MAP ? both(rc, check_object(w, v, s, depth + 1)) : rc;
}

int check_value(struct work *w, const struct value *v, const struct value *schema)
{
    return check(w, v, schema, 0);
}

int check_all(struct work *w, const struct value *v, const struct schemas *s)
{
    int rc = YES;

    for (size_t i = 0; rc != NO && i < s->n; i++)
        rc = both(rc, check(w, v, s->items[i], 0));
    return rc;
}
