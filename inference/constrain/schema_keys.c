/* schema_keys.c - keys of an object that are not declared: whose they are, and what their values
 * are.  Keys are sets of texts (meet.h): those of a pattern less those of others, less declared
 * ones. */
#include <string.h>

#include "inference/constrain/meet.h"
#include "inference/constrain/regex.h"
#include "inference/constrain/schema_object.h"

static int meet(struct object *o, const char *keyword, int32_t *a, int32_t b, enum meet how)
{
    struct err inner;
    int rc = meet_node(o->w->g, *a, b, how, a, &inner);

    return rc ? work_fail(o->w, o->s->items[0], keyword, rc, "%s", inner.text) : 0;
}

static int pattern_keys(struct object *o, const struct value *s, const struct value_pair *pattern,
                        int32_t *out)
{
    struct err inner;
    int rc =
        regex_node(o->w->g, pattern->key, pattern->key_len, REGEX_FIND, CHARS_QUOTED, out, &inner);

    return rc ? work_fail(o->w, s, "patternProperties", rc, "%s", inner.text) : 0;
}

int object_pattern_has(struct object *o, const struct value *s, const struct value_pair *pattern,
                       const char *name, size_t len)
{
    struct err inner;
    int32_t node;
    int rc =
        regex_node(o->w->g, pattern->key, pattern->key_len, REGEX_FIND, CHARS_PLAIN, &node, &inner);

    rc = rc ? rc : meet_reads(o->w->g, node, name, len, &inner);
    return rc < 0 ? work_fail(o->w, s, "patternProperties", rc, "%s", inner.text) : rc;
}

bool object_is_unevaluated(const struct object *o, size_t u, size_t m)
{
    const struct schemas *s = o->s;

    if (!value_get(s->items[u], "unevaluatedProperties") ||
        (m != SIZE_MAX && schemas_brought(s, m, u)))
        return false;
    for (size_t i = 0; i < s->n; i++)
        if ((value_get(s->items[i], "additionalProperties") ||
             (i != u && value_get(s->items[i], "unevaluatedProperties"))) &&
            schemas_brought(s, i, u))
            return false; /* it speaks of all that are left */
    return true;
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
    int32_t keys, node;
    int rc = pattern_keys(o, o->s->items[k], p, &keys);

    for (size_t m = 0; rc == 0 && m < o->s->n; m++) {
        const struct value *v = value_get(o->s->items[m], "patternProperties");
        const struct value *others = value_get(o->s->items[m], "additionalProperties");

        for (size_t n = 0; v && rc == 0 && n < v->map.len; n++) {
            const struct value_pair *q = &v->map.pairs[n];

            if (q == p)
                continue;
            rc = pattern_keys(o, o->s->items[m], q, &node);
            rc = rc ? rc : meet(o, "patternProperties", &keys, node, MEET_ONLY);
        }
        if (rc == 0 && m != k && others)
            rc = schemas_add(o->w, &all, others);
        if (rc == 0 && object_is_unevaluated(o, m, k))
            rc = schemas_add(o->w, &all, value_get(o->s->items[m], "unevaluatedProperties"));
    }
    if (rc || schemas_never(&all))
        return rc;
    rc = allowed_keys(o, &keys);
    if (rc == 0)
        rc = place_node(o->w, &all, &node);
    if (rc == 0)
        add_other(o, json_quoted(&o->w->json, keys), node);
    return rc;
}

/* Keys that nobody knows, with the schemas of all additionalProperties and their like. */
static int add_unknown(struct object *o)
{
    struct schemas all = { .n = 0 };
    bool any = o->n == 0;
    int32_t keys = grammar_repeat(o->w->g, o->w->json.character, 0, GRAMMAR_UNBOUNDED), node;
    int rc = 0;

    for (size_t k = 0; rc == 0 && k < o->s->n; k++) {
        const struct value *v = value_get(o->s->items[k], "patternProperties");
        const struct value *others = value_get(o->s->items[k], "additionalProperties");

        any &= !v && !value_get(o->s->items[k], "propertyNames");
        if (others)
            rc = schemas_add(o->w, &all, others);
        if (rc == 0 && object_is_unevaluated(o, k, SIZE_MAX))
            rc = schemas_add(o->w, &all, value_get(o->s->items[k], "unevaluatedProperties"));
        for (size_t i = 0; v && rc == 0 && i < v->map.len; i++) {
            const struct value_pair *p = &v->map.pairs[i];

            rc = pattern_keys(o, o->s->items[k], p, &node);
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
int object_add_others(struct object *o)
{
    bool declares = false, opens = false;
    int rc = 0;

    for (size_t k = 0; k < o->s->n; k++) {
        const struct value *s = o->s->items[k], *v = value_get(s, "additionalProperties");

        if (!v && object_is_unevaluated(o, k, SIZE_MAX))
            v = value_get(s, "unevaluatedProperties");

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
