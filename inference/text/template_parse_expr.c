/* Precedence, loosest first: if-else, or, and, not, comparison, + -, ~, * / // %, **, sign, then
 * postfix
 * (.name [item] (call)) and, looser than postfix but tighter than every operator, | filter and `is`
 * test. */
#include <string.h>

#include "inference/text/template_parse.h"
#include "inference/text/template_run.h"

static int parse_unary(struct parser *p, bool with_filter, struct expr **out);
static int parse_postfix(struct parser *p, struct expr *a, struct expr **out);
static int parse_primary(struct parser *p, struct expr **out);

static int make(struct parser *p, enum expr_kind kind, uint32_t at, struct expr **out)
{
    struct expr *x = parse_alloc(p, sizeof *x);

    *out = x;
    if (!x)
        return ERR_NOMEM;
    x->kind = kind;
    x->at = at;
    return 0;
}

static int make_list(struct parser *p, enum expr_kind kind, uint32_t at, const struct ptrs *items,
                     struct expr **out)
{
    TRY(make(p, kind, at, out));
    (*out)->items = (struct expr **)items->items;
    (*out)->n = items->n;
    return 0;
}

/* Operands of one level joined by `kind`: a or b or c. */
static int parse_logical(struct parser *p, enum expr_kind kind, struct expr **out);

static int parse_not(struct parser *p, struct expr **out)
{
    return parse_logical(p, EXPR_NOT, out);
}

static const struct {
    const char *text;
    enum op op;
} operators[] = {
    { "==", OP_EQ }, { "!=", OP_NE },       { "<", OP_LT },   { "<=", OP_LE }, { ">", OP_GT },
    { ">=", OP_GE }, { "+", OP_ADD },       { "-", OP_SUB },  { "*", OP_MUL }, { "/", OP_DIV },
    { "%", OP_MOD }, { "//", OP_FLOORDIV }, { "**", OP_POW },
};

/* Takes an operator of [low, high] if one is here. */
static bool take_operator(struct parser *p, enum op low, enum op high, enum op *op)
{
    if (low == OP_EQ && parse_is_name(p, "in")) {
        p->tok++;
        *op = OP_IN;
        return true;
    }
    if (low == OP_EQ && parse_is_name(p, "not")) {
        p->tok++;
        if (parse_skip_name(p, "in")) {
            *op = OP_NOT_IN;
            return true;
        }
        p->tok--;
        return false;
    }
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (operators[i].op >= low && operators[i].op <= high &&
            parse_skip_op(p, operators[i].text)) {
            *op = operators[i].op;
            return true;
        }
    }
    return false;
}

/* One level of left-associative operators, kept flat so that a long sum is no deep tree. */
static int parse_chain(struct parser *p, enum expr_kind kind, enum op low, enum op high,
                       int (*next)(struct parser *, struct expr **), struct expr **out)
{
    struct operand *operands = NULL;
    size_t n = 0, cap = 0;
    uint32_t at = p->tok->at;
    struct expr *first;
    enum op op;

    TRY(next(p, &first));
    *out = first;
    while (take_operator(p, low, high, &op)) {
        if (n == cap) {
            struct operand *more = parse_alloc(p, (cap ? cap * 2 : 2) * sizeof *more);

            if (!more)
                return ERR_NOMEM;
            if (n)
                memcpy(more, operands, n * sizeof *more);
            operands = more;
            cap = cap ? cap * 2 : 2;
        }
        operands[n].op = op;
        TRY(next(p, &operands[n].value));
        n++;
    }
    if (n == 0)
        return 0;
    TRY(make(p, kind, at, out));
    (*out)->first = first;
    (*out)->operands = operands;
    (*out)->n_operands = n;
    return 0;
}

static int parse_filtered(struct parser *p, struct expr **out)
{
    return parse_unary(p, true, out);
}

static int parse_power(struct parser *p, struct expr **out)
{
    return parse_chain(p, EXPR_CHAIN, OP_POW, OP_POW, parse_filtered, out);
}

static int parse_product(struct parser *p, struct expr **out)
{
    return parse_chain(p, EXPR_CHAIN, OP_MUL, OP_MOD, parse_power, out);
}

static int parse_concat(struct parser *p, struct expr **out)
{
    struct ptrs items = { 0 };
    uint32_t at = p->tok->at;

    do {
        TRY(parse_product(p, out));
        TRY(parse_push(p, &items, *out));
    } while (parse_skip_op(p, "~"));
    return items.n == 1 ? 0 : make_list(p, EXPR_CONCAT, at, &items, out);
}

static int parse_sum(struct parser *p, struct expr **out)
{
    return parse_chain(p, EXPR_CHAIN, OP_ADD, OP_SUB, parse_concat, out);
}

static int parse_comparison(struct parser *p, struct expr **out)
{
    return parse_chain(p, EXPR_COMPARE, OP_EQ, OP_GE, parse_sum, out);
}

static int parse_logical(struct parser *p, enum expr_kind kind, struct expr **out)
{
    struct ptrs items = { 0 };
    uint32_t at = p->tok->at;
    struct expr *a;

    if (kind == EXPR_NOT) {
        if (!parse_skip_name(p, "not"))
            return parse_comparison(p, out);
        TRY(parse_enter(p));
        TRY(parse_not(p, &a));
        parse_leave(p);
        TRY(make(p, EXPR_NOT, at, out));
        (*out)->a = a;
        return 0;
    }
    do {
        TRY(kind == EXPR_OR ? parse_logical(p, EXPR_AND, out) : parse_not(p, out));
        TRY(parse_push(p, &items, *out));
    } while (parse_skip_name(p, kind == EXPR_OR ? "or" : "and"));
    return items.n == 1 ? 0 : make_list(p, kind, at, &items, out);
}

int parse_expression(struct parser *p, bool with_if, struct expr **out)
{
    uint32_t at = p->tok->at;
    struct expr *value, *condition, *otherwise;
    int links = 0;

    TRY(parse_enter(p));
    TRY(parse_logical(p, EXPR_OR, out));
    while (with_if && parse_skip_name(p, "if")) {
        if (++links > PARSE_MAX_DEPTH)
            return template_error(p->t, at, p->e, "too many conditions in a row");
        value = *out;
        otherwise = NULL;
        TRY(parse_logical(p, EXPR_OR, &condition));
        if (parse_skip_name(p, "else"))
            TRY(parse_expression(p, true, &otherwise));
        TRY(make(p, EXPR_IF, at, out));
        (*out)->a = value;
        (*out)->b = condition;
        (*out)->c = otherwise;
    }
    parse_leave(p);
    return 0;
}

static bool tuple_ends(const struct parser *p, const char *stop)
{
    return p->tok->kind == TOKEN_PRINT_END || p->tok->kind == TOKEN_BLOCK_END ||
           p->tok->kind == TOKEN_END || parse_is_op(p, ")") || (stop && parse_is_name(p, stop));
}

int parse_tuple(struct parser *p, bool with_if, const char *stop, struct expr **out)
{
    struct ptrs items = { 0 };
    uint32_t at = p->tok->at;
    bool is_tuple = false;

    while (!tuple_ends(p, stop)) {
        TRY(parse_expression(p, with_if, out));
        TRY(parse_push(p, &items, *out));
        if (!parse_skip_op(p, ","))
            break;
        is_tuple = true;
    }
    if (items.n == 0 && !parse_is_op(p, ")"))
        return parse_unexpected(p, "an expression");
    return is_tuple || items.n == 0 ? make_list(p, EXPR_TUPLE, at, &items, out) : 0;
}

/* After the opening bracket: list items, or key: value pairs of a dict. */
static int parse_items(struct parser *p, enum expr_kind kind, uint32_t at, struct expr **out)
{
    const char *close = kind == EXPR_LIST ? "]" : "}";
    struct ptrs items = { 0 };

    while (!parse_is_op(p, close)) {
        if (items.n)
            TRY(parse_expect_op(p, ","));
        if (parse_is_op(p, close))
            break;
        TRY(parse_expression(p, true, out));
        TRY(parse_push(p, &items, *out));
        if (kind == EXPR_LIST)
            continue;
        TRY(parse_expect_op(p, ":"));
        TRY(parse_expression(p, true, out));
        TRY(parse_push(p, &items, *out));
    }
    p->tok++;
    return make_list(p, kind, at, &items, out);
}

static int parse_string(struct parser *p, struct expr **out)
{
    const struct token *first = p->tok;
    size_t len = 0;
    struct tstr *s;
    char *text;

    for (; p->tok->kind == TOKEN_STRING; p->tok++) /* 'a' 'b' is 'ab' */
        len += p->tok->len;
    TRY(make(p, EXPR_CONST, first->at, out));
    s = parse_alloc(p, sizeof *s);
    text = p->tok == first + 1 ? NULL : parse_alloc(p, len + 1);
    if (!s || (p->tok != first + 1 && !text))
        return ERR_NOMEM;
    *s = (struct tstr){ .data = text ? text : first->text, .len = len };
    for (; text && first != p->tok; first++) {
        memcpy(text, first->text, first->len);
        text += first->len;
    }
    (*out)->constant = (struct tval){ .kind = T_STRING, .s = s };
    return 0;
}

static int parse_name(struct parser *p, struct expr **out)
{
    static const struct {
        const char *text;
        struct tval value;
    } words[] = {
        { "true", { .kind = T_BOOL, .b = true } },
        { "True", { .kind = T_BOOL, .b = true } },
        { "false", { .kind = T_BOOL, .b = false } },
        { "False", { .kind = T_BOOL, .b = false } },
        { "none", { .kind = T_NONE } },
        { "None", { .kind = T_NONE } },
    };
    const struct symbol *name;

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!parse_is_name(p, words[i].text))
            continue;
        TRY(make(p, EXPR_CONST, p->tok->at, out));
        (*out)->constant = words[i].value;
        p->tok++;
        return 0;
    }
    TRY(make(p, EXPR_NAME, p->tok->at, out));
    TRY(parse_symbol(p, &name));
    (*out)->name = name;
    p->uses |= name == p->t->sym_varargs  ? USES_VARARGS
               : name == p->t->sym_kwargs ? USES_KWARGS
               : name == p->t->sym_caller ? USES_CALLER
                                          : 0u;
    return 0;
}

static int parse_primary(struct parser *p, struct expr **out)
{
    const struct token *tok = p->tok;
    int rc;

    switch (tok->kind) {
    case TOKEN_NAME:
        return parse_name(p, out);
    case TOKEN_STRING:
        return parse_string(p, out);
    case TOKEN_INT:
    case TOKEN_FLOAT:
        p->tok++;
        TRY(make(p, EXPR_CONST, tok->at, out));
        (*out)->constant =
            tok->kind == TOKEN_INT ? tval_int(tok->integer) : tval_float(tok->number);
        return 0;
    default:
        break;
    }
    if (!parse_is_op(p, "(") && !parse_is_op(p, "[") && !parse_is_op(p, "{"))
        return parse_unexpected(p, "an expression");
    TRY(parse_enter(p));
    p->tok++;
    if (tok->text[0] == '(') {
        rc = parse_tuple(p, true, NULL, out);
        if (rc == 0)
            rc = parse_expect_op(p, ")");
    } else {
        rc = parse_items(p, tok->text[0] == '[' ? EXPR_LIST : EXPR_DICT, tok->at, out);
    }
    parse_leave(p);
    return rc;
}

static int parse_keyword(struct parser *p, struct ptrs *keywords)
{
    struct keyword *k = parse_alloc(p, sizeof *k);

    if (!k)
        return ERR_NOMEM;
    TRY(parse_symbol(p, &k->name));
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
    return make_list(p, EXPR_TUPLE, at, &items, first);
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
        return parse_unexpected(p, "an index");
    if (!is_slice && parse_is_op(p, ","))
        TRY(parse_tuple_index(p, at, &part[0]));
    TRY(parse_expect_op(p, "]"));
    TRY(make(p, is_slice ? EXPR_SLICE : EXPR_ITEM, at, out));
    (*out)->a = a;
    (*out)->b = part[0];
    (*out)->c = part[1];
    (*out)->d = part[2];
    return 0;
}

static int parse_call(struct parser *p, struct expr *a, struct expr **out)
{
    TRY(make(p, EXPR_CALL, p->tok->at, out));
    (*out)->a = a;
    return parse_args(p, &(*out)->args);
}

static int parse_dot(struct parser *p, struct expr *a, struct expr **out)
{
    uint32_t at = p->tok++->at;
    struct expr *index;

    if (p->tok->kind == TOKEN_INT) {
        TRY(make(p, EXPR_CONST, at, &index));
        index->constant = tval_int(p->tok++->integer);
        TRY(make(p, EXPR_ITEM, at, out));
        (*out)->a = a;
        (*out)->b = index;
        return 0;
    }
    TRY(make(p, EXPR_ATTR, at, out));
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

int parse_filters(struct parser *p, struct expr *a, struct expr **out)
{
    const struct symbol *name;
    int links = 0;

    do {
        TRY(too_many(p, ++links));
        TRY(make(p, EXPR_FILTER, p->tok->at, out));
        TRY(parse_symbol(p, &name));
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
    TRY(make(p, EXPR_TEST, at, &x));
    TRY(parse_symbol(p, &x->name));
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
        TRY(make(p, EXPR_NOT, at, out));
        (*out)->a = x;
    }
    return 0;
}

static int parse_unary(struct parser *p, bool with_filter, struct expr **out)
{
    uint32_t at = p->tok->at;
    struct expr *a;

    TRY(parse_enter(p));
    if (parse_is_op(p, "-") || parse_is_op(p, "+")) {
        enum expr_kind kind = p->tok++->text[0] == '-' ? EXPR_NEG : EXPR_POS;

        TRY(parse_unary(p, false, &a));
        TRY(make(p, kind, at, out));
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
