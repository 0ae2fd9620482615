#include "doctor/ask.h"

#include <config.h>

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "kernels/base/clock.h"

enum { CONNECT_S = 15, BODY_MOST = 4 << 20, HEAD_MOST = 256 << 10, PAUSE_MS = 50 };

struct transfer {
    const struct ask *ask;
    struct answer *answer;
    size_t sent; /* of a body without a length */
};

/* In two parts with a pause, so that the second is not there yet when the web server looks. */
static size_t give_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    size_t left = t->ask->body_len - t->sent, part = (t->ask->body_len + 1) / 2;
    const struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000 };

    n *= size;
    n = n < left ? n : left;
    n = n < part ? n : part;
    if (t->sent && n)
        nanosleep(&pause, NULL);
    memcpy(bytes, t->ask->body + t->sent, n);
    t->sent += n;
    return n;
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;

    n *= size;
    if (n > 5 && !strncasecmp(line, "HTTP/", 5)) /* behind a 100 comes another */
        buf_reset(&t->answer->head);
    buf_put(&t->answer->head, line, n);
    return n;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;

    n *= size;
    buf_put(&t->answer->body, bytes, n);
    if (t->ask->piece)
        t->ask->piece(t->ask->arg, bytes, n);
    return n;
}

/* True where all of them are in the list. */
static bool add(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);

    if (longer)
        *list = longer;
    return longer != NULL;
}

static struct curl_slist *headers_of(const struct site *s, const struct ask *q, const char *id)
{
    struct curl_slist *list = NULL;
    struct buf line = { 0 };
    bool ok = add(&list, "Expect:"); /* nobody waits for "100 Continue" */

    buf_printf(&line, "Authorization: Bearer %s", s->key);
    ok = ok && !line.failed && add(&list, line.data);
    buf_reset(&line);
    buf_printf(&line, "X-Request-Id: %s", id);
    ok = ok && !line.failed && add(&list, line.data);
    if (q->chunked)
        ok = ok && add(&list, "Transfer-Encoding: chunked");
    for (const char *const *h = q->headers; ok && h && *h; h++)
        ok = add(&list, *h);
    buf_done(&line);
    if (!ok) {
        curl_slist_free_all(list);
        list = NULL;
    }
    return list;
}

static void set_up(CURL *c, const struct site *s, const struct ask *q, const char *url)
{
    static const long versions[] = {
        [ASK_HTTP1] = CURL_HTTP_VERSION_1_1,
        [ASK_HTTP2_TLS] = CURL_HTTP_VERSION_2TLS,
        [ASK_HTTP2_CLEAR] = CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE,
    };

    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_USERAGENT, "airstrip-doctor/" VERSION);
    curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, q->timeout_ms);
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION, versions[q->http]);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, s->insecure ? 0L : 1L);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, s->insecure ? 0L : 2L);
    /* As browsers and client libraries do; what comes compressed is unpacked. */
    curl_easy_setopt(c, CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
    if (q->body && q->chunked) {
        curl_easy_setopt(c, CURLOPT_POST, 1L);
        curl_easy_setopt(c, CURLOPT_READFUNCTION, give_body);
    } else if (q->body) {
        curl_easy_setopt(c, CURLOPT_POST, 1L);
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, q->body);
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body_len);
    }
    if (q->method && !strcmp(q->method, "HEAD"))
        curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
    else if (q->method)
        curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, q->method);
}

static void perform(CURL *c, struct answer *a, const char *id)
{
    double start = clock_ms();
    char came[80];
    long version = 0;

    a->code = curl_easy_perform(c);
    a->took_ms = clock_ms() - start;
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &a->status);
    curl_easy_getinfo(c, CURLINFO_HTTP_VERSION, &version);
    a->is_http2 = version == CURL_HTTP_VERSION_2_0;
    if (a->code != CURLE_OK && !*a->said)
        snprintf(a->said, sizeof a->said, "%s", curl_easy_strerror(a->code));
    answer_header(a, "x-request-id", came, sizeof came);
    a->is_ours = !strcmp(came, id);
}

void ask(const struct site *s, const struct ask *q, struct answer *a)
{
    static atomic_uint number;
    struct transfer t = { q, a, 0 };
    struct curl_slist *headers;
    struct buf url = { 0 };
    CURL *c = curl_easy_init();
    char id[48];

    *a = (struct answer){ .code = CURLE_OUT_OF_MEMORY,
                          .head.limit = HEAD_MOST,
                          .body.limit = BODY_MOST };
    snprintf(id, sizeof id, "doctor-%ld-%u", (long)getpid(), ++number);
    headers = headers_of(s, q, id);
    buf_printf(&url, "%s%s", s->base, q->path);
    if (c && headers && !url.failed) {
        set_up(c, s, q, url.data);
        curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
        curl_easy_setopt(c, CURLOPT_HEADERDATA, &t);
        curl_easy_setopt(c, CURLOPT_READDATA, &t);
        curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(c, CURLOPT_WRITEDATA, &t);
        curl_easy_setopt(c, CURLOPT_ERRORBUFFER, a->said);
        perform(c, a, id);
    } else {
        snprintf(a->said, sizeof a->said, "no memory for a request");
    }
    curl_slist_free_all(headers);
    if (c)
        curl_easy_cleanup(c);
    buf_done(&url);
}
