#include "inference/text/template/run.h"

#include <stdio.h>
#include <string.h>

#include "inference/text/template/lex.h"

int run_fail(struct render *r, const char *fmt, ...)
{
    char text[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return template_error(r->tpl, r->at, r->err, "%s", text);
}

int run_full(struct render *r)
{
    return err_set(r->err, ERR_LIMIT, "rendering the template needs more than %zu bytes of memory",
                   r->arena.limit_bytes);
}

void *run_alloc(struct render *r, size_t count, size_t size)
{
    void *p = arena_array(&r->arena, count, size);

    if (!p)
        run_full(r);
    return p;
}

int run_charge(struct render *r, size_t steps)
{
    if (steps > r->max_steps - r->steps)
        return err_set(r->err, ERR_LIMIT, "rendering the template takes more than %zu steps",
                       r->max_steps);
    r->steps += steps;
    return 0;
}

int run_charge_bytes(struct render *r, size_t bytes)
{
    return run_charge(r, bytes / 64);
}

int run_enter(struct render *r)
{
    if (++r->depth > RENDER_MAX_DEPTH)
        return err_set(r->err, ERR_LIMIT, "the template nests calls or values deeper than %d",
                       RENDER_MAX_DEPTH);
    return 0;
}

const struct builtin *builtin_find(const struct builtin *table, const char *name, size_t len)
{
    for (; table->name; table++) {
        if (strlen(table->name) == len && memcmp(table->name, name, len) == 0)
            return table;
    }
    return NULL;
}

const struct builtin *filter_find(const char *name, size_t len)
{
    const struct builtin *const tables[] = { template_string_filters, template_number_filters,
                                             template_list_filters, template_sort_filters };
    const struct builtin *b = NULL;

    for (size_t i = 0; i < sizeof tables / sizeof *tables && !b; i++)
        b = builtin_find(tables[i], name, len);
    return b;
}

const struct builtin *test_find(const char *name, size_t len)
{
    return builtin_find(template_tests, name, len);
}

/* Place of a name in "a b c"; -1 where it is not.  With name NULL: how many names there are. */
static int param_place(const char *params, const char *name, size_t len)
{
    int i = 0;

    for (const char *p = params; *p; i++) {
        size_t n = strcspn(p, " ");

        if (name && n == len && memcmp(p, name, len) == 0)
            return i;
        p += n + (p[n] == ' ');
    }
    return name ? -1 : i;
}

int builtin_call(struct render *r, const struct builtin *b, struct tval self, const struct args *a,
                 struct tval *out)
{
    struct tval v[BUILTIN_MAX_PARAMS] = { 0 };
    size_t n;

    if (!b->params)
        return b->fn(r, self, NULL, a, out);
    n = (size_t)param_place(b->params, NULL, 0);
    if (a->n_pos > n)
        return run_fail(r, "%s() takes at most %zu argument(s), %zu given", b->name, n, a->n_pos);
    for (size_t i = 0; i < a->n_pos; i++)
        v[i] = a->pos[i];
    for (size_t i = 0; i < a->n_kw; i++) {
        int at = param_place(b->params, a->kw[i].name, a->kw[i].len);

        if (at < 0)
            return run_fail(r, "%s() got an unexpected keyword argument '%.*s'", b->name,
                            (int)(a->kw[i].len < 60 ? a->kw[i].len : 60), a->kw[i].name);
        if (v[at].kind != T_MISSING)
            return run_fail(r, "%s() got multiple values for argument '%.*s'", b->name,
                            (int)a->kw[i].len, a->kw[i].name);
        v[at] = a->kw[i].value;
    }
    for (size_t i = 0; i < b->n_required; i++) {
        if (v[i].kind == T_MISSING)
            return run_fail(r, "%s() is missing required argument %zu", b->name, i + 1);
    }
    return b->fn(r, self, v, a, out);
}

int arg_string(struct render *r, struct tval v, const char *name, const struct tstr **out)
{
    if (v.kind == T_UNDEFINED)
        return tval_trip(r, v);
    if (v.kind != T_STRING)
        return run_fail(r, "argument '%s' must be str, not %s", name, tval_type(v));
    *out = v.s;
    return 0;
}

int arg_int(struct render *r, struct tval v, const char *name, int64_t *out)
{
    if (v.kind == T_UNDEFINED)
        return tval_trip(r, v);
    if (!tval_is_integer(v))
        return run_fail(r, "argument '%s' must be int, not %s", name, tval_type(v));
    *out = tval_integer(v);
    return 0;
}
