/* admission.h - whether a request may be served now: its key, and the limits of key and address.
 *
 * Runs on the worker's thread, before the body is read: who may not ask need not send it. */
#ifndef AIRSTRIP_ADMISSION_H
#define AIRSTRIP_ADMISSION_H

#include <stdbool.h>
#include <stddef.h>

#include "fcgi/limits.h"

struct app;
struct auth_key;
struct reply;
struct request;

/* A request's part of it, zeroed at first. */
struct admission {
    const struct auth_key *key; /* NULL where no keys are configured; lives as long as the app */
    struct account *of_key, *of_address;
    struct limits *limits;
    size_t charged; /* tokens */
};

/* Whether the key is right, or none is needed; otherwise *p is the answer, 401. */
bool admission_key(const struct app *app, struct request *r, struct reply *p);

/* Whether its key and its address may have one more request now; otherwise *p is the answer, 429.
 * Adds the x-ratelimit headers. */
bool admission_limits(const struct app *app, struct request *r, struct reply *p);

/* Tokens of its prompt or answer. */
void admission_charge(struct request *r, size_t tokens);

/* It has ended; tokens: all that it had, of which those charged already are subtracted. */
void admission_end(struct request *r, size_t tokens);

/* The name of its key for log and status, or NULL. */
const char *admission_name(const struct request *r);

#endif
