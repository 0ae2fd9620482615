#include "kernels/base/value.h"

#include <string.h>

static struct value *make(struct arena *a, enum value_kind kind)
{
    struct value *v = arena_alloc(a, sizeof *v);

    if (v)
        v->kind = kind;
    return v;
}

struct value *value_null(struct arena *a)
{
    return make(a, VALUE_NULL);
}

struct value *value_bool(struct arena *a, bool b)
{
    struct value *v = make(a, VALUE_BOOL);

    if (v)
        v->boolean = b;
    return v;
}

struct value *value_int(struct arena *a, int64_t i)
{
    struct value *v = make(a, VALUE_INT);

    if (v)
        v->integer = i;
    return v;
}

struct value *value_float(struct arena *a, double d)
{
    struct value *v = make(a, VALUE_FLOAT);

    if (v)
        v->number = d;
    return v;
}

struct value *value_string(struct arena *a, const char *s, size_t len)
{
    struct value *v = make(a, VALUE_STRING);

    if (!v)
        return NULL;
    v->string.data = arena_strndup(a, s, len);
    v->string.len = len;
    return v->string.data ? v : NULL;
}

struct value *value_list(struct arena *a)
{
    return make(a, VALUE_LIST);
}

struct value *value_map(struct arena *a)
{
    return make(a, VALUE_MAP);
}

/* The array to use for one element more: the old one, or one twice as large with the old contents.
 * The old array stays in the arena, so a list of n costs at most 2n places in all. */
static void *grown(struct arena *a, void *old, size_t len, size_t *cap, size_t size)
{
    size_t more = *cap ? *cap * 2 : 4;
    void *p;

    if (len < *cap)
        return old;
    p = more > *cap ? arena_array(a, more, size) : NULL;
    if (!p)
        return NULL;
    if (len)
        memcpy(p, old, len * size);
    *cap = more;
    return p;
}

bool value_append(struct arena *a, struct value *list, struct value *item)
{
    struct value **items;

    if (!list || !item)
        return false;
    items = grown(a, list->list.items, list->list.len, &list->list.cap, sizeof *items);
    if (!items)
        return false;
    list->list.items = items;
    items[list->list.len++] = item;
    return true;
}

static struct value_pair *find(const struct value *v, const char *key, size_t key_len)
{
    if (!v || v->kind != VALUE_MAP)
        return NULL;
    for (size_t i = 0; i < v->map.len; i++) {
        struct value_pair *p = &v->map.pairs[i];

        if (p->key_len == key_len && memcmp(p->key, key, key_len) == 0)
            return p;
    }
    return NULL;
}

bool value_set(struct arena *a, struct value *map, const char *key, size_t key_len,
               struct value *item)
{
    struct value_pair *pairs, *p = find(map, key, key_len);
    char *copy;

    if (!map || !item)
        return false;
    if (p) {
        p->value = item;
        return true;
    }
    copy = arena_strndup(a, key, key_len);
    if (!copy)
        return false;
    pairs = grown(a, map->map.pairs, map->map.len, &map->map.cap, sizeof *pairs);
    if (!pairs)
        return false;
    map->map.pairs = pairs;
    pairs[map->map.len++] = (struct value_pair){ copy, key_len, item };
    return true;
}

struct value *value_getn(const struct value *v, const char *key, size_t key_len)
{
    struct value_pair *p = find(v, key, key_len);

    return p ? p->value : NULL;
}

struct value *value_get(const struct value *v, const char *key)
{
    return value_getn(v, key, strlen(key));
}
