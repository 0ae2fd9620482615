#include "inference/constrain/schema_work.h"

enum { MAX_ITEMS = 4096, MAX_CONTAINED = 64 };

/* The list that the first items follow: prefixItems, or items of older drafts. */
static const struct value *prefix_of(const struct value *s)
{
    const struct value *items = value_get(s, "items");

    return items && items->kind == VALUE_LIST ? items : value_get(s, "prefixItems");
}

/* What s says of item i; NULL: nothing. */
static const struct value *item_of(const struct value *s, size_t i)
{
    const struct value *prefix = prefix_of(s), *items = value_get(s, "items");

    if (prefix && i < prefix->list.len)
        return prefix->list.items[i];
    return items && items->kind == VALUE_LIST ? value_get(s, "additionalItems") : items;
}

struct array {
    struct work *w;
    const struct schemas *s;
    size_t n_prefix, min, max;
    /* what must be contained, and of whom it is: from item contains_at on, one after the other */
    size_t contains_at, n_contains;
    const struct value *contains[MAX_CONTAINED];
    size_t owners[MAX_CONTAINED];
    /* where there is a maxContains: what all other items must fit, so as not to be counted */
    const struct value *others[MAX_TOGETHER];
};

/* Is item i there because schema k wants it contained? */
static bool is_contained(const struct array *a, size_t k, size_t i)
{
    return i >= a->contains_at && i < a->contains_at + a->n_contains &&
           a->owners[i - a->contains_at] == k;
}

/* Does an unevaluatedItems of schema u apply to item i?  Not where a schema that u brought speaks
 * of it. */
static bool is_unevaluated(const struct array *a, size_t u, size_t i)
{
    if (!value_get(a->s->items[u], "unevaluatedItems"))
        return false;
    for (size_t m = 0; m < a->s->n; m++)
        if ((item_of(a->s->items[m], i) || is_contained(a, m, i) ||
             (m != u && value_get(a->s->items[m], "unevaluatedItems"))) &&
            schemas_brought(a->s, m, u))
            return false;
    return true;
}

static int item_node(struct array *a, size_t i, int32_t *out)
{
    struct schemas all = { .n = 0 };
    int rc = 0;

    for (size_t k = 0; rc == 0 && k < a->s->n; k++) {
        const struct value *item = item_of(a->s->items[k], i);

        if (item)
            rc = schemas_add(a->w, &all, item);
        if (rc == 0 && a->others[k] && !is_contained(a, k, i))
            rc = schemas_add(a->w, &all, a->others[k]);
        if (rc == 0 && is_unevaluated(a, k, i))
            rc = schemas_add(a->w, &all, value_get(a->s->items[k], "unevaluatedItems"));
    }
    if (rc == 0 && i >= a->contains_at && i < a->contains_at + a->n_contains)
        rc = schemas_add(a->w, &all, a->contains[i - a->contains_at]);
    return rc ? rc : place_node(a->w, &all, out);
}

/* May there be items behind the prefix? */
static bool is_open(const struct array *a)
{
    for (size_t k = 0; k < a->s->n; k++) {
        const struct value *item = item_of(a->s->items[k], a->n_prefix);

        if (!item && is_unevaluated(a, k, a->n_prefix))
            item = value_get(a->s->items[k], "unevaluatedItems");
        if (item && item->kind == VALUE_BOOL && !item->boolean)
            return false;
    }
    return true;
}

/* Items that are not counted for s's maxContains. */
static int read_most(struct array *a, size_t k, size_t n)
{
    const struct value *s = a->s->items[k];
    const struct schemas own = { .items = { s }, .n = 1 };
    bool partial;
    int rc;

    if (!value_get(s, "maxContains"))
        return 0;
    if (schemas_count(&own, "maxContains", false, 0) < n) { /* no array at all */
        a->max = 0;
        a->min = 1;
    }
    rc = schema_not(a->w, value_get(s, "contains"), &a->others[k], &partial);
    if (rc == 0 && !a->others[k])
        return work_fail(a->w, s, "maxContains", ERR_UNSUPPORTED,
                         "is not supported: no opposite is known of what \"contains\" holds");
    return rc;
}

/* Each `contains` becomes as many items as it asks for: behind the prefix where there is room. */
static int read_contains(struct array *a)
{
    int rc = 0;

    for (size_t k = 0; rc == 0 && k < a->s->n; k++) {
        const struct value *s = a->s->items[k], *v = value_get(s, "contains");
        const struct schemas own = { .items = { s }, .n = 1 };
        size_t n = schemas_count(&own, "minContains", true, 1);

        if (!v)
            continue;
        rc = read_most(a, k, n);
        if (n > MAX_CONTAINED - a->n_contains)
            return work_fail(a->w, s, "minContains", ERR_LIMIT, "is too large");
        for (; n > 0; n--) {
            a->owners[a->n_contains] = k;
            a->contains[a->n_contains++] = v;
        }
    }
    if (rc)
        return rc;
    if (is_open(a) && a->max >= a->n_prefix && a->max - a->n_prefix >= a->n_contains)
        a->contains_at = a->n_prefix;
    if (a->n_contains && a->min < a->contains_at + a->n_contains)
        a->min = a->contains_at + a->n_contains;
    return 0;
}

/* Items from the end to the front: what follows item i, with its comma. */
static int items_node(struct array *a, size_t n_single, int32_t *out)
{
    struct grammar *g = a->w->g;
    int32_t item, after;
    int rc = item_node(a, n_single, &item);
    size_t least = a->min > n_single ? a->min - n_single : 0;

    if (rc)
        return rc;
    after = grammar_seq(g, json_comma(&a->w->json), item);
    after = is_open(a) ? grammar_repeat(g, after, least,
                                        a->max == GRAMMAR_UNBOUNDED ? a->max : a->max - n_single)
            : least    ? grammar_never(g)
                       : grammar_empty(g);
    for (size_t i = n_single; rc == 0 && i-- > 0;) {
        rc = item_node(a, i, &item);
        if (i > 0)
            item = grammar_seq(g, json_comma(&a->w->json), item);
        after = grammar_seq(g, item, after);
        if (i >= a->min && i > 0)
            after = grammar_alt(g, grammar_empty(g), after);
    }
    *out = after;
    return rc;
}

int array_node(struct work *w, const struct schemas *s, int32_t *out)
{
    struct array a = { .w = w, .s = s };
    size_t n_single;
    int rc;

    a.min = schemas_count(s, "minItems", true, 0);
    a.max = schemas_count(s, "maxItems", false, GRAMMAR_UNBOUNDED);
    for (size_t k = 0; k < s->n; k++) {
        const struct value *prefix = prefix_of(s->items[k]);

        if (prefix && prefix->list.len > a.n_prefix)
            a.n_prefix = prefix->list.len;
    }
    rc = read_contains(&a);
    if (rc)
        return rc;
    if (a.min > MAX_ITEMS)
        return work_fail(w, s->items[0], "minItems", ERR_LIMIT, "is too large");
    if (a.max != GRAMMAR_UNBOUNDED && a.max > MAX_ITEMS)
        a.max = MAX_ITEMS; /* a part of what is valid */
    *out = grammar_never(w->g);
    if (a.max < a.min)
        return 0;
    *out = grammar_text(w->g, "[]");
    if (a.max == 0)
        return 0;
    n_single = a.n_contains ? a.contains_at + a.n_contains : 0; /* of an own kind; one at least */
    n_single = n_single > a.n_prefix ? n_single : a.n_prefix;
    n_single = n_single > a.max ? a.max : n_single ? n_single : 1;
    rc = items_node(&a, n_single, out);
    if (rc == 0)
        *out = json_braced(&w->json, "[", *out, a.min == 0, "]");
    return rc;
}
