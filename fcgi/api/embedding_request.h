/* embedding_request.h - the JSON of POST /v1/embeddings to a struct.
 *
 * Source: OpenAI's CreateEmbeddingRequest; `normalize` is what other servers add.  Everything lives
 * in the request's arena.  Any thread. */
#ifndef AIRSTRIP_EMBEDDING_REQUEST_H
#define AIRSTRIP_EMBEDDING_REQUEST_H

#include "fcgi/api/params.h"

enum { EMBEDDING_MAX_INPUTS = 2048 };

struct embedding_request {
    const char *member;       /* whose texts they are: "input", for errors; static */
    struct job_request *jobs; /* [n] that want vectors, kind and prompt filled in */
    size_t n;
    bool many;         /* `input` is a list of several, however many: see embedding_param() */
    size_t dimensions; /* 0: all */
    bool base64;
    bool normalise;
};

/* n_embd: how long the model's vectors are.  Errors: ERR_INVALID, ERR_LIMIT, with param. */
int embedding_request_read(struct embedding_request *q, const struct value *body, size_t n_embd,
                           struct arena *a, struct err *e) MUST_CHECK;

/* "input", or "input[3]". */
struct embedding_param {
    char text[32];
};
struct embedding_param embedding_param(const struct embedding_request *q, size_t i);

#endif
