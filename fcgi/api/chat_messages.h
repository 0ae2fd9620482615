/* chat_messages.h - one message of a conversation, checked and in the one shape that chat templates
 * expect: content is a string (text parts joined by newlines), the developer role is the system
 * role.
 *
 * `where` names what is read in errors: "messages[3]".  Everything lives in the request's arena.
 * Any thread. */
#ifndef AIRSTRIP_CHAT_MESSAGES_H
#define AIRSTRIP_CHAT_MESSAGES_H

#include "kernels/base/arena.h"
#include "kernels/base/err.h"
#include "kernels/base/value.h"

/* A string or an array of parts (v NULL: neither), as one string.  Errors: ERR_INVALID;
 * ERR_UNSUPPORTED for parts that are no text; ERR_LIMIT. */
int chat_text_read(const struct value *v, const char *where, struct arena *a, struct value **out,
                   struct err *e) MUST_CHECK;

/* A message of OpenAI's CreateChatCompletionRequest: role, content, name, tool_call_id, an earlier
 * answer's calls and reasoning. */
int chat_message_read(const struct value *message, const char *where, struct arena *a,
                      struct value **out, struct err *e) MUST_CHECK;

#endif
