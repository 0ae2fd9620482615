/* Global functions of a chat template, and the methods of the objects that they make. */
#include <stdio.h>
#include <string.h>

#include "inference/text/template/run.h"

enum { MAX_RANGE = 100000 }; /* as in Jinja's sandbox */

static int global_range(BUILTIN_ARGS)
{
    int64_t start = 0, stop, step = 1, n = 0;

    TRY(arg_int(r, v[0], "start", &stop));
    if (v[1].kind != T_MISSING) {
        start = stop;
        TRY(arg_int(r, v[1], "stop", &stop));
    }
    if (v[2].kind != T_MISSING)
        TRY(arg_int(r, v[2], "step", &step));
    if (step == 0)
        return run_fail(r, "range() arg 3 must not be zero");
    if (step > 0 ? start < stop : start > stop) {
        uint64_t gap =
            step > 0 ? (uint64_t)stop - (uint64_t)start : (uint64_t)start - (uint64_t)stop;
        uint64_t by = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;

        if ((gap - 1) / by >= MAX_RANGE)
            return run_fail(r, "Range too big. The sandbox blocks ranges larger than %d.",
                            MAX_RANGE);
        n = (int64_t)((gap - 1) / by) + 1;
    }
    TRY(tval_list(r, LIST_RANGE, (size_t)n, out));
    for (int64_t i = 0; i < n; i++)
        out->list->items[i] = tval_int(start + i * step);
    out->list->range[0] = start;
    out->list->range[1] = stop;
    out->list->range[2] = step;
    return run_charge(r, (size_t)n / 16);
}

/* dict(mapping, k=v), also the beginning of namespace(): copies, then the keywords. */
static int global_dict(BUILTIN_ARGS)
{
    if (a->n_pos > 1)
        return run_fail(r, "dict expected at most 1 argument, got %zu", a->n_pos);
    if (a->n_pos && a->pos[0].kind == T_UNDEFINED)
        return tval_trip(r, a->pos[0]);
    TRY(tval_dict(r, a->n_kw, out));
    if (a->n_pos && a->pos[0].kind == T_DICT) {
        for (size_t i = 0; i < a->pos[0].dict->len; i++)
            TRY(tdict_set(r, out->dict, a->pos[0].dict->pairs[i].key,
                          a->pos[0].dict->pairs[i].value));
    } else if (a->n_pos) {
        struct tval *pairs, *two;
        size_t n, len;

        TRY(tval_iterate(r, a->pos[0], &pairs, &n));
        for (size_t i = 0; i < n; i++) {
            TRY(tval_iterate(r, pairs[i], &two, &len));
            if (len != 2)
                return run_fail(r,
                                "dictionary update sequence element #%zu has length %zu; 2 is "
                                "required",
                                i, len);
            TRY(tdict_set(r, out->dict, two[0], two[1]));
        }
    }
    for (size_t i = 0; i < a->n_kw; i++) {
        struct tval key;

        TRY(tstr_borrow(r, a->kw[i].name, a->kw[i].len, false, &key));
        TRY(tdict_set(r, out->dict, key, a->kw[i].value));
    }
    return 0;
}

static int global_namespace(BUILTIN_ARGS)
{
    TRY(global_dict(r, self, v, a, out));
    out->kind = T_NAMESPACE;
    return 0;
}

static int global_cycler(BUILTIN_ARGS)
{
    struct tcycler *c = run_alloc(r, 1, sizeof *c);

    if (!c)
        return ERR_LIMIT;
    if (!a->n_pos || a->n_kw)
        return run_fail(r, "at least one item has to be provided");
    *c = (struct tcycler){ a->pos, a->n_pos, 0 };
    *out = (struct tval){ .kind = T_CYCLER, .cycler = c };
    return 0;
}

static int global_joiner(BUILTIN_ARGS)
{
    struct tcycler *j = run_alloc(r, 1, sizeof *j);

    if (!j)
        return ERR_LIMIT;
    j->items = run_alloc(r, 2, sizeof *j->items);
    if (!j->items)
        return ERR_LIMIT;
    j->len = 2;
    TRY(tstr_borrow(r, "", 0, false, &j->items[0]));
    j->items[1] = v[0];
    if (v[0].kind == T_MISSING)
        TRY(tstr_borrow(r, ", ", 2, false, &j->items[1]));
    *out = (struct tval){ .kind = T_JOINER, .cycler = j };
    return 0;
}

/* The template's own complaint, for the client to read: one line, as it stands. */
static int global_raise(BUILTIN_ARGS)
{
    const struct tstr *message;
    char text[sizeof r->err->text];
    size_t n;

    TRY(tval_string(r, v[0], &message));
    n = message->len < sizeof text ? message->len : sizeof text - 1;
    for (size_t i = 0; i < n; i++)
        text[i] = message->data[i] == '\n' || message->data[i] == '\0' ? ' ' : message->data[i];
    if (n == 0)
        return err_set(r->err, ERR_INVALID, "the chat template refuses this without saying why");
    return err_set(r->err, ERR_INVALID, "%.*s", (int)n, text);
}

static int global_strftime(BUILTIN_ARGS)
{
    const struct tstr *fmt;
    char text[1024], *copy;
    struct tm tm;
    size_t n;

    TRY(arg_string(r, v[0], "format", &fmt));
    copy = arena_strndup(&r->arena, fmt->data, fmt->len);
    if (!copy)
        return run_full(r);
    if (fmt->len > 256 || !localtime_r(&r->now, &tm))
        return run_fail(r, "the format of strftime_now is too long");
    n = strftime(text, sizeof text, copy, &tm);
    if (n == 0 && fmt->len)
        text[0] = '\0'; /* formats such as %p may give nothing */
    return tstr_copy(r, text, n, tstr_tainted(fmt), out);
}

const struct builtin template_globals[] = {
    { "range", global_range, "start stop step", 1 },
    { "namespace", global_namespace, NULL, 0 },
    { "dict", global_dict, NULL, 0 },
    { "cycler", global_cycler, NULL, 0 },
    { "joiner", global_joiner, "sep", 0 },
    { "raise_exception", global_raise, "message", 1 },
    { "strftime_now", global_strftime, "format", 1 },
    { NULL, NULL, NULL, 0 },
};

static int cycler_next(BUILTIN_ARGS)
{
    struct tcycler *c = self.cycler;

    *out = c->items[c->pos];
    c->pos = (c->pos + 1) % c->len;
    return 0;
}

static int cycler_reset(BUILTIN_ARGS)
{
    self.cycler->pos = 0;
    *out = tval_none();
    return 0;
}

const struct builtin template_cycler_methods[] = {
    { "next", cycler_next, "", 0 },
    { "reset", cycler_reset, "", 0 },
    { NULL, NULL, NULL, 0 },
};
