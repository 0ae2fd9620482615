/* schema_object.c - objects, a rule for each property that may come next.
 *
 * K(i, c) stands where the comma was written and c properties have come: property i, or where it
 * may be left out what K(i + 1, c) has; behind the last declared one, keys that are not declared.
 * What follows a property calls the next K as its last act, so nothing is written out twice and no
 * stack grows. c is counted only as far as minProperties and maxProperties ask. */
#include <stdlib.h>
#include <string.h>

#include "inference/constrain/meet.h"
#include "inference/constrain/regex.h"
#include "inference/constrain/schema_work.h"

enum { MAX_RULES = 100000 };

struct property {
    const char *name;
    size_t len;
    bool required, forbidden;
    int32_t node; /* its value */
};

struct object {
    struct work *w;
    const struct schemas *s;
    struct property *props;
    size_t n, cap;
    size_t min, max, n_counts;
    bool closed;    /* nothing but declared properties and those of patterns */
    int32_t others; /* a key that is not declared, with its value; GRAMMAR_NONE: there are none */
    int32_t *next;  /* [n_counts] the rules K(i + 1, c), while those of i are made */
};

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

/* Adds to *all what s says of the property of that name. */
static int add_schemas_of(struct object *o, const struct value *s, const char *name, size_t len,
                          struct schemas *all)
{
    const struct value *declared = value_getn(value_get(s, "properties"), name, len);
    const struct value *patterns = value_get(s, "patternProperties");
    const struct value *others = value_get(s, "additionalProperties");
    int rc = declared ? schemas_add(o->w, all, declared) : 0;
    bool known = declared != NULL;

    for (size_t i = 0; patterns && rc == 0 && i < patterns->map.len; i++) {
        const struct value_pair *p = &patterns->map.pairs[i];
        struct err inner;
        int32_t node;
        int yes = regex_node(o->w->g, p->key, p->key_len, REGEX_FIND, CHARS_PLAIN, &node, &inner);

        yes = yes ? yes : meet_reads(o->w->g, node, name, len, &inner);
        if (yes < 0)
            return work_fail(o->w, s, "patternProperties", yes, "%s", inner.text);
        known |= yes;
        if (yes)
            rc = schemas_add(o->w, all, p->value);
    }
    return rc == 0 && !known && others ? schemas_add(o->w, all, others) : rc;
}

static bool any_false(const struct schemas *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->items[i]->kind == VALUE_BOOL && !s->items[i]->boolean)
            return true;
    return false;
}

static int resolve_property(struct object *o, struct property *p)
{
    struct value name = { .kind = VALUE_STRING };
    struct schemas all = { .n = 0 };
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
        rc = add_schemas_of(o, o->s->items[k], p->name, p->len, &all);
    }
    p->forbidden |= any_false(&all);
    return rc || p->forbidden ? rc : place_node(o->w, &all, &p->node);
}

/* --- other keys --- */

static int meet(struct object *o, const char *keyword, int32_t *a, int32_t b, enum meet how)
{
    struct err inner;
    int rc = meet_node(o->w->g, *a, b, how, a, &inner);

    return rc ? work_fail(o->w, o->s->items[0], keyword, rc, "%s", inner.text) : 0;
}

/* Leaves of *keys (characters) those that are not declared and that propertyNames allow. */
static int allowed_keys(struct object *o, int32_t *keys)
{
    struct schemas names = { .n = 0 };
    int32_t declared = grammar_never(o->w->g), node;
    int rc = 0;

    for (size_t i = o->n; i-- > 0;)
        declared = grammar_alt(o->w->g,
                               chars_text(o->w->g, o->props[i].name, o->props[i].len, CHARS_QUOTED),
                               declared);
    if (o->n)
        rc = meet(o, "properties", keys, declared, MEET_ONLY);
    for (size_t k = 0; rc == 0 && k < o->s->n; k++)
        if (value_get(o->s->items[k], "propertyNames"))
            rc = schemas_add(o->w, &names, value_get(o->s->items[k], "propertyNames"));
    if (rc || names.n == 0)
        return rc;
    rc = flat_node(o->w, &names, LEAF_KEY, &node);
    return rc ? rc : meet(o, "propertyNames", keys, node, MEET_BOTH);
}

static void add_other(struct object *o, int32_t key, int32_t value)
{
    struct grammar *g = o->w->g;
    int32_t node = grammar_seq(g, key, grammar_seq(g, json_colon(&o->w->json), value));

    o->others = o->others < 0 ? node : grammar_alt(g, node, o->others);
}

/* Keys of pattern i of schema k and of no other pattern. */
static int add_pattern(struct object *o, size_t k, size_t i)
{
    const struct value_pair *p = &value_get(o->s->items[k], "patternProperties")->map.pairs[i];
    struct schemas all = { .items = { p->value }, .n = 1 };
    struct err inner;
    int32_t keys, node;
    int rc = regex_node(o->w->g, p->key, p->key_len, REGEX_FIND, CHARS_QUOTED, &keys, &inner);

    if (rc)
        return work_fail(o->w, o->s->items[k], "patternProperties", rc, "%s", inner.text);
    for (size_t m = 0; rc == 0 && m < o->s->n; m++) {
        const struct value *v = value_get(o->s->items[m], "patternProperties");
        const struct value *others = value_get(o->s->items[m], "additionalProperties");

        for (size_t n = 0; v && rc == 0 && n < v->map.len; n++) {
            const struct value_pair *q = &v->map.pairs[n];

            if (q == p)
                continue;
            rc = regex_node(o->w->g, q->key, q->key_len, REGEX_FIND, CHARS_QUOTED, &node, &inner);
            rc = rc ? rc : meet(o, "patternProperties", &keys, node, MEET_ONLY);
        }
        if (rc == 0 && m != k && others)
            rc = schemas_add(o->w, &all, others);
    }
    if (rc || any_false(&all))
        return rc;
    rc = allowed_keys(o, &keys);
    if (rc == 0)
        rc = place_node(o->w, &all, &node);
    if (rc == 0)
        add_other(o, json_quoted(&o->w->json, keys), node);
    return rc;
}

/* Keys that nobody knows, with the schemas of all additionalProperties. */
static int add_unknown(struct object *o)
{
    struct schemas all = { .n = 0 };
    bool any = o->n == 0;
    int32_t keys = grammar_repeat(o->w->g, o->w->json.character, 0, GRAMMAR_UNBOUNDED), node;
    int rc = 0;

    for (size_t k = 0; rc == 0 && k < o->s->n; k++) {
        const struct value *v = value_get(o->s->items[k], "patternProperties");
        const struct value *others = value_get(o->s->items[k], "additionalProperties");
        struct err inner;

        any &= !v && !value_get(o->s->items[k], "propertyNames");
        if (others)
            rc = schemas_add(o->w, &all, others);
        for (size_t i = 0; v && rc == 0 && i < v->map.len; i++) {
            const struct value_pair *p = &v->map.pairs[i];

            rc = regex_node(o->w->g, p->key, p->key_len, REGEX_FIND, CHARS_QUOTED, &node, &inner);
            rc = rc ? rc : meet(o, "patternProperties", &keys, node, MEET_ONLY);
        }
    }
    if (rc == 0 && !any)
        rc = allowed_keys(o, &keys);
    if (rc == 0)
        rc = place_node(o->w, &all, &node);
    if (rc == 0)
        add_other(o, any ? o->w->json.string : json_quoted(&o->w->json, keys), node);
    return rc;
}

/* Keys that no schema declares come where one speaks of them (additionalProperties), where nothing
 * is declared at all, and where there would be too few without them. */
static int add_others(struct object *o)
{
    bool declares = false, opens = false;
    int rc = 0;

    for (size_t k = 0; k < o->s->n; k++) {
        const struct value *s = o->s->items[k], *v = value_get(s, "additionalProperties");

        declares |=
            !s->trusted && (value_get(s, "properties") || value_get(s, "patternProperties"));
        opens |= v && !(v->kind == VALUE_BOOL && !v->boolean);
        o->closed |= v && v->kind == VALUE_BOOL && !v->boolean;
    }
    for (size_t k = 0; rc == 0 && k < o->s->n; k++) {
        const struct value *v = value_get(o->s->items[k], "patternProperties");

        for (size_t i = 0; v && rc == 0 && i < v->map.len; i++)
            rc = add_pattern(o, k, i);
    }
    if (rc == 0 && !o->closed && (opens || !declares || o->min > o->n))
        rc = add_unknown(o);
    return rc;
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
        rc = add_others(o);
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
