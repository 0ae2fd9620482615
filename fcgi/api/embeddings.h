/* embeddings.h - the vectors of many texts, in whatever shape they are told.  Runs on the worker's
 * thread. */
#ifndef AIRSTRIP_EMBEDDINGS_H
#define AIRSTRIP_EMBEDDINGS_H

#include "fcgi/api/embedding_request.h"
#include "fcgi/app.h"
#include "fcgi/reply.h"
#include "fcgi/request.h"

/* What is wanted of whom, and how the answer's body looks.  All borrowed. */
struct embeddings_ask {
    const struct app_model *model;
    const struct embedding_request *q;

    /* Appends vector i, of n numbers, in order of i; then what follows the last one, n_tokens being
     * those of all texts. */
    void (*put)(struct buf *b, const struct embeddings_ask *ask, size_t i, const float *x,
                size_t n);
    void (*end)(struct buf *b, const struct embeddings_ask *ask, size_t n_tokens);
};

void embeddings_run(struct app *app, struct request *r, struct reply *p,
                    const struct embeddings_ask *ask);

#endif
