/* schema_flat.c - from a place to its leaves.
 *
 * Whatever holds at the same place is collected in one set: the schemas themselves, those of their
 * `allOf` and the targets of their `$ref`.  `anyOf` and its like are choices; a leaf is what has
 * been collected after one branch of each was taken. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inference/constrain/schema_work.h"

enum { MAX_CHOICES = 100, MAX_LEAVES = 20000, MAX_DEPTH = 200, NO_CHOICE = -1 };

struct choice {
    const struct value *owner;    /* whose keyword it is */
    const struct value *branches; /* a list of schemas */
    bool one;                     /* oneOf */
    int parent;                   /* the choice whose branch brought it, or NO_CHOICE */
};

struct flat {
    struct work *w;
    struct schemas all;
    bool open[MAX_TOGETHER]; /* of all: being unfolded */
    struct choice choices[MAX_CHOICES];
    size_t n_choices;
    int current, depth;
    uint16_t by; /* whose keyword is being read: as in struct schemas */
    bool never;  /* a schema `false` is among them */
    enum leaf_kind kind;
    int32_t out;
};

static int add(struct flat *f, const struct value *s);

/* --- collecting --- */

static int add_choice(struct flat *f, const struct value *owner, const struct value *branches,
                      bool one)
{
    if (f->n_choices == MAX_CHOICES)
        return work_fail(f->w, owner, NULL, ERR_LIMIT, "more than %d alternatives at one place",
                         MAX_CHOICES);
    if (!branches)
        return work_no_memory(f->w);
    f->choices[f->n_choices++] = (struct choice){ owner, branches, one, f->current };
    return 0;
}

/* Both, as one schema. */
static struct value *both(struct flat *f, const struct value *a, const struct value *b)
{
    struct value *s = value_map(&f->w->arena), *list = value_list(&f->w->arena);

    return s && value_append(&f->w->arena, list, (struct value *)(uintptr_t)a) &&
                   (!b || value_append(&f->w->arena, list, (struct value *)(uintptr_t)b)) &&
                   value_set(&f->w->arena, s, "allOf", 5, list)
               ? s
               : NULL;
}

/* Either there is no such property, or it is there and this holds; what this says of properties is
 * evaluated only then. */
static int add_dependent(struct flat *f, const struct value *s, const struct value_pair *p)
{
    struct arena *a = &f->w->arena;
    struct value *branches = value_list(a), *then = p->value;
    const struct value *with = schema_with(f->w, p->key, p->key_len);

    if (then->kind == VALUE_LIST) {
        then = schema_own(f->w);
        if (!then || !value_set(a, then, "required", 8, p->value))
            return work_no_memory(f->w);
    }
    if (!with || !value_append(a, branches, schema_without(f->w, p->key, p->key_len)) ||
        !value_append(a, branches, both(f, with, then)))
        return work_no_memory(f->w);
    return add_choice(f, s, branches, false);
}

static int add_dependents(struct flat *f, const struct value *s, const char *keyword)
{
    const struct value *v = value_get(s, keyword);
    int rc = 0;

    for (size_t i = 0; v && rc == 0 && i < v->map.len; i++)
        rc = add_dependent(f, s, &v->map.pairs[i]);
    return rc;
}

static int add_not(struct flat *f, const struct value *s)
{
    const struct value *v = value_get(s, "not"), *misfits;
    bool partial;
    int rc = v ? schema_not(f->w, v, &misfits, &partial) : 0;

    if (rc || !v)
        return rc;
    if (!misfits)
        return work_fail(f->w, s, "not", ERR_UNSUPPORTED,
                         "is not supported: no opposite is known of what it holds");
    return add(f, misfits);
}

static bool is_false(const struct value *s)
{
    return s && s->kind == VALUE_BOOL && !s->boolean;
}

/* `if`: what fits it and `then`, or surely does not fit it, and fits `else`. */
static int add_if(struct flat *f, const struct value *s)
{
    const struct value *cond = value_get(s, "if"), *then = value_get(s, "then"), *misfits;
    const struct value *otherwise = value_get(s, "else");
    struct value *branches = value_list(&f->w->arena);
    bool partial;
    int rc;

    if (!cond || (!then && !otherwise))
        return 0;
    rc = schema_not(f->w, cond, &misfits, &partial);
    if (rc)
        return rc;
    if (!misfits && !is_false(otherwise))
        return work_fail(f->w, s, "if", ERR_UNSUPPORTED,
                         "is not supported: no opposite is known of what it holds; use anyOf with "
                         "one schema for each case");
    if (!value_append(&f->w->arena, branches, both(f, cond, then)) ||
        (misfits && !value_append(&f->w->arena, branches, both(f, misfits, otherwise))))
        return work_no_memory(f->w);
    return add_choice(f, s, branches, false);
}

/* Is s being unfolded, or what the branch at hand belongs to?  Then it would need itself. */
static bool is_circular(const struct flat *f, size_t i)
{
    if (f->open[i])
        return true;
    for (int c = f->current; c != NO_CHOICE; c = f->choices[c].parent)
        if (f->choices[c].owner == f->all.items[i])
            return true;
    return false;
}

static int add_target(struct flat *f, const struct value *s, const char *keyword)
{
    const struct value *target;
    int rc = value_get(s, keyword) ? ref_target(f->w, s, keyword, &target) : ERR_NOTFOUND;

    return rc == ERR_NOTFOUND ? 0 : rc ? rc : add(f, target);
}

static int add_parts(struct flat *f, const struct value *s)
{
    static const char *const dependents[] = { "dependentRequired", "dependentSchemas",
                                              "dependencies" };
    const struct value *all = value_get(s, "allOf"), *any = value_get(s, "anyOf");
    const struct value *one = value_get(s, "oneOf");
    int rc = add_target(f, s, "$ref");

    if (rc == 0)
        rc = add_target(f, s, "$dynamicRef");
    for (size_t i = 0; rc == 0 && all && i < all->list.len; i++)
        rc = add(f, all->list.items[i]);
    if (rc == 0 && any)
        rc = add_choice(f, s, any, false);
    if (rc == 0 && one)
        rc = add_choice(f, s, one, one->list.len > 1);
    for (size_t i = 0; rc == 0 && i < 3; i++)
        rc = add_dependents(f, s, dependents[i]);
    if (rc == 0)
        rc = add_if(f, s);
    return rc ? rc : add_not(f, s);
}

static int add(struct flat *f, const struct value *s)
{
    size_t at = f->all.n;
    uint16_t by = f->by;
    int rc;

    if (s->kind == VALUE_BOOL) {
        f->never |= !s->boolean;
        return 0;
    }
    if (s->kind != VALUE_MAP)
        return work_fail(f->w, s, NULL, ERR_INVALID, "expected a schema");
    for (size_t i = 0; i < f->all.n; i++)
        if (f->all.items[i] == s)
            return !is_circular(f, i) ? 0
                                      : work_fail(f->w, s, NULL, ERR_INVALID,
                                                  "the schema refers to itself without end");
    if (++f->depth > MAX_DEPTH)
        return work_fail(f->w, s, NULL, ERR_LIMIT, "schemas nest too deeply");
    rc = keywords_check(f->w, s);
    if (rc == 0)
        rc = schemas_add(f->w, &f->all, s);
    if (rc)
        return rc;
    f->all.by[at] = by;
    f->open[at] = true;
    f->by = (uint16_t)(at + 1);
    rc = add_parts(f, s);
    f->by = by;
    f->open[at] = false;
    f->depth--;
    return rc;
}

/* --- leaves --- */

static int leaves(struct flat *f, size_t i);

static uint16_t place_of(const struct schemas *s, const struct value *item)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->items[i] == item)
            return (uint16_t)(i + 1);
    return 0;
}

static int take_branch(struct flat *f, size_t i, size_t k)
{
    struct choice *c = &f->choices[i];
    size_t n = f->all.n, n_choices = f->n_choices;
    const struct value *branch = c->branches->list.items[k];
    bool never = f->never;
    int current = f->current, rc = 0;

    if (c->one)
        rc = one_branch(f->w, &f->all, c->owner, k, &branch);
    f->current = (int)i;
    f->by = place_of(&f->all, c->owner);
    if (rc == 0)
        rc = add(f, branch);
    f->by = 0;
    if (rc == 0)
        rc = leaves(f, i + 1);
    f->current = current;
    f->all.n = n;
    f->n_choices = n_choices;
    f->never = never;
    return rc;
}

static int leaves(struct flat *f, size_t i)
{
    int32_t node;
    int rc = 0;

    if (f->never)
        return 0;
    if (i == f->n_choices) {
        if (++f->w->n_leaves > MAX_LEAVES)
            return work_fail(f->w, NULL, NULL, ERR_LIMIT,
                             "more than %d combinations of alternatives", MAX_LEAVES);
        rc = leaf_node(f->w, &f->all, f->kind, &node);
        if (rc == 0)
            f->out = grammar_alt(f->w->g, node, f->out);
        return rc;
    }
    for (size_t k = 0; rc == 0 && k < f->choices[i].branches->list.len; k++)
        rc = take_branch(f, i, k);
    return rc;
}

int flat_node(struct work *w, const struct schemas *s, enum leaf_kind kind, int32_t *out)
{
    struct flat *f = calloc(1, sizeof *f);
    int rc = 0;

    if (!f)
        return work_no_memory(w);
    f->w = w;
    f->kind = kind;
    f->current = NO_CHOICE;
    f->out = grammar_never(w->g);
    for (size_t i = 0; rc == 0 && i < s->n; i++)
        rc = add(f, s->items[i]);
    if (rc == 0)
        rc = leaves(f, 0);
    *out = f->out;
    free(f);
    return rc;
}
