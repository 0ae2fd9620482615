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
    /* what must be contained: from item contains_at on, one after the other */
    size_t contains_at, n_contains;
    const struct value *contains[MAX_CONTAINED];
};

static int item_node(struct array *a, size_t i, int32_t *out)
{
    struct schemas all = { .n = 0 };
    int rc = 0;

    for (size_t k = 0; rc == 0 && k < a->s->n; k++) {
        const struct value *item = item_of(a->s->items[k], i);

        if (item)
            rc = schemas_add(a->w, &all, item);
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

        if (item && item->kind == VALUE_BOOL && !item->boolean)
            return false;
    }
    return true;
}

/* Each `contains` becomes as many items as it asks for: behind the prefix where there is room. */
static int read_contains(struct array *a)
{
    for (size_t k = 0; k < a->s->n; k++) {
        const struct value *s = a->s->items[k], *v = value_get(s, "contains");
        struct schemas own = { { s }, 1 };
        size_t n = schemas_count(&own, "minContains", true, 1);

        if (!v)
            continue;
        if (value_get(s, "maxContains"))
            return work_fail(a->w, s, "maxContains", ERR_UNSUPPORTED, "is not supported");
        if (n > MAX_CONTAINED - a->n_contains)
            return work_fail(a->w, s, "minContains", ERR_LIMIT, "is too large");
        while (n--)
            a->contains[a->n_contains++] = v;
    }
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
