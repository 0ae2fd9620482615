/* logprobs.h - tokens' log-probabilities as OpenAI writes them.  Any thread. */
#ifndef AIRSTRIP_LOGPROBS_H
#define AIRSTRIP_LOGPROBS_H

#include "inference/engine.h"
#include "kernels/base/buf.h"

/* JSON has no infinity: what is impossible is written as -9999 (as OpenAI documents). */
void logprobs_number(struct buf *b, float logprob);

/* "token":"..","logprob":-1.5,"bytes":[..] without braces.  bytes are the token's own: where it is
 * a part of a character, its text shows U+FFFD. */
void logprobs_token(struct buf *b, const struct token_logprob *t);

/* An event's tokens with their alternatives, {..},{..}, as chat completions and responses have
 * them. */
void logprobs_tokens(struct buf *b, const struct event *ev, int top);

#endif
