/* completion_logprobs.h - log-probabilities in the legacy shape: four lists side by side.
 *
 *   {"tokens": [..], "token_logprobs": [..], "top_logprobs": [{token: logprob, ..}, ..],
 *    "text_offset": [..]}
 *
 * As OpenAI's, a token that is no whole text is written "bytes:\xe2\x82" (so that no two are the
 * same), the token taken is among its own alternatives, and of a prompt the first token has null.
 * Any thread. */
#ifndef AIRSTRIP_COMPLETION_LOGPROBS_H
#define AIRSTRIP_COMPLETION_LOGPROBS_H

#include "inference/engine.h"
#include "kernels/base/buf.h"

enum { COMPLETION_LISTS = 4 };

size_t count_chars(const char *s, size_t len);

/* Appends an event's tokens to the lists as they grow; top: alternatives; offset: characters before
 * them, of the text that is told.  Returns how many there are behind them. */
size_t completion_lists_add(struct buf *lists, const struct event *ev, int top, size_t offset);

/* The whole object; the lists stay. */
void completion_lists_put(struct buf *b, const struct buf *lists);

#endif
