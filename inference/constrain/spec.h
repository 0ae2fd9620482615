/* spec.h - what a request may ask of the text: one value that names a grammar.
 *
 * Any thread. */
#ifndef AIRSTRIP_CONSTRAIN_SPEC_H
#define AIRSTRIP_CONSTRAIN_SPEC_H

#include "kernels/base/buf.h"
#include "kernels/base/err.h"
#include "kernels/base/value.h"

struct grammar;

enum spec_kind {
    SPEC_NONE,   /* any text */
    SPEC_OBJECT, /* any JSON object */
    SPEC_SCHEMA, /* JSON that is valid by a schema */
    SPEC_REGEX,  /* a text that matches as a whole */
    SPEC_CHOICE, /* one of some strings */
    SPEC_GBNF,   /* a text of a grammar as llama.cpp writes them */
};

struct spec {
    enum spec_kind kind;
    const struct value *value; /* the schema; the list of strings, one at least */
    const char *text;          /* the regular expression, the grammar */
    size_t len;
    const char *param; /* the field of the request, for errors; or NULL */
};

/* Puts the spec into the grammar: *root is the rule to compile.  Errors: ERR_INVALID,
 * ERR_UNSUPPORTED, ERR_LIMIT, ERR_NOMEM, with what is wrong where. */
int spec_grammar(struct grammar *g, const struct spec *s, int32_t *root, struct err *e) MUST_CHECK;

/* Appends bytes that are equal for equal specs only. */
void spec_key(struct buf *b, const struct spec *s);

#endif
