/* responses_request.h - the JSON of POST /v1/responses to a chat.
 *
 * Source: OpenAI's CreateResponse, in its stateless form: the whole conversation comes as `input`,
 * nothing is stored, and what would need a store is refused.  A request becomes the same struct
 * chat_request that /v1/chat/completions fills, so templates, tools and constraints are the chat's.
 * Everything lives in the request's arena.  Any thread. */
#ifndef AIRSTRIP_RESPONSES_REQUEST_H
#define AIRSTRIP_RESPONSES_REQUEST_H

#include "fcgi/api/chat_request.h"

struct responses_request {
    struct chat_request chat;
    const char *settings; /* what every response object repeats: JSON members, a comma first */
};

/* Errors: ERR_INVALID, ERR_UNSUPPORTED, ERR_LIMIT, each with the field as param. */
int responses_request_read(struct responses_request *q, const struct value *body,
                           const struct params_rules *rules, struct arena *a,
                           struct err *e) MUST_CHECK;

/* instructions (NULL: none) and input (a string, or items) as a chat's messages.  Calls and
 * reasoning are items of their own there, and parts of an assistant's message here. */
int responses_input_read(const struct value *input, const char *instructions, struct arena *a,
                         struct value **messages, struct err *e) MUST_CHECK;

#endif
