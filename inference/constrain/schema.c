#include "inference/constrain/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inference/constrain/schema_work.h"
#include "kernels/base/buf.h"

enum { ARENA_BYTES = 64 << 20, MAX_PLACES = 20000 };

/* --- errors --- */

/* Appends the JSON pointer of `what` below v; false where it is not there. */
static bool pointer_to(struct buf *b, const struct value *v, const struct value *what)
{
    size_t len = b->len, n = v->kind == VALUE_MAP    ? v->map.len
                             : v->kind == VALUE_LIST ? v->list.len
                                                     : 0;

    if (v == what)
        return true;
    for (size_t i = 0; i < n; i++) {
        const struct value *next = v->kind == VALUE_MAP ? v->map.pairs[i].value : v->list.items[i];

        if (v->kind == VALUE_MAP)
            buf_printf(b, "/%s", v->map.pairs[i].key);
        else
            buf_printf(b, "/%zu", i);
        if (pointer_to(b, next, what))
            return true;
        b->len = len;
    }
    return false;
}

int work_fail(struct work *w, const struct value *schema, const char *keyword, int code,
              const char *fmt, ...)
{
    struct buf where = { 0 };
    char text[300];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (!schema || !pointer_to(&where, w->root, schema))
        where.len = 0;
    if (keyword)
        err_set(w->e, code, "#%.*s: \"%s\" %s", (int)where.len, buf_str(&where), keyword, text);
    else
        err_set(w->e, code, "#%.*s: %s", (int)where.len, buf_str(&where), text);
    buf_done(&where);
    return code;
}

int work_no_memory(struct work *w)
{
    return err_set(w->e, ERR_NOMEM, "no memory for a schema");
}

/* --- sets --- */

int schemas_add(struct work *w, struct schemas *s, const struct value *schema)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->items[i] == schema)
            return 0;
    if (s->n == MAX_TOGETHER)
        return work_fail(w, schema, NULL, ERR_LIMIT, "more than %d schemas for one place",
                         MAX_TOGETHER);
    s->items[s->n++] = schema;
    return 0;
}

unsigned schemas_types(const struct schemas *s, bool inferred)
{
    unsigned types = TYPE_ALL, about = 0;

    for (size_t i = 0; i < s->n; i++) {
        types &= keywords_type(s->items[i]);
        about |= keywords_types(s->items[i]);
        if (!s->items[i]->trusted && value_get(s->items[i], "type"))
            inferred = false;
    }
    return inferred && (about & types) ? about & types : types;
}

bool schemas_never(const struct schemas *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->items[i]->kind == VALUE_BOOL && !s->items[i]->boolean)
            return true;
    return false;
}

bool schemas_brought(const struct schemas *s, size_t m, size_t u)
{
    while (m != u && s->by[m] && !s->items[m]->trusted)
        m = s->by[m] - 1u;
    return m == u;
}

size_t schemas_count(const struct schemas *s, const char *keyword, bool minimum, size_t none)
{
    size_t count = none;
    bool any = false;

    for (size_t i = 0; i < s->n; i++) {
        const struct value *v = value_get(s->items[i], keyword);
        size_t n;

        if (!v)
            continue;
        n = v->kind == VALUE_INT ? (size_t)v->integer : (size_t)v->number;
        if (!any || (minimum ? n > count : n < count))
            count = n;
        any = true;
    }
    return count;
}

/* --- places --- */

static int by_address(const void *a, const void *b)
{
    const struct value *const *x = a, *const *y = b;

    return (uintptr_t)*x < (uintptr_t)*y ? -1 : *x != *y;
}

/* A set of one that says no more than a type: what is shared by all schemas. */
static int32_t plain_node(struct work *w, const struct value *s)
{
    if (!keywords_only_type(s))
        return GRAMMAR_NONE;
    switch (keywords_type(s)) {
    case TYPE_ALL:
        return w->json.value;
    case TYPE_NULL:
        return w->json.null;
    case TYPE_BOOL:
        return w->json.boolean;
    case TYPE_INTEGER:
        return w->json.integer;
    case TYPE_NUMBER:
        return w->json.number;
    case TYPE_STRING:
        return w->json.string;
    case TYPE_ARRAY:
        return w->json.array;
    case TYPE_OBJECT:
        return w->json.object;
    default:
        return GRAMMAR_NONE;
    }
}

static int new_place(struct work *w, const struct value *const *items, size_t n)
{
    const struct value **copy = arena_array(&w->arena, n + 1, sizeof(void *));

    if (w->n_places == w->cap_places) {
        size_t cap = 2 * w->cap_places + 64;
        struct place *p = realloc(w->places, cap * sizeof *p);

        if (!p)
            return work_no_memory(w);
        w->places = p;
        w->cap_places = cap;
    }
    if (!copy)
        return work_no_memory(w);
    if (w->n_places == MAX_PLACES)
        return work_fail(w, n ? items[0] : NULL, NULL, ERR_LIMIT, "more than %d schemas",
                         MAX_PLACES);
    memcpy(copy, items, n * sizeof *copy);
    w->places[w->n_places++] = (struct place){ .items = copy, .n = n, .rule = grammar_rule(w->g) };
    return 0;
}

int place_node(struct work *w, const struct schemas *s, int32_t *out)
{
    const struct value *items[MAX_TOGETHER];
    size_t n = 0;
    int64_t k;

    for (size_t i = 0; i < s->n; i++) {
        const struct value *v = s->items[i];

        if (v->kind == VALUE_BOOL && !v->boolean) {
            *out = grammar_never(w->g);
            return 0;
        }
        if (v->kind == VALUE_MAP && keywords_only_type(v) && !value_get(v, "type"))
            continue;
        if (v->kind != VALUE_BOOL)
            items[n++] = v;
    }
    if (n == 0) {
        *out = w->json.value;
        return 0;
    }
    *out = n == 1 && items[0]->kind == VALUE_MAP ? plain_node(w, items[0]) : GRAMMAR_NONE;
    if (*out >= 0)
        return 0;
    qsort(items, n, sizeof *items, by_address);
    k = table_put(&w->memo, (const uint32_t *)items, n * (sizeof *items / sizeof(uint32_t)));
    if (k < 0)
        return work_no_memory(w);
    if ((size_t)k == w->n_places) {
        int rc = new_place(w, items, n);

        if (rc)
            return rc;
    }
    *out = grammar_call(w->g, w->places[k].rule);
    return 0;
}

/* --- leaves --- */

/* The values of an enum or a const that all schemas allow. */
static int literals(struct work *w, const struct schemas *s, const struct value *owner,
                    enum leaf_kind kind, int32_t *out)
{
    const struct value *one = value_get(owner, "const"), *list = value_get(owner, "enum");
    size_t n = one ? 1 : list->list.len;

    *out = grammar_never(w->g);
    for (size_t i = n; i-- > 0;) {
        const struct value *v = one ? one : list->list.items[i];
        int fits = check_all(w, v, s);
        int32_t node;

        if (fits < 0)
            return work_fail(w, owner, one ? "const" : "enum", ERR_UNSUPPORTED,
                             "together with what else holds here is not supported");
        if (!fits || (kind == LEAF_KEY && v->kind != VALUE_STRING))
            continue;
        node = kind == LEAF_KEY ? chars_text(w->g, v->string.data, v->string.len, CHARS_QUOTED)
                                : json_literal(&w->json, v);
        *out = grammar_alt(w->g, node, *out);
    }
    return 0;
}

static int typed_nodes(struct work *w, const struct schemas *s, unsigned types, int32_t *out)
{
    int32_t node;
    int rc = 0;

    *out = grammar_never(w->g);
    if (types & TYPE_NULL)
        *out = grammar_alt(w->g, w->json.null, *out);
    if (types & TYPE_BOOL)
        *out = grammar_alt(w->g, w->json.boolean, *out);
    if (types & TYPE_INTEGER) {
        rc = number_node(w, s, !(types & TYPE_FRACTION), &node);
        *out = rc ? GRAMMAR_NONE : grammar_alt(w->g, node, *out);
    }
    if (rc == 0 && types & TYPE_STRING) {
        rc = string_node(w, s, &node);
        *out = rc ? GRAMMAR_NONE : grammar_alt(w->g, node, *out);
    }
    if (rc == 0 && types & TYPE_ARRAY) {
        rc = array_node(w, s, &node);
        *out = rc ? GRAMMAR_NONE : grammar_alt(w->g, node, *out);
    }
    if (rc == 0 && types & TYPE_OBJECT) {
        rc = object_node(w, s, &node);
        *out = rc ? GRAMMAR_NONE : grammar_alt(w->g, node, *out);
    }
    return rc;
}

int leaf_node(struct work *w, const struct schemas *s, enum leaf_kind kind, int32_t *out)
{
    unsigned types = schemas_types(s, true);

    for (size_t i = 0; i < s->n; i++)
        if (value_get(s->items[i], "const") || value_get(s->items[i], "enum"))
            return literals(w, s, s->items[i], kind, out);
    if (kind == LEAF_VALUE)
        return typed_nodes(w, s, types, out);
    *out = grammar_never(w->g);
    return types & TYPE_STRING ? string_characters(w, s, out) : 0;
}

/* --- from outside --- */

static int define_places(struct work *w)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < w->n_places; i++) {
        struct schemas s = { .n = w->places[i].n };
        int32_t node;

        memcpy(s.items, w->places[i].items, s.n * sizeof *s.items);
        rc = flat_node(w, &s, LEAF_VALUE, &node);
        if (rc == 0)
            grammar_define(w->g, w->places[i].rule, node);
    }
    return rc;
}

int schema_node(struct grammar *g, const struct value *schema, int32_t *out, struct err *e)
{
    struct work w = { .g = g, .root = schema, .e = e };
    struct schemas s = { .items = { schema }, .n = 1 };
    int rc;

    arena_init(&w.arena, ARENA_BYTES);
    json_init(&w.json, g);
    if (schema->kind != VALUE_MAP && schema->kind != VALUE_BOOL)
        rc = work_fail(&w, schema, NULL, ERR_INVALID, "expected a schema: an object or a boolean");
    else
        rc = place_node(&w, &s, out);
    if (rc == 0)
        rc = define_places(&w);
    if (rc == 0 && g->no_memory)
        rc = grammar_check(g, e);
    else if (rc == 0 && g->failed)
        rc = err_set(e, ERR_LIMIT, "the schema is too large");
    table_done(&w.memo);
    free(w.places);
    free(w.nots);
    free(w.resources);
    arena_done(&w.arena);
    return rc;
}

int32_t schema_any_object(struct grammar *g)
{
    struct json j;

    json_init(&j, g);
    return j.object;
}
