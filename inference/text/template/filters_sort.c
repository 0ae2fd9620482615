/* Filters that put items in order: by a key, ignoring case unless told otherwise, stably. */
#include <string.h>

#include "inference/text/template/textops.h"

struct keyed {
    struct tval key, item;
};

/* What items are put in order by. */
struct order {
    struct tval path;     /* an attribute, T_MISSING: the item itself */
    struct tval fallback; /* where there is no such attribute; T_MISSING: none */
    bool case_sensitive;
    bool several; /* "a,b" means both, as a tuple; one alone is a tuple, too */
};

static int make_key(struct render *r, struct tval item, const struct order *o, struct tval path,
                    struct tval *out)
{
    TRY(run_charge(r, 1));
    TRY(get_path_or(r, item, path, o->fallback, out));
    if (out->kind == T_STRING && !o->case_sensitive)
        return text_case(r, out->s, CASE_LOWER, out);
    return 0;
}

static int make_tuple(struct render *r, struct tval item, const struct order *o, struct tval *out)
{
    struct tval names;

    if (o->path.kind != T_STRING) {
        TRY(tval_list(r, LIST_TUPLE, 1, out));
        return make_key(r, item, o, o->path, &out->list->items[0]);
    }
    TRY(text_split(r, o->path.s, &(const struct tstr){ .data = ",", .len = 1 }, -1, false, &names));
    TRY(tval_list(r, LIST_TUPLE, names.list->len, out));
    for (size_t i = 0; i < names.list->len; i++)
        TRY(make_key(r, item, o, names.list->items[i], &out->list->items[i]));
    return 0;
}

static int make_keys(struct render *r, struct tval self, const struct order *o, struct keyed **out,
                     size_t *n)
{
    struct tval *items;

    TRY(tval_iterate(r, self, &items, n));
    *out = *n ? run_alloc(r, *n, sizeof **out) : NULL;
    if (*n && !*out)
        return ERR_LIMIT;
    for (size_t i = 0; i < *n; i++) {
        struct keyed *k = &(*out)[i];

        k->item = items[i];
        TRY(o->several ? make_tuple(r, k->item, o, &k->key)
                       : make_key(r, k->item, o, o->path, &k->key));
    }
    return 0;
}

/* Merge sort from the bottom up: stable, and n log n whatever the items are. */
static int sort(struct render *r, struct keyed *list, size_t n, bool descending)
{
    struct keyed *other = n ? run_alloc(r, n, sizeof *other) : NULL, *from = list, *to = other;

    if (n && !other)
        return ERR_LIMIT;
    for (size_t width = 1; width < n; width *= 2) {
        struct keyed *swap = from;

        for (size_t start = 0; start < n; start += 2 * width) {
            size_t mid = start + width < n ? start + width : n;
            size_t end = mid + width < n ? mid + width : n, i = start, j = mid;

            for (size_t k = start; k < end; k++) {
                int order = -1;

                if (i < mid && j < end) {
                    TRY(run_charge(r, 1));
                    TRY(tval_compare(r, from[j].key, from[i].key, "<", &order));
                    if (descending)
                        order = -order;
                }
                to[k] = i < mid && (j >= end || order >= 0) ? from[i++] : from[j++];
            }
        }
        from = to;
        to = swap;
    }
    if (from != list)
        memcpy(list, from, n * sizeof *list);
    return 0;
}

static int sorted(struct render *r, struct tval self, const struct order *o, struct tval descending,
                  struct tval *out)
{
    struct keyed *list;
    size_t n;

    TRY(make_keys(r, self, o, &list, &n));
    TRY(sort(r, list, n, tval_truth(descending)));
    TRY(tval_list(r, LIST_LIST, n, out));
    for (size_t i = 0; i < n; i++)
        out->list->items[i] = list[i].item;
    return 0;
}

static int filter_sort(BUILTIN_ARGS)
{
    const struct order o = { .path = v[2], .case_sensitive = tval_truth(v[1]), .several = true };
    int64_t reverse;

    if (v[0].kind != T_MISSING)
        TRY(arg_int(r, v[0], "reverse", &reverse));
    return sorted(r, self, &o, v[0], out);
}

static int filter_dictsort(BUILTIN_ARGS)
{
    struct args none = { 0 };
    struct order o = { .path = tval_int(0), .case_sensitive = tval_truth(v[0]) };
    struct tval pairs;

    if (self.kind == T_UNDEFINED)
        return tval_trip(r, self);
    if (self.kind != T_DICT)
        return run_fail(r, "'%s' object has no attribute 'items'", tval_type(self));
    if (v[1].kind == T_STRING && tstr_is(v[1].s, "value"))
        o.path = tval_int(1);
    else if (v[1].kind != T_MISSING && !(v[1].kind == T_STRING && tstr_is(v[1].s, "key")))
        return run_fail(r, "You can only sort by either \"key\" or \"value\"");
    TRY(builtin_find(template_dict_methods, "items", 5)->fn(r, self, NULL, &none, &pairs));
    return sorted(r, pairs, &o, v[2], out);
}

static int filter_unique(BUILTIN_ARGS)
{
    const struct order o = { .path = v[1], .case_sensitive = tval_truth(v[0]) };
    struct keyed *list;
    struct tval seen, *old;
    size_t n, kept = 0;

    TRY(make_keys(r, self, &o, &list, &n));
    TRY(tval_dict(r, n, &seen));
    TRY(tval_list(r, LIST_ITER, n, out));
    for (size_t i = 0; i < n; i++) {
        TRY(tval_hashable(r, list[i].key));
        TRY(tdict_find(r, seen.dict, list[i].key, &old));
        if (old)
            continue;
        seen.dict->pairs[seen.dict->len++] = (struct tpair){ list[i].key, tval_none() };
        out->list->items[kept++] = list[i].item;
    }
    out->list->len = kept;
    return 0;
}

static int extreme(struct render *r, struct tval self, const struct tval *v, bool largest,
                   struct tval *out)
{
    const struct order o = { .path = v[1], .case_sensitive = tval_truth(v[0]) };
    struct keyed *list;
    size_t n, best = 0;

    TRY(make_keys(r, self, &o, &list, &n));
    if (!n)
        return tval_hint(r, "No aggregated item, sequence was empty.", out);
    for (size_t i = 1; i < n; i++) {
        int order;

        TRY(tval_compare(r, list[i].key, list[best].key, largest ? ">" : "<", &order));
        if (order != 2 && (largest ? order > 0 : order < 0))
            best = i;
    }
    *out = list[best].item;
    return 0;
}

static int filter_min(BUILTIN_ARGS)
{
    return extreme(r, self, v, false, out);
}

static int filter_max(BUILTIN_ARGS)
{
    return extreme(r, self, v, true, out);
}

/* groupby(attribute, default): [(key, [items]), ...] in the order of the keys. */
static int filter_groupby(BUILTIN_ARGS)
{
    const struct order o = { .path = v[0], .fallback = v[1], .case_sensitive = tval_truth(v[2]) };
    struct keyed *list;
    size_t n, groups = 0, end;

    TRY(make_keys(r, self, &o, &list, &n));
    TRY(sort(r, list, n, false));
    TRY(tval_list(r, LIST_LIST, n, out));
    for (size_t i = 0; i < n; i = end) {
        struct tval *pair = &out->list->items[groups++];
        bool same = true;

        for (end = i + 1; end < n; end += same) {
            TRY(tval_equal(r, list[i].key, list[end].key, &same));
            if (!same)
                break;
        }
        TRY(tval_list(r, LIST_TUPLE, 2, pair));
        TRY(get_path_or(r, list[i].item, v[0], v[1], &pair->list->items[0]));
        TRY(tval_list(r, LIST_LIST, end - i, &pair->list->items[1]));
        for (size_t j = i; j < end; j++)
            pair->list->items[1].list->items[j - i] = list[j].item;
    }
    out->list->len = groups;
    return 0;
}

const struct builtin template_sort_filters[] = {
    { "dictsort", filter_dictsort, "case_sensitive by reverse", 0 },
    { "groupby", filter_groupby, "attribute default case_sensitive", 1 },
    { "max", filter_max, "case_sensitive attribute", 0 },
    { "min", filter_min, "case_sensitive attribute", 0 },
    { "sort", filter_sort, "reverse case_sensitive attribute", 0 },
    { "unique", filter_unique, "case_sensitive attribute", 0 },
    { NULL, NULL, NULL, 0 },
};
