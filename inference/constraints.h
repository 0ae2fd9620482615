/* constraints.h - a model's constraints: compiled once, shared by all answers that ask for the
 * same.
 *
 * Getting one is any thread's; using it (its masks and positions) the engine thread's alone. */
#ifndef AIRSTRIP_CONSTRAINTS_H
#define AIRSTRIP_CONSTRAINTS_H

#include "inference/constrain/constraint.h"
#include "inference/constrain/spec.h"
#include "inference/text/tokenizer.h"

struct constraints;

/* One that was asked for; counted references. */
struct shape {
    struct constraint *constraint;
    /* the rest is constraints.c's */
    struct constraints *owner;
    struct buf key;
    unsigned refs;        /* under the owner's lock */
    _Atomic size_t bytes; /* held, as last told */
    struct shape *next;   /* more recently asked for first */
};

/* The tokenizer stays borrowed; n_vocab: of the model's logits. */
int constraints_open(struct constraints **out, const struct tokenizer *t, size_t n_vocab,
                     struct err *e) MUST_CHECK;
void constraints_close(struct constraints *c); /* shapes may outlive it; NULL is fine */

/* Compiles it, or finds that it was.  Errors: those of spec_grammar() and constraint_create(). */
int constraints_get(struct constraints *c, const struct spec *s, struct shape **out,
                    struct err *e) MUST_CHECK;
struct shape *shape_ref(struct shape *s);
void shape_unref(struct shape *s); /* NULL is fine */

/* The engine thread: it may have grown. */
void shape_grew(struct shape *s);

#endif
