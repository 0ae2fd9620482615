/* chat_response.h - events to the JSON of chat completions.
 *
 * Source: OpenAI's CreateChatCompletionResponse and CreateChatCompletionStreamResponse.  Any
 * thread. */
#ifndef AIRSTRIP_CHAT_RESPONSE_H
#define AIRSTRIP_CHAT_RESPONSE_H

#include "fcgi/api/generation.h"

extern const struct dialect chat_dialect;

#endif
