#include "inference/text/template/parse.h"

#include <string.h>

static int parse_until(struct parser *p, const char *const *ends, struct stmt **out);

static int make(struct parser *p, enum stmt_kind kind, struct stmt **out)
{
    struct stmt *s = parse_alloc(p, sizeof *s);

    *out = s;
    if (!s)
        return ERR_NOMEM;
    s->kind = kind;
    s->at = p->tok->at;
    return 0;
}

static int block_end(struct parser *p)
{
    if (p->tok->kind != TOKEN_BLOCK_END)
        return parse_unexpected(p, "the end of the tag");
    p->tok++;
    return 0;
}

/* The body of a block, from the end of its opening tag; the tag that ends it is left at its name.
 */
static int parse_body(struct parser *p, const char *const *ends, struct stmt **out)
{
    parse_skip_op(p, ":");
    TRY(block_end(p));
    TRY(parse_enter(p));
    TRY(parse_until(p, ends, out));
    parse_leave(p);
    return 0;
}

/* The same, for a block with a single end tag, which is taken up to its end mark. */
static int parse_whole_body(struct parser *p, const char *end, struct stmt **out)
{
    TRY(parse_body(p, (const char *const[]){ end, NULL }, out));
    p->tok++;
    return 0;
}

static int parse_target(struct parser *p, bool with_attr, bool with_tuple, struct target **out);

static int parse_target_item(struct parser *p, bool with_attr, struct target **out)
{
    struct target *t;

    if (parse_skip_op(p, "(")) {
        TRY(parse_enter(p));
        TRY(parse_target(p, with_attr, true, out));
        parse_leave(p);
        return parse_expect_op(p, ")");
    }
    *out = t = parse_alloc(p, sizeof *t);
    if (!t)
        return ERR_NOMEM;
    t->at = p->tok->at;
    for (size_t i = 0; i < 6; i++) {
        if (parse_is_name(p, (const char *const[]){ "true", "false", "none", "True", "False",
                                                    "None" }[i]))
            return parse_unexpected(p, "a name that can be assigned to");
    }
    TRY(parse_symbol(p, &t->name));
    t->kind = TARGET_NAME;
    if (with_attr && parse_skip_op(p, ".")) {
        t->kind = TARGET_ATTR;
        return parse_symbol(p, &t->attr);
    }
    return 0;
}

static int parse_target(struct parser *p, bool with_attr, bool with_tuple, struct target **out)
{
    struct ptrs items = { 0 };
    bool is_tuple = false;
    uint32_t at = p->tok->at;
    struct target *t;

    while (!is_tuple || p->tok->kind == TOKEN_NAME || parse_is_op(p, "(")) {
        if (is_tuple && parse_is_name(p, "in"))
            break;
        TRY(parse_target_item(p, with_attr, out));
        TRY(parse_push(p, &items, *out));
        if (!with_tuple || !parse_skip_op(p, ","))
            break;
        is_tuple = true;
    }
    if (!is_tuple)
        return 0;
    *out = t = parse_alloc(p, sizeof *t);
    if (!t)
        return ERR_NOMEM;
    *t = (struct target){ .kind = TARGET_TUPLE, .at = at, .n = items.n };
    t->items = (struct target **)items.items;
    return 0;
}

static int parse_if(struct parser *p, struct stmt *s)
{
    static const char *const ends[] = { "elif", "else", "endif", NULL };
    struct ptrs branches = { 0 };
    bool more = true;

    for (bool is_else = false; more;) {
        struct branch *b = parse_alloc(p, sizeof *b);

        if (!b)
            return ERR_NOMEM;
        if (!is_else)
            TRY(parse_tuple(p, false, NULL, &b->condition));
        TRY(parse_body(p, is_else ? ends + 2 : ends, &b->body));
        TRY(parse_push(p, &branches, b));
        is_else = parse_is_name(p, "else");
        more = !parse_is_name(p, "endif");
        p->tok++;
    }
    s->n_branches = branches.n;
    s->branches = parse_alloc(p, branches.n * sizeof *s->branches);
    if (!s->branches)
        return ERR_NOMEM;
    for (size_t i = 0; i < branches.n; i++)
        s->branches[i] = *(struct branch *)branches.items[i];
    return 0;
}

static int parse_for(struct parser *p, struct stmt *s)
{
    TRY(parse_target(p, false, true, &s->target));
    TRY(parse_expect_name(p, "in"));
    TRY(parse_tuple(p, false, "recursive", &s->value));
    if (parse_skip_name(p, "if"))
        TRY(parse_expression(p, true, &s->filter));
    s->recursive = parse_skip_name(p, "recursive");
    p->loops++;
    TRY(parse_body(p, (const char *const[]){ "endfor", "else", NULL }, &s->body));
    p->loops--;
    if (parse_skip_name(p, "else"))
        return parse_whole_body(p, "endfor", &s->otherwise);
    p->tok++;
    return 0;
}

static int parse_set(struct parser *p, struct stmt *s)
{
    TRY(parse_target(p, true, true, &s->target));
    if (parse_skip_op(p, "="))
        return parse_tuple(p, true, NULL, &s->value);
    s->kind = STMT_SET_BLOCK;
    if (parse_skip_op(p, "|"))
        TRY(parse_filters(p, NULL, &s->value));
    return parse_whole_body(p, "endset", &s->body);
}

/* (a, b=1) */
static int parse_params(struct parser *p, struct stmt *s)
{
    struct ptrs params = { 0 };

    TRY(parse_expect_op(p, "("));
    while (!parse_is_op(p, ")")) {
        struct param *one = parse_alloc(p, sizeof *one);

        if (!one)
            return ERR_NOMEM;
        if (params.n)
            TRY(parse_expect_op(p, ","));
        TRY(parse_symbol(p, &one->name));
        if (parse_skip_op(p, "="))
            TRY(parse_expression(p, true, &one->fallback));
        else if (params.n && ((struct param *)params.items[params.n - 1])->fallback)
            return parse_unexpected(p, "= (the parameter before has a default value)");
        TRY(parse_push(p, &params, one));
    }
    p->tok++;
    s->n_params = params.n;
    s->params = params.n ? parse_alloc(p, params.n * sizeof *s->params) : NULL;
    if (params.n && !s->params)
        return ERR_NOMEM;
    for (size_t i = 0; i < params.n; i++)
        s->params[i] = *(struct param *)params.items[i];
    return 0;
}

/* The body of a macro or call block: loops around it do not reach into it. */
static int parse_macro_body(struct parser *p, struct stmt *s, const char *end)
{
    int loops = p->loops;
    unsigned uses = p->uses;

    p->loops = 0;
    p->uses = 0;
    TRY(parse_whole_body(p, end, &s->body));
    s->uses = p->uses;
    p->uses |= uses;
    p->loops = loops;
    return 0;
}

static int parse_macro(struct parser *p, struct stmt *s)
{
    TRY(parse_symbol(p, &s->name));
    TRY(parse_params(p, s));
    return parse_macro_body(p, s, "endmacro");
}

static int parse_call_block(struct parser *p, struct stmt *s)
{
    uint32_t at;

    if (parse_is_op(p, "("))
        TRY(parse_params(p, s));
    at = p->tok->at;
    TRY(parse_expression(p, true, &s->value));
    if (s->value->kind != EXPR_CALL)
        return template_error(p->t, at, p->e, "a call was expected");
    return parse_macro_body(p, s, "endcall");
}

static int parse_with(struct parser *p, struct stmt *s)
{
    struct ptrs targets = { 0 }, values = { 0 };
    struct target *t;
    struct expr *x;

    while (p->tok->kind != TOKEN_BLOCK_END) {
        if (targets.n)
            TRY(parse_expect_op(p, ","));
        TRY(parse_target(p, false, false, &t));
        TRY(parse_push(p, &targets, t));
        TRY(parse_expect_op(p, "="));
        TRY(parse_expression(p, true, &x));
        TRY(parse_push(p, &values, x));
    }
    s->targets = (struct target **)targets.items;
    s->values = (struct expr **)values.items;
    s->n_targets = targets.n;
    return parse_whole_body(p, "endwith", &s->body);
}

static int parse_filter_block(struct parser *p, struct stmt *s)
{
    TRY(parse_filters(p, NULL, &s->value));
    return parse_whole_body(p, "endfilter", &s->body);
}

/* Marks what the model itself wrote, for training; here only a scope. */
static int parse_generation(struct parser *p, struct stmt *s)
{
    return parse_whole_body(p, "endgeneration", &s->body);
}

/* Nothing is escaped by itself, so autoescape false is only a scope. */
static int parse_autoescape(struct parser *p, struct stmt *s)
{
    uint32_t at = p->tok->at;
    struct expr *x;

    TRY(parse_expression(p, true, &x));
    if (x->kind != EXPR_CONST || tval_truth(x->constant))
        return template_error(p->t, at, p->e, "only autoescape false is offered");
    return parse_whole_body(p, "endautoescape", &s->body);
}

/* {% block name scoped required %}...{% endblock name %} */
static int parse_block(struct parser *p, struct stmt *s)
{
    int loops = p->loops;

    TRY(parse_symbol(p, &s->name));
    for (const struct stmt *b = p->t->blocks; b; b = b->next_block) {
        if (b->name == s->name)
            return template_error(p->t, s->at, p->e, "block '%s' defined twice", s->name->name);
    }
    s->next_block = p->t->blocks;
    p->t->blocks = s;
    s->scoped = parse_skip_name(p, "scoped");
    if (parse_skip_name(p, "required"))
        return template_error(p->t, s->at, p->e, "block '%s' is required, but nothing fills it in",
                              s->name->name);
    p->loops = 0;
    TRY(parse_whole_body(p, "endblock", &s->body));
    p->loops = loops;
    parse_skip_name(p, s->name->name);
    return 0;
}

static int parse_jump(struct parser *p, struct stmt *s)
{
    return p->loops ? 0 : template_error(p->t, s->at, p->e, "this tag stands outside of a loop");
}

static int parse_print(struct parser *p, struct stmt *s)
{
    return parse_expression(p, true, &s->value);
}

static const struct {
    const char *name;
    enum stmt_kind kind;
    int (*parse)(struct parser *p, struct stmt *s); /* from behind the tag's name to its end mark */
} tags[] = {
    { "if", STMT_IF, parse_if },
    { "for", STMT_FOR, parse_for },
    { "set", STMT_SET, parse_set },
    { "macro", STMT_MACRO, parse_macro },
    { "call", STMT_CALL, parse_call_block },
    { "with", STMT_WITH, parse_with },
    { "filter", STMT_FILTER, parse_filter_block },
    { "generation", STMT_WITH, parse_generation },
    { "block", STMT_BLOCK, parse_block },
    { "autoescape", STMT_WITH, parse_autoescape },
    { "break", STMT_BREAK, parse_jump },
    { "continue", STMT_CONTINUE, parse_jump },
    { "print", STMT_PRINT, parse_print },
};

static int parse_tag(struct parser *p, struct stmt **out)
{
    static const char *const others[] = { "include", "import", "from", "extends" };

    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        if (!parse_is_name(p, tags[i].name))
            continue;
        TRY(make(p, tags[i].kind, out));
        p->tok++;
        TRY(tags[i].parse(p, *out));
        return block_end(p);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (parse_is_name(p, others[i]))
            return template_error(p->t, p->tok->at, p->e, "the tag '%s' is not offered", others[i]);
    }
    return template_error(p->t, p->tok->at, p->e, "unknown tag '%.*s'",
                          (int)(p->tok->len < 40 ? p->tok->len : 40), p->tok->text);
}

static bool at_end(const struct parser *p, const char *const *ends)
{
    for (; ends && *ends; ends++) {
        if (parse_is_name(p, *ends))
            return true;
    }
    return false;
}

/* Statements up to a tag named in ends, which is left at its name; or, ends being NULL, to the very
 * end. */
static int parse_until(struct parser *p, const char *const *ends, struct stmt **out)
{
    struct stmt **tail = out;

    *out = NULL;
    for (;; tail = &(*tail)->next) {
        const struct token *tok = p->tok;

        switch (tok->kind) {
        case TOKEN_DATA:
            TRY(make(p, STMT_TEXT, tail));
            (*tail)->text = (struct tstr){ .data = tok->text, .len = tok->len };
            p->tok++;
            break;
        case TOKEN_PRINT_BEGIN:
            TRY(make(p, STMT_PRINT, tail));
            p->tok++;
            TRY(parse_tuple(p, true, NULL, &(*tail)->value));
            if (p->tok->kind != TOKEN_PRINT_END)
                return parse_unexpected(p, "}}");
            p->tok++;
            break;
        case TOKEN_BLOCK_BEGIN:
            p->tok++;
            if (at_end(p, ends))
                return 0;
            TRY(parse_tag(p, tail));
            break;
        default: /* TOKEN_END: the others do not occur between tags */
            return ends ? parse_unexpected(p, ends[0]) : 0;
        }
    }
}

int template_parse_body(struct parser *p, struct stmt **out)
{
    static const char *const names[] = { "loop", "caller", "varargs", "kwargs" };
    const struct symbol **symbols[] = { &p->t->sym_loop, &p->t->sym_caller, &p->t->sym_varargs,
                                        &p->t->sym_kwargs };

    for (size_t i = 0; i < 4; i++)
        TRY(parse_intern(p, names[i], strlen(names[i]), symbols[i]));
    return parse_until(p, NULL, out);
}
