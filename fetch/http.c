#include "fetch/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "fetch/bar.h"

enum { LONGEST_WAIT_S = 600, LONGEST_PAUSE_MS = 30000 };

/* One attempt. */
struct attempt {
    CURL *curl;
    const struct http_sink *sink;
    struct err *e;
    size_t offset;
    bool begun;
    int rc;         /* of the sink */
    char said[200]; /* X-Error-Message */
    char code[40];  /* X-Error-Code */
    bool has_range; /* Content-Range: bytes FROM-... */
    unsigned long long from;
};

static long status_of(const struct attempt *a)
{
    long status = 0;

    curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* The value of the header `name`, without blanks and line end, printable only. */
static bool header(const char *line, size_t len, const char *name, char *value, size_t size)
{
    size_t n = strlen(name), used = 0;

    if (len <= n || strncasecmp(line, name, n) || line[n] != ':')
        return false;
    for (n++; n < len && line[n] == ' '; n++)
        ;
    for (; n < len && used + 1 < size; n++)
        if (line[n] >= ' ' && line[n] < 0x7f)
            value[used++] = line[n];
    value[used] = '\0';
    return true;
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
    struct attempt *a = arg;
    char value[100];

    n *= size;
    if (n > 5 && !strncasecmp(line, "HTTP/", 5)) { /* a further answer, after a redirection */
        a->has_range = false;
        *a->said = *a->code = '\0';
    }
    if (header(line, n, "content-range", value, sizeof value))
        a->has_range = sscanf(value, "bytes %llu-", &a->from) == 1;
    header(line, n, "x-error-message", a->said, sizeof a->said);
    header(line, n, "x-error-code", a->code, sizeof a->code);
    return n;
}

/* Tells the sink where the body belongs, which a hub that knows no ranges decides. */
static int begin(struct attempt *a)
{
    bool part = status_of(a) == 206;

    a->begun = true;
    if (part && (!a->has_range || a->from != a->offset))
        return err_set(a->e, ERR_FORMAT, "the hub was asked for bytes from %zu and sent others",
                       a->offset);
    return a->sink->begin(a->sink->arg, part ? a->offset : 0, a->e);
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct attempt *a = arg;
    long status = status_of(a);

    n *= size;
    if (status != 200 && status != 206)
        return n; /* a page that explains the error */
    if (!a->begun)
        a->rc = begin(a);
    if (!a->rc)
        a->rc = a->sink->put(a->sink->arg, bytes, n, a->e);
    return a->rc ? 0 : n;
}

static int denied(const struct http *h, const char *what, long status, const struct attempt *a,
                  struct err *e)
{
    const char *advice = !h->has_token ? "for what is private or gated, set HF_TOKEN"
                                       : "the token may not read it, or is not valid";

    if (!strcasecmp(a->code, "GatedRepo"))
        advice = h->has_token
                     ? "it is gated: accept its conditions on its page in the hub"
                     : "it is gated: accept its conditions on its page in the hub, and set "
                       "HF_TOKEN";
    return err_set(e, ERR_INVALID, "%.150s: the hub answers %ld%s%.100s: %s", what, status,
                   *a->said ? ", " : "", a->said, advice);
}

/* What a status means. */
static int judge(const struct http *h, const char *what, const struct attempt *a, long *wait_s,
                 struct err *e)
{
    long status = status_of(a);
    curl_off_t after = 0;

    if (status == 200 || status == 206)
        return 0;
    if (status == 401 || status == 403)
        return denied(h, what, status, a, e);
    if (status == 404)
        return err_set(e, ERR_NOTFOUND, "%.150s: %.100s has no such thing (404%s%.100s)", what,
                       buf_str(&h->endpoint), *a->said ? ", " : "", a->said);
    if (status == 416)
        return err_set(e, ERR_LIMIT, "%.150s: the hub has no bytes from %zu on (416)", what,
                       a->offset);
    err_set(e, ERR_IO, "%.150s: the hub answers %ld%s%.100s", what, status, *a->said ? ", " : "",
            a->said);
    if (status == 408 || status == 429 || status >= 500) {
        curl_easy_getinfo(h->curl, CURLINFO_RETRY_AFTER, &after);
        *wait_s = after > 0 ? (long)after : -1;
        if (e)
            e->code = ERR_BUSY;
        return ERR_BUSY;
    }
    return ERR_IO;
}

/* What a connection that failed means: is it worth another attempt? */
static int broken(const char *what, CURLcode code, const char *said, struct err *e)
{
    const char *why = *said ? said : curl_easy_strerror(code);

    switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_TOO_MANY_REDIRECTS:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return err_set(e, ERR_IO, "%.150s: %.200s", what, why);
    case CURLE_OUT_OF_MEMORY:
        return err_set(e, ERR_NOMEM, "%.150s: no memory for the transfer", what);
    default:
        return err_set(e, ERR_BUSY, "%.150s: %.200s", what, why);
    }
}

int http_get(struct http *h, const char *url, const char *what, size_t offset,
             const struct http_sink *sink, long *wait_s, struct err *e)
{
    struct attempt a = { .curl = h->curl, .sink = sink, .e = e, .offset = offset };
    char range[32], said[CURL_ERROR_SIZE] = "";
    CURL *c = h->curl;
    CURLcode code;
    int rc;

    *wait_s = -1;
    snprintf(range, sizeof range, "%zu-", offset);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_RANGE, offset ? range : NULL);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, &a);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &a);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, said);
    code = curl_easy_perform(c);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, NULL);
    if (a.rc)
        return a.rc;
    if (code != CURLE_OK)
        return broken(what, code, said, e);
    rc = judge(h, what, &a, wait_s, e);
    return rc || a.begun ? rc : begin(&a);
}

int http_wait(struct http *h, int failed, long wait_s, struct err *e)
{
    long ms = 500;
    struct timespec pause;

    if (wait_s > LONGEST_WAIT_S) {
        err_prefix(e, "the hub asks for a pause of %ld s: ", wait_s);
        return e->code = ERR_IO;
    }
    if (failed >= h->tries) {
        err_prefix(e, "given up after %d attempts: ", failed);
        return e->code = ERR_IO;
    }
    for (int i = 1; i < failed && ms < LONGEST_PAUSE_MS; i++)
        ms *= 2;
    if (wait_s >= 0)
        ms = wait_s * 1000;
    bar_note("%s; next attempt in %.1f s", e->text, (double)ms / 1e3);
    pause = (struct timespec){ ms / 1000, ms % 1000 * 1000000 };
    while (nanosleep(&pause, &pause) && errno == EINTR)
        ;
    return 0;
}

void http_escape(struct http *h, struct buf *url, const char *path)
{
    while (*path) {
        size_t n = strcspn(path, "/");
        char *part = n ? curl_easy_escape(h->curl, path, (int)n) : NULL;

        if (part)
            buf_puts(url, part);
        else if (n)
            url->failed = true;
        curl_free(part);
        path += n;
        if (*path)
            buf_putc(url, *path++);
    }
}
