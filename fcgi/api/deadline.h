/* deadline.h - when a request has taken too long, by the operator's word or by its client's.
 *
 * request_timeout of the configuration is for the whole of a request.  OpenAI's client says how
 * many seconds it waits for the next byte (x-stainless-read-timeout).  Until an answer in one piece
 * is complete there is none, so that is its deadline; a stream has bytes all the time (events, or
 * pings in between), so there it counts only until the request leaves the queue.  Most web servers
 * do not tell that the client of a silent request has left: without a deadline work for nobody
 * would go on.
 *
 * Belongs to the worker thread of the request. */
#ifndef AIRSTRIP_DEADLINE_H
#define AIRSTRIP_DEADLINE_H

#include <stdbool.h>

#include "fcgi/config.h"
#include "fcgi/request.h"
#include "kernels/base/err.h"

struct deadline {
    double limit_at_ms, client_at_ms; /* on clock_ms(); 0: none */
    size_t limit_ms, client_ms;       /* what they were made of, for the sentence */
};

/* Counted from the request's start. */
void deadline_init(struct deadline *d, const struct config *c, const struct request *r);

/* The client hears something from now on: its patience is no limit any more. */
void deadline_heard(struct deadline *d);

/* Milliseconds that are left, at most max_ms and at least 0. */
double deadline_left_ms(const struct deadline *d, double max_ms);

/* 0, or ERR_DEADLINE with whose limit it was. */
int deadline_check(const struct deadline *d, struct err *e) MUST_CHECK;

#endif
