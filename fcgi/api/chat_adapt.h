/* chat_adapt.h - a chat as the model's own template can take it.
 *
 * Templates differ in what they know: system messages, tools, calls in earlier answers, arguments
 * as objects or as text.  What a template knows is found out by rendering a few words with it, not
 * by its name; what it does not know is said in words of the conversation.  Any thread. */
#ifndef AIRSTRIP_CHAT_ADAPT_H
#define AIRSTRIP_CHAT_ADAPT_H

#include "fcgi/api/chat_request.h"
#include "fcgi/parts/format.h"

/* Changes context (its messages, tools) in place.  *format: how the model will write calls: chosen,
 * or by the template where that is NULL.  Errors: ERR_LIMIT (the request's memory). */
int chat_adapt(struct engine *g, struct value *context, const struct chat_tools *tools,
               const struct format **format, struct arena *a, struct err *e) MUST_CHECK;

/* What the model's template knows by itself; all false where there is none. */
struct chat_caps {
    bool system, tools, calls, object_arguments; /* calls: in earlier answers */
};
struct chat_caps chat_caps(struct engine *g);

#endif
