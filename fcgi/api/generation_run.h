/* generation_run.h - what the files of generation share among themselves. */
#ifndef AIRSTRIP_GENERATION_RUN_H
#define AIRSTRIP_GENERATION_RUN_H

#include "fcgi/api/deadline.h"
#include "fcgi/api/generation.h"
#include "fcgi/sse.h"
#include "fcgi/tally.h"

/* One run: the generation and what carries it. */
struct run {
    struct generation g;
    struct app *app;
    struct request *r;
    struct reply *p;
    const struct generation_ask *ask;
    const struct dialect *d;
    struct inbox *inbox;
    struct job **jobs; /* [n_choices] */
    size_t open;       /* choices not over yet */
    size_t n_each;     /* of each prompt */
    struct sse sse;
    struct buf frame;
    struct tally tally;
    struct deadline deadline;
};

/* --- generation.c --- */

/* Sends the frames that stand in u->frame. */
bool generation_send_frames(struct run *u);
bool generation_send_delta(struct run *u, size_t index, const struct event *ev);

/* Ends the answer with an error: a status, or an error event where the headers are out. */
void generation_fail(struct run *u, const struct err *e);

/* --- generation_parts.c: answers with a form --- */

/* A choice's job was submitted: its text is split from now on. */
void generation_begin_split(struct run *u, size_t index);

/* An event with text; false ends the run. */
bool generation_take_split(struct run *u, const struct event *ev);

/* The choice is over. */
bool generation_end_split(struct run *u, size_t index);

#endif
