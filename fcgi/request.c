/* What differs between web servers is settled here: where the path stands, how a missing length is
 * written, what becomes of Authorization. */
#include "fcgi/request.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "kernels/base/clock.h"

enum { READ_BYTES = 16 * 1024, HEADER_NAME_MAX = 128 };

const char *request_param(const struct request *r, const char *name)
{
    size_t len = strlen(name);

    for (char *const *p = r->params; p && *p; p++)
        if (!strncmp(*p, name, len) && (*p)[len] == '=')
            return *p + len + 1;
    return NULL;
}

/* RFC 3875 section 4.1.18: HTTP_ and the name in capitals with underscores. */
const char *request_header(const struct request *r, const char *name)
{
    char key[HEADER_NAME_MAX] = "HTTP_";
    size_t n = 5;
    const char *value;

    for (; *name && n + 1 < sizeof key; name++)
        key[n++] = *name == '-' ? '_' : (char)toupper((unsigned char)*name);
    key[n] = '\0';
    if (!strcmp(key, "HTTP_CONTENT_TYPE") || !strcmp(key, "HTTP_CONTENT_LENGTH"))
        return request_param(r, key + 5); /* RFC 3875 sections 4.1.2 and 4.1.3 */
    value = request_param(r, key);
    if (!value && !strcmp(key, "HTTP_AUTHORIZATION")) /* what Apache's rewriting makes of it */
        value = request_param(r, "REDIRECT_HTTP_AUTHORIZATION");
    return value;
}

/* The id goes into a header, the log and file names of operators: letters, digits and . _ - only.
 */
static bool is_sane_id(const char *s)
{
    size_t len =
        s ? strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") : 0;

    return len > 0 && len <= REQUEST_ID_MAX && !s[len];
}

/* 96 random bits: no two alike. */
static void make_id(struct request *r)
{
    const char *given = request_header(r, "x-request-id");
    unsigned char random[12];

    if (is_sane_id(given)) {
        memcpy(r->id, given, strlen(given) + 1);
        return;
    }
    if (getrandom(random, sizeof random, 0) != sizeof random)
        memcpy(random, &r->start_ms, sizeof r->start_ms); /* only an early boot can bring us here */
    strcpy(r->id, "req_");
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(r->id + 4 + 2 * i, 3, "%02x", random[i]);
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decodes %XX in the first len bytes of s, which are part of `what`, into *out, which lives in the
 * arena. */
static int decode(struct arena *a, const char *what, const char *s, size_t len, const char **out,
                  struct err *e)
{
    char *to = arena_strndup(a, s, len);
    size_t n = 0;

    if (!to)
        return err_set(e, ERR_NOMEM, "no memory for a %s of %zu bytes", what, len);
    for (size_t i = 0; i < len; i++) {
        int c = (unsigned char)s[i];

        if (c == '%') {
            int high = i + 1 < len ? hex(s[i + 1]) : -1;
            int low = i + 2 < len ? hex(s[i + 2]) : -1;

            if (high < 0 || low < 0)
                return err_set(e, ERR_INVALID, "the %s has a '%%' without two hex digits", what);
            c = high * 16 + low;
            i += 2;
        }
        if (c == 0)
            return err_set(e, ERR_INVALID, "the %s has a zero byte", what);
        to[n++] = (char)c;
    }
    to[n] = '\0';
    *out = to;
    return 0;
}

/* Splits a request target (RFC 9112 section 3.2): origin form, or absolute form "http://host/path".
 */
static int take_uri(struct request *r, const char *uri, struct err *e)
{
    const char *scheme = strstr(uri, "://");
    const char *end;

    if (*uri != '/' && scheme) {
        uri = strchr(scheme + 3, '/');
        if (!uri)
            uri = "/";
    }
    end = uri + strcspn(uri, "?#");
    if (*end == '?')
        r->query = end + 1;
    if (*uri != '/' && strcmp(uri, "*"))
        return err_set(e, ERR_INVALID, "expected a path that begins with '/'");
    return decode(&r->arena, "path", uri, (size_t)(end - uri), &r->path, e);
}

/* SCRIPT_NAME and PATH_INFO come decoded (RFC 3875 section 4.1). */
static int take_script(struct request *r, struct err *e)
{
    const char *script = request_param(r, "SCRIPT_NAME");
    const char *info = request_param(r, "PATH_INFO");
    const char *query = request_param(r, "QUERY_STRING");
    size_t n = script ? strlen(script) : 0, m = info ? strlen(info) : 0;
    char *to = arena_alloc(&r->arena, n + m + 1);

    if (!to)
        return err_set(e, ERR_NOMEM, "no memory for a path of %zu bytes", n + m);
    if (n)
        memcpy(to, script, n);
    if (m)
        memcpy(to + n, info, m);
    if (query)
        r->query = query;
    if (*to != '/')
        return err_set(e, ERR_INVALID, "expected a path that begins with '/'");
    r->path = to;
    return 0;
}

int request_init(struct request *r, char *const *params, size_t arena_bytes, struct err *e)
{
    const char *value;

    memset(r, 0, sizeof *r);
    r->params = params;
    r->start_ms = clock_ms();
    r->created = time(NULL);
    r->method = r->path = r->query = r->tail = r->body = "";
    r->watch.fd = -1;
    arena_init(&r->arena, arena_bytes);
    make_id(r);
    trace_read(&r->trace, request_header(r, "traceparent"));
    value = request_param(r, "REQUEST_METHOD");
    if (value)
        r->method = value;
    value = request_param(r, "FCGI_ROLE");
    if (value && strcmp(value, "RESPONDER"))
        return err_set(e, ERR_INVALID, "expected the FastCGI role RESPONDER, found another one");
    if (!*r->method)
        return err_set(e, ERR_INVALID, "REQUEST_METHOD is missing");
    value = request_param(r, "REQUEST_URI");
    return value && *value ? take_uri(r, value, e) : take_script(r, e);
}

/* CONTENT_LENGTH as a number; false where it is absent or no number ("", "-1"). */
static bool declared_length(const struct request *r, unsigned long long *out)
{
    const char *s = request_param(r, "CONTENT_LENGTH");

    if (!s || !*s || s[strspn(s, "0123456789")])
        return false;
    errno = 0;
    *out = strtoull(s, NULL, 10);
    if (errno)
        *out = ULLONG_MAX;
    return true;
}

bool request_is_too_large(const struct request *r, size_t limit_bytes)
{
    unsigned long long declared;

    return declared_length(r, &declared) && declared > limit_bytes;
}

/* Read to the end of the stream whatever CONTENT_LENGTH says: Apache leaves it out for chunked
 * uploads, Caddy writes -1, and a body cut short with a proper end record shows in no other way. */
int request_read(struct request *r, struct conn *c, size_t limit_bytes, struct err *e)
{
    unsigned long long declared = 0;
    bool has_length = declared_length(r, &declared);
    struct buf *b = &r->storage;

    if (has_length && declared > limit_bytes)
        goto too_large;
    for (;;) {
        char *to = buf_room(b, READ_BYTES);
        long n;

        if (!to)
            return err_set(e, ERR_NOMEM, "no memory for a body of more than %zu bytes", b->len);
        n = c->read(c, to, READ_BYTES);
        if (n < 0)
            return err_set(e, ERR_INVALID, "the request's body broke off after %zu bytes", b->len);
        if (n == 0)
            break;
        b->len += (size_t)n;
        b->data[b->len] = '\0';
        if (b->len > limit_bytes)
            goto too_large;
    }
    if (has_length && declared != b->len)
        return err_set(e, ERR_INVALID, "expected a body of %llu bytes (Content-Length), found %zu",
                       declared, b->len);
    r->body = buf_str(b);
    r->body_len = b->len;
    return 0;
too_large:
    return err_set(e, ERR_LIMIT, "the request's body is larger than the limit of %zu bytes",
                   limit_bytes);
}

void request_watch(struct request *r, struct watcher *w, int fd)
{
    r->watcher = w;
    watcher_add(w, &r->watch, fd);
}

void request_done(struct request *r)
{
    if (r->watcher)
        watcher_remove(r->watcher, &r->watch);
    r->watcher = NULL;
    buf_done(&r->storage);
    arena_done(&r->arena);
}

int request_stopped(const struct request *r)
{
    return r->watch.stopped;
}

void request_on_stop(struct request *r, void (*fn)(void *arg), void *arg)
{
    if (r->watcher)
        watcher_set(r->watcher, &r->watch, fn, arg);
}

int request_query(struct request *r, const char *name, const char **value, struct err *e)
{
    size_t len = strlen(name), n;

    *value = NULL;
    for (const char *q = r->query; *q; q += n + (q[n] == '&')) {
        n = strcspn(q, "&");
        if (n < len || memcmp(q, name, len) || (n > len && q[len] != '='))
            continue;
        q += n > len ? len + 1 : len;
        n = strcspn(q, "&");
        return decode(&r->arena, "query", q, n, value, e);
    }
    return 0;
}
