/* gbnf.h - grammars as llama.cpp writes them (its grammars/README.md).
 *
 *   name ::= "literal" [class] . other-name ( group ) | alternative, with * + ? {m} {m,} {m,n}
 *
 * A rule ends with its line, but within parentheses and behind ::= and |.  Comments begin with #.
 * The text is rule `root`.  Left recursion is refused where the grammar is compiled. */
#ifndef AIRSTRIP_CONSTRAIN_GBNF_H
#define AIRSTRIP_CONSTRAIN_GBNF_H

#include "inference/constrain/grammar.h"

/* *out: the node of root.  Errors: ERR_INVALID with line and column, ERR_LIMIT, ERR_NOMEM. */
int gbnf_node(struct grammar *g, const char *text, size_t len, int32_t *out,
              struct err *e) MUST_CHECK;

#endif
