/* parse.h - tokens to a tree; Jinja's grammar (its parser.py), with recursion bounded.
 *
 * parser.c holds what all need, parse.c statements, parse_expr.c
 * operators and literals, parse_postfix.c what follows a value. */
#ifndef AIRSTRIP_TEMPLATE_PARSE_H
#define AIRSTRIP_TEMPLATE_PARSE_H

#include "inference/text/template/ast.h"
#include "inference/text/template/lex.h"

/* Brackets, blocks and prefixes inside each other. */
enum { PARSE_MAX_DEPTH = 100, SYMBOL_BUCKETS = 64 };

struct parser {
    struct template *t;
    const struct token *tok; /* the current one */
    struct symbol *symbols[SYMBOL_BUCKETS];
    int depth;
    int loops;     /* enclosing loops of this body, for break */
    unsigned uses; /* USES_* seen since the innermost macro began */
    struct err *e;
};

/* A list of pointers that grows. */
struct ptrs {
    void **items;
    size_t n, cap;
};

/* Tokens. */
bool parse_is_op(const struct parser *p, const char *op);
bool parse_is_name(const struct parser *p, const char *name);
bool parse_skip_op(struct parser *p, const char *op); /* true and past it where it is there */
bool parse_skip_name(struct parser *p, const char *name);
int parse_expect_op(struct parser *p, const char *op) MUST_CHECK;
int parse_expect_name(struct parser *p, const char *name) MUST_CHECK;
int parse_unexpected(struct parser *p, const char *wanted); /* fails, naming the current token */

int parse_symbol(struct parser *p, const struct symbol **out) MUST_CHECK; /* takes a name token */
int parse_intern(struct parser *p, const char *name, size_t len,
                 const struct symbol **out) MUST_CHECK;

int parse_enter(struct parser *p) MUST_CHECK;
static inline void parse_leave(struct parser *p)
{
    p->depth--;
}
void *parse_alloc(struct parser *p, size_t bytes); /* NULL with the error set */
int parse_push(struct parser *p, struct ptrs *l, void *item) MUST_CHECK;

/* Expressions. */
int parse_expression(struct parser *p, bool with_if, struct expr **out) MUST_CHECK;

/* Expressions separated by commas become a tuple; `stop` (may be NULL) is a name that ends it. */
int parse_tuple(struct parser *p, bool with_if, const char *stop, struct expr **out) MUST_CHECK;

/* The parts of an expression: with_filter, a sign, a value, postfixes and filters; a value alone.
 */
int parse_unary(struct parser *p, bool with_filter, struct expr **out) MUST_CHECK;
int parse_primary(struct parser *p, struct expr **out) MUST_CHECK;
int parse_make_expr(struct parser *p, enum expr_kind kind, uint32_t at,
                    struct expr **out) MUST_CHECK;
int parse_make_list(struct parser *p, enum expr_kind kind, uint32_t at, const struct ptrs *items,
                    struct expr **out) MUST_CHECK;

/* name(args) | name ... applied to a, which may be NULL. */
int parse_filters(struct parser *p, struct expr *a, struct expr **out) MUST_CHECK;

int template_parse_body(struct parser *p, struct stmt **out) MUST_CHECK; /* the whole template */

#endif
