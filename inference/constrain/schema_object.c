/* schema_object.c - objects, a rule for each property that may come next.
 *
 * K(i, c) stands where the comma was written and c properties have come: property i, or where it
 * may be left out what K(i + 1, c) has; behind the last declared one, keys that are not declared.
 * What follows a property calls the next K as its last act, so nothing is written out twice and no
 * stack grows. c is counted only as far as minProperties and maxProperties ask. */
#include "inference/constrain/schema_object.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_RULES = 100000 };

/* --- declared properties --- */

static struct property *find(struct object *o, const char *name, size_t len)
{
    for (size_t i = 0; i < o->n; i++)
        if (o->props[i].len == len && !memcmp(o->props[i].name, name, len))
            return &o->props[i];
    return NULL;
}

static int declare(struct object *o, const char *name, size_t len, bool required)
{
    struct property *p = find(o, name, len);

    if (!p && o->n == o->cap) {
        size_t cap = 2 * o->cap + 32;
        struct property *q = realloc(o->props, cap * sizeof *q);

        if (!q)
            return work_no_memory(o->w);
        o->props = q;
        o->cap = cap;
    }
    if (!p) {
        p = &o->props[o->n++];
        *p = (struct property){ .name = name, .len = len };
    }
    p->required |= required;
    return 0;
}

static int declare_all(struct object *o)
{
    int rc = 0;

    for (size_t k = 0; k < o->s->n; k++) {
        const struct value *v = value_get(o->s->items[k], "properties");

        for (size_t i = 0; v && rc == 0 && i < v->map.len; i++)
            rc = declare(o, v->map.pairs[i].key, v->map.pairs[i].key_len, false);
    }
    for (size_t k = 0; k < o->s->n; k++) {
        const struct value *v = value_get(o->s->items[k], "required");

        for (size_t i = 0; v && rc == 0 && i < v->list.len; i++)
            rc = declare(o, v->list.items[i]->string.data, v->list.items[i]->string.len, true);
    }
    return rc;
}

/* Adds to *all what schema k says of the property of that name; *known: by name or by pattern. */
static int add_schemas_of(struct object *o, size_t k, const struct property *p, bool *known,
                          struct schemas *all)
{
    const struct value *s = o->s->items[k];
    const struct value *declared = value_getn(value_get(s, "properties"), p->name, p->len);
    const struct value *patterns = value_get(s, "patternProperties");
    const struct value *others = value_get(s, "additionalProperties");
    int rc = declared ? schemas_add(o->w, all, declared) : 0;

    *known = declared != NULL;
    for (size_t i = 0; patterns && rc == 0 && i < patterns->map.len; i++) {
        int yes = object_pattern_has(o, s, &patterns->map.pairs[i], p->name, p->len);

        if (yes < 0)
            return yes;
        *known |= yes;
        if (yes)
            rc = schemas_add(o->w, all, patterns->map.pairs[i].value);
    }
    return rc == 0 && !*known && others ? schemas_add(o->w, all, others) : rc;
}

/* Those unevaluatedProperties that apply to a property of which the schemas `known` speak. */
static int add_unevaluated(struct object *o, const bool *known, struct schemas *all)
{
    int rc = 0;

    for (size_t u = 0; rc == 0 && u < o->s->n; u++) {
        bool applies = object_is_unevaluated(o, u, SIZE_MAX);

        for (size_t m = 0; applies && m < o->s->n; m++)
            applies = !known[m] || object_is_unevaluated(o, u, m);
        if (applies)
            rc = schemas_add(o->w, all, value_get(o->s->items[u], "unevaluatedProperties"));
    }
    return rc;
}

static int resolve_property(struct object *o, struct property *p)
{
    struct value name = { .kind = VALUE_STRING };
    struct schemas all = { .n = 0 };
    bool known[MAX_TOGETHER];
    int rc = 0;

    name.string.data = p->name;
    name.string.len = p->len;
    for (size_t k = 0; rc == 0 && k < o->s->n; k++) {
        const struct value *names = value_get(o->s->items[k], "propertyNames");
        int fits = names ? check_value(o->w, &name, names) : 1;

        if (fits < 0)
            return work_fail(o->w, o->s->items[k], "propertyNames", ERR_UNSUPPORTED,
                             "cannot be held against the declared property \"%.60s\"", p->name);
        p->forbidden |= !fits;
        rc = add_schemas_of(o, k, p, &known[k], &all);
    }
    if (rc == 0)
        rc = add_unevaluated(o, known, &all);
    p->forbidden |= schemas_never(&all);
    return rc || p->forbidden ? rc : place_node(o->w, &all, &p->node);
}

/* --- rules --- */

static size_t counted(const struct object *o, size_t c)
{
    return c < o->n_counts - 1 ? c : o->n_counts - 1;
}

/* Is a property behind i required? */
static bool lacks(const struct object *o, size_t i)
{
    for (; i < o->n; i++)
        if (o->props[i].required)
            return true;
    return false;
}

/* After the value of a property, c have come; more is the rule of those that may follow. */
static int32_t tail(struct object *o, size_t i, size_t c, int32_t more)
{
    struct grammar *g = o->w->g;
    int32_t node = grammar_never(g);

    if (!lacks(o, i) && c >= o->min)
        node = grammar_seq(g, o->w->json.space, grammar_text(g, "}"));
    if (c < o->max && (i < o->n || o->others >= 0))
        node = grammar_alt(g, node, grammar_seq(g, json_comma(&o->w->json), grammar_call(g, more)));
    return node;
}

/* K(n, c): another key, and more of them. Two of them may be the same, so that only the first
 * counts towards minProperties. */
static int32_t last_node(struct object *o, size_t c, const int32_t *rules)
{
    struct grammar *g = o->w->g;
    size_t after = counted(o, c + 1);

    if (o->others < 0 || c >= o->max || after < o->min)
        return grammar_never(g);
    return grammar_seq(g, o->others, tail(o, o->n, after, rules[after]));
}

static int32_t property_node(struct object *o, size_t i, size_t c, const int32_t *next)
{
    struct grammar *g = o->w->g;
    const struct property *p = &o->props[i];
    int32_t node = grammar_never(g), key;
    size_t after = counted(o, c + 1);

    if (!p->forbidden && c < o->max) {
        key = grammar_seq(g, json_text(&o->w->json, p->name, p->len), json_colon(&o->w->json));
        node = grammar_seq(g, grammar_seq(g, key, p->node), tail(o, i + 1, after, next[after]));
    }
    if (!p->required)
        node = grammar_alt(g, node, grammar_call(g, next[c]));
    return node;
}

/* All rules, from the last property to the first; *out: a call of K(0, 0). */
static int make_rules(struct object *o, int32_t *out)
{
    struct grammar *g = o->w->g;
    int32_t *now = arena_array(&o->w->arena, 2 * o->n_counts, sizeof *now), *next;

    if (!now)
        return work_no_memory(o->w);
    next = now + o->n_counts;
    for (size_t i = o->n + 1; i-- > 0;) {
        int32_t *t = now;

        for (size_t c = 0; c < o->n_counts; c++)
            now[c] = grammar_rule(g);
        for (size_t c = 0; c < o->n_counts; c++)
            grammar_define(g, now[c],
                           i == o->n ? last_node(o, c, now) : property_node(o, i, c, next));
        now = next;
        next = t;
    }
    *out = grammar_call(g, next[0]);
    return 0;
}

/* How many properties must be told apart by their number. */
static int plan_counts(struct object *o)
{
    size_t required = 0, allowed = 0;

    for (size_t i = 0; i < o->n; i++) {
        required += o->props[i].required;
        allowed += !o->props[i].forbidden;
    }
    if (o->max >= allowed && o->others < 0)
        o->max = GRAMMAR_UNBOUNDED;
    if (o->min <= required)
        o->min = 0;
    if (o->min > allowed + (o->others >= 0))
        return work_fail(o->w, o->s->items[0], "minProperties", ERR_UNSUPPORTED,
                         "is more than what is declared");
    o->n_counts = 1 + (o->max != GRAMMAR_UNBOUNDED ? o->max : o->min);
    if (o->n_counts > MAX_RULES / (o->n + 1))
        return work_fail(o->w, o->s->items[0], "maxProperties", ERR_LIMIT, "is too large");
    return 0;
}

static int object(struct object *o, int32_t *out)
{
    int rc = declare_all(o);
    int32_t items = GRAMMAR_NONE;

    for (size_t i = 0; rc == 0 && i < o->n; i++) {
        rc = resolve_property(o, &o->props[i]);
        if (rc == 0 && o->props[i].forbidden && o->props[i].required)
            return 0;
    }
    if (rc == 0)
        rc = object_add_others(o);
    if (rc == 0)
        rc = plan_counts(o);
    if (rc || o->max < o->min)
        return rc;
    rc = make_rules(o, &items);
    if (rc)
        return rc;
    /* items hold the closing brace, with the space before it */
    *out = grammar_seq(o->w->g, grammar_text(o->w->g, "{"), o->w->json.space);
    if (o->min == 0 && !lacks(o, 0))
        items = grammar_alt(o->w->g, grammar_text(o->w->g, "}"), items);
    *out = grammar_seq(o->w->g, *out, items);
    return 0;
}

int object_node(struct work *w, const struct schemas *s, int32_t *out)
{
    struct object o = { .w = w, .s = s, .others = GRAMMAR_NONE };
    int rc;

    o.min = schemas_count(s, "minProperties", true, 0);
    o.max = schemas_count(s, "maxProperties", false, GRAMMAR_UNBOUNDED);
    *out = grammar_never(w->g);
    rc = object(&o, out);
    free(o.props);
    return rc;
}
