/* slow_log.h - a line about each request that takes longer than slow_request: while it is still at
 * it, so that one that never ends is seen too. */
#ifndef AIRSTRIP_SLOW_LOG_H
#define AIRSTRIP_SLOW_LOG_H

#include "fcgi/request.h"
#include "fcgi/server.h"

/* Looks at all in flight; main, every second.  limit_ms 0: none is slow. */
void slow_log_look(struct server *s, size_t limit_ms);

/* One has ended, and left the board. */
void slow_log_end(struct server *s, size_t limit_ms, struct slot *slot);

#endif
