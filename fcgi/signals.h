/* signals.h - signals as bytes in a pipe that main reads.
 *
 * A pipe instead of sigwait(): libraries may have started threads before main that block nothing,
 * and a signal that one of them takes must not be lost.  Main only, but for signals_wake(). */
#ifndef AIRSTRIP_SIGNALS_H
#define AIRSTRIP_SIGNALS_H

#include <stdbool.h>

#include "kernels/base/err.h"

enum { SIGNALS_WAKE = 255 }; /* no signal: somebody wants main to look around */

/* Blocks SIGTERM, SIGINT, SIGQUIT, SIGHUP and SIGUSR1 in this thread and all that it will make;
 * signals_next() opens them for itself.  ERR_IO. */
int signals_catch(struct err *e) MUST_CHECK;

/* The next signal or SIGNALS_WAKE; 0 after timeout_ms (-1: none). */
int signals_next(int timeout_ms);

/* SIGTERM, SIGINT, SIGQUIT. */
bool signals_stop(int number);

/* Makes signals_next() return.  Any thread. */
void signals_wake(void);

#endif
