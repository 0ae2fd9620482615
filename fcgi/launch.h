/* launch.h - this process as one of several that MPI's launcher has started to compute one model.
 *
 * Rank 0 serves; the others open no socket and do what rank 0's engine tells theirs.  There is one
 * launch in a process, or none: then all of this says so.  Main only, but for launch_failed(). */
#ifndef AIRSTRIP_FCGI_LAUNCH_H
#define AIRSTRIP_FCGI_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>

#include "fcgi/config.h"
#include "inference/engine.h"
#include "kernels/base/err.h"

enum launcher {
    LAUNCHER_AUTO, /* together, if the launcher has started several */
    LAUNCHER_ON,   /* and an error if it has not */
    LAUNCHER_OFF,  /* each on its own, whoever has started them */
};

/* Joins the others, if there are any, and sees whether all came with the same program,
 * configuration and model.  Errors: those of the first rank that cannot go on. */
int launch_open(const struct config *c, struct err *e) MUST_CHECK;

/* This process cannot serve, even where it has not joined the others yet: they hear why.  c: what
 * was read of its configuration; NULL where it did and the configuration is gone. */
void launch_refuse(const struct config *c, const struct err *why);

bool launch_on(void);      /* there are others */
bool launch_follows(void); /* this is not rank 0 */

/* What the engine of such a process must know.  ERR_UNSUPPORTED the second time: the others have
 * loaded the first one's model. */
int launch_engine(struct engine_config *ec, struct err *e) MUST_CHECK;

/* Does what rank 0 says until it says goodbye: 0; else what failed. */
int launch_follow(const struct config *c, struct err *e) MUST_CHECK;

/* 0, or which rank failed and why.  Any thread. */
int launch_failed(struct err *e);

/* Says goodbye, after all engines are closed.  False: something had failed, and MPI must not be
 * asked to end; the process leaves by _exit(). */
bool launch_close(void);

#endif
