/* Expressions to values. */
#include "inference/text/template/run.h"

#include <string.h>

static bool is_plain(struct tval v)
{
    return v.kind == T_STRING && !v.s->markup;
}

static int eval_chain(struct render *r, const struct expr *x, struct tval *out)
{
    TRY(eval(r, x->first, out));
    for (size_t i = 0; i < x->n_operands; i++) {
        const struct operand *o = &x->operands[i];
        struct tbuf text = { 0 };
        struct tval b;

        TRY(eval(r, o->value, &b));
        r->at = x->at;
        if (o->op != OP_ADD || !is_plain(*out) || !is_plain(b)) {
            TRY(op_binary(r, o->op, *out, b, out));
            continue;
        }
        tbuf_str(r, &text, out->s); /* a + b + c of strings: put together once */
        tbuf_str(r, &text, b.s);
        while (i + 1 < x->n_operands && x->operands[i + 1].op == OP_ADD) {
            TRY(eval(r, x->operands[i + 1].value, &b));
            i++;
            r->at = x->at;
            if (!is_plain(b))
                break;
            tbuf_str(r, &text, b.s);
        }
        TRY(tbuf_done(r, &text, out));
        if (!is_plain(b))
            TRY(op_binary(r, OP_ADD, *out, b, out));
    }
    return 0;
}

static int eval_compare(struct render *r, const struct expr *x, struct tval *out)
{
    struct tval a, b;
    bool yes = true;

    TRY(eval(r, x->first, &a));
    for (size_t i = 0; i < x->n_operands && yes; i++) {
        TRY(eval(r, x->operands[i].value, &b));
        r->at = x->at;
        TRY(op_compare(r, x->operands[i].op, a, b, &yes));
        a = b;
    }
    *out = tval_bool(yes);
    return 0;
}

static int eval_list(struct render *r, const struct expr *x, struct tval *out)
{
    TRY(tval_list(r, x->kind == EXPR_LIST ? LIST_LIST : LIST_TUPLE, x->n, out));
    for (size_t i = 0; i < x->n; i++)
        TRY(eval(r, x->items[i], &out->list->items[i]));
    return 0;
}

static int eval_dict(struct render *r, const struct expr *x, struct tval *out)
{
    TRY(tval_dict(r, x->n / 2, out));
    for (size_t i = 0; i < x->n; i += 2) {
        struct tval key, value;

        TRY(eval(r, x->items[i], &key));
        TRY(eval(r, x->items[i + 1], &value));
        r->at = x->at;
        TRY(tdict_set(r, out->dict, key, value));
    }
    return 0;
}

static int eval_concat(struct render *r, const struct expr *x, struct tval *out)
{
    struct tbuf text = { 0 };
    struct tval v;

    for (size_t i = 0; i < x->n; i++) {
        TRY(eval(r, x->items[i], &v));
        TRY(tval_print(r, &text, v));
    }
    return tbuf_done(r, &text, out);
}

/* The value of `a or b or c` is that of the operand which decided it. */
static int eval_logical(struct render *r, const struct expr *x, struct tval *out)
{
    for (size_t i = 0; i < x->n; i++) {
        TRY(eval(r, x->items[i], out));
        if (tval_truth(*out) == (x->kind == EXPR_OR))
            break;
    }
    return 0;
}

static int eval_sign(struct render *r, const struct expr *x, struct tval *out)
{
    struct tval a;

    TRY(eval(r, x->a, &a));
    r->at = x->at;
    if (a.kind == T_UNDEFINED)
        return tval_trip(r, a);
    if (!tval_is_number(a))
        return run_fail(r, "bad operand type for unary %c: '%s'", x->kind == EXPR_NEG ? '-' : '+',
                        tval_type(a));
    if (a.kind == T_FLOAT)
        *out = tval_float(x->kind == EXPR_NEG ? -a.d : a.d);
    else if (x->kind == EXPR_NEG)
        return op_binary(r, OP_SUB, tval_int(0), a, out);
    else
        *out = tval_int(tval_integer(a));
    return 0;
}

static int eval_slice(struct render *r, const struct expr *x, struct tval *out)
{
    const struct expr *const parts[3] = { x->b, x->c, x->d };
    struct tval a, bounds[3];

    TRY(eval(r, x->a, &a));
    for (int i = 0; i < 3; i++) {
        bounds[i] = tval_none();
        if (parts[i])
            TRY(eval(r, parts[i], &bounds[i]));
    }
    r->at = x->at;
    return get_slice(r, a, bounds, out);
}

static int eval_if(struct render *r, const struct expr *x, struct tval *out)
{
    struct tval condition;

    TRY(eval(r, x->b, &condition));
    if (tval_truth(condition))
        return eval(r, x->a, out);
    if (x->c)
        return eval(r, x->c, out);
    return tval_hint(r,
                     "the inline if-expression evaluated to false and no else section was defined",
                     out);
}

/* *args and **kwargs behind what is there already. */
static int eval_stars(struct render *r, const struct call_args *c, struct args *out)
{
    struct tval star = { .kind = T_MISSING }, star_star = { .kind = T_MISSING }, *items = NULL;
    size_t n = 0;

    if (c->star) {
        struct tval *all;

        TRY(eval(r, c->star, &star));
        TRY(tval_iterate(r, star, &items, &n));
        all = run_alloc(r, out->n_pos + n + 1, sizeof *all);
        if (!all)
            return ERR_LIMIT;
        if (out->n_pos)
            memcpy(all, out->pos, out->n_pos * sizeof *all);
        if (n)
            memcpy(all + out->n_pos, items, n * sizeof *all);
        out->pos = all;
        out->n_pos += n;
    }
    if (c->star_star) {
        struct kwarg *all;

        TRY(eval(r, c->star_star, &star_star));
        if (star_star.kind != T_DICT)
            return run_fail(r, "argument after ** must be a mapping, not %s", tval_type(star_star));
        n = star_star.dict->len;
        all = run_alloc(r, out->n_kw + n + 1, sizeof *all);
        if (!all)
            return ERR_LIMIT;
        if (out->n_kw)
            memcpy(all, out->kw, out->n_kw * sizeof *all);
        for (size_t i = 0; i < n; i++) {
            struct tval key = star_star.dict->pairs[i].key;

            if (key.kind != T_STRING)
                return run_fail(r, "keywords must be strings");
            all[out->n_kw++] =
                (struct kwarg){ key.s->data, key.s->len, star_star.dict->pairs[i].value };
        }
        out->kw = all;
    }
    return run_charge(r, n);
}

int eval_args(struct render *r, const struct call_args *c, struct args *out)
{
    *out = (struct args){ 0 };
    if (!c)
        return 0;
    if (c->n_pos) {
        out->pos = run_alloc(r, c->n_pos, sizeof *out->pos);
        if (!out->pos)
            return ERR_LIMIT;
    }
    for (; out->n_pos < c->n_pos; out->n_pos++)
        TRY(eval(r, c->pos[out->n_pos], &out->pos[out->n_pos]));
    if (c->n_kw) {
        out->kw = run_alloc(r, c->n_kw, sizeof *out->kw);
        if (!out->kw)
            return ERR_LIMIT;
    }
    for (; out->n_kw < c->n_kw; out->n_kw++) {
        struct kwarg *k = &out->kw[out->n_kw];

        k->name = c->kw[out->n_kw].name->name;
        k->len = c->kw[out->n_kw].name->len;
        TRY(eval(r, c->kw[out->n_kw].value, &k->value));
    }
    return c->star || c->star_star ? eval_stars(r, c, out) : 0;
}

int call_value(struct render *r, struct tval fn, const struct args *a, struct tval *out)
{
    switch (fn.kind) {
    case T_BUILTIN:
        return builtin_call(r, fn.bound->fn, fn.bound->self, a, out);
    case T_MACRO:
        return call_macro(r, fn.macro, a, out);
    case T_LOOP:
        return call_loop(r, fn.loop, a, out);
    case T_BLOCK:
        if (a->n_pos || a->n_kw)
            return run_fail(r, "a block takes no arguments");
        return call_block(r, fn.block, out);
    case T_JOINER: { /* nothing the first time, then the separator that joiner() was given */
        struct tcycler *j = fn.cycler;

        *out = j->items[j->pos];
        j->pos = 1;
        return 0;
    }
    case T_UNDEFINED:
        return tval_trip(r, fn);
    default:
        return run_fail(r, "'%s' object is not callable", tval_type(fn));
    }
}

static int eval_call(struct render *r, const struct expr *x, struct tval *out)
{
    struct tval fn;
    struct args a;

    TRY(eval(r, x->a, &fn));
    TRY(eval_args(r, x->args, &a));
    r->at = x->at;
    return call_value(r, fn, &a, out);
}

static int eval_builtin(struct render *r, const struct expr *x, struct tval *out)
{
    struct tval self;
    struct args a;

    TRY(eval(r, x->a, &self));
    TRY(eval_args(r, x->args, &a));
    r->at = x->at;
    if (!x->fn)
        return run_fail(r, "No %s named '%s'.", x->kind == EXPR_FILTER ? "filter" : "test",
                        x->name->name);
    return builtin_call(r, x->fn, self, &a, out);
}

static int eval_node(struct render *r, const struct expr *x, struct tval *out)
{
    struct tval a, b;

    switch (x->kind) {
    case EXPR_CONST:
        *out = x->constant;
        return 0;
    case EXPR_NAME:
        return lookup(r, x->name, out);
    case EXPR_LIST:
    case EXPR_TUPLE:
        return eval_list(r, x, out);
    case EXPR_DICT:
        return eval_dict(r, x, out);
    case EXPR_CONCAT:
        return eval_concat(r, x, out);
    case EXPR_AND:
    case EXPR_OR:
        return eval_logical(r, x, out);
    case EXPR_CHAIN:
        return eval_chain(r, x, out);
    case EXPR_COMPARE:
        return eval_compare(r, x, out);
    case EXPR_NOT:
        TRY(eval(r, x->a, &a));
        *out = tval_bool(!tval_truth(a));
        return 0;
    case EXPR_NEG:
    case EXPR_POS:
        return eval_sign(r, x, out);
    case EXPR_ATTR:
        TRY(eval(r, x->a, &a));
        r->at = x->at;
        return get_attr(r, a, x->name->name, x->name->len, out);
    case EXPR_ITEM:
        TRY(eval(r, x->a, &a));
        TRY(eval(r, x->b, &b));
        r->at = x->at;
        return get_item(r, a, b, out);
    case EXPR_SLICE:
        return eval_slice(r, x, out);
    case EXPR_IF:
        return eval_if(r, x, out);
    case EXPR_CALL:
        return eval_call(r, x, out);
    case EXPR_FILTER:
    case EXPR_TEST:
        return eval_builtin(r, x, out);
    }
    return run_fail(r, "an expression of unknown kind");
}

int eval(struct render *r, const struct expr *x, struct tval *out)
{
    int rc;

    TRY(run_enter(r));
    rc = run_charge(r, 1);
    if (rc == 0) {
        r->at = x->at;
        rc = eval_node(r, x, out);
    }
    run_leave(r);
    return rc;
}
