/* Filters on sequences.  What Jinja gives as a generator is a list of flavour LIST_ITER here. */
#include <string.h>

#include "inference/text/template/char.h"
#include "inference/text/template/textops.h"

static int filter_first(BUILTIN_ARGS)
{
    struct tval *items;
    size_t n;

    if (self.kind == T_LIST && self.list->flavour == LIST_ITER && self.list->len) {
        *out = *self.list->items++; /* takes one and leaves the rest */
        self.list->len--;
        return 0;
    }
    if (self.kind == T_STRING && self.s->len) {
        uint32_t c;

        return tstr_plain(r, self.s, 0, tstr_char_at(self.s, 0, &c), out);
    }
    TRY(tval_iterate(r, self, &items, &n));
    if (!n)
        return tval_hint(r, "No first item, sequence was empty.", out);
    *out = items[0];
    return 0;
}

static int filter_last(BUILTIN_ARGS)
{
    struct tval *items;
    size_t n;

    if (self.kind == T_LIST && self.list->flavour == LIST_ITER)
        return run_fail(r, "'generator' object is not reversible");
    if (self.kind == T_STRING && self.s->len)
        return get_item(r, self, tval_int(-1), out);
    TRY(tval_iterate(r, self, &items, &n));
    if (!n)
        return tval_hint(r, "No last item, sequence was empty.", out);
    *out = items[n - 1];
    return 0;
}

static int make_list(struct render *r, enum flavour f, const struct tval *items, size_t n,
                     struct tval *out)
{
    TRY(tval_list(r, f, n, out));
    if (n)
        memcpy(out->list->items, items, n * sizeof *items);
    return run_charge(r, n / 16);
}

static int filter_list(BUILTIN_ARGS)
{
    struct tval *items;
    size_t n;

    TRY(tval_iterate(r, self, &items, &n));
    return make_list(r, LIST_LIST, items, n, out);
}

static int filter_reverse(BUILTIN_ARGS)
{
    const struct tval step[3] = { tval_none(), tval_none(), tval_int(-1) };
    struct tval *items;
    size_t n;

    if (self.kind == T_STRING)
        return get_slice(r, self, step, out);
    TRY(tval_iterate(r, self, &items, &n));
    TRY(make_list(r, LIST_ITER, items, n, out));
    for (size_t i = 0; i < n; i++)
        out->list->items[i] = items[n - 1 - i];
    return 0;
}

static int filter_items(BUILTIN_ARGS)
{
    struct args none = { 0 };

    if (self.kind == T_UNDEFINED)
        return tval_list(r, LIST_ITER, 0, out);
    if (self.kind != T_DICT)
        return run_fail(r, "Can only get item pairs from a mapping.");
    TRY(builtin_find(template_dict_methods, "items", 5)->fn(r, self, NULL, &none, out));
    out->list->flavour = LIST_ITER;
    return 0;
}

static int filter_join(BUILTIN_ARGS)
{
    const struct tstr *sep = &(const struct tstr){ .data = "" };
    struct tval *items, *mapped;
    size_t n;

    if (v[0].kind != T_MISSING)
        TRY(tval_string(r, v[0], &sep));
    TRY(tval_iterate(r, self, &items, &n));
    if (v[1].kind != T_MISSING && v[1].kind != T_NONE) {
        mapped = n ? run_alloc(r, n, sizeof *mapped) : NULL;
        if (n && !mapped)
            return ERR_LIMIT;
        for (size_t i = 0; i < n; i++)
            TRY(get_path(r, items[i], v[1], &mapped[i]));
        items = mapped;
    }
    return text_join(r, sep, items, n, true, out);
}

static int filter_sum(BUILTIN_ARGS)
{
    struct tval *items;
    size_t n;

    TRY(tval_iterate(r, self, &items, &n));
    *out = v[1].kind == T_MISSING ? tval_int(0) : v[1];
    if (out->kind == T_STRING)
        return run_fail(r, "sum() can't sum strings");
    for (size_t i = 0; i < n; i++) {
        struct tval x;

        TRY(get_path(r, items[i], v[0], &x));
        TRY(op_binary(r, OP_ADD, *out, x, out));
    }
    return 0;
}

/* batch(n, fill): rows of n. */
static int filter_batch(BUILTIN_ARGS)
{
    struct tval *items;
    int64_t per;
    size_t n, rows;

    TRY(arg_int(r, v[0], "linecount", &per));
    TRY(tval_iterate(r, self, &items, &n));
    if (per < 1)
        return run_fail(r, "batch: rows of %lld items", (long long)per);
    rows = n / (size_t)per + (n % (size_t)per != 0);
    TRY(tval_list(r, LIST_ITER, rows, out));
    for (size_t i = 0; i < rows; i++) {
        size_t from = i * (size_t)per, have = n - from < (size_t)per ? n - from : (size_t)per;
        size_t len = v[1].kind == T_MISSING || v[1].kind == T_NONE ? have : (size_t)per;

        TRY(tval_list(r, LIST_LIST, len, &out->list->items[i]));
        TRY(run_charge(r, 1 + len / 16));
        for (size_t j = 0; j < len; j++)
            out->list->items[i].list->items[j] = j < have ? items[from + j] : v[1];
    }
    return 0;
}

/* slice(n, fill): n columns, the first ones longer by one; all others get the fill. */
static int filter_slice(BUILTIN_ARGS)
{
    struct tval *items;
    int64_t slices;
    size_t n, at = 0;

    TRY(arg_int(r, v[0], "slices", &slices));
    TRY(tval_iterate(r, self, &items, &n));
    if (slices < 1)
        return run_fail(r, "slice into %lld parts", (long long)slices);
    TRY(run_charge(r, (size_t)slices));
    TRY(tval_list(r, LIST_ITER, (size_t)slices, out));
    for (size_t i = 0; i < (size_t)slices; i++) {
        bool longer = i < n % (size_t)slices;
        bool fill = v[1].kind != T_MISSING && v[1].kind != T_NONE && !longer;
        size_t len = n / (size_t)slices + longer;

        TRY(tval_list(r, LIST_LIST, len + fill, &out->list->items[i]));
        if (len)
            memcpy(out->list->items[i].list->items, items + at, len * sizeof *items);
        if (fill)
            out->list->items[i].list->items[len] = v[1];
        at += len;
    }
    return 0;
}

static int filter_attr(BUILTIN_ARGS)
{
    const struct tstr *name;

    TRY(arg_string(r, v[0], "name", &name));
    if (self.kind == T_DICT && !builtin_find(template_dict_methods, name->data, name->len))
        return tval_undefined(r, UNDEF_ATTRIBUTE, name->data, name->len, "dict", out);
    return get_attr(r, self, name->data, name->len, out);
}

/* map('filter', args) or map(attribute='a.b', default=x). */
static int filter_map(BUILTIN_ARGS)
{
    struct tval *items, attribute = { .kind = T_MISSING }, fallback = { .kind = T_MISSING };
    struct args rest = *a;
    const struct builtin *fn = NULL;
    const struct tstr *name;
    size_t n;

    if (!tval_truth(self)) /* nothing is looked at, not even the arguments */
        return tval_list(r, LIST_ITER, 0, out);
    for (size_t i = 0; i < a->n_kw && !a->n_pos; i++) {
        struct tstr key = { .data = a->kw[i].name, .len = a->kw[i].len };

        if (tstr_is(&key, "attribute"))
            attribute = a->kw[i].value;
        else if (tstr_is(&key, "default"))
            fallback = a->kw[i].value;
        else
            return run_fail(r, "Unexpected keyword argument '%.*s'",
                            (int)(key.len < 60 ? key.len : 60), key.data);
    }
    if (attribute.kind == T_MISSING) {
        if (!a->n_pos)
            return run_fail(r, "map requires a filter argument");
        rest.pos++;
        rest.n_pos--;
    }
    TRY(tval_iterate(r, self, &items, &n));
    if (attribute.kind == T_MISSING && n) {
        TRY(arg_string(r, a->pos[0], "name", &name));
        fn = filter_find(name->data, name->len);
        if (!fn)
            return run_fail(r, "No filter named '%.*s'.", (int)(name->len < 60 ? name->len : 60),
                            name->data);
    }
    TRY(tval_list(r, LIST_ITER, n, out));
    TRY(run_enter(r)); /* a filter may be map itself */
    for (size_t i = 0; i < n; i++) {
        struct tval *to = &out->list->items[i];

        TRY(run_charge(r, 1));
        if (fn) {
            TRY(builtin_call(r, fn, items[i], &rest, to));
            continue;
        }
        TRY(get_path_or(r, items[i], attribute, fallback, to));
    }
    run_leave(r);
    return 0;
}

/* select, reject, selectattr, rejectattr: the items for which a test (or truth) gives `wanted`. */
static int choose(struct render *r, struct tval self, const struct args *a, bool by_attribute,
                  bool wanted, struct tval *out)
{
    struct tval *items, attribute = { .kind = T_MISSING };
    struct args rest = *a;
    const struct builtin *fn = NULL;
    const struct tstr *name;
    struct tval test = { .kind = T_MISSING };
    size_t n, kept = 0;

    if (!tval_truth(self))
        return tval_list(r, LIST_ITER, 0, out);
    if (by_attribute) {
        if (!rest.n_pos)
            return run_fail(r, "Missing parameter for attribute name");
        attribute = *rest.pos++;
        rest.n_pos--;
    }
    if (rest.n_pos) {
        test = *rest.pos++;
        rest.n_pos--;
    }
    TRY(tval_iterate(r, self, &items, &n));
    if (test.kind != T_MISSING && n) {
        TRY(arg_string(r, test, "name", &name));
        fn = test_find(name->data, name->len);
        if (!fn)
            return run_fail(r, "No test named '%.*s'.", (int)(name->len < 60 ? name->len : 60),
                            name->data);
    }
    TRY(tval_list(r, LIST_ITER, n, out));
    for (size_t i = 0; i < n; i++) {
        struct tval x, yes;

        TRY(run_charge(r, 1));
        TRY(get_path(r, items[i], attribute, &x));
        yes = tval_bool(tval_truth(x));
        if (fn)
            TRY(builtin_call(r, fn, x, &rest, &yes));
        if (tval_truth(yes) == wanted)
            out->list->items[kept++] = items[i];
    }
    out->list->len = kept;
    return 0;
}

static int filter_select(BUILTIN_ARGS)
{
    return choose(r, self, a, false, true, out);
}

static int filter_reject(BUILTIN_ARGS)
{
    return choose(r, self, a, false, false, out);
}

static int filter_selectattr(BUILTIN_ARGS)
{
    return choose(r, self, a, true, true, out);
}

static int filter_rejectattr(BUILTIN_ARGS)
{
    return choose(r, self, a, true, false, out);
}

const struct builtin template_list_filters[] = {
    { "attr", filter_attr, "name", 1 },
    { "batch", filter_batch, "linecount fill_with", 1 },
    { "first", filter_first, "", 0 },
    { "items", filter_items, "", 0 },
    { "join", filter_join, "d attribute", 0 },
    { "last", filter_last, "", 0 },
    { "list", filter_list, "", 0 },
    { "map", filter_map, NULL, 0 },
    { "reject", filter_reject, NULL, 0 },
    { "rejectattr", filter_rejectattr, NULL, 0 },
    { "reverse", filter_reverse, "", 0 },
    { "select", filter_select, NULL, 0 },
    { "selectattr", filter_selectattr, NULL, 0 },
    { "slice", filter_slice, "slices fill_with", 1 },
    { "sum", filter_sum, "attribute start", 0 },
    { NULL, NULL, NULL, 0 },
};
