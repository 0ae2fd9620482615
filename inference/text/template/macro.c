/* Calls of macros: arguments to parameters, and the body in a scope inside the one it was defined
 * in. */
#include "inference/text/template/run.h"

#include <string.h>

/* Parameter i of a macro from the arguments; *kw_used counts keywords that were taken. */
static int bind_param(struct render *r, const struct stmt *def, size_t i, const struct args *a,
                      size_t *kw_used)
{
    const struct param *p = &def->params[i];
    const struct kwarg *k = NULL;
    struct tval v;

    for (size_t j = 0; j < a->n_kw; j++) {
        if (a->kw[j].len == p->name->len && memcmp(a->kw[j].name, p->name->name, a->kw[j].len) == 0)
            k = &a->kw[j];
    }
    if (k && i < a->n_pos)
        return run_fail(r, "got multiple values for argument '%s'", p->name->name);
    if (k) {
        v = k->value;
        ++*kw_used;
    } else if (i < a->n_pos) {
        v = a->pos[i];
    } else if (p->fallback) {
        TRY(eval(r, p->fallback, &v));
    } else {
        TRY(tval_hint(r, "a parameter of the macro was not provided", &v));
    }
    return scope_set(r, p->name, v);
}

static bool is_param(const struct stmt *def, const struct kwarg *k)
{
    for (size_t i = 0; i < def->n_params; i++) {
        const struct symbol *s = def->params[i].name;

        if (s->len == k->len && memcmp(s->name, k->name, k->len) == 0)
            return true;
    }
    return false;
}

/* varargs, kwargs and caller, where the macro's body mentions them. */
static int bind_rest(struct render *r, const struct stmt *def, const struct args *a, size_t kw_left)
{
    struct tval rest, caller = { .kind = T_MISSING };
    size_t extra = a->n_pos > def->n_params ? a->n_pos - def->n_params : 0;

    TRY(tval_dict(r, kw_left, &rest));
    for (size_t i = 0; i < a->n_kw; i++) {
        struct tval key;

        if (is_param(def, &a->kw[i]))
            continue;
        if ((def->uses & USES_CALLER) && a->kw[i].len == 6 &&
            memcmp(a->kw[i].name, "caller", 6) == 0) {
            caller = a->kw[i].value;
            continue;
        }
        if (!(def->uses & USES_KWARGS))
            return run_fail(r, "macro takes no keyword argument '%.*s'", (int)a->kw[i].len,
                            a->kw[i].name);
        TRY(tstr_borrow(r, a->kw[i].name, a->kw[i].len, false, &key));
        TRY(tdict_set(r, rest.dict, key, a->kw[i].value));
    }
    if (def->uses & USES_KWARGS)
        TRY(scope_set(r, r->tpl->sym_kwargs, rest));
    if (def->uses & USES_CALLER) {
        if (caller.kind == T_MISSING)
            TRY(tval_hint(r, "No caller defined", &caller));
        TRY(scope_set(r, r->tpl->sym_caller, caller));
    }
    if (extra && !(def->uses & USES_VARARGS))
        return run_fail(r, "macro takes not more than %zu argument(s)", def->n_params);
    if (def->uses & USES_VARARGS) {
        TRY(tval_list(r, LIST_TUPLE, extra, &rest));
        for (size_t i = 0; i < extra; i++)
            rest.list->items[i] = a->pos[def->n_params + i];
        TRY(scope_set(r, r->tpl->sym_varargs, rest));
    }
    return 0;
}

int call_macro(struct render *r, const struct tmacro *m, const struct args *a, struct tval *out)
{
    struct scope *scope = r->scope, *own = run_alloc(r, 1, sizeof *own);
    struct tbuf text = { 0 }, *outer = r->out;
    enum flow flow = FLOW_NEXT;
    size_t kw_used = 0;

    if (!own)
        return ERR_LIMIT;
    TRY(run_enter(r));
    own->parent = m->closure;
    r->scope = own;
    for (size_t i = 0; i < m->def->n_params; i++)
        TRY(bind_param(r, m->def, i, a, &kw_used));
    TRY(bind_rest(r, m->def, a, a->n_kw > kw_used ? a->n_kw - kw_used : 0));
    TRY(scope_hide(r, &m->def->late));
    r->out = &text;
    TRY(exec(r, m->def->body, &flow));
    r->out = outer;
    r->scope = scope;
    run_leave(r);
    return tbuf_done(r, &text, out);
}

int make_macro(struct render *r, const struct stmt *s, struct tval *out)
{
    struct tmacro *m = run_alloc(r, 1, sizeof *m);

    if (!m)
        return ERR_LIMIT;
    *m = (struct tmacro){ s, r->scope };
    *out = (struct tval){ .kind = T_MACRO, .macro = m };
    return 0;
}

/* A name, or None for the macro that a call block makes. */
static int name_value(struct render *r, const struct symbol *name, struct tval *out)
{
    *out = tval_none();
    return name ? tstr_borrow(r, name->name, name->len, false, out) : 0;
}

int macro_attr(struct render *r, const struct stmt *def, const struct tstr *name, bool *found,
               struct tval *out)
{
    static const struct {
        const char *name;
        unsigned use;
    } flags[] = { { "catch_varargs", USES_VARARGS },
                  { "catch_kwargs", USES_KWARGS },
                  { "caller", USES_CALLER } };

    *found = true;
    if (tstr_is(name, "name"))
        return name_value(r, def->name, out);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (tstr_is(name, flags[i].name)) {
            *out = tval_bool(def->uses & flags[i].use);
            return 0;
        }
    }
    *found = tstr_is(name, "arguments");
    if (!*found)
        return 0;
    TRY(tval_list(r, LIST_TUPLE, def->n_params, out));
    for (size_t i = 0; i < def->n_params; i++)
        TRY(name_value(r, def->params[i].name, &out->list->items[i]));
    return 0;
}
