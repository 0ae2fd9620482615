/* Methods of list, tuple, range and dict: those that change nothing. */
#include "inference/text/template/run.h"

static int list_index(BUILTIN_ARGS)
{
    TRY(run_charge(r, self.list->len / 16));
    for (size_t i = 0; i < self.list->len; i++) {
        bool same;

        TRY(tval_equal(r, self.list->items[i], v[0], &same));
        if (same) {
            *out = tval_int((int64_t)i);
            return 0;
        }
    }
    return run_fail(r, "the value is not in the list");
}

static int list_count(BUILTIN_ARGS)
{
    int64_t n = 0;

    TRY(run_charge(r, self.list->len / 16));
    for (size_t i = 0; i < self.list->len; i++) {
        bool same;

        TRY(tval_equal(r, self.list->items[i], v[0], &same));
        n += same;
    }
    *out = tval_int(n);
    return 0;
}

/* Lists do not change, so that a copy is the list itself. */
static int list_copy(BUILTIN_ARGS)
{
    if (self.list->flavour != LIST_LIST)
        return run_fail(r, "'%s' object has no attribute 'copy'", tval_type(self));
    *out = self;
    return 0;
}

const struct builtin template_list_methods[] = {
    { "index", list_index, "value", 1 },
    { "count", list_count, "value", 1 },
    { "copy", list_copy, "", 0 },
    { NULL, NULL, NULL, 0 },
};

static int dict_get(BUILTIN_ARGS)
{
    struct tval *found;

    TRY(tval_hashable(r, v[0]));
    TRY(tdict_find(r, self.dict, v[0], &found));
    *out = found ? *found : v[1].kind == T_MISSING ? tval_none() : v[1];
    return 0;
}

/* keys(), values() or items(): 'k', 'v', 'i'. */
static int view(struct render *r, const struct tdict *d, char what, struct tval *out)
{
    TRY(tval_list(r, LIST_VIEW, d->len, out));
    TRY(run_charge(r, d->len / 16));
    out->list->name = what == 'k' ? "dict_keys" : what == 'v' ? "dict_values" : "dict_items";
    for (size_t i = 0; i < d->len; i++) {
        struct tval *to = &out->list->items[i];

        *to = what == 'k' ? d->pairs[i].key : d->pairs[i].value;
        if (what != 'i')
            continue;
        TRY(tval_list(r, LIST_TUPLE, 2, to));
        to->list->items[0] = d->pairs[i].key;
        to->list->items[1] = d->pairs[i].value;
    }
    return 0;
}

static int dict_keys(BUILTIN_ARGS)
{
    return view(r, self.dict, 'k', out);
}

static int dict_values(BUILTIN_ARGS)
{
    return view(r, self.dict, 'v', out);
}

static int dict_items(BUILTIN_ARGS)
{
    return view(r, self.dict, 'i', out);
}

static int dict_copy(BUILTIN_ARGS)
{
    *out = self;
    return 0;
}

const struct builtin template_dict_methods[] = {
    { "get", dict_get, "key default", 1 }, { "keys", dict_keys, "", 0 },
    { "values", dict_values, "", 0 },      { "items", dict_items, "", 0 },
    { "copy", dict_copy, "", 0 },          { NULL, NULL, NULL, 0 },
};
