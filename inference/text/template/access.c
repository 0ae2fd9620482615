/* obj.name, obj[key], obj[a:b:c] as Jinja's immutable sandbox has them: what is missing is
 * undefined, and methods that would change a list or dict are undefined in a way that says so when
 * called. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "inference/text/template/run.h"

static const char *const changing_list[] = { "append", "clear",   "extend", "insert", "pop",
                                             "remove", "reverse", "sort",   NULL };
static const char *const changing_dict[] = {
    "clear", "pop", "popitem", "setdefault", "update", NULL
};

static bool listed(const char *const *names, const char *name, size_t len)
{
    for (; *names; names++) {
        if (strlen(*names) == len && memcmp(*names, name, len) == 0)
            return true;
    }
    return false;
}

/* *found: is there such a method? */
static int method(struct render *r, const struct builtin *table, const char *const *unsafe,
                  struct tval obj, const char *name, size_t len, bool *found, struct tval *out)
{
    const struct builtin *fn = builtin_find(table, name, len);
    struct tbound *bound;

    *found = true;
    if (unsafe && listed(unsafe, name, len))
        return tval_undefined(r, UNDEF_UNSAFE, name, len, tval_type(obj), out);
    *found = fn != NULL;
    if (!fn)
        return 0;
    bound = run_alloc(r, 1, sizeof *bound);
    if (!bound)
        return ERR_LIMIT;
    *bound = (struct tbound){ fn, obj };
    *out = (struct tval){ .kind = T_BUILTIN, .bound = bound };
    return 0;
}

static int find_attr(struct render *r, struct tval obj, const char *name, size_t len, bool *found,
                     struct tval *out)
{
    struct tstr text = { .data = name, .len = len };
    struct tval *value;

    *found = false;
    switch (obj.kind) {
    case T_STRING:
        TRY(method(r, template_str_methods, NULL, obj, name, len, found, out));
        if (!*found)
            TRY(method(r, template_str_searches, NULL, obj, name, len, found, out));
        return *found ? 0 : method(r, template_str_questions, NULL, obj, name, len, found, out);
    case T_DICT:
        return method(r, template_dict_methods, changing_dict, obj, name, len, found, out);
    case T_LIST:
        if (obj.list->flavour > LIST_RANGE)
            return 0;
        return method(r, template_list_methods,
                      obj.list->flavour == LIST_LIST ? changing_list : NULL, obj, name, len, found,
                      out);
    case T_LOOP:
        TRY(loop_attr(r, obj.loop, &text, found, out));
        return *found ? 0 : method(r, template_loop_methods, NULL, obj, name, len, found, out);
    case T_CYCLER:
        *found = tstr_is(&text, "current") && obj.cycler->len;
        if (*found)
            *out = obj.cycler->items[obj.cycler->pos];
        return *found ? 0 : method(r, template_cycler_methods, NULL, obj, name, len, found, out);
    case T_NAMESPACE:
        value = tdict_text(obj.dict, name, len);
        *found = value != NULL;
        if (value)
            *out = *value;
        return run_charge(r, obj.dict->len / 16);
    case T_SELF:
        for (const struct stmt *b = r->tpl->blocks; b && !*found; b = b->next_block) {
            *found = tstr_is(&text, b->name->name);
            if (*found)
                *out = (struct tval){ .kind = T_BLOCK, .block = b };
        }
        return 0;
    case T_MACRO:
        return macro_attr(r, obj.macro->def, &text, found, out);
    default:
        return 0;
    }
}

int get_attr(struct render *r, struct tval obj, const char *name, size_t len, struct tval *out)
{
    struct tval *value;
    bool found;

    if (obj.kind == T_UNDEFINED)
        return tval_trip(r, obj);
    TRY(find_attr(r, obj, name, len, &found, out));
    if (found)
        return 0;
    if (obj.kind == T_DICT) {
        TRY(run_charge(r, obj.dict->len / 16));
        value = tdict_text(obj.dict, name, len);
        if (value) {
            *out = *value;
            return 0;
        }
    }
    return tval_undefined(r, UNDEF_ATTRIBUTE, name, len, tval_type(obj), out);
}

/* Item i of a string, list, tuple or range, counted from the end when negative; *found if it is
 * there. */
static int element(struct render *r, struct tval obj, int64_t i, bool *found, struct tval *out)
{
    size_t n;

    TRY(tval_length(r, obj, &n));
    if (i < 0)
        i += (int64_t)n;
    *found = i >= 0 && (uint64_t)i < n;
    if (!*found)
        return 0;
    if (obj.kind == T_STRING) {
        size_t at = tstr_offset(obj.s, (size_t)i);
        uint32_t c;

        return tstr_slice(r, obj.s, at, at + tstr_char_at(obj.s, at, &c), out);
    }
    *out = obj.list->items[i];
    return 0;
}

static int no_element(struct render *r, struct tval obj, struct tval key, struct tval *out)
{
    struct tbuf b = { 0 };
    struct tval text;

    TRY(tval_repr(r, &b, key));
    TRY(tbuf_done(r, &b, &text));
    return tval_undefined(r, UNDEF_ELEMENT, text.s->data, text.s->len, tval_type(obj), out);
}

int get_item(struct render *r, struct tval obj, struct tval key, struct tval *out)
{
    bool found = false;
    struct tval *value = NULL;

    if (obj.kind == T_UNDEFINED)
        return tval_trip(r, obj);
    if (obj.kind == T_DICT && key.kind != T_DICT &&
        !(key.kind == T_LIST && key.list->flavour == LIST_LIST)) {
        TRY(tdict_find(r, obj.dict, key, &value));
        if (value) {
            *out = *value;
            return 0;
        }
    } else if (tval_is_integer(key) &&
               (obj.kind == T_STRING || (obj.kind == T_LIST && obj.list->flavour <= LIST_RANGE))) {
        TRY(element(r, obj, tval_integer(key), &found, out));
    } else if (obj.kind == T_LOOP && key.kind != T_STRING) {
        return no_element(r, obj, key, out);
    }
    if (found)
        return 0;
    if (key.kind != T_STRING)
        return no_element(r, obj, key, out);
    TRY(find_attr(r, obj, key.s->data, key.s->len, &found, out));
    if (found)
        return 0;
    return tval_undefined(r, UNDEF_ATTRIBUTE, key.s->data, key.s->len, tval_type(obj), out);
}

/* Bounds of a slice as Python's slice.indices() gives them: start, stop, step within 0 .. n (or
 * -1). */
static int slice_bounds(struct render *r, const struct tval bounds[3], int64_t n, int64_t out[3])
{
    int64_t step = 1, low, high;

    for (int i = 0; i < 3; i++) {
        if (bounds[i].kind != T_NONE && !tval_is_integer(bounds[i]))
            return run_fail(r, "slice indices must be integers or None, not %s",
                            tval_type(bounds[i]));
    }
    if (bounds[2].kind != T_NONE)
        step = tval_integer(bounds[2]);
    if (step == 0)
        return run_fail(r, "slice step cannot be zero");
    low = step < 0 ? -1 : 0;
    high = step < 0 ? n - 1 : n;
    for (int i = 0; i < 2; i++) {
        int64_t v;

        if (bounds[i].kind == T_NONE) {
            out[i] = (i == 0) == (step > 0) ? low : high;
            continue;
        }
        v = tval_integer(bounds[i]);
        if (v < 0)
            v = v < -n ? low : v + n;
        out[i] = v < low ? low : v > high ? high : v;
    }
    out[2] = step;
    return 0;
}

static int slice_string(struct render *r, const struct tstr *s, const int64_t b[3], size_t count,
                        struct tval *out)
{
    struct tbuf text = { .markup = s->markup };
    size_t start = tstr_offset(s, b[0] < 0 ? 0 : (size_t)b[0]), *at;

    if (b[2] == 1 || count == 0) {
        struct tstr rest = { .data = s->data + start, .len = s->len - start };

        return tstr_slice(r, s, start, start + tstr_offset(&rest, count), out);
    }
    at = run_alloc(r, s->len + 1, sizeof *at); /* where each character starts */
    if (!at)
        return ERR_LIMIT;
    for (size_t i = 0, n = 0; i < s->len; n++) {
        uint32_t c;

        at[n] = i;
        i += tstr_char_at(s, i, &c);
    }
    for (size_t i = 0; i < count; i++) {
        size_t from = at[b[0] + (int64_t)i * b[2]];
        uint32_t c;

        tbuf_put(r, &text, s->data + from, tstr_char_at(s, from, &c), false);
    }
    return tbuf_derived(r, &text, tstr_tainted(s), out);
}

int get_slice(struct render *r, struct tval obj, const struct tval bounds[3], struct tval *out)
{
    int64_t b[3] = { 0, 0, 1 };
    size_t n, count = 0;

    if (obj.kind == T_UNDEFINED)
        return tval_trip(r, obj);
    if (obj.kind != T_STRING && !(obj.kind == T_LIST && obj.list->flavour <= LIST_RANGE))
        return run_fail(r, "'%s' object cannot be sliced", tval_type(obj));
    TRY(tval_length(r, obj, &n));
    TRY(slice_bounds(r, bounds, (int64_t)n, b));
    if (b[2] > 0 && b[0] < b[1])
        count = (size_t)((b[1] - b[0] - 1) / b[2]) + 1;
    else if (b[2] < 0 && b[1] < b[0])
        count = (size_t)((b[0] - b[1] - 1) / (b[2] == INT64_MIN ? INT64_MAX : -b[2])) + 1;
    TRY(run_charge(r, count / 16));
    if (obj.kind == T_STRING)
        return slice_string(r, obj.s, b, count, out);
    TRY(tval_list(r, obj.list->flavour, count, out));
    if (obj.list->flavour == LIST_RANGE) {
        const int64_t *from = obj.list->range;
        int64_t *to = out->list->range;

        if (__builtin_mul_overflow(from[2], b[0], &to[0]) ||
            __builtin_add_overflow(from[0], to[0], &to[0]) ||
            __builtin_mul_overflow(from[2], b[1], &to[1]) ||
            __builtin_add_overflow(from[0], to[1], &to[1]) ||
            __builtin_mul_overflow(from[2], b[2], &to[2]))
            return run_fail(r, "integers beyond 64 bits are not offered");
    }
    for (size_t i = 0; i < count; i++)
        out->list->items[i] = obj.list->items[b[0] + (int64_t)i * b[2]];
    return 0;
}

static int step(struct render *r, struct tval *at, struct tval key, struct tval fallback)
{
    TRY(get_item(r, *at, key, at));
    if (at->kind == T_UNDEFINED && fallback.kind != T_MISSING && fallback.kind != T_NONE)
        *at = fallback;
    return 0;
}

int get_key(struct render *r, const struct tstr *s, size_t start, size_t end, struct tval *out)
{
    bool number = end > start && end - start < 10;
    int64_t index = 0;

    for (size_t i = start; i < end && number; i++) {
        number = s->data[i] >= '0' && s->data[i] <= '9';
        index = index * 10 + (s->data[i] - '0');
    }
    *out = tval_int(index);
    return number ? 0 : tstr_slice(r, s, start, end, out);
}

int get_path_or(struct render *r, struct tval obj, struct tval path, struct tval fallback,
                struct tval *out)
{
    size_t start = 0;

    *out = obj;
    if (path.kind == T_MISSING || path.kind == T_NONE)
        return 0;
    if (path.kind != T_STRING)
        return step(r, out, path, fallback);
    while (start <= path.s->len) {
        size_t end = tstr_find(path.s, ".", 1, start);
        struct tval part;

        if (end == SIZE_MAX)
            end = path.s->len;
        TRY(get_key(r, path.s, start, end, &part));
        TRY(step(r, out, part, fallback));
        start = end + 1;
    }
    return 0;
}

int get_path(struct render *r, struct tval obj, struct tval path, struct tval *out)
{
    return get_path_or(r, obj, path, (struct tval){ .kind = T_MISSING }, out);
}
