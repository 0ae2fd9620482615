/* responder.h - one FastCGI request through libfcgi: its parameters in, its answer out.
 *
 * The only file that knows libfcgi, and all that it is given has been checked by intake.c.  Its own
 * reading of the socket is not used: it waits without limit and believes whatever length it is
 * told. */
#ifndef AIRSTRIP_RESPONDER_H
#define AIRSTRIP_RESPONDER_H

#include <fcgiapp.h>
#include <stdbool.h>

#include "fcgi/conn.h"
#include "fcgi/intake.h"
#include "kernels/base/err.h"

struct responder {
    struct conn conn; /* first: the body from the intake, the answer through libfcgi */
    FCGX_Request fcgx;
    struct intake *intake;
};

/* Once, before any thread is made: libfcgi's own set-up.  -1 if it fails.  Main only. */
int responder_init(void);

/* Opens the request whose head *in holds in full; its answer goes to fd.  Both are borrowed until
 * responder_close().  Any thread, as is all that follows.
 * Errors: ERR_IO, ERR_FORMAT; then there is nothing to close. */
int responder_open(struct responder *r, struct intake *in, int fd, struct err *e) MUST_CHECK;

/* "NAME=value" strings, NULL at the end, until responder_close(). */
char *const *responder_params(const struct responder *r);

/* Ends the answer where `finish` is set, else leaves the request as if it had never been opened.
 * fd stays open. */
void responder_close(struct responder *r, bool finish);

#endif
