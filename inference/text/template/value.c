#include "inference/text/template/value.h"

#include <math.h>
#include <string.h>

#include "inference/text/template/run.h"

int tval_undefined(struct render *r, int why, const char *name, size_t len, const char *owner,
                   struct tval *out)
{
    struct tundef *u = run_alloc(r, 1, sizeof *u);

    if (!u)
        return ERR_LIMIT;
    *u = (struct tundef){ .name = name, .name_len = len, .owner = owner };
    u->why = (unsigned)why;
    *out = (struct tval){ .kind = T_UNDEFINED, .undef = u };
    return 0;
}

int tval_hint(struct render *r, const char *sentence, struct tval *out)
{
    return tval_undefined(r, UNDEF_HINT, sentence, strlen(sentence), NULL, out);
}

int tval_trip(struct render *r, struct tval v)
{
    const struct tundef *u = v.undef;
    int len = (int)(u->name_len < 200 ? u->name_len : 200);

    switch (u->why) {
    case UNDEF_NAME:
        return run_fail(r, "'%.*s' is undefined", len, u->name);
    case UNDEF_ATTRIBUTE:
        return run_fail(r, "'%s object' has no attribute '%.*s'", u->owner, len, u->name);
    case UNDEF_ELEMENT:
        return run_fail(r, "%s object has no element %.*s", u->owner, len, u->name);
    case UNDEF_UNSAFE:
        return run_fail(r, "access to attribute '%.*s' of '%s' object is unsafe", len, u->name,
                        u->owner);
    default:
        return run_fail(r, "%.*s", len, u->name);
    }
}

int tval_list(struct render *r, enum flavour f, size_t len, struct tval *out)
{
    struct tlist *l = run_alloc(r, 1, sizeof *l);

    if (!l)
        return ERR_LIMIT;
    l->items = len ? run_alloc(r, len, sizeof *l->items) : NULL;
    if (len && !l->items)
        return ERR_LIMIT;
    l->len = len;
    l->flavour = f;
    *out = (struct tval){ .kind = T_LIST, .list = l };
    return 0;
}

int tval_dict(struct render *r, size_t cap, struct tval *out)
{
    struct tdict *d = run_alloc(r, 1, sizeof *d);

    if (!d)
        return ERR_LIMIT;
    d->pairs = cap ? run_alloc(r, cap, sizeof *d->pairs) : NULL;
    if (cap && !d->pairs)
        return ERR_LIMIT;
    d->cap = cap;
    *out = (struct tval){ .kind = T_DICT, .dict = d };
    return 0;
}

static int import_map(struct render *r, const struct value *v, struct tval *out)
{
    size_t n = v->map.len;

    TRY(tval_dict(r, n, out));
    for (size_t i = 0; i < n; i++) {
        const struct value_pair *from = &v->map.pairs[i];
        struct tpair *to = &out->dict->pairs[i];

        /* a key is a client's word as much as a value is */
        TRY(tstr_borrow(r, from->key, from->key_len, true, &to->key));
        TRY(tval_import(r, from->value, &to->value));
    }
    out->dict->len = n;
    return 0;
}

int tval_import(struct render *r, const struct value *v, struct tval *out)
{
    *out = tval_none();
    if (!v)
        return 0;
    switch (v->kind) {
    case VALUE_NULL:
        break;
    case VALUE_BOOL:
        *out = tval_bool(v->boolean);
        break;
    case VALUE_INT:
        *out = tval_int(v->integer);
        break;
    case VALUE_FLOAT:
        *out = tval_float(v->number);
        break;
    case VALUE_STRING:
        return tstr_borrow(r, v->string.data, v->string.len, !v->trusted, out);
    case VALUE_LIST:
        TRY(run_enter(r));
        TRY(tval_list(r, LIST_LIST, v->list.len, out));
        for (size_t i = 0; i < v->list.len; i++)
            TRY(tval_import(r, v->list.items[i], &out->list->items[i]));
        run_leave(r);
        break;
    case VALUE_MAP:
        TRY(run_enter(r));
        TRY(import_map(r, v, out));
        run_leave(r);
        break;
    }
    return 0;
}

struct tval *tdict_text(const struct tdict *d, const char *key, size_t len)
{
    for (size_t i = 0; i < d->len; i++) {
        struct tpair *p = &d->pairs[i];

        if (p->key.kind == T_STRING && tstr_equal(p->key.s, key, len))
            return &p->value;
    }
    return NULL;
}

int tdict_find(struct render *r, const struct tdict *d, struct tval key, struct tval **out)
{
    *out = NULL;
    TRY(run_charge(r, d->len / 16));
    if (key.kind == T_STRING) {
        *out = tdict_text(d, key.s->data, key.s->len);
        return 0;
    }
    for (size_t i = 0; i < d->len && !*out; i++) {
        bool same;

        TRY(tval_equal(r, d->pairs[i].key, key, &same));
        if (same)
            *out = &d->pairs[i].value;
    }
    return 0;
}

int tdict_set(struct render *r, struct tdict *d, struct tval key, struct tval value)
{
    struct tval *old;

    TRY(tval_hashable(r, key));
    TRY(tdict_find(r, d, key, &old));
    if (old) {
        *old = value;
        return 0;
    }
    if (d->len == d->cap) {
        size_t cap = d->cap ? d->cap * 2 : 4;
        struct tpair *p = run_alloc(r, cap, sizeof *p);

        if (!p)
            return ERR_LIMIT;
        if (d->len)
            memcpy(p, d->pairs, d->len * sizeof *p);
        d->pairs = p;
        d->cap = cap;
    }
    d->pairs[d->len++] = (struct tpair){ key, value };
    return 0;
}

int tval_hashable(struct render *r, struct tval v)
{
    if (v.kind == T_DICT || (v.kind == T_LIST && v.list->flavour == LIST_LIST))
        return run_fail(r, "unhashable type: '%s'", tval_type(v));
    if (v.kind != T_LIST || v.list->flavour != LIST_TUPLE)
        return 0;
    TRY(run_enter(r));
    for (size_t i = 0; i < v.list->len; i++)
        TRY(tval_hashable(r, v.list->items[i]));
    run_leave(r);
    return 0;
}

bool tval_truth(struct tval v)
{
    switch (v.kind) {
    case T_MISSING:
    case T_UNDEFINED:
    case T_NONE:
        return false;
    case T_BOOL:
        return v.b;
    case T_INT:
        return v.i != 0;
    case T_FLOAT:
        return v.d != 0;
    case T_STRING:
        return v.s->len != 0;
    case T_LIST:
        return v.list->len != 0 || v.list->flavour == LIST_ITER;
    case T_DICT:
        return v.dict->len != 0;
    default:
        return true;
    }
}

const char *tval_type(struct tval v)
{
    static const char *const lists[] = { [LIST_LIST] = "list",
                                         [LIST_TUPLE] = "tuple",
                                         [LIST_RANGE] = "range",
                                         [LIST_ITER] = "generator" };

    switch (v.kind) {
    case T_NONE:
        return "NoneType";
    case T_BOOL:
        return "bool";
    case T_INT:
        return "int";
    case T_FLOAT:
        return "float";
    case T_STRING:
        return "str";
    case T_LIST:
        return v.list->flavour == LIST_VIEW ? v.list->name : lists[v.list->flavour];
    case T_DICT:
        return "dict";
    case T_NAMESPACE:
        return "Namespace";
    case T_BUILTIN:
        return "function";
    case T_MACRO:
        return "Macro";
    case T_LOOP:
        return "LoopContext";
    case T_CYCLER:
        return "Cycler";
    case T_JOINER:
        return "Joiner";
    case T_SELF:
        return "TemplateReference";
    case T_BLOCK:
        return "BlockReference";
    default:
        return "Undefined";
    }
}

bool tval_iterable(struct tval v)
{
    return v.kind == T_UNDEFINED || v.kind == T_STRING || v.kind == T_LIST || v.kind == T_DICT ||
           v.kind == T_LOOP;
}

int tval_length(struct render *r, struct tval v, size_t *out)
{
    *out = 0;
    switch (v.kind) {
    case T_UNDEFINED:
        return 0;
    case T_STRING:
        TRY(run_charge_bytes(r, v.s->len));
        *out = tstr_chars(v.s);
        return 0;
    case T_DICT:
        *out = v.dict->len;
        return 0;
    case T_LOOP:
        return loop_length(r, v.loop, out);
    case T_LIST:
        *out = v.list->len;
        if (v.list->flavour != LIST_ITER)
            return 0;
        break;
    default:
        break;
    }
    return run_fail(r, "object of type '%s' has no len()", tval_type(v));
}

int tval_iterate(struct render *r, struct tval v, struct tval **items, size_t *n)
{
    *items = NULL;
    *n = 0;
    switch (v.kind) {
    case T_UNDEFINED:
        return 0;
    case T_LIST:
        *items = v.list->items;
        *n = v.list->len;
        if (v.list->flavour == LIST_ITER)
            v.list->len = 0;
        return 0;
    case T_DICT:
        *n = v.dict->len;
        *items = *n ? run_alloc(r, *n, sizeof **items) : NULL;
        if (*n && !*items)
            return ERR_LIMIT;
        for (size_t i = 0; i < *n; i++)
            (*items)[i] = v.dict->pairs[i].key;
        return run_charge(r, *n / 16);
    case T_STRING:
        TRY(tval_length(r, v, n));
        *items = *n ? run_alloc(r, *n, sizeof **items) : NULL;
        if (*n && !*items)
            return ERR_LIMIT;
        for (size_t i = 0, at = 0; i < *n; i++) {
            uint32_t cp;
            size_t len = tstr_char_at(v.s, at, &cp);

            TRY(tstr_plain(r, v.s, at, at + len, &(*items)[i]));
            at += len;
        }
        return run_charge(r, *n / 16);
    default:
        return run_fail(r, "'%s' object is not iterable", tval_type(v));
    }
}
