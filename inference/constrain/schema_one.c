/* schema_one.c - oneOf: exactly one branch may fit.
 *
 * Each branch is generated as it is, where what is generated of it can be shown to fit no other: by
 * its types, its values, a property whose values tell them apart, which then is required.  Where
 * the other requires a property that this one does not, this one is generated without it.  Else it
 * is generated as far as it surely does not fit the other (schema_not.c). */
#include <string.h>

#include "inference/constrain/schema_work.h"

/* s, its $ref and allOf, without alternatives: what surely holds.  Bounded, as recursion is found
 * out elsewhere. */
static int gather(struct work *w, struct schemas *all, const struct value *s, int depth)
{
    const struct value *list = value_get(s, "allOf"), *target;
    int rc = 0;

    if (s->kind != VALUE_MAP || depth > 20)
        return 0;
    rc = keywords_check(w, s);
    if (rc == 0)
        rc = schemas_add(w, all, s);
    if (rc == 0 && value_get(s, "$ref")) {
        rc = ref_target(w, s, "$ref", &target);
        rc = rc ? rc : gather(w, all, target, depth + 1);
    }
    for (size_t i = 0; rc == 0 && list && i < list->list.len; i++)
        rc = gather(w, all, list->list.items[i], depth + 1);
    return rc;
}

static unsigned types_of(struct work *w, const struct value *s, int depth);

static unsigned types_of_any(struct work *w, const struct value *branches, int depth)
{
    unsigned types = 0;

    for (size_t i = 0; branches && i < branches->list.len; i++)
        types |= types_of(w, branches->list.items[i], depth);
    return branches ? types : TYPE_ALL;
}

/* All types that a value of s can have, at most. */
static unsigned types_of(struct work *w, const struct value *s, int depth)
{
    const struct value *list = value_get(s, "enum"), *one = value_get(s, "const"), *target;
    const struct value *all = value_get(s, "allOf");
    unsigned types = TYPE_ALL, values = 0;

    if (s->kind == VALUE_BOOL)
        return s->boolean ? TYPE_ALL : 0;
    if (s->kind != VALUE_MAP || depth > 10 || keywords_check(w, s))
        return TYPE_ALL;
    types = keywords_type(s);
    if (one)
        types &= value_type(one);
    for (size_t i = 0; list && i < list->list.len; i++)
        values |= value_type(list->list.items[i]);
    if (list)
        types &= values;
    if (value_get(s, "$ref") && ref_target(w, s, "$ref", &target) == 0)
        types &= types_of(w, target, depth + 1);
    for (size_t i = 0; all && i < all->list.len; i++)
        types &= types_of(w, all->list.items[i], depth + 1);
    return types & types_of_any(w, value_get(s, "anyOf"), depth + 1) &
           types_of_any(w, value_get(s, "oneOf"), depth + 1);
}

/* The values to which s is limited, as a list or one; false where there are no such. */
static bool values_of(const struct schemas *s, const struct value **list, const struct value **one)
{
    for (size_t i = 0; i < s->n; i++) {
        *one = value_get(s->items[i], "const");
        *list = value_get(s->items[i], "enum");
        if (*one || *list)
            return true;
    }
    return false;
}

/* None of the values to which `of` is limited fits s. */
static bool no_value_fits(struct work *w, const struct schemas *of, const struct value *s)
{
    const struct value *list, *one;
    bool none = values_of(of, &list, &one);

    if (none && one)
        return check_value(w, one, s) == 0;
    for (size_t i = 0; none && i < list->list.len; i++)
        none = check_value(w, list->list.items[i], s) == 0;
    return none;
}

static bool requires(const struct schemas *s, const struct value *name)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct value *list = value_get(s->items[i], "required");

        for (size_t k = 0; list && k < list->list.len; k++)
            if (value_equal(list->list.items[k], name))
                return true;
    }
    return false;
}

/* Does b say of the property that no value to which `own` is limited fits? */
static bool excludes(struct work *w, const struct schemas *b, const struct value_pair *p,
                     const struct schemas *own)
{
    for (size_t m = 0; m < b->n; m++) {
        const struct value *other =
            value_getn(value_get(b->items[m], "properties"), p->key, p->key_len);

        if (other && no_value_fits(w, own, other))
            return true;
    }
    return false;
}

/* Some property of a whose values there do not fit what b says of it: one that a requires, or else
 * any, which *more then requires.  False: there is none, or an error. */
static bool told_apart(struct work *w, const struct schemas *a, const struct schemas *b,
                       bool required, const struct value **more)
{
    for (size_t i = 0; i < a->n; i++) {
        const struct value *props = value_get(a->items[i], "properties");

        for (size_t k = 0; props && k < props->map.len; k++) {
            const struct value_pair *p = &props->map.pairs[k];
            struct value name = { .kind = VALUE_STRING };
            struct schemas own = { .n = 0 };

            name.string.data = p->key;
            name.string.len = p->key_len;
            if (requires(a, &name) != required || gather(w, &own, p->value, 0) ||
                !excludes(w, b, p, &own))
                continue;
            *more = required ? NULL : schema_with(w, p->key, p->key_len);
            return required || *more;
        }
    }
    return false;
}

/* A property that a requires and that b cannot have. */
static bool closed_to(const struct schemas *a, const struct schemas *b)
{
    for (size_t m = 0; m < b->n; m++) {
        const struct value *others = value_get(b->items[m], "additionalProperties");

        if (!others || others->kind != VALUE_BOOL || others->boolean ||
            value_get(b->items[m], "patternProperties"))
            continue;
        for (size_t i = 0; i < a->n; i++) {
            const struct value *list = value_get(a->items[i], "required");

            for (size_t k = 0; list && k < list->list.len; k++)
                if (!value_getn(value_get(b->items[m], "properties"),
                                list->list.items[k]->string.data, list->list.items[k]->string.len))
                    return true;
        }
    }
    return false;
}

static bool bounds_apart(const struct schemas *a, const struct schemas *b)
{
    struct bound lo[2], hi[2];

    number_bounds(a, &lo[0], &hi[0]);
    number_bounds(b, &lo[1], &hi[1]);
    for (int i = 0; i < 2; i++) {
        int by = hi[i].set && lo[1 - i].set ? decimal_compare(&hi[i].at, &lo[1 - i].at) : 1;

        if (by < 0 || (by == 0 && (hi[i].exclusive || lo[1 - i].exclusive)))
            return true;
    }
    return false;
}

/* What b requires and a does not, as a schema without it; NULL: nothing. */
static const struct value *without_what_other_needs(struct work *w, const struct schemas *a,
                                                    const struct schemas *b)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct value *list = value_get(b->items[i], "required");

        for (size_t k = 0; list && k < list->list.len; k++)
            if (!requires(a, list->list.items[k]))
                return schema_without(w, list->list.items[k]->string.data,
                                      list->list.items[k]->string.len);
    }
    return NULL;
}

/* One branch, and what holds there for sure. */
struct branch {
    const struct value *schema;
    struct schemas all;
};

/* Does nothing that is generated of a fit branch b?  *more: what a must fit too, for that. */
static bool apart(struct work *w, const struct branch *a, const struct branch *b,
                  const struct value **more)
{
    unsigned common = schemas_types(&a->all, true) & schemas_types(&b->all, false) &
                      types_of(w, a->schema, 0) & types_of(w, b->schema, 0);

    *more = NULL;
    if (common == 0 || no_value_fits(w, &a->all, b->schema) || no_value_fits(w, &b->all, a->schema))
        return true;
    if (!(common & ~(unsigned)TYPE_NUMBER))
        return bounds_apart(&a->all, &b->all);
    if (common != TYPE_OBJECT)
        return false;
    if (told_apart(w, &a->all, &b->all, true, more) || closed_to(&a->all, &b->all) ||
        told_apart(w, &a->all, &b->all, false, more))
        return true;
    *more = without_what_other_needs(w, &a->all, &b->all);
    return *more != NULL;
}

/* The types that are generated of a, whatever else is said at its place. */
static const struct value *types_generated(struct work *w, const struct branch *a)
{
    struct value *s = schema_own(w), *list = schema_type_list(w, schemas_types(&a->all, true));

    if (list && list->list.len == 0)
        return value_bool(&w->arena, false);
    return s && list && value_set(&w->arena, s, "type", 4, list) ? s : NULL;
}

static int add_to(struct work *w, struct value *list, const struct value *item)
{
    return value_append(&w->arena, list, (struct value *)(uintptr_t)item) ? 0 : work_no_memory(w);
}

int one_branch(struct work *w, const struct schemas *base, const struct value *owner, size_t i,
               const struct value **out)
{
    const struct value *branches = value_get(owner, "oneOf"), *more;
    struct branch a = { branches->list.items[i], *base }, b;
    struct value *all = value_list(&w->arena), *joined = value_map(&w->arena);
    int rc = gather(w, &a.all, a.schema, 0);

    if (rc == 0)
        rc = add_to(w, all, a.schema);
    if (rc == 0)
        rc = add_to(w, all, types_generated(w, &a));
    for (size_t k = 0; rc == 0 && k < branches->list.len; k++) {
        bool partial = false;

        if (k == i)
            continue;
        b = (struct branch){ branches->list.items[k], *base };
        rc = gather(w, &b.all, b.schema, 0);
        if (rc)
            return rc;
        if (!apart(w, &a, &b, &more)) {
            rc = schema_not(w, b.schema, &more, &partial);
            partial |= !more;
        }
        if (rc == 0 && partial && !(more && types_of(w, more, 0) & schemas_types(&a.all, true)))
            return work_fail(w, owner, "oneOf", ERR_UNSUPPORTED,
                             "is only supported where its branches can be told apart, which %zu "
                             "and %zu cannot: use anyOf",
                             i, k);
        if (rc == 0 && more)
            rc = add_to(w, all, more);
    }
    if (rc == 0 && (!joined || !value_set(&w->arena, joined, "allOf", 5, all)))
        rc = work_no_memory(w);
    *out = joined;
    return rc;
}
