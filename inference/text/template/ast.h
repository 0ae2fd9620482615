/* ast.h - a parsed template: read-only once made, all in one arena. */
#ifndef AIRSTRIP_TEMPLATE_AST_H
#define AIRSTRIP_TEMPLATE_AST_H

#include "inference/text/template/value.h"
#include "kernels/base/arena.h"

struct builtin;

/* A name that occurs in the template; each has one symbol, so that names compare as pointers. */
struct symbol {
    const char *name; /* NUL-terminated */
    size_t len;
    struct symbol *next;          /* in its bucket */
    struct reference *references; /* scopes.c, while a template is parsed */
};

/* Names that are undefined when a scope begins, whatever they are outside (scopes.c). */
struct late {
    const struct symbol **names;
    size_t n;
};

enum op {
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_FLOORDIV,
    OP_MOD,
    OP_POW,
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_IN,
    OP_NOT_IN,
};

enum expr_kind {
    EXPR_CONST,
    EXPR_NAME,
    EXPR_LIST,    /* items */
    EXPR_TUPLE,   /* items */
    EXPR_DICT,    /* items: key, value, key, value, ... */
    EXPR_CONCAT,  /* items, joined by ~ */
    EXPR_AND,     /* items */
    EXPR_OR,      /* items */
    EXPR_CHAIN,   /* first, then operands applied from left to right */
    EXPR_COMPARE, /* first, then operands, each compared with the one before */
    EXPR_NOT,     /* a */
    EXPR_NEG,     /* a */
    EXPR_POS,     /* a */
    EXPR_ATTR,    /* a.name */
    EXPR_ITEM,    /* a[b] */
    EXPR_SLICE,   /* a[b:c:d], each of b c d may be NULL */
    EXPR_IF,      /* a if b else c; c may be NULL */
    EXPR_CALL,    /* a(args) */
    EXPR_FILTER,  /* a | name(args); a is NULL in {% filter %} and {% set x | f %} */
    EXPR_TEST,    /* a is name(args) */
};

struct operand {
    enum op op;
    struct expr *value;
};

struct call_args {
    struct expr **pos;
    size_t n_pos;
    struct keyword {
        const struct symbol *name;
        struct expr *value;
    } * kw;
    size_t n_kw;
    struct expr *star, *star_star; /* *args, **kwargs; may be NULL */
};

struct expr {
    enum expr_kind kind;
    uint32_t at; /* offset into the template */
    union {
        struct tval constant;
        struct {
            struct expr **items;
            size_t n;
        };
        struct {
            struct expr *first;
            struct operand *operands;
            size_t n_operands;
        };
        struct {
            struct expr *a, *b, *c, *d;
            const struct symbol *name;
            const struct builtin *fn; /* filter or test; NULL when there is none of that name */
            struct call_args *args;
        };
    };
};

/* What can stand left of = or between for and in. */
struct target {
    enum { TARGET_NAME, TARGET_ATTR, TARGET_TUPLE } kind;
    uint32_t at;
    const struct symbol *name, *attr; /* name; namespace.attr */
    struct target **items;
    size_t n;
};

enum stmt_kind {
    STMT_TEXT,      /* text */
    STMT_PRINT,     /* value */
    STMT_IF,        /* branches */
    STMT_FOR,       /* for target in value if filter: body, otherwise */
    STMT_SET,       /* target = value */
    STMT_SET_BLOCK, /* target = filter chain `value` (may be NULL) over body */
    STMT_MACRO,     /* name(params): body */
    STMT_CALL,      /* call(params) value: body */
    STMT_FILTER,    /* filter chain `value` over body */
    STMT_WITH,      /* targets = values: body; without targets just a scope of its own */
    STMT_BLOCK,     /* block name: body, which sees the template's variables (and others: scoped) */
    STMT_BREAK,
    STMT_CONTINUE,
};

struct param {
    const struct symbol *name;
    struct expr *fallback; /* NULL: none */
};

struct branch {
    struct expr *condition; /* NULL: else */
    struct stmt *body;
};

enum { USES_VARARGS = 1, USES_KWARGS = 2, USES_CALLER = 4 };

struct stmt {
    enum stmt_kind kind;
    uint32_t at;
    struct stmt *next;
    struct tstr text;
    struct expr *value, *filter;
    struct target *target;
    struct target **targets; /* STMT_WITH */
    struct expr **values;
    size_t n_targets;
    struct stmt *body, *otherwise;
    struct late late, late_otherwise; /* of the scopes that these are */
    struct branch *branches;
    size_t n_branches;
    bool recursive, scoped;
    struct stmt *next_block; /* STMT_BLOCK: in the template's list */
    const struct symbol *name;
    struct param *params;
    size_t n_params;
    unsigned
        uses; /* STMT_MACRO, STMT_CALL: which of USES_* the body mentions, so that it takes them */
};

struct template
{
    struct arena arena;
    const char *source; /* newlines normalised, the last one removed */
    size_t len;
    struct stmt *body, *blocks;
    struct late late; /* of the outermost scope */
    const struct symbol *sym_loop, *sym_caller, *sym_varargs, *sym_kwargs;
};

/* Line and column (both from 1; columns in characters) of an offset. */
void template_position(const struct template *t, size_t at, unsigned *line, unsigned *column);

#endif
