/* logprobs.h - one token's log-probability as OpenAI writes it.  Any thread. */
#ifndef AIRSTRIP_LOGPROBS_H
#define AIRSTRIP_LOGPROBS_H

#include "inference/engine.h"
#include "kernels/base/buf.h"

/* JSON has no infinity: what is impossible is written as -9999 (as OpenAI documents). */
void logprobs_number(struct buf *b, float logprob);

/* "token":"..","logprob":-1.5,"bytes":[..] without braces.  bytes are the token's own: where it is
 * a part of a character, its text shows U+FFFD. */
void logprobs_token(struct buf *b, const struct token_logprob *t);

#endif
