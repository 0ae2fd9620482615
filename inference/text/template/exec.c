/* Statements: output, assignments, scopes. */
#include "inference/text/template/run.h"

#include <string.h>

int scope_set(struct render *r, const struct symbol *name, struct tval v)
{
    struct scope *s = r->scope;

    for (size_t i = 0; i < s->len; i++) {
        if (s->vars[i].name == name) {
            s->vars[i].value = v;
            return 0;
        }
    }
    if (s->len == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 4;
        struct binding *p = run_alloc(r, cap, sizeof *p);

        if (!p)
            return ERR_LIMIT;
        if (s->len)
            memcpy(p, s->vars, s->len * sizeof *p);
        s->vars = p;
        s->cap = cap;
    }
    s->vars[s->len++] = (struct binding){ name, v };
    return run_charge(r, s->len / 16);
}

int scope_hide(struct render *r, const struct late *names)
{
    for (size_t i = 0; i < names->n; i++) {
        bool has = false;

        for (size_t k = 0; k < r->scope->len && !has; k++)
            has = r->scope->vars[k].name == names->names[i];
        if (!has)
            TRY(scope_set(r, names->names[i], (struct tval){ .kind = T_MISSING }));
    }
    return 0;
}

/* The value that a scope gives a name; T_MISSING: one hides it; NULL: none knows it. */
static const struct tval *in_scopes(const struct render *r, const struct symbol *name, size_t *seen)
{
    bool from_block = false;

    for (const struct scope *s = r->scope; s; s = s->parent) {
        for (size_t i = 0; i < s->len; i++) {
            if (s->vars[i].name == name && !(from_block && s->vars[i].value.kind == T_MISSING))
                return &s->vars[i].value;
        }
        *seen += s->len + 1;
        from_block |= s->block;
    }
    return NULL;
}

int lookup(struct render *r, const struct symbol *name, struct tval *out)
{
    const struct builtin *fn;
    size_t seen = 0;
    const struct tval *v = in_scopes(r, name, &seen);

    if (v) {
        TRY(run_charge(r, seen / 16));
        *out = *v;
        return v->kind == T_MISSING
                   ? tval_undefined(r, UNDEF_NAME, name->name, name->len, NULL, out)
                   : 0;
    }
    TRY(run_charge(r, (seen + r->context->len) / 16));
    v = tdict_text(r->context, name->name, name->len);
    if (v) {
        *out = *v;
        return 0;
    }
    fn = builtin_find(template_globals, name->name, name->len);
    if (fn) {
        struct tbound *bound = run_alloc(r, 1, sizeof *bound);

        if (!bound)
            return ERR_LIMIT;
        *bound = (struct tbound){ fn, tval_none() };
        *out = (struct tval){ .kind = T_BUILTIN, .bound = bound };
        return 0;
    }
    if (strcmp(name->name, "self") == 0) {
        *out = (struct tval){ .kind = T_SELF };
        return 0;
    }
    return tval_undefined(r, UNDEF_NAME, name->name, name->len, NULL, out);
}

int exec_scoped(struct render *r, const struct stmt *body, const struct late *hidden,
                enum flow *flow)
{
    struct scope scope = { .parent = r->scope }, *own;

    own = run_alloc(r, 1, sizeof *own); /* a macro defined inside may outlive this call */
    if (!own)
        return ERR_LIMIT;
    *own = scope;
    r->scope = own;
    TRY(scope_hide(r, hidden));
    TRY(exec(r, body, flow));
    r->scope = own->parent;
    return 0;
}

/* Runs the body of s in a scope of its own and gives what it printed. */
static int capture(struct render *r, const struct stmt *s, enum flow *flow, struct tval *out)
{
    struct tbuf text = { 0 }, *outer = r->out;

    r->out = &text;
    TRY(exec_scoped(r, s->body, &s->late, flow));
    r->out = outer;
    return tbuf_done(r, &text, out);
}

/* A block's scope lies in that of the template, or, being `scoped`, in the current one. */
static int exec_block(struct render *r, const struct stmt *s, bool scoped)
{
    struct scope *outer = r->scope, *own = run_alloc(r, 1, sizeof *own);
    enum flow flow;

    if (!own)
        return ERR_LIMIT;
    *own = (struct scope){ .parent = scoped ? outer : r->root, .block = true };
    r->scope = own;
    TRY(run_enter(r));
    TRY(scope_hide(r, &s->late));
    TRY(exec(r, s->body, &flow));
    run_leave(r);
    r->scope = outer;
    return 0;
}

int call_block(struct render *r, const struct stmt *block, struct tval *out)
{
    struct tbuf text = { 0 }, *outer = r->out;

    r->out = &text;
    TRY(exec_block(r, block, false));
    r->out = outer;
    return tbuf_done(r, &text, out);
}

static int unpack(struct render *r, const struct target *t, struct tval v)
{
    struct tval *items;
    size_t n;

    TRY(run_enter(r));
    if (v.kind == T_UNDEFINED)
        return tval_trip(r, v);
    TRY(tval_iterate(r, v, &items, &n));
    if (n != t->n)
        return run_fail(r,
                        n < t->n ? "not enough values to unpack (expected %zu, got %zu)"
                                 : "too many values to unpack (expected %zu, got %zu)",
                        t->n, n);
    for (size_t i = 0; i < n; i++)
        TRY(assign(r, t->items[i], items[i]));
    run_leave(r);
    return 0;
}

int assign(struct render *r, const struct target *t, struct tval v)
{
    struct tval object, key;

    r->at = t->at;
    switch (t->kind) {
    case TARGET_NAME:
        return scope_set(r, t->name, v);
    case TARGET_TUPLE:
        return unpack(r, t, v);
    default:
        TRY(lookup(r, t->name, &object));
        if (object.kind != T_NAMESPACE)
            return run_fail(r, "cannot assign attribute on non-namespace object");
        TRY(tstr_borrow(r, t->attr->name, t->attr->len, false, &key));
        return tdict_set(r, object.dict, key, v);
    }
}

/* Applies a filter chain whose innermost operand is what a block printed. */
static int apply_filters(struct render *r, const struct expr *x, struct tval *text)
{
    struct args a;

    if (!x)
        return 0;
    TRY(run_enter(r));
    TRY(apply_filters(r, x->a, text));
    run_leave(r);
    TRY(eval_args(r, x->args, &a));
    r->at = x->at;
    if (!x->fn)
        return run_fail(r, "No filter named '%s'.", x->name->name);
    return builtin_call(r, x->fn, *text, &a, text);
}

/* {% call(params) macro(args) %}body{% endcall %}: the body becomes the macro's caller(). */
static int exec_call(struct render *r, const struct stmt *s)
{
    struct tval fn, text;
    struct args a;
    struct kwarg *kw;

    TRY(eval(r, s->value->a, &fn));
    TRY(eval_args(r, s->value->args, &a));
    kw = run_alloc(r, a.n_kw + 1, sizeof *kw);
    if (!kw)
        return ERR_LIMIT;
    if (a.n_kw)
        memcpy(kw, a.kw, a.n_kw * sizeof *kw);
    kw[a.n_kw] = (struct kwarg){ .name = "caller", .len = 6 };
    TRY(make_macro(r, s, &kw[a.n_kw].value));
    a.kw = kw;
    a.n_kw++;
    r->at = s->at;
    TRY(call_value(r, fn, &a, &text));
    return tval_print(r, r->out, text);
}

static int exec_with(struct render *r, const struct stmt *s, enum flow *flow)
{
    struct scope *outer = r->scope, *own = run_alloc(r, 1, sizeof *own);

    if (!own)
        return ERR_LIMIT;
    own->parent = outer;
    for (size_t i = 0; i < s->n_targets; i++) {
        struct tval v;

        TRY(eval(r, s->values[i], &v));
        r->scope = own;
        TRY(assign(r, s->targets[i], v));
        r->scope = outer;
    }
    r->scope = own;
    TRY(scope_hide(r, &s->late));
    TRY(exec(r, s->body, flow));
    r->scope = outer;
    return 0;
}

static int exec_one(struct render *r, const struct stmt *s, enum flow *flow)
{
    struct tval v;

    switch (s->kind) {
    case STMT_TEXT:
        tbuf_str(r, r->out, &s->text);
        return 0;
    case STMT_PRINT:
        TRY(eval(r, s->value, &v));
        r->at = s->at;
        return tval_print(r, r->out, v);
    case STMT_IF:
        for (size_t i = 0; i < s->n_branches; i++) {
            v = tval_bool(true);
            if (s->branches[i].condition)
                TRY(eval(r, s->branches[i].condition, &v));
            if (tval_truth(v))
                return exec(r, s->branches[i].body, flow);
        }
        return 0;
    case STMT_FOR:
        TRY(eval(r, s->value, &v));
        r->at = s->at;
        return run_loop(r, s, v, 0);
    case STMT_SET:
        TRY(eval(r, s->value, &v));
        return assign(r, s->target, v);
    case STMT_SET_BLOCK:
    case STMT_FILTER:
        TRY(capture(r, s, flow, &v));
        TRY(apply_filters(r, s->value, &v));
        if (s->target)
            return assign(r, s->target, v);
        if (v.kind != T_STRING) /* Jinja puts it between strings without turning it into one */
            return run_fail(r, "expected str instance, %s found", tval_type(v));
        return tval_print(r, r->out, v);
    case STMT_MACRO:
        TRY(make_macro(r, s, &v));
        return scope_set(r, s->name, v);
    case STMT_CALL:
        return exec_call(r, s);
    case STMT_WITH:
        return exec_with(r, s, flow);
    case STMT_BLOCK:
        return exec_block(r, s, s->scoped);
    case STMT_BREAK:
        *flow = FLOW_BREAK;
        return 0;
    case STMT_CONTINUE:
        *flow = FLOW_CONTINUE;
        return 0;
    }
    return run_fail(r, "a statement of unknown kind");
}

int exec(struct render *r, const struct stmt *s, enum flow *flow)
{
    int rc = run_enter(r);

    *flow = FLOW_NEXT;
    for (; rc == 0 && s && *flow == FLOW_NEXT; s = s->next) {
        rc = run_charge(r, 1);
        if (rc)
            break;
        r->at = s->at;
        rc = exec_one(r, s, flow);
        if (rc == 0 && r->out->failed)
            rc = run_full(r);
    }
    run_leave(r);
    return rc;
}
