/* http.h - one GET at a time from a hub, with libcurl, and what its answer means.
 *
 * Redirections are followed; the token goes to the hub's own host only.  One thread. */
#ifndef AIRSTRIP_FETCH_HTTP_H
#define AIRSTRIP_FETCH_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <curl/curl.h>

#include "kernels/base/buf.h"
#include "kernels/base/err.h"

struct http {
    CURL *curl;
    struct buf endpoint; /* $HF_ENDPOINT without slashes at its end, or the Hugging Face hub */
    struct curl_slist *headers; /* the token among them */
    bool has_token;
    long stall_s; /* a connection that is silent for so long is given up */
    int tries;    /* attempts in a row that bring nothing, before it is an error */
};

/* Where the body of an answer goes.  begin: called before the first byte, and once at the end of an
 * empty body; from: where in the file the body begins, 0 unless the hub honoured `offset`.
 * Both return 0, or an error that ends the transfer. */
struct http_sink {
    int (*begin)(void *arg, size_t from, struct err *e);
    int (*put)(void *arg, const char *bytes, size_t len, struct err *e);
    void *arg;
};

/* Reads HF_ENDPOINT, HF_TOKEN (HUGGING_FACE_HUB_TOKEN, HF_TOKEN_PATH, HF_HOME/token) and
 * HF_HUB_DOWNLOAD_TIMEOUT.  Errors: ERR_INVALID naming the variable; ERR_NOMEM, ERR_INTERNAL.
 * Call http_done() also after an error. */
int http_init(struct http *h, int tries, struct err *e) MUST_CHECK;
void http_done(struct http *h);

/* Appends the part of a path, percent-encoded, slashes kept. */
void http_escape(struct http *h, struct buf *url, const char *path);

/* GETs the endpoint's url from byte `offset` on; what names it in sentences.
 * Errors: ERR_BUSY where another attempt may help (connection cut or silent, 408, 429, 5xx), with
 * *wait_s set to what Retry-After asks for, else -1; ERR_NOTFOUND (404), ERR_INVALID (401, 403),
 * ERR_LIMIT where the file ends before `offset` (416),
 * ERR_IO for other answers and where there is no connection to be had; the sink's own. */
int http_get(struct http *h, const char *url, const char *what, size_t offset,
             const struct http_sink *sink, long *wait_s, struct err *e) MUST_CHECK;

/* After ERR_BUSY: sleeps before attempt `failed` + 1 and says why on stderr; returns 0.  Where it
 * has failed h->tries times, or the hub asks for more than ten minutes, returns ERR_IO, and *e says
 * so. */
int http_wait(struct http *h, int failed, long wait_s, struct err *e) MUST_CHECK;

#endif
