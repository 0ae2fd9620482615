/* pooling.h - what a text's tokens become together: one vector.
 *
 * The engine thread's, but for pooling_read(). */
#ifndef AIRSTRIP_POOLING_H
#define AIRSTRIP_POOLING_H

#include "inference/model.h"

/* Of the hidden states behind the last norm. */
enum pooling {
    POOLING_MEAN, /* of all tokens */
    POOLING_CLS,  /* the first token's */
    POOLING_LAST, /* the last token's */
};

/* "mean", "cls" or "last". */
const char *pooling_name(enum pooling p);

/* What `name` says, or where it is NULL or "" the model: pooling_type as llama.cpp numbers it (a
 * folder's has come from modules.json).  Where that says nothing, the mean of an encoder's, which
 * have all seen the text, and the last one of others, which alone has.  Errors: ERR_INVALID
 * (`name`), ERR_UNSUPPORTED with what makes the model's vectors, or that it gives none. */
int pooling_read(enum pooling *out, const struct model *m, const struct weights *w,
                 const char *name, struct err *e) MUST_CHECK;

/* The key of a folder whose vectors we cannot make: a sentence that says why. */
#define POOLING_REFUSED "general.huggingface.no_embeddings"

/* Of rows from position pos on of a text, n of n_text: how many count, and which is the first. */
size_t pooling_rows(enum pooling p, size_t pos, size_t n, size_t n_text, size_t *first);

/* A vector that is being made. */
struct pooled {
    double *sum; /* [n_embd]; NULL: none is wanted */
    size_t n_embd, n;
};

int pooled_init(struct pooled *p, size_t n_embd, struct err *e) MUST_CHECK;
void pooled_done(struct pooled *p); /* a zeroed one is fine */
void pooled_add(struct pooled *p, const float *hidden);
void pooled_mean(const struct pooled *p, float *out); /* of one or more */

#endif
