/* schema_not.c - what surely does not fit a schema, as schemas: for `not`, `if`, `oneOf` and
 * `maxContains`.
 *
 * A value does not fit where one keyword is not met, so each keyword gives alternatives of its own:
 * other types, a smaller length, a property that must be there and does not fit.  Keywords whose
 * opposite no schema tells give none.  All values of the alternatives are misfits; not all misfits
 * are among them. */
#include <stdlib.h>
#include <string.h>

#include "inference/constrain/schema_work.h"

enum { MAX_NEGATED = 3000, MAX_NESTED = 8 };

struct negation {
    struct work *w;
    struct value *out; /* the alternatives */
    int depth;
    bool partial; /* some misfits are not among them */
    int rc;
};

static struct value *negated(struct negation *n, const struct value *s);

/* --- making schemas --- */

/* s says this too; false where there is no memory. */
static bool say(struct negation *n, struct value *s, const char *keyword, const struct value *v)
{
    if (s && v &&
        value_set(&n->w->arena, s, keyword, strlen(keyword), (struct value *)(uintptr_t)v))
        return true;
    n->rc = work_no_memory(n->w);
    return false;
}

static void offer(struct negation *n, const struct value *s)
{
    if (n->rc == 0 && !value_append(&n->w->arena, n->out, (struct value *)(uintptr_t)s))
        n->rc = work_no_memory(n->w);
}

/* NULL where no value is of these types, or without memory. */
static struct value *of_types(struct negation *n, unsigned types)
{
    struct value *s = schema_own(n->w), *list = schema_type_list(n->w, types);

    if (list && list->list.len == 0)
        return NULL;
    return say(n, s, "type", list) ? s : NULL;
}

/* Of that type, with one keyword. */
static void offer_one(struct negation *n, unsigned types, const char *keyword,
                      const struct value *v)
{
    struct value *s = of_types(n, types);

    if (n->rc == 0 && say(n, s, keyword, v))
        offer(n, s);
}

/* What does not fit s as one schema; NULL: none is known. */
static struct value *misfit(struct negation *n, const struct value *s)
{
    struct value *list = negated(n, s), *any;

    if (n->rc || !list || list->list.len == 0)
        return NULL;
    any = schema_any_of(n->w, list);
    if (!any)
        n->rc = work_no_memory(n->w);
    return any;
}

/* --- values --- */

/* Beyond all numbers of the list, on one side: keyword is exclusiveMinimum or exclusiveMaximum. */
static void offer_beyond(struct negation *n, const struct value *list, const char *keyword,
                         int side)
{
    const struct value *most = NULL;
    struct decimal a, b;

    for (size_t i = 0; i < list->list.len; i++) {
        const struct value *v = list->list.items[i];

        if (v->kind != VALUE_INT && v->kind != VALUE_FLOAT)
            continue;
        if (most) {
            decimal_of(&a, most);
            decimal_of(&b, v);
        }
        if (!most || side * decimal_compare(&a, &b) < 0)
            most = v;
    }
    offer_one(n, TYPE_NUMBER, keyword, most);
}

/* Other types and other texts; the other boolean; other numbers. */
static void negate_values(struct negation *n, const struct value *list)
{
    unsigned types = 0;
    bool truths[2] = { false, false };
    struct value *texts = value_list(&n->w->arena), *s;

    for (size_t i = 0; i < list->list.len; i++) {
        const struct value *v = list->list.items[i];

        types |= v->kind == VALUE_FLOAT ? TYPE_NUMBER : value_type(v);
        if (v->kind == VALUE_BOOL)
            truths[v->boolean] = true;
        if (texts && v->kind == VALUE_STRING &&
            !value_append(&n->w->arena, texts, (struct value *)(uintptr_t)v))
            n->rc = work_no_memory(n->w);
    }
    types |= types & TYPE_INTEGER ? TYPE_NUMBER : 0;
    if (!texts)
        n->rc = work_no_memory(n->w);
    s = of_types(n, TYPE_ALL & ~(types & ~(unsigned)TYPE_STRING));
    if (n->rc || (texts->list.len && !say(n, s, SCHEMA_NOT_TEXTS, texts)))
        return;
    offer(n, s); /* not NULL: there are texts among its types */
    if (truths[0] != truths[1])
        offer_one(n, TYPE_BOOL, "const", value_bool(&n->w->arena, truths[0]));
    if (types & TYPE_NUMBER) {
        offer_beyond(n, list, "exclusiveMinimum", 1);
        offer_beyond(n, list, "exclusiveMaximum", -1);
    }
}

static void negate_enum(struct negation *n, const struct value *s)
{
    const struct value *one = value_get(s, "const"), *list = value_get(s, "enum");
    struct value *own = value_list(&n->w->arena);

    if (list)
        negate_values(n, list);
    if (!one)
        return;
    if (!own || !value_append(&n->w->arena, own, (struct value *)(uintptr_t)one))
        n->rc = work_no_memory(n->w);
    else
        negate_values(n, own);
}

/* --- limits --- */

static void negate_bounds(struct negation *n, const struct value *s)
{
    static const struct {
        const char *keyword, *exclusive, *opposite, *beyond;
    } bounds[] = { { "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum" },
                   { "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum" } };

    for (size_t i = 0; i < 2; i++) {
        const struct value *at = value_get(s, bounds[i].keyword);
        const struct value *x = value_get(s, bounds[i].exclusive);

        if (at)
            offer_one(n, TYPE_NUMBER, bounds[i].beyond, at);
        if (x && x->kind != VALUE_BOOL)
            offer_one(n, TYPE_NUMBER, bounds[i].opposite, x);
    }
}

/* One less than a minimum, one more than a maximum. */
static void negate_counts(struct negation *n, const struct value *s)
{
    static const struct {
        const char *min, *max;
        unsigned type;
    } counts[] = { { "minLength", "maxLength", TYPE_STRING },
                   { "minItems", "maxItems", TYPE_ARRAY },
                   { "minProperties", "maxProperties", TYPE_OBJECT } };
    const struct schemas own = { .items = { s }, .n = 1 };

    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        size_t min = schemas_count(&own, counts[i].min, true, 0);
        size_t max = schemas_count(&own, counts[i].max, false, SIZE_MAX);

        if (min > 0)
            offer_one(n, counts[i].type, counts[i].max, value_int(&n->w->arena, (int64_t)min - 1));
        if (max != SIZE_MAX)
            offer_one(n, counts[i].type, counts[i].min, value_int(&n->w->arena, (int64_t)max + 1));
    }
}

/* --- objects and arrays --- */

static void negate_required(struct negation *n, const struct value *s)
{
    const struct value *list = value_get(s, "required");

    for (size_t i = 0; list && n->rc == 0 && i < list->list.len; i++) {
        const struct value *name = list->list.items[i];
        struct value *no = schema_without(n->w, name->string.data, name->string.len);

        if (say(n, no, "type", schema_type_list(n->w, TYPE_OBJECT)))
            offer(n, no);
    }
}

/* One property is there and does not fit. */
static void negate_properties(struct negation *n, const struct value *s)
{
    const struct value *props = value_get(s, "properties");

    for (size_t i = 0; props && n->rc == 0 && i < props->map.len; i++) {
        const struct value_pair *p = &props->map.pairs[i];
        struct value *no = misfit(n, p->value), *own, *has;

        if (!no)
            continue;
        own = value_map(&n->w->arena);
        has = schema_with(n->w, p->key, p->key_len);
        if (!own || !value_set(&n->w->arena, own, p->key, p->key_len, no)) {
            n->rc = work_no_memory(n->w);
        } else if (say(n, has, "properties", own) &&
                   say(n, has, "type", schema_type_list(n->w, TYPE_OBJECT))) {
            offer(n, has);
        }
    }
}

static void negate_items(struct negation *n, const struct value *s)
{
    const struct value *items = value_get(s, "items"), *contains = value_get(s, "contains");
    struct value *no;

    if (items && items->kind != VALUE_LIST && !value_get(s, "prefixItems")) {
        no = misfit(n, items);
        if (no)
            offer_one(n, TYPE_ARRAY, "contains", no);
    }
    if (contains && !value_get(s, "minContains") && n->rc == 0) {
        no = misfit(n, contains);
        if (no)
            offer_one(n, TYPE_ARRAY, "items", no);
        else if (schema_says_nothing(contains))
            offer_one(n, TYPE_ARRAY, "maxItems", value_int(&n->w->arena, 0));
    }
}

/* --- other schemas --- */

/* All of the list at once. */
static void offer_all(struct negation *n, struct value *list)
{
    struct value *s = schema_own(n->w);

    if (n->rc == 0 && say(n, s, "allOf", list))
        offer(n, s);
}

static void negate_branches(struct negation *n, const struct value *branches)
{
    struct value *all = value_list(&n->w->arena);

    for (size_t i = 0; branches && n->rc == 0 && i < branches->list.len; i++) {
        struct value *no = misfit(n, branches->list.items[i]);

        if (!no)
            return;
        if (!value_append(&n->w->arena, all, no))
            n->rc = work_no_memory(n->w);
    }
    if (branches)
        offer_all(n, all);
}

static void add_misfits(struct negation *n, const struct value *s)
{
    struct value *list = negated(n, s);

    for (size_t i = 0; list && n->rc == 0 && i < list->list.len; i++)
        offer(n, list->list.items[i]);
}

/* What fits s (NULL: anything) and does not fit then. */
static void offer_with(struct negation *n, const struct value *s, const struct value *then)
{
    struct value *all = value_list(&n->w->arena), *no = then && s ? misfit(n, then) : NULL;

    if (!no || n->rc)
        return;
    if (!value_append(&n->w->arena, all, (struct value *)(uintptr_t)s) ||
        !value_append(&n->w->arena, all, no))
        n->rc = work_no_memory(n->w);
    else
        offer_all(n, all);
}

static void negate_parts(struct negation *n, const struct value *s)
{
    const struct value *all = value_get(s, "allOf"), *no = value_get(s, "not"), *target;
    const struct value *cond = value_get(s, "if");

    if (value_get(s, "$ref")) {
        n->rc = ref_target(n->w, s, "$ref", &target);
        if (n->rc == 0)
            add_misfits(n, target);
    }
    for (size_t i = 0; all && n->rc == 0 && i < all->list.len; i++)
        add_misfits(n, all->list.items[i]);
    negate_branches(n, value_get(s, "anyOf"));
    negate_branches(n, value_get(s, "oneOf"));
    if (no && n->rc == 0)
        offer(n, no);
    if (cond && n->rc == 0) {
        offer_with(n, cond, value_get(s, "then"));
        offer_with(n, value_get(s, "else") ? misfit(n, cond) : NULL, value_get(s, "else"));
    }
}

/* Does it say something whose opposite is not known here? */
static bool has_no_opposite(const struct value *s)
{
    static const char *const keywords[] = {
        "format",        "multipleOf",        "patternProperties", "additionalProperties",
        "propertyNames", "dependentRequired", "dependentSchemas",  "dependencies",
        "uniqueItems",   "prefixItems",       "additionalItems",   "unevaluatedProperties",
        "minContains",   "maxContains",       "unevaluatedItems",  "$dynamicRef",
    };

    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (value_get(s, keywords[i]))
            return true;
    return false;
}

/* A list, maybe an empty one; NULL with an error. */
static struct value *negated(struct negation *n, const struct value *s)
{
    struct negation own = { .w = n->w, .out = value_list(&n->w->arena), .depth = n->depth + 1 };
    const struct value *pattern, *types;

    if (!own.out)
        own.rc = work_no_memory(n->w);
    else if (s->kind == VALUE_BOOL && !s->boolean)
        offer(&own, value_bool(&n->w->arena, true));
    else if (s->kind == VALUE_MAP && own.depth <= MAX_NESTED && n->w->n_negated++ < MAX_NEGATED)
        own.rc = keywords_check(n->w, s);
    else {
        n->partial |= s->kind == VALUE_MAP;
        return own.out;
    }
    if (own.rc == 0 && s->kind == VALUE_MAP) {
        own.partial = has_no_opposite(s);
        types = of_types(&own, TYPE_ALL & ~keywords_type(s));
        if (types)
            offer(&own, types);
        negate_enum(&own, s);
        negate_bounds(&own, s);
        negate_counts(&own, s);
        pattern = value_get(s, "pattern");
        if (pattern)
            offer_one(&own, TYPE_STRING, SCHEMA_NOT_PATTERN, pattern);
        negate_required(&own, s);
        negate_properties(&own, s);
        negate_items(&own, s);
        negate_parts(&own, s);
    }
    n->rc = own.rc;
    n->partial |= own.partial;
    return own.rc ? NULL : own.out;
}

bool schema_says_nothing(const struct value *s)
{
    return s->kind == VALUE_BOOL
               ? s->boolean
               : s->kind == VALUE_MAP && keywords_only_type(s) && keywords_type(s) == TYPE_ALL;
}

int schema_not(struct work *w, const struct value *s, const struct value **out, bool *partial)
{
    struct negation n = { .w = w };
    struct negated *kept;

    for (size_t i = 0; i < w->n_nots; i++) {
        if (w->nots[i].of == s) { /* the same again, so that places stay few */
            *out = w->nots[i].is;
            *partial = w->nots[i].partial;
            return 0;
        }
    }
    *out = schema_says_nothing(s) ? value_bool(&w->arena, false) : misfit(&n, s);
    if (n.rc || (!*out && schema_says_nothing(s)))
        return n.rc ? n.rc : work_no_memory(w);
    kept = realloc(w->nots, (w->n_nots + 1) * sizeof *kept);
    if (!kept)
        return work_no_memory(w);
    w->nots = kept;
    *partial = n.partial;
    w->nots[w->n_nots++] = (struct negated){ s, *out, n.partial };
    return 0;
}
