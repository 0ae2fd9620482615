/* chat_tools.h - the tools of a chat request: which there are, which may or must be called.
 *
 * Source: OpenAI's CreateChatCompletionRequest, tools, tool_choice, parallel_tool_calls, and the
 * older functions and function_call.  Everything lives in the request's arena.  Any thread. */
#ifndef AIRSTRIP_CHAT_TOOLS_H
#define AIRSTRIP_CHAT_TOOLS_H

#include <stdbool.h>

#include "inference/engine.h"
#include "kernels/base/arena.h"
#include "kernels/base/err.h"
#include "kernels/base/value.h"

struct chat_tools {
    struct value *list; /* those that may be called, as a request's `tools`; NULL: none */
    bool required; /* the answer must call at least one of them: with tool_choice naming one, it is
                      alone */
    bool one_call; /* and at most one */
    bool legacy;   /* they came as `functions`: the answer has function_call */
};

/* flat: tools as responses write them, {"type": "function", "name": .., "parameters": ..}, and no
 * functions.  Errors: ERR_INVALID and ERR_UNSUPPORTED, with the field as param. */
int chat_tools_read(struct chat_tools *t, const struct value *body, bool flat, struct arena *a,
                    struct err *e) MUST_CHECK;

/* What an answer must be that has to call them: a JSON object {"name": .., "arguments": ..}, or a
 * list of such where there may be several. */
int chat_tools_spec(const struct chat_tools *t, struct spec *s, struct arena *a,
                    struct err *e) MUST_CHECK;

/* An earlier answer's calls and reasoning: tool_calls (or function_call) go to `to` with their
 * arguments as objects, reasoning under both names that templates know. */
int chat_tools_history(const struct value *message, const char *where, struct arena *a,
                       struct value *to, struct err *e) MUST_CHECK;

/* Appends one call to a message's tool_calls: f has name and arguments, `where` names it in errors;
 * id: a string, or NULL. */
int chat_tools_add_call(const struct value *f, const struct value *id, const char *where,
                        struct arena *a, struct value *list, struct err *e) MUST_CHECK;

/* What an answer thought, text being a string: under both names that templates know. */
int chat_tools_set_reasoning(struct value *message, const struct value *text, struct arena *a,
                             struct err *e) MUST_CHECK;

#endif
