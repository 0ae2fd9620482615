/* schema_own.c - schemas of our own, from which others are put together. */
#include <string.h>

#include "inference/constrain/schema_work.h"

struct value *schema_own(struct work *w)
{
    struct value *s = value_map(&w->arena);

    if (s)
        s->trusted = true;
    return s;
}

struct value *schema_without(struct work *w, const char *name, size_t len)
{
    struct value *s = schema_own(w), *props = value_map(&w->arena);

    return s && props && value_set(&w->arena, props, name, len, value_bool(&w->arena, false)) &&
                   value_set(&w->arena, s, "properties", 10, props)
               ? s
               : NULL;
}

struct value *schema_with(struct work *w, const char *name, size_t len)
{
    struct value *s = schema_own(w), *list = value_list(&w->arena);

    return s && list && value_append(&w->arena, list, value_string(&w->arena, name, len)) &&
                   value_set(&w->arena, s, "required", 8, list)
               ? s
               : NULL;
}

struct value *schema_any_of(struct work *w, struct value *list)
{
    struct value *s = schema_own(w);

    return s && value_set(&w->arena, s, "anyOf", 5, list) ? s : NULL;
}

struct value *schema_type_list(struct work *w, unsigned types)
{
    static const struct {
        const char *name;
        unsigned bits;
    } names[] = { { "null", TYPE_NULL },       { "boolean", TYPE_BOOL },  { "number", TYPE_NUMBER },
                  { "integer", TYPE_INTEGER }, { "string", TYPE_STRING }, { "array", TYPE_ARRAY },
                  { "object", TYPE_OBJECT } };
    struct value *list = value_list(&w->arena);

    for (size_t i = 0; list && i < sizeof names / sizeof *names; i++)
        if ((types & names[i].bits) == names[i].bits &&
            !value_append(&w->arena, list,
                          value_string(&w->arena, names[i].name, strlen(names[i].name))))
            return NULL;
    return list;
}

const struct value *schema_own_get(const struct value *s, const char *keyword)
{
    return s->trusted ? value_get(s, keyword) : NULL;
}
