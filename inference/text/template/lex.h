/* lex.h - a template's text as tokens, with Jinja's whitespace rules applied.
 *
 * Environment: trim_blocks, lstrip_blocks, no line statements, one trailing newline removed. */
#ifndef AIRSTRIP_TEMPLATE_LEX_H
#define AIRSTRIP_TEMPLATE_LEX_H

#include "inference/text/template/ast.h"

enum token_kind {
    TOKEN_DATA, /* text between tags */
    TOKEN_PRINT_BEGIN,
    TOKEN_PRINT_END,
    TOKEN_BLOCK_BEGIN,
    TOKEN_BLOCK_END,
    TOKEN_NAME,
    TOKEN_STRING, /* text: escapes resolved */
    TOKEN_INT,
    TOKEN_FLOAT,
    TOKEN_OP, /* text: the operator's characters */
    TOKEN_END,
};

struct token {
    enum token_kind kind;
    uint32_t at;      /* offset into the template */
    const char *text; /* data, name, string, operator */
    size_t len;
    int64_t integer;
    double number;
};

/* Copies src into t->source with newlines normalised, and cuts it into tokens, the last one
 * TOKEN_END. The tokens live in scratch, their texts in t->arena.  ERR_FORMAT with line and column;
 * ERR_LIMIT for more than 1 MiB. */
int template_lex(struct template *t, const char *src, size_t len, struct arena *scratch,
                 struct token **out, struct err *e) MUST_CHECK;

/* err_set(ERR_FORMAT) with line and column of an offset in front. */
int template_error(const struct template *t, size_t at, struct err *e, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

#endif
