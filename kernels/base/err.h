/* err.h - one sentence and one code for whatever went wrong.
 *
 * The function that knew most (name, offset, expected, found) fills it in; callers pass it up
 * unchanged, and only the outermost layer decides what to do with it.
 * A struct err belongs to its caller and is used by one thread at a time. */
#ifndef AIRSTRIP_ERR_H
#define AIRSTRIP_ERR_H

#include <stdarg.h>

#define MUST_CHECK        __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

enum {
    ERR_NOMEM = -1,       /* memory, or a request's memory limit, ran out */
    ERR_IO = -2,          /* the system refused: open, read, mmap, socket; text has strerror's */
    ERR_FORMAT = -3,      /* outside bytes (model file, template, JSON, config) are malformed */
    ERR_INVALID = -4,     /* well-formed, but a value is of the wrong type or out of range */
    ERR_UNSUPPORTED = -5, /* understood, and not offered: text names what is missing */
    ERR_CONTEXT = -6,     /* the prompt does not fit the model's context */
    ERR_BUSY = -7,        /* the queue is full: worth trying again later */
    ERR_LOADING = -8,     /* the model is not ready yet */
    ERR_CLOSING = -9,     /* the server or the engine is shutting down */
    ERR_LIMIT = -10,      /* larger than a configured limit */
    ERR_NOTFOUND = -11,   /* no such model, route, tensor or key */
    ERR_CANCELLED = -12,  /* the client left, or the job was withdrawn */
    ERR_INTERNAL = -13,   /* our own fault */
    ERR_FORBIDDEN = -14,  /* the API key may not have it */
    ERR_RATE = -15,       /* the API key or address has had its share for now */
    ERR_STALLED = -16,    /* the engine hangs */
    ERR_DEADLINE = -17,   /* it took longer than its client waits, or than it may */
};

struct err {
    int code;          /* 0 or one of ERR_* */
    char text[480];    /* one sentence, no newline, cut if it would not fit */
    char param[96];    /* the request field, configuration key or tensor at fault; "" if none */
    int retry_after_s; /* when to try again; 0: nobody knows */
};

/* Fills *e (which may be NULL) with code and a printf-like sentence, clears param, and returns
 * code, so that a failing function ends in `return err_set(e, ERR_..., "...")`. */
int err_set(struct err *e, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The same, and names the field at fault: err_param(e, "messages[0].role", ERR_INVALID, "..."). */
int err_param(struct err *e, const char *param, int code, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* Puts a printf-like prefix in front of the sentence of *e (a file's name, say); returns e->code,
 * or ERR_INTERNAL where e is NULL. */
int err_prefix(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
