/* params.h - the parameters that chat completions and completions share.
 *
 * Ranges and defaults are OpenAI's (CreateChatCompletionRequest, CreateCompletionRequest); what is
 * not offered and cannot be disregarded without changing the answer's meaning is refused.  Any
 * thread. */
#ifndef AIRSTRIP_PARAMS_H
#define AIRSTRIP_PARAMS_H

#include "inference/engine.h"
#include "kernels/base/arena.h"
#include "kernels/base/err.h"
#include "kernels/base/value.h"

struct params {
    const char *model; /* NULL: the default group */
    bool stream, include_usage;
    size_t n;                 /* choices for each prompt */
    struct sampling sampling; /* bias borrowed from the arena */
    const char *const *stops; /* borrowed from the arena */
    size_t n_stops;
    bool ignore_end;
};

/* Reads them from a request's object; max_choices bounds n. */
int params_read(struct params *p, const struct value *body, size_t max_choices, struct arena *a,
                struct err *e) MUST_CHECK;

/* The request's body as a JSON object, in the arena. */
int params_body(const char *text, size_t len, struct arena *a, struct value **out,
                struct err *e) MUST_CHECK;

#endif
