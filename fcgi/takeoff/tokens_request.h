/* tokens_request.h - the JSON of POST /tokenize/{reader}, /detokenize/{reader} and
 * /chat_template/{reader} to structs.
 *
 * Everything lives in the request's arena.  Any thread. */
#ifndef AIRSTRIP_TAKEOFF_TOKENS_REQUEST_H
#define AIRSTRIP_TAKEOFF_TOKENS_REQUEST_H

#include "inference/engine.h"
#include "kernels/base/arena.h"
#include "kernels/base/err.h"
#include "kernels/base/value.h"

struct tokenize_ask {
    const struct value *text; /* a string */
    bool chat;                /* use_chat_template */
    bool bare;                /* skip_special_tokens: without those that stand before and behind */
};

/* A token is named by its id, or by its spelling in the vocabulary. */
struct detokenize_ask {
    const struct value *const *tokens; /* [n] integers 0 .. INT32_MAX, or strings */
    size_t n;
    bool bare; /* skip_special_tokens: control tokens are left out */
};

/* `most` of template_ask_read() is how many there may be. */
struct template_ask {
    struct value **contexts; /* [n] what the chat template is given */
    size_t n;
};

/* Errors: ERR_INVALID, ERR_UNSUPPORTED, ERR_LIMIT, each with the field as param. */
int tokenize_ask_read(struct tokenize_ask *t, const struct value *body, struct err *e) MUST_CHECK;
int detokenize_ask_read(struct detokenize_ask *t, const struct value *body,
                        struct err *e) MUST_CHECK;
int template_ask_read(struct template_ask *t, const struct value *body, size_t most,
                      struct arena *a, struct err *e) MUST_CHECK;

#endif
