/* completion_request.h - the JSON of POST /v1/completions to a struct.
 *
 * Source: OpenAI's CreateCompletionRequest (legacy).  Everything lives in the request's arena.  Any
 * thread. */
#ifndef AIRSTRIP_COMPLETION_REQUEST_H
#define AIRSTRIP_COMPLETION_REQUEST_H

#include "fcgi/api/params.h"

struct completion_request {
    struct params params;
    struct job_request *jobs; /* [n_prompts] kind, prompt and max_tokens filled in */
    const char **echoes; /* [n_prompts] prompt text, NULL in it where it is ids; NULL: no echo */
    size_t n_prompts;
    size_t best_of;   /* answers generated for each prompt; 0: as many as are told */
    int top_logprobs; /* -1: none */
};

/* rules->max_choices bounds prompts times answers.  Errors: ERR_INVALID, ERR_UNSUPPORTED, ERR_LIMIT
 * with param.
 */
int completion_request_read(struct completion_request *c, const struct value *body,
                            const struct params_rules *rules, struct arena *a,
                            struct err *e) MUST_CHECK;

#endif
