/* Precedence, loosest first: if-else, or, and, not, comparison, + -, ~, * / // %, **, sign, then
 * postfix
 * (.name [item] (call)) and, looser than postfix but tighter than every operator, | filter and `is`
 * test. */
#include <string.h>

#include "inference/text/template/parse.h"

int parse_make_expr(struct parser *p, enum expr_kind kind, uint32_t at, struct expr **out)
{
    struct expr *x = parse_alloc(p, sizeof *x);

    *out = x;
    if (!x)
        return ERR_NOMEM;
    x->kind = kind;
    x->at = at;
    return 0;
}

int parse_make_list(struct parser *p, enum expr_kind kind, uint32_t at, const struct ptrs *items,
                    struct expr **out)
{
    TRY(parse_make_expr(p, kind, at, out));
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
    TRY(parse_make_expr(p, kind, at, out));
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
    return items.n == 1 ? 0 : parse_make_list(p, EXPR_CONCAT, at, &items, out);
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
        TRY(parse_make_expr(p, EXPR_NOT, at, out));
        (*out)->a = a;
        return 0;
    }
    do {
        TRY(kind == EXPR_OR ? parse_logical(p, EXPR_AND, out) : parse_not(p, out));
        TRY(parse_push(p, &items, *out));
    } while (parse_skip_name(p, kind == EXPR_OR ? "or" : "and"));
    return items.n == 1 ? 0 : parse_make_list(p, kind, at, &items, out);
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
        TRY(parse_make_expr(p, EXPR_IF, at, out));
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
    return is_tuple || items.n == 0 ? parse_make_list(p, EXPR_TUPLE, at, &items, out) : 0;
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
    return parse_make_list(p, kind, at, &items, out);
}

static int parse_string(struct parser *p, struct expr **out)
{
    const struct token *first = p->tok;
    size_t len = 0;
    struct tstr *s;
    char *text;

    for (; p->tok->kind == TOKEN_STRING; p->tok++) /* 'a' 'b' is 'ab' */
        len += p->tok->len;
    TRY(parse_make_expr(p, EXPR_CONST, first->at, out));
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
        TRY(parse_make_expr(p, EXPR_CONST, p->tok->at, out));
        (*out)->constant = words[i].value;
        p->tok++;
        return 0;
    }
    TRY(parse_make_expr(p, EXPR_NAME, p->tok->at, out));
    TRY(parse_symbol(p, &name));
    (*out)->name = name;
    p->uses |= name == p->t->sym_varargs  ? USES_VARARGS
               : name == p->t->sym_kwargs ? USES_KWARGS
               : name == p->t->sym_caller ? USES_CALLER
                                          : 0u;
    return 0;
}

int parse_primary(struct parser *p, struct expr **out)
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
        TRY(parse_make_expr(p, EXPR_CONST, tok->at, out));
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
