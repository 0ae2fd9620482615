/* chat_tools_spec.c - tools as a JSON Schema of the answers that call them. */
#include <stdio.h>
#include <string.h>

#include "fcgi/api/chat_tools.h"
#include "fcgi/api/fields.h"

enum { MAX_CALLS = 8, MAX_DEPTH = 64 };

static bool set(struct arena *a, struct value *map, const char *key, struct value *v)
{
    return map && value_set(a, map, key, strlen(key), v);
}

static struct value *string(struct arena *a, const char *s)
{
    return value_string(a, s, strlen(s));
}

/* A copy in which references to the schema's root lead to where the copy will stand; NULL: no
 * memory, or too deep. */
static struct value *move_schema(struct arena *a, struct value *v, const char *pointer, int depth)
{
    struct value *to;
    bool ok = true;

    if (depth > MAX_DEPTH || (v->kind != VALUE_MAP && v->kind != VALUE_LIST))
        return depth > MAX_DEPTH ? NULL : v;
    to = v->kind == VALUE_MAP ? value_map(a) : value_list(a);
    if (!to)
        return NULL;
    for (size_t i = 0; ok && v->kind == VALUE_LIST && i < v->list.len; i++)
        ok = value_append(a, to, move_schema(a, v->list.items[i], pointer, depth + 1));
    for (size_t i = 0; ok && v->kind == VALUE_MAP && i < v->map.len; i++) {
        const struct value_pair *p = &v->map.pairs[i];
        struct value *item = move_schema(a, p->value, pointer, depth + 1);

        if (!strcmp(p->key, "$ref") && p->value->kind == VALUE_STRING &&
            p->value->string.data[0] == '#') {
            struct buf path = { 0 };

            buf_printf(&path, "%s%s", pointer, p->value->string.data + 1);
            item = path.failed ? NULL : value_string(a, buf_str(&path), path.len);
            buf_done(&path);
        }
        ok = value_set(a, to, p->key, p->key_len, item);
    }
    return ok ? to : NULL;
}

/* {"type": "object", "properties": {"name": {"const": f}, "arguments": its parameters}, ...} */
static struct value *call_schema(struct arena *a, const struct value *tool, const char *pointer)
{
    const struct value *f = value_get(tool, "function");
    struct value *parameters = value_get(f, "parameters"), *call = value_map(a);
    struct value *name = value_map(a), *properties = value_map(a), *required = value_list(a);
    bool ok;

    if (parameters && parameters->kind == VALUE_MAP && parameters->map.len) {
        parameters = move_schema(a, parameters, pointer, 0);
    } else {
        parameters = value_map(a);
        if (!set(a, parameters, "type", string(a, "object")))
            return NULL;
    }
    ok = required && set(a, name, "const", value_get(f, "name")) &&
         set(a, properties, "name", name) && set(a, properties, "arguments", parameters) &&
         value_append(a, required, string(a, "name")) &&
         value_append(a, required, string(a, "arguments")) &&
         set(a, call, "type", string(a, "object")) && set(a, call, "properties", properties) &&
         set(a, call, "required", required) &&
         set(a, call, "additionalProperties", value_bool(a, false));
    return ok ? call : NULL;
}

int chat_tools_spec(const struct chat_tools *t, struct spec *s, struct arena *a, struct err *e)
{
    const char *base = t->one_call ? "#" : "#/items";
    struct value *any = value_list(a), *calls = value_map(a), *list = value_map(a);
    bool ok = any && calls && list;

    for (size_t i = 0; ok && i < t->list->list.len; i++) {
        char pointer[80];

        snprintf(pointer, sizeof pointer, "%s/anyOf/%zu/properties/arguments", base, i);
        ok = value_append(a, any, call_schema(a, t->list->list.items[i], pointer));
    }
    ok = ok && set(a, calls, "anyOf", any);
    if (ok && !t->one_call) {
        ok = set(a, list, "type", string(a, "array")) && set(a, list, "items", calls) &&
             set(a, list, "minItems", value_int(a, 1)) &&
             set(a, list, "maxItems", value_int(a, MAX_CALLS));
        calls = list;
    }
    if (!ok)
        return field_no_memory(e);
    *s = (struct spec){ .kind = SPEC_SCHEMA, .value = calls, .param = "tools" };
    return 0;
}
