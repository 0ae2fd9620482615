/* records.h - FastCGI records as a web server writes them, for tests (specification 3.3, 3.4). */
#ifndef AIRSTRIP_RECORDS_H
#define AIRSTRIP_RECORDS_H

#include <string.h>

#include "kernels/base/buf.h"

enum {
    BEGIN = 1,
    ABORT = 2,
    END = 3,
    PARAMS = 4,
    STDIN = 5,
    STDOUT = 6,
    GET_VALUES = 9,
    GET_VALUES_RESULT = 10,
    UNKNOWN_TYPE = 11,
    RESPONDER = 1,
    AUTHORIZER = 2,
};

/* len < 65536. */
static inline void put_record(struct buf *b, int type, unsigned id, const void *content, size_t len)
{
    unsigned char header[8] = { 1,
                                (unsigned char)type,
                                (unsigned char)(id >> 8),
                                (unsigned char)id,
                                (unsigned char)(len >> 8),
                                (unsigned char)len };

    buf_put(b, header, sizeof header);
    buf_put(b, content, len);
}

static inline void put_begin(struct buf *b, unsigned id, int role)
{
    unsigned char body[8] = { 0, (unsigned char)role };

    put_record(b, BEGIN, id, body, sizeof body);
}

/* A length in four bytes, whatever it is. */
static inline void put_length(struct buf *b, unsigned n)
{
    unsigned char four[4] = { (unsigned char)(n >> 24 | 0x80), (unsigned char)(n >> 16),
                              (unsigned char)(n >> 8), (unsigned char)n };

    buf_put(b, four, sizeof four);
}

static inline void put_pair(struct buf *b, const char *name, const char *value)
{
    put_length(b, (unsigned)strlen(name));
    put_length(b, (unsigned)strlen(value));
    buf_puts(b, name);
    buf_puts(b, value);
}

/* A whole request with a body. */
static inline void put_request(struct buf *b, unsigned id, const char *method, const char *uri,
                               const char *body)
{
    struct buf params = { 0 };

    put_begin(b, id, RESPONDER);
    put_pair(&params, "REQUEST_METHOD", method);
    put_pair(&params, "REQUEST_URI", uri);
    put_record(b, PARAMS, id, params.data, params.len);
    put_record(b, PARAMS, id, NULL, 0);
    if (*body)
        put_record(b, STDIN, id, body, strlen(body));
    put_record(b, STDIN, id, NULL, 0);
    buf_done(&params);
}

#endif
