/* intake.h - what a web server sends on one connection, taken record by record and bounded.
 *
 * libfcgi trusts the lengths that it reads: a parameter of 2 GiB in a record of 40 bytes ends the
 * process, and so does a long FCGI_GET_VALUES, whose answer it writes into 64 bytes.  So records
 * are read here first, into memory that only grows by what really came, and libfcgi (responder.c)
 * is shown a head in which everything has been checked.
 *
 * No system calls, no time: whoever owns the socket feeds bytes in and sends what is owed.  FastCGI
 * specification 3.3 and 3.4 (records, pairs), 4 (management records), 5 (BEGIN, PARAMS, STDIN,
 * ABORT).  One thread at a time. */
#ifndef AIRSTRIP_INTAKE_H
#define AIRSTRIP_INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/buf.h"
#include "kernels/base/err.h"

enum {
    INTAKE_HEAD_MAX = 65528, /* bytes of parameters: one record can hold as many */
    INTAKE_PAIRS_MAX = 1000, /* parameters */
};

enum intake_state {
    INTAKE_START,   /* nothing but management records yet */
    INTAKE_HEAD,    /* parameters are coming */
    INTAKE_BODY,    /* they are complete, the body is coming */
    INTAKE_WHOLE,   /* the request can be served */
    INTAKE_ABORTED, /* FCGI_ABORT_REQUEST came before that */
};

struct intake {
    enum intake_state state;
    bool has_rest;    /* WHOLE, but more input is to be expected: it was not read to its end */
    bool broken;      /* the owner's: the body ended too soon */
    uint16_t id;      /* of the request */
    uint16_t role;    /* 1 responder, 2 authorizer, 3 filter */
    struct buf head;  /* contents of the FCGI_PARAMS records: pairs, all complete once in BODY */
    struct buf body;  /* contents of the FCGI_STDIN records */
    size_t body_read; /* bytes of it that intake_read() has given out */
    struct buf owed;  /* records to send to the web server, in order; the owner empties it */

    /* What follows is intake.c's own. */
    size_t body_limit, max_requests;
    unsigned char header[8];
    size_t n_header;         /* bytes of the current record's header that are here */
    size_t left, padding;    /* bytes of the current record still to come */
    struct buf *into;        /* where its content goes; NULL: nowhere */
    struct buf small;        /* content of BEGIN and GET_VALUES records */
    size_t pair_at, n_pairs; /* the first pair of head that is not complete; those before it */
    size_t n_extra, skipped; /* records beside the request, bytes that went nowhere */
};

/* A body longer than body_limit is not kept: the request is WHOLE as soon as it is, with has_rest.
 * max_requests is what FCGI_GET_VALUES is told of FCGI_MAX_CONNS and FCGI_MAX_REQS. */
void intake_init(struct intake *in, size_t body_limit, size_t max_requests);
void intake_done(struct intake *in);

/* Takes bytes as they came from the socket; what comes after the request is disregarded, but for
 * FCGI_ABORT_REQUEST.  Look at `state` and `owed` afterwards.
 * Errors: ERR_FORMAT for what is not FastCGI, ERR_LIMIT for what is larger than allowed, ERR_NOMEM.
 * The connection is then to be closed, after sending what is owed. */
int intake_feed(struct intake *in, const void *bytes, size_t len, struct err *e) MUST_CHECK;

/* The body as conn.h's read() wants it: how many bytes, 0 at its end, -1 where it broke off.  Gives
 * the memory back at the end. */
long intake_read(struct intake *in, void *to, size_t len);

/* Memory that it holds. */
size_t intake_bytes(const struct intake *in);

#endif
