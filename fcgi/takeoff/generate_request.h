/* generate_request.h - the JSON of POST /generate and /generate_stream to a struct.
 *
 * Names, defaults and meaning are Takeoff's: without sampling_topk the likeliest token is taken,
 * 128 tokens at most.  What the model's makers or the operator suggest for OpenAI's API does not
 * count here.  Everything lives in the request's arena.  Any thread. */
#ifndef AIRSTRIP_TAKEOFF_GENERATE_REQUEST_H
#define AIRSTRIP_TAKEOFF_GENERATE_REQUEST_H

#include "fcgi/api/params.h"

/* What the operator allows in a request. */
struct takeoff_limits {
    size_t texts, text_bytes; /* of each of them */
};

struct generate_request {
    const char *group; /* "primary" where none is named */
    struct params params;
    size_t max_tokens;
    const struct value **texts; /* [n] strings */
    size_t n;
    bool many;                /* they came as an array: so does the answer */
    bool chat;                /* use_chat_template, and nothing else was said */
    bool metadata;            /* return_metadata */
    size_t prompt_max_tokens; /* of longer ones only the beginning counts; SIZE_MAX: no limit */
};

/* Errors: ERR_INVALID, ERR_UNSUPPORTED, ERR_LIMIT, each with the field as param. */
int generate_request_read(struct generate_request *g, const struct value *body,
                          const struct takeoff_limits *limits, struct arena *a,
                          struct err *e) MUST_CHECK;

/* text: a string or an array of strings, as other requests have it too. */
int takeoff_texts_read(const struct value *body, const struct takeoff_limits *limits,
                       struct arena *a, const struct value ***texts, size_t *n, bool *many,
                       struct err *e) MUST_CHECK;

/* consumer_group, "primary" where it is not there. */
int takeoff_group_read(const struct value *body, const char **group, struct err *e) MUST_CHECK;

#endif
