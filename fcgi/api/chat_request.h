/* chat_request.h - the JSON of POST /v1/chat/completions to a struct.
 *
 * Source: OpenAI's CreateChatCompletionRequest.  Everything lives in the request's arena.  Any
 * thread. */
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

/* Parts of it, for requests of other shapes that are chats too. */

/* What the template sees: messages (its shape), effort (how hard to think; NULL: not said), and
 * what body says in add_generation_prompt, continue_final_message and chat_template_kwargs. */
int chat_context_read(struct value **out, const struct value *body, struct value *messages,
                      const char *effort, struct arena *a, struct err *e) MUST_CHECK;

/* reasoning_format, as llama-server has it: "none" leaves reasoning in the content. */
int chat_reasoning_read(struct chat_request *c, const struct value *body, struct err *e) MUST_CHECK;

#endif
