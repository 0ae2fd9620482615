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
    bool stream, include_usage;
    size_t n;                 /* choices for each prompt */
    struct sampling sampling; /* bias borrowed from the arena */
    const char *const *stops; /* borrowed from the arena */
    size_t n_stops;
    const int32_t *stop_ids; /* likewise */
    size_t n_stop_ids, min_tokens;
    bool ignore_end;
    struct spec spec; /* what the text must be; borrowed from the arena */
    int priority;     /* 0 where clients have no say */
};

/* What the operator says about all requests to a model. */
struct params_rules {
    size_t max_choices;       /* most that n may be */
    struct sampling sampling; /* for what a request does not name */
    size_t max_tokens;        /* the same, of a chat */
    bool client_priority;     /* else `priority` is disregarded */
};

/* The group a request asks for, NULL if it names none; borrowed from body. */
int params_model(const struct value *body, const char **model, struct err *e) MUST_CHECK;

/* Reads them from a request's object: all but n and response_format, which stay 1 and nothing. */
int params_read(struct params *p, const struct value *body, const struct params_rules *rules,
                struct arena *a, struct err *e) MUST_CHECK;

/* n, for endpoints that have it. */
int params_read_n(struct params *p, const struct value *body, const struct params_rules *rules,
                  struct err *e) MUST_CHECK;

/* ERR_INVALID where fewer tokens than min_tokens would be allowed. */
int params_max_tokens(const struct params *p, size_t max_tokens, struct err *e) MUST_CHECK;

/* All that they say about the job of that choice, 0 and up: what it borrows, *r borrows too. */
void params_fill(const struct params *p, size_t choice, struct job_request *r);

/* The request's body as a JSON object, in the arena. */
int params_body(const char *text, size_t len, struct arena *a, struct value **out,
                struct err *e) MUST_CHECK;

#endif
