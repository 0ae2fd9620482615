/* Methods of str that look for something in it. */
#include <string.h>

#include "inference/text/template/textops.h"

/* The three parts of [.. at)[at .. at + len)[.. end). */
static int three_parts(struct render *r, const struct tstr *s, size_t at, size_t len,
                       struct tval *out)
{
    TRY(tval_list(r, LIST_TUPLE, 3, out));
    TRY(tstr_slice(r, s, 0, at, &out->list->items[0]));
    TRY(tstr_slice(r, s, at, at + len, &out->list->items[1]));
    return tstr_slice(r, s, at + len, s->len, &out->list->items[2]);
}

/* Last occurrence in [from, to), SIZE_MAX if none. */
static size_t find_last(const struct tstr *s, const struct tstr *what, size_t from, size_t to)
{
    for (size_t at = to; at >= from + what->len; at--) {
        if (what->len == 0 || memcmp(s->data + at - what->len, what->data, what->len) == 0)
            return at - what->len;
        if (at == 0)
            break;
    }
    return SIZE_MAX;
}

static int str_partition(BUILTIN_ARGS)
{
    const struct tstr *sep;
    size_t at;

    TRY(arg_string(r, v[0], "sep", &sep));
    if (!sep->len)
        return run_fail(r, "empty separator");
    TRY(run_charge_bytes(r, self.s->len));
    at = tstr_find(self.s, sep->data, sep->len, 0);
    return at == SIZE_MAX ? three_parts(r, self.s, self.s->len, 0, out)
                          : three_parts(r, self.s, at, sep->len, out);
}

static int str_rpartition(BUILTIN_ARGS)
{
    const struct tstr *sep;
    size_t at;

    TRY(arg_string(r, v[0], "sep", &sep));
    if (!sep->len)
        return run_fail(r, "empty separator");
    TRY(run_charge_bytes(r, self.s->len));
    at = find_last(self.s, sep, 0, self.s->len);
    return at == SIZE_MAX ? three_parts(r, self.s, 0, 0, out)
                          : three_parts(r, self.s, at, sep->len, out);
}

/* The bytes that the character positions [start, end) of a call's arguments mean. */
static int part(struct render *r, const struct tstr *s, struct tval start, struct tval end,
                size_t *from, size_t *to)
{
    int64_t n, i = 0, j;

    TRY(run_charge_bytes(r, s->len));
    n = (int64_t)tstr_chars(s);
    j = n;
    if (start.kind != T_MISSING && start.kind != T_NONE)
        TRY(arg_int(r, start, "start", &i));
    if (end.kind != T_MISSING && end.kind != T_NONE)
        TRY(arg_int(r, end, "end", &j));
    i = i < 0 ? (i < -n ? 0 : i + n) : i;
    j = j < 0 ? (j < -n ? 0 : j + n) : j > n ? n : j;
    *from = i > n ? SIZE_MAX : tstr_offset(s, (size_t)i); /* behind the end not even '' is found */
    *to = tstr_offset(s, (size_t)j);
    return 0;
}

static int find(struct render *r, const struct tstr *s, const struct tval *v, bool last,
                int64_t *out)
{
    const struct tstr *what;
    struct tstr head = *s;
    size_t from, to, at = SIZE_MAX;

    *out = -1;
    TRY(arg_string(r, v[0], "sub", &what));
    TRY(part(r, s, v[1], v[2], &from, &to));
    if (from > to)
        return 0;
    head.len = to;
    at = last ? find_last(&head, what, from, to) : tstr_find(&head, what->data, what->len, from);
    if (at == SIZE_MAX)
        return 0;
    head.len = at;
    *out = (int64_t)tstr_chars(&head);
    return 0;
}

static int find_result(struct render *r, const struct tstr *s, const struct tval *v, bool last,
                       bool must, struct tval *out)
{
    int64_t at;

    TRY(find(r, s, v, last, &at));
    if (must && at < 0)
        return run_fail(r, "substring not found");
    *out = tval_int(at);
    return 0;
}

static int str_find(BUILTIN_ARGS)
{
    return find_result(r, self.s, v, false, false, out);
}

static int str_rfind(BUILTIN_ARGS)
{
    return find_result(r, self.s, v, true, false, out);
}

static int str_index(BUILTIN_ARGS)
{
    return find_result(r, self.s, v, false, true, out);
}

static int str_rindex(BUILTIN_ARGS)
{
    return find_result(r, self.s, v, true, true, out);
}

static int str_count(BUILTIN_ARGS)
{
    const struct tstr *what;
    struct tstr head = *self.s;
    size_t from, to;
    int64_t n = 0;

    TRY(arg_string(r, v[0], "sub", &what));
    TRY(part(r, self.s, v[1], v[2], &from, &to));
    head.len = to;
    if (from <= to && what->len == 0) {
        head.data += from;
        head.len -= from;
        *out = tval_int((int64_t)tstr_chars(&head) + 1);
        return 0;
    }
    while (from <= to && (from = tstr_find(&head, what->data, what->len, from)) != SIZE_MAX) {
        n++;
        from += what->len;
    }
    *out = tval_int(n);
    return 0;
}

/* startswith and endswith: the argument is a string or a tuple of them. */
static int affix(struct render *r, const struct tstr *s, const struct tval *v, bool at_end,
                 struct tval *out)
{
    struct tval one = v[0];
    const struct tval *list = &one;
    size_t n = 1, from, to;

    TRY(part(r, s, v[1], v[2], &from, &to));
    if (v[0].kind == T_LIST && v[0].list->flavour == LIST_TUPLE) {
        list = v[0].list->items;
        n = v[0].list->len;
    }
    *out = tval_bool(false);
    for (size_t i = 0; i < n && !out->b; i++) {
        const struct tstr *x;

        TRY(arg_string(r, list[i], at_end ? "suffix" : "prefix", &x));
        if (from <= to && x->len <= to - from)
            out->b = memcmp(s->data + (at_end ? to - x->len : from), x->data, x->len) == 0;
    }
    return 0;
}

static int str_startswith(BUILTIN_ARGS)
{
    return affix(r, self.s, v, false, out);
}

static int str_endswith(BUILTIN_ARGS)
{
    return affix(r, self.s, v, true, out);
}

const struct builtin template_str_searches[] = {
    { "find", str_find, "sub start end", 1 },
    { "rfind", str_rfind, "sub start end", 1 },
    { "index", str_index, "sub start end", 1 },
    { "rindex", str_rindex, "sub start end", 1 },
    { "count", str_count, "sub start end", 1 },
    { "startswith", str_startswith, "prefix start end", 1 },
    { "endswith", str_endswith, "suffix start end", 1 },
    { "partition", str_partition, "sep", 1 },
    { "rpartition", str_rpartition, "sep", 1 },
    { NULL, NULL, NULL, 0 },
};
