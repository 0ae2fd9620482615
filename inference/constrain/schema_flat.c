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
    bool never; /* a schema `false` is among them */
    enum leaf_kind kind;
    int32_t out;
};

static int add(struct flat *f, const struct value *s);

/* --- $ref --- */

static int bad_ref(struct work *w, const struct value *s, int code, const char *what)
{
    return work_fail(w, s, "$ref", code, "\"%.100s\" %s", value_get(s, "$ref")->string.data, what);
}

static int hex_of(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *p = c ? strchr(digits, c | 0x20) : NULL;

    return p && (c >= 'A' || c <= '9') ? (int)(p - digits) : -1;
}

/* One step of a JSON pointer (RFC 6901), percent-decoded; returns what follows it. */
static const char *pointer_step(const char *p, char *out)
{
    for (; *p && *p != '/'; p++) {
        if (p[0] == '~' && (p[1] == '0' || p[1] == '1'))
            *out++ = *++p == '0' ? '~' : '/';
        else if (p[0] == '%' && hex_of(p[1]) >= 0 && hex_of(p[2]) >= 0) {
            *out++ = (char)(hex_of(p[1]) << 4 | hex_of(p[2]));
            p += 2;
        } else
            *out++ = *p;
    }
    *out = '\0';
    return p;
}

static const struct value *child(const struct value *v, const char *key)
{
    char *end;
    unsigned long i;

    if (v->kind == VALUE_MAP)
        return value_get(v, key);
    i = strtoul(key, &end, 10);
    return v->kind == VALUE_LIST && *key && !*end && i < v->list.len ? v->list.items[i] : NULL;
}

/* Not within values, where the word means nothing. */
static bool holds_values(const char *keyword)
{
    static const char *const keywords[] = { "enum", "const", "default", "examples" };

    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (!strcmp(keywords[i], keyword))
            return true;
    return false;
}

static const struct value *find_anchor(const struct value *v, const char *name)
{
    static const char *const keywords[] = { "$anchor", "$dynamicAnchor" };
    const struct value *found = NULL;

    for (size_t i = 0; i < 2; i++) {
        const struct value *anchor = value_get(v, keywords[i]);

        if (anchor && anchor->kind == VALUE_STRING && !strcmp(anchor->string.data, name))
            return v;
    }
    for (size_t i = 0; !found && v->kind == VALUE_MAP && i < v->map.len; i++)
        if (!holds_values(v->map.pairs[i].key))
            found = find_anchor(v->map.pairs[i].value, name);
    for (size_t i = 0; !found && v->kind == VALUE_LIST && i < v->list.len; i++)
        found = find_anchor(v->list.items[i], name);
    return found;
}

int flat_target(struct work *w, const struct value *s, const struct value **out)
{
    const struct value *ref = value_get(s, "$ref"), *id = value_get(w->root, "$id"), *v = w->root;
    const char *p = ref->string.data;
    char *key;

    if (id && id->kind == VALUE_STRING && id->string.len &&
        !strncmp(p, id->string.data, id->string.len) &&
        (p[id->string.len] == '#' || !p[id->string.len]))
        p += id->string.len;
    if (*p && *p != '#')
        return bad_ref(w, s, ERR_UNSUPPORTED, "lies outside of this schema");
    p += *p == '#';
    if (*p && *p != '/') {
        *out = find_anchor(w->root, p);
        return *out ? 0 : bad_ref(w, s, ERR_INVALID, "does not exist");
    }
    key = arena_alloc(&w->arena, strlen(p) + 1);
    if (!key)
        return work_no_memory(w);
    while (v && *p == '/') {
        p = pointer_step(p + 1, key);
        v = child(v, key);
        if (v && *p && v->kind == VALUE_MAP && value_get(v, "$id") &&
            value_get(v, "$id")->kind == VALUE_STRING)
            return bad_ref(w, s, ERR_UNSUPPORTED, "leads into a schema with an $id of its own");
    }
    *out = v;
    return v ? 0 : bad_ref(w, s, ERR_INVALID, "does not exist");
}

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

/* Either there is no such property, or this. */
static int add_dependent(struct flat *f, const struct value *s, const struct value_pair *p)
{
    struct arena *a = &f->w->arena;
    struct value *branches = value_list(a), *then = p->value;
    const struct value *without = schema_without(f->w, p->key, p->key_len);

    if (then->kind == VALUE_LIST) {
        struct value *required = then;

        then = value_map(a);
        if (!then || !value_set(a, then, "required", 8, required))
            return work_no_memory(f->w);
        then->trusted = true;
    }
    if (!without || !branches || !value_append(a, branches, (struct value *)(uintptr_t)without) ||
        !value_append(a, branches, then))
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

/* `not`, where it speaks of `required` alone, or of everything or nothing. */
static int add_not(struct flat *f, const struct value *s)
{
    const struct value *v = value_get(s, "not"), *required;
    struct value *branches;

    if (!v || (v->kind == VALUE_BOOL && !v->boolean))
        return 0;
    if (v->kind == VALUE_BOOL || v->map.len == 0) {
        f->never = true;
        return 0;
    }
    required = value_get(v, "required");
    branches = value_list(&f->w->arena);
    if (v->map.len != 1 || !required || keywords_check(f->w, v))
        return work_fail(f->w, s, "not", ERR_UNSUPPORTED,
                         "is only supported with \"required\" alone in it");
    for (size_t i = 0; branches && i < required->list.len; i++) {
        const struct value *name = required->list.items[i];
        const struct value *b = schema_without(f->w, name->string.data, name->string.len);

        if (!value_append(&f->w->arena, branches, (struct value *)(uintptr_t)b))
            return work_no_memory(f->w);
    }
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

static int add_parts(struct flat *f, const struct value *s)
{
    static const char *const dependents[] = { "dependentRequired", "dependentSchemas",
                                              "dependencies" };
    const struct value *all = value_get(s, "allOf"), *any = value_get(s, "anyOf");
    const struct value *one = value_get(s, "oneOf"), *target;
    int rc = 0;

    if (value_get(s, "$ref")) {
        rc = flat_target(f->w, s, &target);
        if (rc == 0)
            rc = add(f, target);
    }
    for (size_t i = 0; rc == 0 && all && i < all->list.len; i++)
        rc = add(f, all->list.items[i]);
    if (rc == 0 && any)
        rc = add_choice(f, s, any, false);
    if (rc == 0 && one)
        rc = add_choice(f, s, one, one->list.len > 1);
    for (size_t i = 0; rc == 0 && i < 3; i++)
        rc = add_dependents(f, s, dependents[i]);
    return rc ? rc : add_not(f, s);
}

static int add(struct flat *f, const struct value *s)
{
    size_t at = f->all.n;
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
    f->open[at] = true;
    rc = add_parts(f, s);
    f->open[at] = false;
    f->depth--;
    return rc;
}

/* --- leaves --- */

static int leaves(struct flat *f, size_t i);

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
    if (rc == 0)
        rc = add(f, branch);
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
