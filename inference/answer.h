/* answer.h - the outgoing side of a sequence: tokens in, events with text and logprobs out.
 *
 * A token's logprob goes out with the event whose text shows the last of its bytes, so that
 * streamed and buffered answers list the same tokens, and the tokens' bytes joined are the text's.
 * When a stop string ends the answer, tokens that only had a part in the stop string are left out;
 * one that also began with shown text is kept whole.  Where control tokens are shown, the ends of
 * tokens are, too (struct job_request, show_control).  Owned by the engine thread. */
#ifndef AIRSTRIP_ANSWER_H
#define AIRSTRIP_ANSWER_H

#include "inference/inbox.h"
#include "inference/text/detok.h"

struct answer {
    struct detok detok;
    struct buf text;                /* to be shown by the next event */
    struct token_logprob *logprobs; /* [n_held * width] of tokens that have not gone out */
    size_t width;                   /* 1 + alternatives; 0 = no logprobs wanted */
    size_t n_held, cap;
    size_t n_ready;      /* of those held, so many may go out */
    size_t n_tokens;     /* since the last event */
    size_t bytes_pushed; /* of all tokens so far */
    size_t bytes_gone;   /* of tokens whose logprob has gone out */
    bool failed;         /* memory ran out: the answer has a hole */
};

/* stops stay borrowed.  top_logprobs as in struct job_request. */
void answer_init(struct answer *a, const struct tokenizer *t, const struct str *stops,
                 size_t n_stops, int top_logprobs);
void answer_done(struct answer *a);

/* One more token; logprobs: [width] of it, copied.  True: a stop string was completed; stops: are
 * they looked for? */
bool answer_push(struct answer *a, int32_t id, const struct token_logprob *logprobs, bool stops);

/* Nothing more comes: what was held back may go out.  True: all the same it ends with a stop
 * string, which one that had begun before it and is not completed any more had hidden. */
bool answer_finish(struct answer *a);

/* What may go out now as an event of this tag; NULL where there is nothing, or no memory (see
 * failed). */
struct event_node *answer_take(struct answer *a, size_t tag);

#endif
