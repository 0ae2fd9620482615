/* What follows a value: .name [item] (call), then | filter and `is` test; and signs in front. */
#include "inference/text/template/parse.h"
#include "inference/text/template/run.h"
#include "kernels/base/buf.h"

static int parse_keyword(struct parser *p, struct ptrs *keywords)
{
    struct keyword *k = parse_alloc(p, sizeof *k);

    if (!k)
        return ERR_NOMEM;
    TRY(parse_symbol(p, &k->name));
    for (size_t i = 0; i < keywords->n; i++) {
        if (((struct keyword *)keywords->items[i])->name == k->name)
            return template_error(p->t, p->tok->at, p->e, "keyword argument '%s' is repeated",
                                  k->name->name);
    }
    p->tok++; /* = */
    TRY(parse_expression(p, true, &k->value));
    return parse_push(p, keywords, k);
}

/* ( a, b, k=v, *args, **kwargs ) */
static int parse_args(struct parser *p, struct call_args **out)
{
    struct call_args *args = parse_alloc(p, sizeof *args);
    struct ptrs pos = { 0 }, kw = { 0 };
    struct expr *x;

    if (!args)
        return ERR_NOMEM;
    *out = args;
    TRY(parse_expect_op(p, "("));
    for (bool first = true; !parse_is_op(p, ")"); first = false) {
        if (!first) {
            TRY(parse_expect_op(p, ","));
            if (parse_is_op(p, ")"))
                break;
        }
        if (!args->star && !args->star_star && parse_skip_op(p, "*")) {
            TRY(parse_expression(p, true, &args->star));
        } else if (!args->star_star && parse_skip_op(p, "**")) {
            TRY(parse_expression(p, true, &args->star_star));
        } else if (p->tok->kind == TOKEN_NAME && p->tok[1].kind == TOKEN_OP && p->tok[1].len == 1 &&
                   p->tok[1].text[0] == '=' && !args->star_star) {
            TRY(parse_keyword(p, &kw));
        } else if (args->star || args->star_star || kw.n) {
            return parse_unexpected(p, "a keyword argument");
        } else {
            TRY(parse_expression(p, true, &x));
            TRY(parse_push(p, &pos, x));
        }
    }
    p->tok++;
    args->pos = (struct expr **)pos.items;
    args->n_pos = pos.n;
    args->kw = kw.n ? parse_alloc(p, kw.n * sizeof *args->kw) : NULL;
    if (kw.n && !args->kw)
        return ERR_NOMEM;
    for (; args->n_kw < kw.n; args->n_kw++)
        args->kw[args->n_kw] = *(struct keyword *)kw.items[args->n_kw];
    return 0;
}

/* a[1, 2]: the index is a tuple, whose first item has been read. */
static int parse_tuple_index(struct parser *p, uint32_t at, struct expr **first)
{
    struct ptrs items = { 0 };
    struct expr *x;

    TRY(parse_push(p, &items, *first));
    while (parse_skip_op(p, ",") && !parse_is_op(p, "]")) {
        TRY(parse_expression(p, true, &x));
        TRY(parse_push(p, &items, x));
    }
    return parse_make_list(p, EXPR_TUPLE, at, &items, first);
}

/* [item] or [start:stop:step], the opening bracket not yet taken. */
static int parse_subscript(struct parser *p, struct expr *a, struct expr **out)
{
    uint32_t at = p->tok->at;
    struct expr *part[3] = { NULL, NULL, NULL };
    bool is_slice = false;

    TRY(parse_expect_op(p, "["));
    for (int i = 0; i < 3; i++) {
        if (!parse_is_op(p, ":") && !parse_is_op(p, "]"))
            TRY(parse_expression(p, true, &part[i]));
        if (i == 2 || !parse_skip_op(p, ":"))
            break;
        is_slice = true;
    }
    if (!is_slice && !part[0])
        TRY(parse_make_list(p, EXPR_TUPLE, at, &(struct ptrs){ 0 }, &part[0]));
    if (!is_slice && parse_is_op(p, ","))
        TRY(parse_tuple_index(p, at, &part[0]));
    TRY(parse_expect_op(p, "]"));
    TRY(parse_make_expr(p, is_slice ? EXPR_SLICE : EXPR_ITEM, at, out));
    (*out)->a = a;
    (*out)->b = part[0];
    (*out)->c = part[1];
    (*out)->d = part[2];
    return 0;
}

static int parse_call(struct parser *p, struct expr *a, struct expr **out)
{
    TRY(parse_make_expr(p, EXPR_CALL, p->tok->at, out));
    (*out)->a = a;
    return parse_args(p, &(*out)->args);
}

static int parse_dot(struct parser *p, struct expr *a, struct expr **out)
{
    uint32_t at = p->tok++->at;
    struct expr *index;

    if (p->tok->kind == TOKEN_INT) {
        TRY(parse_make_expr(p, EXPR_CONST, at, &index));
        index->constant = tval_int(p->tok++->integer);
        TRY(parse_make_expr(p, EXPR_ITEM, at, out));
        (*out)->a = a;
        (*out)->b = index;
        return 0;
    }
    TRY(parse_make_expr(p, EXPR_ATTR, at, out));
    (*out)->a = a;
    return parse_symbol(p, &(*out)->name);
}

/* A chain of postfixes or filters makes a deep tree without deep recursion here, so it is counted.
 */
static int too_many(struct parser *p, int links)
{
    return links > PARSE_MAX_DEPTH
               ? template_error(p->t, p->tok->at, p->e, "too many operations in a row")
               : 0;
}

static int parse_postfix(struct parser *p, struct expr *a, struct expr **out)
{
    for (int links = 1;; links++) {
        *out = a;
        TRY(too_many(p, links));
        if (parse_is_op(p, "."))
            TRY(parse_dot(p, a, out));
        else if (parse_is_op(p, "["))
            TRY(parse_subscript(p, a, out));
        else if (parse_is_op(p, "("))
            TRY(parse_call(p, a, out));
        else
            return 0;
        a = *out;
    }
}

/* The name of a filter or test, which may have dots in it. */
static int parse_dotted(struct parser *p, const struct symbol **out)
{
    const struct symbol *part;
    struct buf b = { 0 };
    int rc;

    TRY(parse_symbol(p, out));
    while (parse_is_op(p, ".") && p->tok[1].kind == TOKEN_NAME) {
        p->tok++;
        TRY(parse_symbol(p, &part));
        buf_put(&b, (*out)->name, (*out)->len);
        buf_put(&b, ".", 1);
        buf_put(&b, part->name, part->len);
        rc = b.failed ? err_set(p->e, ERR_NOMEM, "no memory for a name")
                      : parse_intern(p, b.data, b.len, out);
        buf_done(&b);
        TRY(rc);
    }
    return 0;
}

int parse_filters(struct parser *p, struct expr *a, struct expr **out)
{
    const struct symbol *name;
    int links = 0;

    do {
        TRY(too_many(p, ++links));
        TRY(parse_make_expr(p, EXPR_FILTER, p->tok->at, out));
        TRY(parse_dotted(p, &name));
        (*out)->a = a;
        (*out)->name = name;
        (*out)->fn = filter_find(name->name, name->len);
        if (parse_is_op(p, "("))
            TRY(parse_args(p, &(*out)->args));
        a = *out;
    } while (parse_skip_op(p, "|"));
    return 0;
}

/* Does the argument of a test without parentheses follow: x is divisibleby 3? */
static bool test_argument_follows(const struct parser *p)
{
    if (p->tok->kind == TOKEN_NAME)
        return !parse_is_name(p, "else") && !parse_is_name(p, "or") && !parse_is_name(p, "and");
    return p->tok->kind == TOKEN_STRING || p->tok->kind == TOKEN_INT ||
           p->tok->kind == TOKEN_FLOAT || parse_is_op(p, "[") || parse_is_op(p, "{");
}

static int parse_test(struct parser *p, struct expr *a, struct expr **out)
{
    uint32_t at = p->tok->at;
    bool negated;
    struct expr *x, *arg;
    struct ptrs one = { 0 };

    p->tok++; /* is */
    negated = parse_skip_name(p, "not");
    TRY(parse_make_expr(p, EXPR_TEST, at, &x));
    TRY(parse_dotted(p, &x->name));
    x->a = a;
    x->fn = test_find(x->name->name, x->name->len);
    if (parse_is_op(p, "(")) {
        TRY(parse_args(p, &x->args));
    } else if (test_argument_follows(p)) {
        if (parse_is_name(p, "is"))
            return parse_unexpected(p, "something other than a second `is`");
        TRY(parse_primary(p, &arg));
        TRY(parse_postfix(p, arg, &arg));
        TRY(parse_push(p, &one, arg));
        x->args = parse_alloc(p, sizeof *x->args);
        if (!x->args)
            return ERR_NOMEM;
        x->args->pos = (struct expr **)one.items;
        x->args->n_pos = 1;
    }
    *out = x;
    if (negated) {
        TRY(parse_make_expr(p, EXPR_NOT, at, out));
        (*out)->a = x;
    }
    return 0;
}

int parse_unary(struct parser *p, bool with_filter, struct expr **out)
{
    uint32_t at = p->tok->at;
    struct expr *a;

    TRY(parse_enter(p));
    if (parse_is_op(p, "-") || parse_is_op(p, "+")) {
        enum expr_kind kind = p->tok++->text[0] == '-' ? EXPR_NEG : EXPR_POS;

        TRY(parse_unary(p, false, &a));
        TRY(parse_make_expr(p, kind, at, out));
        (*out)->a = a;
    } else {
        TRY(parse_primary(p, out));
    }
    TRY(parse_postfix(p, *out, out));
    for (int links = 1; with_filter; links++) {
        TRY(too_many(p, links));
        a = *out;
        if (parse_skip_op(p, "|"))
            TRY(parse_filters(p, a, out));
        else if (parse_is_name(p, "is"))
            TRY(parse_test(p, a, out));
        else if (parse_is_op(p, "("))
            TRY(parse_call(p, a, out));
        else
            break;
    }
    parse_leave(p);
    return 0;
}
