/* chat_request.h - the JSON of POST /v1/chat/completions to a struct.
 *
 * Source: OpenAI's CreateChatCompletionRequest.  Messages are checked and brought into the one
 * shape that chat templates expect: content is a string (text parts joined by newlines), the
 * developer role is the system role.  Everything lives in the request's arena.  Any thread. */
#ifndef AIRSTRIP_CHAT_REQUEST_H
#define AIRSTRIP_CHAT_REQUEST_H

#include "fcgi/api/chat_tools.h"
#include "fcgi/api/params.h"

struct chat_request {
    struct params params;
    size_t max_tokens;        /* SIZE_MAX: until the context is full */
    int top_logprobs;         /* -1: no log-probabilities */
    struct value *prediction; /* a string that the answer may largely be; NULL: none */
    bool raw_reasoning;       /* it stays in the content */
    struct chat_tools tools;
    struct value *context; /* map for the template: messages, add_generation_prompt, kwargs */
};

/* Errors: ERR_INVALID, ERR_UNSUPPORTED, ERR_LIMIT, each with the field as param. */
int chat_request_read(struct chat_request *c, const struct value *body,
                      const struct params_rules *rules, struct arena *a, struct err *e) MUST_CHECK;

#endif
