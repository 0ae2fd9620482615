/* ask.h - one request to the web server, and all that came back.
 *
 * Each is a connection of its own, so that none is the worse for what another met.  Any thread. */
#ifndef AIRSTRIP_DOCTOR_ASK_H
#define AIRSTRIP_DOCTOR_ASK_H

#include <stdbool.h>
#include <stddef.h>

#include <curl/curl.h>

#include "kernels/base/buf.h"

struct site {
    const char *base; /* the URL, without slashes or /v1 at its end */
    const char *key;  /* an API key, or any word */
    bool insecure;    /* whoever signed the certificate */
};

enum ask_http { ASK_HTTP1, ASK_HTTP2_TLS, ASK_HTTP2_CLEAR };

struct ask {
    const char *method;         /* NULL: GET, or POST where there is a body */
    const char *path;           /* and its query, sent as they stand */
    const char *const *headers; /* "Name: value", ends with NULL; NULL: none */
    const char *body;           /* NULL: none */
    size_t body_len;
    bool chunked; /* the body's length is not told */
    enum ask_http http;
    long timeout_ms;
    /* Called with each piece of the body as it comes, beside its being collected; NULL: nobody. */
    void (*piece)(void *arg, const char *bytes, size_t len);
    void *arg;
};

struct answer {
    CURLcode code;
    char said[CURL_ERROR_SIZE]; /* what libcurl says where code is not CURLE_OK */
    long status;                /* 0: none came */
    bool is_http2;
    bool is_ours;    /* Airstrip answered: it gave back the request's X-Request-Id */
    struct buf head; /* of the last answer, its lines as they came */
    struct buf body;
    double took_ms;
};

/* Fills *a, to be given to answer_done(). */
void ask(const struct site *s, const struct ask *q, struct answer *a);
void answer_done(struct answer *a);

/* How often the header is there; the first one's value goes to out, "" if there is none. */
size_t answer_header(const struct answer *a, const char *name, char *out, size_t size);

/* "404 with text/html", or why there was no answer: for a sentence. */
void answer_describe(const struct answer *a, char *out, size_t size);

#endif
