/* responses_output.h - a generation to the JSON of responses: output items, and the typed events
 * that tell them as they grow.
 *
 * Source: OpenAI's Response and ResponseStreamEvent.  The parts of an answer become items
 * (reasoning, message, function_call) one after another; buffered and streamed answers are made by
 * the same steps, of which a buffered one only keeps what the finished items are.
 * Log-probabilities go to the message whose text comes after or with them: those of the marks
 * around calls and reasoning may be among them.  Runs on the worker's thread. */
#ifndef AIRSTRIP_RESPONSES_OUTPUT_H
#define AIRSTRIP_RESPONSES_OUTPUT_H

#include "fcgi/api/generation.h"

enum { OUTPUT_ID_BYTES = 32 };

enum output_kind { OUTPUT_NONE, OUTPUT_MESSAGE, OUTPUT_REASONING, OUTPUT_CALL };

/* A dialect's own: zeroed but for settings. */
struct responses_output {
    const char *settings; /* of struct responses_request */
    size_t sequence;      /* of the next event */
    struct buf items;     /* those that are finished: JSON, with commas between */
    size_t n_items;
    struct buf logprobs; /* of tokens that no message has taken yet */

    /* The item that grows. */
    enum output_kind open;
    char id[OUTPUT_ID_BYTES], call_id[OUTPUT_ID_BYTES];
    struct buf name;  /* of a call */
    struct buf text;  /* text, or arguments */
    struct buf probs; /* of a message */
};

void responses_output_done(struct responses_output *o);

/* own: a struct responses_output.  One choice only. */
extern const struct dialect responses_dialect;

#endif
