/* Equality and order between values, as Python defines them. */
#include <math.h>
#include <string.h>

#include "inference/text/template/run.h"

static int equal_lists(struct render *r, const struct tlist *a, const struct tlist *b, bool *out)
{
    *out = a->flavour == b->flavour && a->flavour != LIST_ITER && a->len == b->len;
    for (size_t i = 0; *out && i < a->len; i++)
        TRY(tval_equal(r, a->items[i], b->items[i], out));
    return 0;
}

static int equal_dicts(struct render *r, const struct tdict *a, const struct tdict *b, bool *out)
{
    *out = a->len == b->len;
    for (size_t i = 0; *out && i < a->len; i++) {
        struct tval *other;

        TRY(tdict_find(r, b, a->pairs[i].key, &other));
        *out = other != NULL;
        if (other)
            TRY(tval_equal(r, a->pairs[i].value, *other, out));
    }
    return 0;
}

int tval_equal(struct render *r, struct tval a, struct tval b, bool *out)
{
    *out = false;
    if (tval_is_integer(a) && tval_is_integer(b)) {
        *out = tval_integer(a) == tval_integer(b);
        return 0;
    }
    if (tval_is_number(a) && tval_is_number(b)) {
        *out = tval_double(a) == tval_double(b);
        return 0;
    }
    if (a.kind != b.kind)
        return 0;
    switch (a.kind) {
    case T_UNDEFINED:
    case T_NONE:
    case T_SELF:
        *out = true;
        return 0;
    case T_STRING:
        TRY(run_charge_bytes(r, a.s->len == b.s->len ? a.s->len : 0));
        *out = tstr_equal(a.s, b.s->data, b.s->len);
        return 0;
    case T_LIST:
    case T_DICT:
        *out = a.list == b.list;
        if (*out)
            return 0;
        TRY(run_enter(r));
        TRY(run_charge(r, 1));
        TRY(a.kind == T_LIST ? equal_lists(r, a.list, b.list, out)
                             : equal_dicts(r, a.dict, b.dict, out));
        run_leave(r);
        return 0;
    case T_BUILTIN:
        *out = a.bound->fn == b.bound->fn && a.bound->self.kind == b.bound->self.kind &&
               a.bound->self.i == b.bound->self.i;
        return 0;
    default:
        *out = a.dict == b.dict; /* the same object */
        return 0;
    }
}

static int compare_numbers(struct tval a, struct tval b)
{
    double x, y;

    if (tval_is_integer(a) && tval_is_integer(b)) {
        int64_t i = tval_integer(a), j = tval_integer(b);

        return i < j ? -1 : i > j;
    }
    x = tval_double(a);
    y = tval_double(b);
    return isnan(x) || isnan(y) ? 2 : x < y ? -1 : x > y;
}

static int compare_lists(struct render *r, const struct tlist *a, const struct tlist *b,
                         const char *op, int *out)
{
    size_t n = a->len < b->len ? a->len : b->len;

    for (size_t i = 0; i < n; i++) {
        bool same;

        TRY(tval_equal(r, a->items[i], b->items[i], &same));
        if (!same)
            return tval_compare(r, a->items[i], b->items[i], op, out);
    }
    *out = a->len < b->len ? -1 : a->len > b->len;
    return 0;
}

int tval_compare(struct render *r, struct tval a, struct tval b, const char *op, int *out)
{
    *out = 2;
    if (tval_is_number(a) && tval_is_number(b)) {
        *out = compare_numbers(a, b);
        return 0;
    }
    if (a.kind == T_UNDEFINED || b.kind == T_UNDEFINED)
        return tval_trip(r, a.kind == T_UNDEFINED ? a : b);
    if (a.kind == T_STRING && b.kind == T_STRING) {
        size_t n = a.s->len < b.s->len ? a.s->len : b.s->len;
        int c = n ? memcmp(a.s->data, b.s->data, n) : 0; /* UTF-8 sorts as its code points do */

        TRY(run_charge_bytes(r, n));
        *out = c ? c : a.s->len < b.s->len ? -1 : a.s->len > b.s->len;
        return 0;
    }
    if (a.kind == T_LIST && b.kind == T_LIST && a.list->flavour == b.list->flavour &&
        a.list->flavour <= LIST_TUPLE) {
        TRY(run_enter(r));
        TRY(run_charge(r, 1));
        TRY(compare_lists(r, a.list, b.list, op, out));
        run_leave(r);
        return 0;
    }
    return run_fail(r, "'%s' not supported between instances of '%s' and '%s'", op, tval_type(a),
                    tval_type(b));
}
