/* schema_ref.c - what a $ref means.
 *
 * A document may hold several resources: schemas with an $id, against which references within them
 * are resolved.  Nothing outside of the document is ever fetched. */
#include <stdlib.h>
#include <string.h>

#include "inference/constrain/schema_work.h"
#include "inference/constrain/uri.h"

static int bad_ref(struct work *w, const struct value *s, const char *keyword, int code,
                   const char *what)
{
    return work_fail(w, s, keyword, code, "\"%.100s\" %s", value_get(s, keyword)->string.data,
                     what);
}

/* --- within a resource --- */

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

static bool is_text(const struct value *v, const char *text)
{
    return v && v->kind == VALUE_STRING && !strcmp(v->string.data, text);
}

/* The $id by which s is a resource of its own; NULL: it is none.  (Older drafts have anchors there
 * too: "#name".) */
static const char *id_of(const struct value *s)
{
    const struct value *id = value_get(s, "$id");

    return id && id->kind == VALUE_STRING && id->string.data[0] != '#' ? id->string.data : NULL;
}

/* Within v, but not within another resource. */
static const struct value *find_anchor(const struct value *v, const char *name, bool dynamic)
{
    const struct value *found = NULL, *id = value_get(v, "$id");

    if (is_text(value_get(v, "$dynamicAnchor"), name) ||
        (!dynamic && (is_text(value_get(v, "$anchor"), name) ||
                      (id && id->kind == VALUE_STRING && id->string.data[0] == '#' &&
                       !strcmp(id->string.data + 1, name)))))
        return v;
    for (size_t i = 0; !found && v->kind == VALUE_MAP && i < v->map.len; i++)
        if (!holds_values(v->map.pairs[i].key) && !id_of(v->map.pairs[i].value))
            found = find_anchor(v->map.pairs[i].value, name, dynamic);
    for (size_t i = 0; !found && v->kind == VALUE_LIST && i < v->list.len; i++)
        if (!id_of(v->list.items[i]))
            found = find_anchor(v->list.items[i], name, dynamic);
    return found;
}

/* What the JSON pointer p leads to from v; NULL: nothing. */
static int follow(struct work *w, const struct value *v, const char *p, const struct value **out)
{
    char *key = arena_alloc(&w->arena, strlen(p) + 1);

    if (!key)
        return work_no_memory(w);
    while (v && *p == '/') {
        p = pointer_step(p + 1, key);
        v = child(v, key);
    }
    *out = v;
    return 0;
}

/* --- resources --- */

struct walk {
    struct work *w;
    const struct value *target; /* whose base is wanted; NULL: all resources are */
    const char *base;           /* of the target, once it is found */
    int rc;
};

static void add_resource(struct walk *k, const struct value *s, const char *uri)
{
    struct resource *r = uri ? realloc(k->w->resources, (k->w->n_resources + 1) * sizeof *r) : NULL;

    if (!r) {
        k->rc = work_no_memory(k->w);
        return;
    }
    k->w->resources = r;
    r[k->w->n_resources++] = (struct resource){ s, uri };
}

static void walk(struct walk *k, const struct value *s, const char *base);

static void walk_members(struct walk *k, const struct value *v, const char *base)
{
    for (size_t i = 0; v->kind == VALUE_MAP && i < v->map.len; i++)
        walk(k, v->map.pairs[i].value, base);
    for (size_t i = 0; v->kind == VALUE_LIST && i < v->list.len; i++)
        walk(k, v->list.items[i], base);
}

/* s and all schemas below it. */
static void walk(struct walk *k, const struct value *s, const char *base)
{
    if (s->kind != VALUE_MAP || k->rc || k->base)
        return;
    if (id_of(s)) {
        base = uri_resolve(&k->w->arena, base, id_of(s));
        if (!base) {
            k->rc = work_no_memory(k->w);
            return;
        }
        if (!k->target && s != k->w->root)
            add_resource(k, s, base);
    }
    if (s == k->target)
        k->base = base;
    for (size_t i = 0; k->rc == 0 && !k->base && i < s->map.len; i++) {
        const struct value *v = s->map.pairs[i].value;
        enum keyword_holds holds = keyword_holds(s->map.pairs[i].key);

        if (holds == HOLDS_SCHEMA && v->kind == VALUE_MAP)
            walk(k, v, base);
        else if (holds == HOLDS_MEMBERS || (holds == HOLDS_SCHEMA && v->kind == VALUE_LIST))
            walk_members(k, v, base);
    }
}

static int find_resources(struct work *w)
{
    struct walk k = { .w = w };
    const char *id = id_of(w->root);

    if (w->n_resources)
        return 0;
    add_resource(&k, w->root, uri_resolve(&w->arena, "", id ? id : ""));
    walk(&k, w->root, "");
    return k.rc;
}

static const struct resource *resource_at(const struct work *w, const char *uri)
{
    for (size_t i = 0; i < w->n_resources; i++)
        if (!strcmp(w->resources[i].uri, uri))
            return &w->resources[i];
    return NULL;
}

/* Against what references of s are resolved. */
static int base_of(struct work *w, const struct value *s, const char *keyword, const char **out)
{
    struct walk k = { .w = w, .target = s };

    *out = w->resources[0].uri;
    if (w->n_resources == 1)
        return 0;
    walk(&k, w->root, "");
    *out = k.base;
    if (k.rc || k.base)
        return k.rc;
    return bad_ref(w, s, keyword, ERR_UNSUPPORTED,
                   "stands where it cannot be told which $id holds");
}

/* Several schemas with the same $dynamicAnchor: which one is meant depends on the way there. */
static bool is_dynamic(const struct work *w, const struct value *target, const char *anchor)
{
    size_t n = 0;

    if (!is_text(value_get(target, "$dynamicAnchor"), anchor))
        return false;
    for (size_t i = 0; i < w->n_resources; i++)
        n += find_anchor(w->resources[i].schema, anchor, true) != NULL;
    return n > 1;
}

int ref_target(struct work *w, const struct value *s, const char *keyword, const struct value **out)
{
    const char *ref = value_get(s, keyword)->string.data, *at = uri_fragment(ref), *base, *uri;
    const struct resource *r;
    int rc = find_resources(w);

    if (rc == 0)
        rc = base_of(w, s, keyword, &base);
    if (rc)
        return rc;
    uri = uri_resolve(&w->arena, base, ref);
    if (!uri)
        return work_no_memory(w);
    r = resource_at(w, uri);
    if (!r)
        return bad_ref(w, s, keyword, ERR_UNSUPPORTED, "lies outside of this schema");
    if (*at && *at != '/')
        *out = find_anchor(r->schema, at, false);
    else
        rc = follow(w, r->schema, at, out);
    if (rc)
        return rc;
    if (!*out)
        return bad_ref(w, s, keyword, ERR_INVALID, "does not exist");
    return strcmp(keyword, "$dynamicRef") != 0 || !is_dynamic(w, *out, at)
               ? 0
               : bad_ref(w, s, keyword, ERR_UNSUPPORTED,
                         "is not supported where several schemas have that anchor");
}
