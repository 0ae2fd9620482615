/* prompt.h - what a request asks, as token ids.
 *
 * Runs on the caller's thread and only reads the model's text side.  Text that a client wrote never
 * becomes a control token: only the template's own text can. */
#ifndef AIRSTRIP_PROMPT_H
#define AIRSTRIP_PROMPT_H

#include "inference/loaded.h"

/* Appends the prompt's ids to *out (empty before), at least one and fewer than n_ctx (with embed,
 * at most as many). Errors: ERR_INVALID, ERR_CONTEXT, ERR_UNSUPPORTED (no template), ERR_LIMIT,
 * ERR_NOMEM. */
int prompt_encode(const struct loaded *l, const struct job_request *r, struct ids *out,
                  struct err *e) MUST_CHECK;

/* The text that a chat's context becomes, for PROMPT_CHAT.  Where the context has a true
 * continue_final_message, it ends with the last message's text, which the answer goes on with.
 * Free with rendering_done(), also on error. */
int prompt_render(const struct loaded *l, const struct value *context, struct rendering *out,
                  struct err *e) MUST_CHECK;

/* Appends the prediction's ids, none where there is no prediction or no use for one; as the text of
 * an answer, not of a prompt.  Errors: ERR_CONTEXT, ERR_NOMEM. */
int prompt_encode_prediction(const struct loaded *l, const struct job_request *r, struct ids *out,
                             struct err *e) MUST_CHECK;

#endif
