/* access_log.h - one line a request in a file of its own, in the operator's format.
 *
 *   %R address  %u key's name or -  %t time  %m method  %r path  %q ?query or nothing
 *   %s status  %{header}i a request header  %d seconds  %l bytes of the answer's body, as far as it
 *   was buffered  %M model  %p prompt tokens  %g generated tokens  %Q queue ms  %f finish reason
 *   %I request id  %T trace id  %% a percent sign
 *
 * PHP-FPM's letters where it has them.  What a client sent is escaped, so that a line stays one.
 * Any thread, but for opening, which is main's. */
#ifndef AIRSTRIP_ACCESS_LOG_H
#define AIRSTRIP_ACCESS_LOG_H

#include "fcgi/reply.h"
#include "fcgi/request.h"
#include "kernels/base/err.h"

/* Appends to path from now on, or to nothing (NULL).  ERR_IO. */
int access_log_open(const char *path, struct err *e) MUST_CHECK;

/* Opens the same file again, after it was rotated.  ERR_IO. */
int access_log_reopen(struct err *e) MUST_CHECK;

/* Whether a format is one: 0, or ERR_INVALID with what was expected. */
int access_log_check(const char *format, struct err *e) MUST_CHECK;

/* Writes the line of an answered request; nothing where no log is open. */
void access_log_write(const char *format, const struct request *r, const struct reply *p);

#endif
