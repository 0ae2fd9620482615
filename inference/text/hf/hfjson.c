/* hfjson - members of tokenizer.json's components. */
#include <string.h>

#include "inference/text/hf/hftok.h"

enum { MAX_NESTING = 8 };

const char *hf_string(const struct value *v, const char *key, size_t *len)
{
    const struct value *s = value_get(v, key);

    *len = s && s->kind == VALUE_STRING ? s->string.len : 0;
    return s && s->kind == VALUE_STRING ? s->string.data : NULL;
}

bool hf_flag(const struct value *v, const char *key, bool otherwise)
{
    const struct value *b = value_get(v, key);

    return b && b->kind == VALUE_BOOL ? b->boolean : otherwise;
}

const char *hf_type(const struct value *v)
{
    size_t len;
    const char *type = hf_string(v, "type", &len);

    return type ? type : "";
}

int hf_merge(const struct value *v, struct str *left, struct str *right)
{
    const char *blank;

    if (v->kind == VALUE_LIST && v->list.len == 2 && v->list.items[0]->kind == VALUE_STRING &&
        v->list.items[1]->kind == VALUE_STRING) {
        *left = (struct str){ v->list.items[0]->string.data, v->list.items[0]->string.len };
        *right = (struct str){ v->list.items[1]->string.data, v->list.items[1]->string.len };
        return 0;
    }
    if (v->kind != VALUE_STRING || !(blank = memchr(v->string.data, ' ', v->string.len)))
        return ERR_FORMAT;
    *left = (struct str){ v->string.data, (size_t)(blank - v->string.data) };
    *right = (struct str){ blank + 1, v->string.len - left->len - 1 };
    return 0;
}

static int each_at(const struct value *v, const char *list,
                   int (*each)(void *arg, const struct value *component, struct err *e), void *arg,
                   int depth, struct err *e)
{
    const struct value *items;
    int rc = 0;

    if (!v || v->kind == VALUE_NULL)
        return 0;
    if (strcmp(hf_type(v), "Sequence") != 0)
        return each(arg, v, e);
    items = value_get(v, list);
    if (!items || items->kind != VALUE_LIST || depth == MAX_NESTING)
        return err_set(e, ERR_FORMAT, "tokenizer.json: a Sequence without a list %s", list);
    for (size_t i = 0; i < items->list.len && !rc; i++)
        rc = each_at(items->list.items[i], list, each, arg, depth + 1, e);
    return rc;
}

int hf_each(const struct value *v, const char *list,
            int (*each)(void *arg, const struct value *component, struct err *e), void *arg,
            struct err *e)
{
    return each_at(v, list, each, arg, 0, e);
}
