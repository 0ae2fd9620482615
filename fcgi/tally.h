/* tally.h - what one request's generation adds to its model's metrics.
 *
 * Belongs to the worker thread of the request; times are those at which the engine said things, so
 * a client that reads slowly does not show as a slow model. */
#ifndef AIRSTRIP_TALLY_H
#define AIRSTRIP_TALLY_H

#include <stdbool.h>

#include "fcgi/metrics.h"
#include "inference/engine.h"

struct tally {
    struct metrics *metrics;
    double start_ms; /* clock_ms() when the request came */
    bool begun;      /* its first token is counted */
};

/* An event of a choice; *last_ms, 0 at first, is the choice's own. */
void tally_event(struct tally *t, const struct event *ev, double *last_ms);

/* All choices are done; of: the first one's usage, written: tokens of all. */
void tally_done(struct tally *t, const struct usage *of, size_t written);

/* It ended otherwise: the client left, or it failed. */
void tally_broken(struct tally *t, bool cancelled);

#endif
