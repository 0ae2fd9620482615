/* tokens_request.h - the JSON of POST /tokenize and /detokenize to structs.
 *
 * Source: llama-server's.  Everything lives in the request's arena.  Any thread. */
#ifndef AIRSTRIP_TOKENS_REQUEST_H
#define AIRSTRIP_TOKENS_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/arena.h"
#include "kernels/base/err.h"
#include "kernels/base/value.h"

struct tokenize_request {
    const struct value *content; /* a string */
    bool add_special, parse_special, pieces;
};

struct detokenize_request {
    int32_t *ids; /* [n_ids] */
    size_t n_ids;
};

/* Errors: ERR_INVALID, ERR_LIMIT, with the field as param. */
int tokenize_request_read(struct tokenize_request *t, const struct value *body,
                          struct err *e) MUST_CHECK;
int detokenize_request_read(struct detokenize_request *t, const struct value *body, struct arena *a,
                            struct err *e) MUST_CHECK;

#endif
