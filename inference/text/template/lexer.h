/* lexer.h - the state of a lexer, and its parts: lex.c cuts a template into text
 * and tags, token.c reads what stands inside a tag. */
#ifndef AIRSTRIP_TEMPLATE_LEXER_H
#define AIRSTRIP_TEMPLATE_LEXER_H

#include "inference/text/template/lex.h"

enum { MAX_BRACKETS = 256 };

struct lexer {
    struct template *t;
    const char *src;
    size_t pos, len;
    struct arena *scratch;
    struct token *tokens; /* in scratch */
    size_t n, cap;
    char brackets[MAX_BRACKETS]; /* closing brackets that are awaited */
    size_t n_brackets;
    bool line_starting; /* did the last thing read end in a newline? */
    struct err *e;
};

int lexer_no_memory(struct lexer *x);
int lexer_push(struct lexer *x, enum token_kind kind, size_t at, const char *text,
               size_t len) MUST_CHECK;
bool lexer_at(const struct lexer *x, size_t pos, const char *mark); /* does mark stand at pos? */
size_t lexer_skip_blanks(const struct lexer *x, size_t pos);

/* Each reads one token at x->pos, whose first character is of its kind, and moves behind it. */
int lex_string(struct lexer *x) MUST_CHECK;
int lex_number(struct lexer *x) MUST_CHECK;
int lex_operator(struct lexer *x) MUST_CHECK;

#endif
